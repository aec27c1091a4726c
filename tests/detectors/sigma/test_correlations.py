"""Correlation documents: what they become, and what is refused, with its place."""

from __future__ import annotations

import pytest

from detectors.correlation.definition import Bound, Comparison, Correlation, Kind
from detectors.rule import LoadedRules, RuleText
from detectors.sigma import load_rules
from vedette.schema.level import Level

RULES = """title: Exec
id: 11111111-1111-4111-8111-111111111111
name: exec
logsource: {product: kubernetes, service: audit}
detection: {selection: {objectRef.subresource: exec}, condition: selection}
---
title: Process
id: process
logsource: {product: linux, category: process_creation}
detection: {selection: {Image|endswith: /nc}, condition: selection}
"""
OVER = """title: Over
id: over
name: many
level: high
tags: [attack.t1609]
correlation:
  type: event_count
  rules:
    - exec
  group-by: [user.username]
  timespan: 5m
  condition:
    gte: 3
"""


def load(*texts: str) -> LoadedRules:
    return load_rules([RuleText(f"{number}.yml", text, "") for number, text in enumerate(texts)])


def the(*texts: str) -> Correlation:
    loaded = load(*texts)
    assert [str(error) for error in loaded.errors] == []
    return loaded.correlations[-1]


def test_a_correlation_says_what_its_document_says() -> None:
    found = the(OVER, RULES)
    assert (found.info.rule_id, found.info.title, found.info.level) == ("over", "Over", Level.HIGH)
    assert (found.info.attack, found.info.dedup_by) == (("T1609",), ("user.username",))
    assert (found.kind, found.bounds) == (Kind.EVENT_COUNT, (Bound(Comparison.GTE, 3),))
    assert (found.timespan_ns, found.within, found.generate) == (300 * 10**9, "5m", False)
    assert [member.title for member in found.members] == ["Exec"]


@pytest.mark.parametrize(
    "reference", ["exec", "11111111-1111-4111-8111-111111111111", "11111111-1111-4111-8111-11111111111A"]
)
def test_references_are_names_or_ids(reference: str) -> None:
    rules = RULES.replace("111111111111\n", "11111111111a\n") if reference.endswith("A") else RULES
    assert len(the(OVER.replace("- exec", f"- {reference}"), rules).members) == 1


def test_what_others_refer_to_comes_first() -> None:
    top = (
        OVER.replace("id: over\nname: many", "id: top").replace("- exec", "- many").replace("title: Over", "title: Top")
    )
    assert [found.info.rule_id for found in load(top, OVER, RULES).correlations] == ["over", "top"]


def test_fields_go_by_alias_and_then_as_pipelines_name_them() -> None:
    text = (
        OVER.replace("- exec", "- exec\n    - process")
        .replace("[user.username]", "[who]")
        .replace("  timespan", "  aliases:\n    who: {exec: user.username, process: User}\n  timespan")
    )
    audit, process = the(text, RULES).members
    assert audit.group_by == (("user.username",),)
    assert process.group_by[0][-1] == "User"
    assert any(name.endswith("user.name") for name in process.group_by[0])


def test_the_content_hash_changes_with_what_is_detected() -> None:
    same = the(f"# moved\n\n{OVER}", RULES).content_hash
    assert the(OVER, RULES).content_hash == same
    assert the(OVER.replace("gte: 3", "gte: 4"), RULES).content_hash != same
    assert the(OVER, RULES.replace("exec}", "attach}")).content_hash != same


