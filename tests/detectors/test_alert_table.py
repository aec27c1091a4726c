"""Tables of alerts: what they say, what is refused with its place, and what becomes of an alert."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.decoders import DECODERS
from detectors.alert_info import AlertInfo
from detectors.alert_table import AlertTable, is_alert_table, load_alert_tables
from detectors.reported import reported_match
from detectors.rule import RuleText
from vedette.schema.event import Event
from vedette.schema.finding import Match
from vedette.schema.level import Level
from vedette.schema.record import Record, Run

TABLE: Final = """falco_alerts:
  Terminal shell in container:
    level: medium
    attack: [T1059.004, TA0002]
    controls: [SP 800-53 SI-4]
    dedup_by: [k8s.ns.name, k8s.pod.name]
    dedup_as: shell-in-a-pod
    covers: [C26, U14]
    description: >-
      A shell with a terminal.
    references: [https://falco.org/docs/]
    falsepositives: [On-call work]
    shadow: true
"""
SHELL: Final = "Terminal shell in container"


def load(*texts: str) -> AlertTable:
    return load_alert_tables(RuleText(f"{number}.yml", text, f"pack{number}") for number, text in enumerate(texts))


def the(*texts: str) -> Mapping[str, AlertInfo]:
    table = load(*texts)
    assert [str(error) for error in table.errors] == []
    return table.alerts


def match(alerts: Mapping[str, AlertInfo], **changes: Any) -> Match:
    fields = {"container.id": "3b1d6c0e9a44", "k8s.ns.name": "orders", "k8s.pod.name": "api-0", "proc.name": "sh"}
    alert = {
        "hostname": "node-1",
        "output_fields": {**fields, **changes},
        "priority": "Notice",
        "rule": SHELL,
        "source": "syscall",
        "tags": ["T1565", "container"],
        "time": "2026-11-20T09:14:31.204518733Z",
    }
    payload, decoder = json.dumps(alert).encode(), DECODERS["falco"]
    event = Event(Record(1, 1, payload, Run("test", "falco", 1), 1), decoder, decoder.decode(payload, ""))
    rule = decoder.finding(event.head)
    assert rule is not None
    return reported_match(rule, event, alerts)


# --- reading ----------------------------------------------------------------------------------------------------------
def test_a_table_says_what_its_document_says() -> None:
    assert the(TABLE) == {
        SHELL: AlertInfo(
            level=Level.MEDIUM,
            attack=("T1059.004", "TA0002"),
            controls=("SP 800-53 SI-4",),
            dedup_by=("k8s.ns.name", "k8s.pod.name"),
            covers=("C26", "U14"),
            references=("https://falco.org/docs/",),
            falsepositives=("On-call work",),
            dedup_as="shell-in-a-pod",
            description="A shell with a terminal.",
            shadow=True,
            pack="pack0",
        )
    }


def test_later_tables_change_what_they_name_and_nothing_else() -> None:
    found = the(TABLE, "falco_alerts: {Terminal shell in container: {level: low}, Other: {level: high}}")
    assert (found[SHELL].level, found[SHELL].dedup_as, found[SHELL].pack) == (Level.LOW, "shell-in-a-pod", "pack1")
    assert the(TABLE, f"falco_alerts: {{{SHELL}: {{shadow: false}}}}")[SHELL].shadow is False
    assert found["Other"] == AlertInfo(level=Level.HIGH, pack="pack1")


@pytest.mark.parametrize(
    ("text", "is_table"),
    [
        pytest.param(TABLE, True, id="a table"),
        pytest.param("# first\n---\n'falco_alerts': {}\n", True, id="quoted, behind a comment"),
        pytest.param("title: falco_alerts\n", False, id="a rule that is called so"),
        pytest.param("detection:\n  falco_alerts: 1\n", False, id="a key further down"),
        pytest.param("- rule: falco_alerts\n", False, id="a rule of Falco"),
        pytest.param("", False, id="nothing"),
    ],
)
def test_tables_are_told_from_rules(text: str, is_table: bool) -> None:
    assert is_alert_table(text) is is_table


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("falco_alerts: [a]\n", "0.yml:1:15: falco_alerts must be a mapping of rules' names to what is said of them"),
        ("falco_alerts: {a: high}\n", "0.yml:1:19: what is said of an alert is a mapping of level, attack,"),
        ("falco_alerts: {'': {}}\n", "0.yml:1:16: an alert goes by the name of its rule; this one is empty"),
        ("falco_alerts:\n  a:\n    level: hgih\n", "0.yml:3:12: 'hgih' is no level; write informational, low,"),
        ("falco_alerts:\n  a:\n    level: [low]\n", "0.yml:3:12: ['low'] is no level"),
        ("falco_alerts:\n  a:\n    levle: low\n", "0.yml:3:5: unknown key 'levle'; did you mean 'level'?"),
        ("falco_alerts:\n  a:\n    zzzzzz: low\n", "0.yml:3:5: unknown key 'zzzzzz'; known are level,"),
        ("falco_alerts:\n  a:\n    attack: T1059\n", "0.yml:3:13: attack must be a list"),
        ("falco_alerts:\n  a:\n    attack: [T1, x]\n", "0.yml:3:14: 'T1' is not an ATT&CK id; write T1609,"),
        ("falco_alerts:\n  a:\n    controls: [AU-12]\n", "0.yml:3:16: 'AU-12' is not a NIST control;"),
        ("falco_alerts:\n  a:\n    covers: [S1]\n", "0.yml:3:14: 'S1' is not a row of the coverage table;"),
        ("falco_alerts:\n  a:\n    dedup_by: ['@x']\n", "0.yml:3:16: '@x' is not a field;"),
        ("falco_alerts:\n  a:\n    dedup_by: [1]\n", "0.yml:3:16: 1 is not a field;"),
        ("falco_alerts:\n  a:\n    dedup_as: 7\n", "0.yml:3:15: dedup_as must be a text"),
        ("falco_alerts:\n  a:\n    description: ''\n", "0.yml:3:18: description must be a text"),
        ("falco_alerts:\n  a:\n    shadow: yes please\n", "0.yml:3:13: shadow must be true or false"),
        ("falco_alerts:\n  a:\n    shadow: 1\n", "0.yml:3:13: shadow must be true or false"),
        ("falco_alerts:\n  a: {}\n  a: {}\n", "0.yml:3:3: the key 'a' is given twice"),
        ("falco_alerts: {}\ntitle: x\n", "0.yml:2:1: 'title' beside falco_alerts: a table of alerts has a file of its"),
        ("falco_alerts: {\n", "0.yml:2:1: while parsing a flow node did not find expected node content"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, error: str) -> None:
    first = str(load(text).errors[0])
    assert first.startswith(error), first


def test_an_alert_with_an_error_is_left_out_and_others_stay() -> None:
    table = load("falco_alerts:\n  bad: {level: x, attack: [y]}\n  good: {level: low}\n")
    assert (len(table.errors), list(table.alerts)) == (2, ["good"])


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_whatever_stands_in_a_table_is_read_or_refused(value: Any) -> None:
    table = load(json.dumps({"falco_alerts": {"a": value}}))
    assert bool(table.errors) is not bool(table.alerts)


# --- what becomes of an alert -----------------------------------------------------------------------------------------
def test_an_alert_is_what_the_table_says() -> None:
    rule = match(the(TABLE)).rule
    assert (rule.rule_id, rule.title) == (f"falco:{SHELL}", SHELL)
    assert (rule.level, rule.attack, rule.tags) == (Level.MEDIUM, ("T1059.004", "TA0002"), ("T1565", "container"))
    assert (rule.description, rule.dedup_as, rule.pack) == ("A shell with a terminal.", "shell-in-a-pod", "pack0")
    assert rule.falsepositives == ("On-call work",)


def test_what_the_table_leaves_out_stays_as_falco_has_it() -> None:
    plain, changed = match({}).rule, match(the(f"falco_alerts: {{{SHELL}: {{description: x}}}}")).rule
    assert (plain.level, plain.attack) == (changed.level, changed.attack) == (Level.LOW, ("T1565",))
    assert (plain.dedup_by, plain.dedup_as) == (changed.dedup_by, changed.dedup_as) == ((), "")


def test_other_alerts_stay_as_they_are() -> None:
    assert match(the("falco_alerts: {terminal shell in container: {level: high}}")).rule == match({}).rule


def test_alerts_are_told_apart_by_what_the_table_names() -> None:
    assert match(the(TABLE)).dedup_values() == ("orders", "api-0")
    assert len(match({}).dedup_values()) == len(DECODERS["falco"].dedup_by)


@pytest.mark.parametrize("nothing", [None, ""])
def test_without_a_pod_an_alert_keeps_its_own_identity(nothing: str | None) -> None:
    found = match(the(TABLE), **{"k8s.ns.name": nothing, "k8s.pod.name": nothing})
    assert (found.rule.dedup_as, found.rule.level) == ("", Level.MEDIUM)
    assert found.dedup_values()[:2] == ("node-1", "3b1d6c0e9a44")


def test_a_match_still_explains_itself() -> None:
    assert [clause.value for clause in match(the(TABLE)).explain()] == [SHELL]
