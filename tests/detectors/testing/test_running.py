"""Tests that rules carry: how they are written, and how they are run."""

from __future__ import annotations

import json
from typing import Any

import pytest

from collector.decoders import DECODERS
from detectors.correlation.definition import Correlation
from detectors.rule import LoadedRules, Rule, RuleText
from detectors.sigma import load_rules
from detectors.testing.running import Bench, CaseError

RULES = """\
title: Secret read
id: read
logsource: {product: kubernetes, service: audit}
detection: {s: {verb: get, objectRef.resource: secrets}, condition: s}
---
title: Falco says shell
id: shell
logsource: {product: falco}
detection: {s: {rule: Shell}, condition: s}
---
title: Many secrets read
id: many
correlation: {type: value_count, rules: [read], group-by: [user.username], timespan: 5m,
              condition: {field: objectRef.name, gte: 3}}
"""
READ = {"verb": "get", "objectRef": {"resource": "secrets", "name": "s{n}"}, "user": {"username": "eve"}}
AT = "2026-03-01T00:00:00Z"


def load(text: str) -> LoadedRules:
    loaded = load_rules([RuleText("rules.yml", text, "")])
    assert [str(error) for error in loaded.errors] == []
    return loaded


def with_test(rule: str, events: str, correlation: str = "") -> str:
    tests = f"vedette: {{tests: [{{name: t, match: true, events: {events}}}]}}\n"
    return (
        f"{RULES}---\n{correlation}{tests}" if correlation else RULES.replace(f"id: {rule}\n", f"id: {rule}\n{tests}")
    )


def given(events: list[dict[str, Any]]) -> str:
    return json.dumps(events)  # JSON is YAML


def run(rule: str, events: list[dict[str, Any]], text: str = "") -> bool:
    loaded = load(text or with_test(rule, given(events)))
    everything: list[Rule | Correlation] = [*loaded.rules, *loaded.correlations]
    (found,) = [one for one in everything if one.info.rule_id == rule and one.tests]
    return Bench(loaded, DECODERS).passes(found, found.tests[-1])


def each(*names: str, every_s: int = 60, user: str = "eve") -> list[dict[str, Any]]:
    return [
        {
            "event": READ
            | {
                "objectRef": {"resource": "secrets", "name": name},
                "user": {"username": user},
                "stageTimestamp": f"2026-03-01T00:{at * every_s // 60:02d}:{at * every_s % 60:02d}Z",
            }
        }
        for at, name in enumerate(names)
    ]


def test_a_rule_is_tested_by_the_events_of_its_log_source() -> None:
    hit, miss = ({"verb": verb, "objectRef": {"resource": "secrets"}} for verb in ("get", "list"))
    tests = [{"name": "hit", "match": True, "event": hit}, {"name": "miss", "match": False, "event": miss}]
    loaded = load(RULES.replace("id: read\n", f"id: read\nvedette: {json.dumps({'tests': tests})}\n"))
    bench = Bench(loaded, DECODERS)
    rule = loaded.rules[0]
    assert [bench.passes(rule, test) for test in rule.tests] == [True, True]
    assert [bench.matches(rule, bench.events(rule, test)) for test in rule.tests] == [True, False]


@pytest.mark.parametrize(
    ("rule", "events", "expected"),
    [
        pytest.param("many", each("a", "b", "c"), True, id="three_within_the_window"),
        pytest.param("many", each("a", "b", "b"), False, id="two_kinds"),
        pytest.param("many", each("a", "b", "c", every_s=200), False, id="too_slow"),
        pytest.param("many", [*each("a", "b"), *each("c", user="ann")], False, id="two_users"),
        pytest.param("many", [{"event": READ, "repeat": 3, "every": "1m"}], True, id="numbered_repeats"),
        pytest.param("many", [{"event": READ, "repeat": 3, "every": "151s"}], False, id="repeats_too_slow"),
        pytest.param("many", [{"event": READ | {"stageTimestamp": AT}, "repeat": 3, "every": "1s"}], True, id="timed"),
        pytest.param("read", [{"event": {"verb": "list"}}, {"event": READ}], True, id="one_of_several"),
        pytest.param("shell", [{"event": {"rule": "Shell"}}], True, id="falco"),
        pytest.param("shell", [{"event": {"rule": "Shell"}, "format": "falco"}], True, id="named_format"),
    ],
)
def test_events_in_order(rule: str, events: list[dict[str, Any]], expected: bool) -> None:
    assert run(rule, events) is expected


def test_events_without_a_time_follow_the_one_before() -> None:
    late = {"event": READ | {"objectRef": {"resource": "secrets", "name": "x"}}}
    assert run("many", [*each("a", "b", every_s=290), late])


TWO_SOURCES = """\
title: Shell, then a secret
id: both
correlation: {type: temporal_ordered, rules: [shell, read], timespan: 5m}
"""


@pytest.mark.parametrize(("first", "expected"), [("2026-03-01T00:00:00Z", True), ("2026-03-01T00:09:00Z", False)])
def test_a_correlation_over_two_formats(first: str, expected: bool) -> None:
    events = [
        {"format": "falco", "event": {"rule": "Shell", "time": first}},
        {"format": "kube_audit", "event": READ | {"stageTimestamp": "2026-03-01T00:01:00Z"}},
    ]
    assert run("both", [], with_test("both", given(events), TWO_SOURCES)) is expected


