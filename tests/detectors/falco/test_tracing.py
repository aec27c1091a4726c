"""How comparisons of Falco's rules stand on events: as a tree, and in line with what the rules say."""

from __future__ import annotations

from typing import Any

import pytest

from detectors.falco import load_falco_rules
from detectors.falco.conditions import matches
from detectors.falco.json_values import JsonValues
from detectors.falco.tracing import trace
from detectors.rule import RuleText
from detectors.testing.trace import Part, State, decisive

RULES = """\
- macro: exec
  condition: (ka.target.subresource = exec)
- rule: Exec
  desc: d
  condition: ka.verb=create and exec and not (ka.user.name startswith "system:" or ka.target.namespace in (dev, test))
  output: o
  priority: NOTICE
  source: k8s_audit
"""
ENVELOPE = {"kind": "Event", "auditID": "a", "stage": "ResponseComplete", "stageTimestamp": "2026-03-01T00:00:00Z"}
EXEC = ENVELOPE | {
    "verb": "create",
    "objectRef": {"subresource": "exec", "namespace": "dev"},
    "user": {"username": "eve"},
}


def traced(event: dict[str, Any]) -> tuple[Part, bool]:
    loaded = load_falco_rules([RuleText("rules.yml", RULES, "")])
    assert loaded.failures == ()
    (rule,) = loaded.rules
    get = JsonValues(event).get
    return trace(rule, get), matches(rule.condition, rule.source, get)


def leaves(part: Part) -> list[Part]:
    return [part] if part.kind == "clause" else [leaf for inner in part.parts for leaf in leaves(inner)]


@pytest.mark.parametrize(
    ("event", "expected", "why"),
    [
        pytest.param(
            EXEC,
            [
                ("ka.verb", State.HELD, "create"),
                ("ka.target.subresource", State.HELD, "exec"),
                ("ka.user.name", State.FAILED, "eve"),
                ("ka.target.namespace", State.HELD, "dev"),
            ],
            ["ka.target.namespace"],
            id="excepted_namespace",
        ),
        pytest.param(
            EXEC | {"user": {"username": "system:x"}},
            [
                ("ka.verb", State.HELD, "create"),
                ("ka.target.subresource", State.HELD, "exec"),
                ("ka.user.name", State.HELD, "system:x"),
                ("ka.target.namespace", State.NOT_NEEDED, None),
            ],
            ["ka.user.name"],
            id="not_needed",
        ),
        pytest.param(
            EXEC | {"verb": "get", "objectRef": {}},
            [
                ("ka.verb", State.FAILED, "get"),
                ("ka.target.subresource", State.FAILED, None),
                ("ka.user.name", State.FAILED, "eve"),
                ("ka.target.namespace", State.FAILED, None),
            ],
            ["ka.verb", "ka.target.subresource"],
            id="absent",
        ),
    ],
)
def test_each_comparison_is_told(event: dict[str, Any], expected: list[tuple[str, State, Any]], why: list[str]) -> None:
    part, holds = traced(event)
    assert part.held is holds
    assert [(leaf.field, leaf.state, leaf.value) for leaf in leaves(part)] == expected
    assert [leaf.field for leaf in decisive(part)] == why
