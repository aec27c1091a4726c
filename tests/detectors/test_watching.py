"""Watchers of exceptions: they hold where the rule did before the exception, which lets the event pass."""

from __future__ import annotations

import json
from typing import Any

import pytest

from collector.decoders import DECODERS
from detectors.engine import Engine
from detectors.rule import RuleText
from detectors.sigma import load_rules
from detectors.watching import Excepting, Watcher, watched
from vedette.schema.event import Event
from vedette.schema.finding import Match
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
    watching = watched(loaded.rules)
    payload = json.dumps({"kind": "Event", "stageTimestamp": "2026-11-21T10:00:00Z", **document}).encode()
    engine, excepting = Engine(watching, DECODERS), Excepting(loaded.rules, watching)
    look = engine.screen(DECODERS["kube_audit"])
    found = engine.match(event(payload), None if look is None else look.possible(payload))
    assert [match.rule for match in found] == [match.rule for match in engine.match(event(payload))]
    matched, excepted = list[Match](), set[tuple[str, str]]()
    for match in found:
        titles, judged = excepting.judge(match) if isinstance(match.rule, Watcher) else ([], match)
        excepted |= {(title, match.rule.rule_id) for title in titles}
        matched += [] if titles else [judged]
    assert [said(match) for match in matched] == [
        said(match) for match in Engine(loaded.rules, DECODERS).match(event(payload))
    ], "what matches says the same as without watchers"
    return {match.rule.rule_id for match in matched}, excepted


def event(payload: bytes) -> Event:
    decoder = DECODERS["kube_audit"]
    return Event(Record(1, 1, payload, Run("audit", "kube_audit", 1), 1), decoder, decoder.decode(payload, ""))


def said(match: Match) -> object:
    return type(match.rule), match.rule, match.explain(), match.dedup_values()


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


def test_rules_without_exceptions_are_run_as_they_are() -> None:
    loaded = load_rules([RuleText("rules.yml", RULE + BACKUP, "own")])
    exec_rule, secrets = watched(loaded.rules)
    assert secrets is loaded.rules[1]
    assert isinstance(exec_rule.info, Watcher)
    assert exec_rule.predicate == load_rules([RuleText("rules.yml", RULE, "own")]).rules[0].predicate
    assert Excepting(loaded.rules, (exec_rule, secrets)).pairs == (("SEC: Backup", "exec"),)
