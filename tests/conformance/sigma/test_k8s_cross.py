"""SigmaHQ's Kubernetes rules against audit events of Falco's and Panther's tests: exactly the listed pairs match.

The rules run as they are written. With our repairs they may find more, and must not find less.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from detectors.rule import RuleText
from detectors.sigma import load_rules
from detectors.sigma.dead import why_dead
from detectors.sigma.matching import Matcher
from tests.conformance.report import Record, judge, rows, vectors

from .asking import ask

HITS: Final = "sigma/k8s_cross_hits.jsonl"
RULES: Final = "sigma/rules/kubernetes"
PINNED: dict[str, str] = {}
Json = dict[str, Any]


def falco_events(path: Path) -> Iterator[tuple[str, Json]]:
    """Yield the audit events of a file with their ids: JSON lines, some of which are no events."""
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n")):
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            yield f"falco:{path.name}#{number}", event


def panther_events() -> Iterator[tuple[str, Json]]:
    """Yield the audit events of EKS and AKS with their ids; GKE's are of another shape."""
    for row in rows("panther/k8s/cases.jsonl"):
        event = row.get("inner_k8s_audit") or row["log"]
        if isinstance(event, dict) and "verb" in event:
            yield f"panther:{row['id']}", event


def audit_events() -> dict[str, Json]:
    """Return all events by id."""
    files = sorted(vectors("falco/k8s_audit/events").glob("*.json"))
    return {name: event for path in files for name, event in falco_events(path)} | dict(panther_events())


def test_no_kubernetes_rule_is_dead_after_our_repairs() -> None:
    texts = [RuleText(path.name, path.read_text(encoding="utf-8"), "") for path in vectors(RULES).glob("*.yml")]
    assert any(map(why_dead, load_rules(texts, ours=False).rules)), "some are, as they are written"
    assert [why_dead(rule) for rule in load_rules(texts).rules if why_dead(rule)] == []


def test_kubernetes_rules_match_the_listed_pairs_and_no_other(record_property: Record) -> None:
    listed = {(row["rule"], row["event"]) for row in rows(HITS)}
    found = audit_events()
    results: dict[str, str] = {}
    for path in sorted(vectors(RULES).glob("*.yml")):
        text = path.read_text(encoding="utf-8")
        written, repaired = Matcher([text], lenient=False), Matcher([text], lenient=False, ours=True)
        assert (written.errors, repaired.errors) == ((), ())
        for name, event in found.items():
            hit = bool(ask(written, event))
            lost = hit and not ask(repaired, event)
            wrong = "lost by our repairs" if lost else "" if hit is ((path.name, name) in listed) else f"{hit=}"
            results[f"{path.name} {name}"] = wrong
    missing = {f"{rule} {event}" for rule, event in listed} - results.keys()
    assert len(missing) < len(listed), "the ids of rules and events are understood"
    left_out = {"listed pairs without their rule or event": len(missing)}
    judge("sigma/k8s_cross", results, PINNED, record_property, left_out)