def test_a_correlation_that_waits_is_judged_at_the_end() -> None:
    waits = TWO_SOURCES.replace("temporal_ordered, rules: [shell, read]", "event_count, rules: [read]").replace(
        "timespan: 5m", "timespan: 5m, condition: {lt: 2}"
    )
    assert run("both", [], with_test("both", given([{"event": READ}]), waits))
    assert not run("both", [], with_test("both", given([{"event": READ, "repeat": 2}]), waits))


def test_a_correlation_over_a_correlation() -> None:
    over = "title: Over\nid: over\ncorrelation: {type: event_count, rules: [many], timespan: 1h, condition: {gte: 2}}\n"
    events = [event for user in ("ann", "bob") for event in each("a", "b", "c", user=user)]
    assert run("over", [], with_test("over", given(events), over))
    assert not run("over", [], with_test("over", given(events[:5]), over))


def test_filters_among_the_texts_apply() -> None:
    exception = (
        "---\ntitle: Eve may\nlogsource: {product: kubernetes, service: audit}\n"
        "filter: {rules: [read], s: {user.username: eve}, condition: not s}\n"
    )
    assert run("read", [], with_test("read", given([{"event": READ}])))
    assert not run("read", [], with_test("read", given([{"event": READ}])) + exception)


@pytest.mark.parametrize(
    ("rule", "events", "message"),
    [
        pytest.param("read", [{"event": READ, "format": "kube"}], "there is no format 'kube'", id="unknown_format"),
        pytest.param("shell", [{"event": {"no": "rule"}}], "event 1 is none of the format falco", id="undecodable"),
        pytest.param(
            "read",
            [{"event": READ}, {"event": {"kind": "Pod"}}],
            "event 2 is none of the format kube_audit",
            id="second",
        ),
        pytest.param(
            "shell", [{"event": {"rule": "Shell", "source": "internal"}}], "none that rules look at", id="health"
        ),
    ],
)
def test_what_can_be_no_event_is_said(rule: str, events: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(CaseError, match=message):
        run(rule, events)


@pytest.mark.parametrize(
    ("logsource", "message"),
    [("{product: windows}", "no source provides its log source"), ("{product: kubernetes}", "")],
    ids=["foreign", "known"],
)
def test_a_rule_without_events_says_so(logsource: str, message: str) -> None:
    text = with_test("read", given([{"event": READ}])).replace("{product: kubernetes, service: audit}", logsource)
    if not message:
        assert run("read", [], text)
        return
    with pytest.raises(CaseError, match=message):
        run("read", [], text)


def test_without_a_format_two_sources_are_ambiguous() -> None:
    with pytest.raises(CaseError, match="looks at falco, kube_audit: say with `format`"):
        run("both", [], with_test("both", given([{"event": READ}]), TWO_SOURCES))


@pytest.mark.parametrize(
    ("test", "message"),
    [
        pytest.param("[1]", "a test is a mapping of name, match and event", id="no_mapping"),
        pytest.param("[{name: t, match: yes please, event: {}}]", "match must be true or false", id="match"),
        pytest.param("[{name: t, match: true}]", "event must be a mapping", id="no_event"),
        pytest.param("[{name: t, match: true, event: {}, events: [{event: {}}]}]", "not both", id="both"),
        pytest.param("[{name: t, match: true, events: []}]", "must be a list", id="empty"),
        pytest.param("[{name: t, match: true, events: [{verb: get}]}]", "key event", id="bare"),
        pytest.param("[{name: t, match: true, events: [{event: {}, evry: 1s}]}]", "did you mean 'every'", id="typo"),
        pytest.param("[{name: t, match: true, events: [{event: {}, repeat: 0}]}]", "from 1 to 10000", id="zero"),
        pytest.param("[{name: t, match: true, events: [{event: {}, repeat: true}]}]", "from 1 to 10000", id="bool"),
        pytest.param("[{name: t, match: true, events: [{event: {}, every: 5 min}]}]", "no length of time", id="every"),
        pytest.param("[{name: t, match: true, events: [{event: {}, format: 5}]}]", "must be a text", id="format"),
    ],
)
def test_a_wrong_test_is_refused_with_its_place(test: str, message: str) -> None:
    text = RULES.replace("id: many\n", f"id: many\nvedette: {{tests: {test}}}\n")
    (error,) = load_rules([RuleText("rules.yml", text, "")]).errors
    assert message in error.message
    assert error.line == text[: text.index("vedette: {tests: " + test)].count("\n") + 1


def test_tests_and_covers_do_not_change_what_a_correlation_is() -> None:
    plain, more = (load(text).correlations[0] for text in (RULES, with_test("many", given([{"event": READ}]))))
    assert plain.content_hash == more.content_hash
    assert more.tests
    covered = load(RULES.replace("id: many\n", "id: many\nvedette: {covers: [C7, U3]}\n")).correlations[0]
    assert (covered.covers, covered.content_hash) == (("C7", "U3"), plain.content_hash)