@pytest.mark.parametrize(
    ("condition", "waits"),
    [
        ("{gte: 3}", False),
        ("{gt: 3}", False),
        ("{lt: 3}", True),
        ("{lte: 3}", True),
        ("{eq: 0}", True),
        ("{neq: 1}", True),
    ],
)
def test_thresholds_from_below_wait(condition: str, waits: bool) -> None:
    assert the(OVER.replace("condition:\n    gte: 3", f"condition: {condition}"), RULES).waits is waits


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("- exec", "- exce", "0.yml:9:7: the rule 'exce', which it refers to, is not loaded"),
        ("- exec", "- many", "0.yml:9:7: the correlation 'many' refers to this one: a circle"),
        ("- exec", "- exec\n    - exec", "0.yml:10:7: the rule 'exec' is named twice"),
        ("- exec", "- 7", "0.yml:9:7: a reference is a rule's id or name; quote it"),
        ("  timespan: 5m\n", "", "0.yml:7:3: Sigma correlation rule without timespan"),
        ("timespan: 5m", "timespan: 1h30m", "0.yml:11:13: Timespan '1h30m' is invalid."),
        ("timespan: 5m", "timeframe: 5m", "0.yml:11:3: unknown key 'timeframe'; did you mean 'timespan'?"),
        ("timespan: 5m", "timespan: 5m\n  window: tumbling", "0.yml:12:3: unknown key 'window'; known are"),
        ("event_count", "event_cuont", "0.yml:7:9: 'event_cuont' is no valid Sigma correlation type"),
        ("event_count", "value_count", "0.yml:13:5: Value count correlation rule without field reference"),
        ("gte: 3", "gte: many", "0.yml:13:5: 'many' is no valid Sigma correlation condition count"),
        ("gte: 3", "gte: 30000", "0.yml:13:10: a window holds 2000 events of a group"),
        ("event_count", "temporal", "0.yml:13:10: it never holds: there are only 1 rules"),
        ("level: high", "level: loud", "0.yml:4:8: 'loud' is not a valid Sigma rule level"),
        ("[user.username]", "{user: name}", "0.yml:10:13: Sigma correlation group-by definition"),
        ("[user.username]", "[user.username, [verb]]", "0.yml:10:29: a field is named by a text; quote it"),
        ("  timespan", "  aliases: {who: {exec: [verb]}}\n  timespan", "0.yml:11:25: a field is named by a text"),
        (
            "  timespan",
            "  aliases: {who: {process: User}}\n  timespan",
            "0.yml:11:19: the correlation does not refer to",
        ),
        ("level: high", "vedette: {dedup_by: [verb]}", "0.yml:4:11: a correlation's alerts go by its group-by"),
    ],
)
def test_an_error_names_its_place(old: str, new: str, expected: str) -> None:
    assert old in OVER
    loaded = load(OVER.replace(old, new, 1), RULES)
    assert loaded.correlations == ()
    assert [str(error)[: len(expected)] for error in loaded.errors] == [expected]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("{field: size, gte: 1}", "name the percentile"),
        ("{field: size, percentile: 101, gte: 1}", "a percentile is a number from 0 to 100"),
        ("{field: [size, other], percentile: 50, gte: 1}", "value_percentile calculates with one field"),
    ],
)
def test_a_percentile_is_named(condition: str, expected: str) -> None:
    text = OVER.replace("event_count", "value_percentile").replace("condition:\n    gte: 3", f"condition: {condition}")
    assert [error.message[: len(expected)] for error in load(text, RULES).errors] == [expected]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("exec and not process", ""),
        ("exec or (process)", ""),
        ("exec", "the condition does not name the rule 'process'"),
        ("exec and process and other", "'other' is none of the rules listed"),
        ("exec and or process", "Failed to parse extended condition expression"),
    ],
)
def test_expressions_name_all_rules(condition: str, expected: str) -> None:
    text = OVER.replace("event_count", "temporal").replace("- exec", "- exec\n    - process")
    loaded = load(text.replace("condition:\n    gte: 3", f"condition: {condition}"), RULES)
    assert [error.message[: len(expected)] for error in loaded.errors] == ([expected] if expected else [])


def test_a_circle_is_found_at_any_length() -> None:
    first = OVER.replace("- exec", "- second")
    second = OVER.replace("id: over\nname: many", "id: second").replace("- exec", "- over")
    messages = {error.message for error in load(first, second, RULES).errors}
    assert "the correlation 'over' refers to this one: a circle" in messages


def test_a_correlation_has_the_fields_of_its_group_by_alone() -> None:
    top = OVER.replace("id: over\nname: many", "id: top").replace("- exec", "- many").replace("user.username", "verb")
    (error,) = load(top, OVER, RULES).errors
    assert str(error) == "0.yml:8:7: the correlation 'many' has only the fields of its group-by, and 'verb' is none"
