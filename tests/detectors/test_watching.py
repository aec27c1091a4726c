"""Watchers of exceptions: they hold where the rule did before the exception, which lets the event pass."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.decoders import DECODERS
from detectors.engine import Engine
from detectors.predicate import And, Atom, Not, Op, Or, Predicate, matches
from detectors.rule import RuleText
from detectors.sigma import load_rules
from detectors.watching import Watcher, negated, watchers
from vedette.schema.event import Event
from vedette.schema.record import Record, Run

RULE = """
title: Exec
id: exec
logsource: {product: kubernetes, service: audit}
detection:
  selection: {objectRef.subresource: exec}
  robots: {user.username|startswith: 'system:'}
  condition: selection and not robots
---
title: Secrets
id: secrets
logsource: {product: kubernetes, service: audit}
detection: {selection: {objectRef.resource: secrets}, condition: selection}
---
"""
BACKUP = """
title: 'SEC: Backup'
filter: {rules: [exec], backup: {user.username: backup, objectRef.namespace: [db, cache]}, condition: not backup}
---
"""
EVERYBODY = """
title: Test clusters
filter: {rules: any, tests: {objectRef.namespace|startswith: test-}, condition: not tests}
---
"""
EXPIRING = BACKUP.replace("SEC: Backup", "Old").rstrip("-\n ") + "\nvedette: {expires: '2026-11-21'}\n---\n"


def hits(text: str, document: dict[str, Any]) -> tuple[set[str], set[tuple[str, str]]]:
    """Which rules match an event, and which exceptions kept which of them from it."""
    loaded = load_rules([RuleText("rules.yml", text, "own")])
    assert not loaded.errors
    engine = Engine([*loaded.rules, *watchers(loaded.rules)], DECODERS)
    payload = json.dumps({"kind": "Event", "stageTimestamp": "2026-11-21T10:00:00Z", **document}).encode()
    decoder = DECODERS["kube_audit"]
    event = Event(Record(1, 1, payload, Run("audit", "kube_audit", 1), 1), decoder, decoder.decode(payload, ""))
    found = [match.rule for match in engine.match(event)]
    passes = engine.screen(decoder)
    assert not found or passes is None or not passes(payload), "no screen lets go what a watcher matches"
    return (
        {rule.rule_id for rule in found if not isinstance(rule, Watcher)},
        {(rule.exception, rule.rule_id) for rule in found if isinstance(rule, Watcher)},
    )


def access(user: str = "backup", namespace: str = "db", **more: Any) -> dict[str, Any]:
    target = {"resource": "pods", "subresource": "exec", "namespace": namespace, "name": "x"}
    return {"verb": "create", "user": {"username": user}, "objectRef": {**target, **more}}


@pytest.mark.parametrize(
    ("text", "document", "matched", "excepted"),
    [
        pytest.param(RULE, access(), {"exec"}, set[tuple[str, str]](), id="no exception"),
        pytest.param(RULE + BACKUP, access(), set[str](), {("SEC: Backup", "exec")}, id="excepted"),
        pytest.param(RULE + BACKUP, access("ann"), {"exec"}, set[tuple[str, str]](), id="another user"),
        pytest.param(RULE + BACKUP, access(namespace="shop"), {"exec"}, set[tuple[str, str]](), id="another namespace"),
        pytest.param(
            RULE + BACKUP, access("system:x"), set[str](), set[tuple[str, str]](), id="the rule would not match"
        ),
        pytest.param(
            RULE + BACKUP, access(subresource="log"), set[str](), set[tuple[str, str]](), id="nothing to do with it"
        ),
        pytest.param(
            RULE + EVERYBODY,
            access("ann", "test-1", resource="secrets"),
            set[str](),
            {("Test clusters", "exec"), ("Test clusters", "secrets")},
            id="an exception of all rules",
        ),
        pytest.param(
            RULE + BACKUP.replace("[db, cache]", "test-1") + EVERYBODY,
            access(namespace="test-1"),
            set[str](),
            {("SEC: Backup", "exec"), ("Test clusters", "exec")},
            id="two exceptions, each alone",
        ),
        pytest.param(RULE + EXPIRING, access(), set[str](), {("Old", "exec")}, id="on its last day"),
        pytest.param(
            RULE + EXPIRING,
            {**access(), "stageTimestamp": "2026-11-22T00:00:00Z"},
            {"exec"},
            set[tuple[str, str]](),
            id="expired",
        ),
    ],
)
def test_exceptions_tell_what_they_let_pass(
    text: str, document: dict[str, Any], matched: set[str], excepted: set[tuple[str, str]]
) -> None:
    assert hits(text, document) == (matched, excepted)


def test_a_watcher_says_what_its_rule_does() -> None:
    loaded = load_rules([RuleText("rules.yml", RULE + BACKUP, "own")])
    (watcher,) = watchers(loaded.rules)
    assert isinstance(watcher.info, Watcher)
    assert (watcher.info.title, watcher.info.pack, watcher.info.exception) == ("Exec", "own", "SEC: Backup")


def test_rules_without_exceptions_have_none() -> None:
    assert watchers(load_rules([RuleText("rules.yml", RULE, "own")]).rules) == ()


# --- negation ---------------------------------------------------------------------------------------------------------
ATOMS = st.builds(Atom, st.sampled_from("abc"), st.just(Op.EQUALS), st.sampled_from("xy"))
PREDICATES: st.SearchStrategy[Predicate] = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(And, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, max_size=3).map(tuple)),
    ),
    max_leaves=12,
)


@given(
    predicate=PREDICATES, values=st.dictionaries(st.sampled_from("abc"), st.lists(st.sampled_from("xyz"), max_size=2))
)
def test_a_negation_holds_where_its_predicate_does_not(predicate: Predicate, values: dict[str, list[str]]) -> None:
    def get(field: str | None) -> list[str]:
        return values.get(field or "", [])

    assert matches(negated(predicate), get) is not matches(predicate, get)
