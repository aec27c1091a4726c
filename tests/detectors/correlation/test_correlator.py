"""When correlations fire and stay quiet, what they leave out, and who gives way when there is too much."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.detectors.correlation.bench import Correlating, rules, seconds
from vedette.schema.limits import CORRELATION_GROUP_EVENTS_MAX, CORRELATION_SAMPLE_CHARS_MAX, SECOND_NS

if TYPE_CHECKING:
    from detectors.correlation.finding import Firing

NAMES = ("a", "b", "c")
HOSTILE = ["", "\x00", "'; drop", "a\u202eb", "x" * 100_000, "☃", "]\n---\n", "{}"]


def correlating(correlation: str, *names: str) -> Correlating:
    return Correlating(rules(correlation, *(names or NAMES)))


def fired(steps: list[tuple[str, float]], correlation: str) -> list[float]:
    """Feed events of a kind at their times, wait, and return when it fired."""
    bench = correlating(correlation)
    found: list[Firing] = []
    for number, (kind, at_s) in enumerate(steps):
        found += bench.feed({"kind": kind, "user": "ann", "bytes": 10 * (number + 1)}, at_s, arrival_s=at_s)
    for later in range(1, 10):
        found += bench.wait(steps[-1][1] + 100 * later)
    return [seconds(firing) for firing in found]


@pytest.mark.parametrize(
    ("kind", "condition", "steps", "expected"),
    [
        ("event_count", "{gte: 3}", "a0 a1 a2", [2]),
        ("event_count", "{gt: 2}", "a0 a1 a2", [2]),
        ("event_count", "{gte: 3}", "a0 a5 a10", [10]),
        ("event_count", "{gte: 3}", "a0 a5 a11", []),
        ("event_count", "{gte: 3}", "a0 a1 a2 a3 a4 a12", [2]),
        ("event_count", "{gte: 2}", "a0 a1 a2 a11 a12", [1, 12]),
        ("event_count", "{lt: 3}", "a0 a1", [10]),
        ("event_count", "{lt: 3}", "a0 a1 a2", [20]),
        ("event_count", "{lte: 2}", "a0 a1 a2 a10 a11", [20]),
        ("event_count", "{eq: 2}", "a0 a1", [10]),
        ("event_count", "{eq: 2}", "a0 a1 a2", []),
        ("event_count", "{neq: 2}", "a0 a1 a2", [10]),
        ("event_count", "{eq: 0}", "a0 a10 a20", [40]),
        ("event_count", "{gt: 1, lte: 3}", "a0 a1 a2", [10]),
        ("event_count", "{gt: 1, lte: 3}", "a0 a1 a2 a3", []),
        ("value_count", "{field: bytes, gte: 2}", "a0 a1", [1]),
        ("value_count", "{field: [bytes, user], gte: 2}", "a0 a1", [1]),
        ("value_count", "{field: user, gte: 2}", "a0 a1 a2", []),
        ("temporal", "{gte: 2}", "a0 a1 c2", [2]),
        ("temporal", "{gte: 3}", "c0 b1 a2", [2]),
        ("temporal_ordered", "{gte: 3}", "c0 b1 a2", []),
        ("temporal_ordered", "{gte: 3}", "a0 b1 a2 c3", [3]),
        ("temporal_ordered", "{gte: 3}", "a0 b5 c11", []),
        ("temporal_ordered", "{gte: 2}", "a0 c1 b2", [2]),
        ("temporal", "a and not b", "a0 c1", [10]),
        ("temporal", "a and not b", "a0 b9", []),
        ("temporal", "a and not b", "a0 b10", [10]),
        ("temporal", "(a or b) and c", "b0 c1", [1]),
        ("value_sum", "{field: bytes, gt: 50}", "a0 a1 a2", [2]),
        ("value_sum", "{field: bytes, lte: 30}", "a0 a1", [10]),
        ("value_avg", "{field: bytes, gte: 15}", "a0 a1", [1]),
        ("value_median", "{field: bytes, gte: 20}", "a0 a1 a2", [2]),
        ("value_percentile", "{field: bytes, percentile: 50, gte: 20}", "a0 a1 a2", [2]),
        ("value_percentile", "{field: bytes, percentile: 100, gte: 20}", "a0 a1", [1]),
    ],
)
def test_when_it_fires(kind: str, condition: str, steps: str, expected: list[float]) -> None:
    parsed = [(step[0], float(step[1:])) for step in steps.split()]
    named = [name for name in NAMES if name in condition] if condition[0] != "{" else NAMES
    text = f"{{type: {kind}, rules: [{', '.join(named)}], group-by: [user], timespan: 10s, condition: {condition}}}"
    assert fired(parsed, text) == expected


def test_without_a_condition_all_rules_are_wanted() -> None:
    text = "{type: temporal, rules: [a, b, c], group-by: [user], timespan: 10s}"
    assert fired([("a", 0), ("c", 1), ("b", 2)], text) == [2]


def test_groups_are_apart_whatever_their_names() -> None:
    bench = correlating("{type: event_count, rules: [a], group-by: [user, ip], timespan: 1m, condition: {gte: 2}}")
    pairs = [(user, ip) for user in HOSTILE for ip in HOSTILE if user and ip]
    assert [bench.feed({"kind": "a", "user": user, "ip": ip}, 1) for user, ip in pairs] == [[]] * len(pairs)
    again = [bench.feed({"kind": "a", "user": user, "ip": ip}, 2) for user, ip in pairs]
    assert [len(found) for found in again] == [1] * len(pairs)


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"kind": "a", "bytes": 1}, "no_group"),
        ({"kind": "a", "user": None, "bytes": 1}, "no_group"),
        ({"kind": "a", "user": "", "bytes": 1}, "no_group"),
        ({"kind": "a", "user": "ann"}, "no_value"),
        ({"kind": "a", "user": "ann", "bytes": "many"}, "no_value"),
        ({"kind": "a", "user": "ann", "bytes": 10**400}, "no_value"),
    ],
)
def test_what_has_no_group_or_value_is_left_out_and_counted(document: dict[str, Any], reason: str) -> None:
    text = "{type: value_sum, rules: [a], group-by: [user], timespan: 1m, condition: {field: bytes, gte: 0}}"
    bench = correlating(text)
    assert bench.feed(document, 1) == []
    assert bench.correlator.left_out == {(reason, "over"): 1}


def test_an_event_of_two_rules_counts_once_but_for_temporal_ones() -> None:
    both = "title: B\nid: b2\nlogsource: {category: test}\ndetection: {s: {kind: a}, condition: s}\n---\n"
    for kind, expected in (("event_count", 0), ("temporal", 1)):
        text = rules(f"{{type: {kind}, rules: [a, b2], group-by: [user], timespan: 1m, condition: {{gte: 2}}}}", "a")
        assert len(Correlating(both + text).feed({"kind": "a", "user": "ann"}, 1)) == expected


def test_different_combinations_count_whatever_characters_they_have() -> None:
    text = "{type: value_count, rules: [a], group-by: [user], timespan: 1m, condition: {field: [x, y], gte: 4}}"
    bench = correlating(text)
    pairs = [("a\0", "b"), ("a", "\0b"), ('a","', "b"), ("a", '","b')]
    found = [bench.feed({"kind": "a", "user": "ann", "x": x, "y": y}, 1) for x, y in pairs]
    assert [len(firings) for firings in found] == [0, 0, 0, 1]


# --- time -------------------------------------------------------------------------------------------------------------
COUNT = "{type: event_count, rules: [a], group-by: [user], timespan: 10s, condition: {gte: 2}}"
FEW = "{type: event_count, rules: [a], group-by: [user], timespan: 10s, condition: {lt: 2}}"


def test_events_out_of_order_count_as_they_happened() -> None:
    bench = correlating(COUNT)
    assert bench.feed({"kind": "a", "user": "ann"}, 100) == []
    assert bench.feed({"kind": "a", "user": "ann"}, 20, arrival_s=100) == []
    (firing,) = bench.feed({"kind": "a", "user": "ann"}, 95, arrival_s=100)
    assert seconds(firing) == 100
    assert [event.uid for event in firing.events()] == ["3", "1"]


def test_late_events_are_left_out_and_counted() -> None:
    bench = correlating(COUNT)
    bench.feed({"kind": "a", "user": "ann"}, 1000)
    bench.feed({"kind": "a", "user": "bob"}, 1001)
    bench.feed({"kind": "a", "user": "eve"}, 870, arrival_s=1002)
    assert bench.feed({"kind": "a", "user": "eve"}, 871, arrival_s=1002) == []
    assert bench.correlator.left_out == {("late", "over"): 2}


def test_a_window_waits_for_the_slowest_source_and_not_for_one_that_is_idle() -> None:
    bench = correlating(FEW)
    bench.feed({"kind": "a", "user": "ann"}, 0, source="slow")
    for at_s in (100, 200, 300):
        bench.feed({"kind": "a", "user": "bob"}, at_s, arrival_s=at_s / 10, source="quick")
    assert bench.wait(40) == [], "the slow one spoke 40 s ago"
    assert [firing.group for firing in bench.wait(61)] == [("ann",), ("bob",)]


def test_downtime_makes_nobody_silent() -> None:
    bench = correlating("{type: event_count, rules: [a], group-by: [user], timespan: 10m, condition: {lt: 2}}")
    for at_s in (0, 100):
        bench.feed({"kind": "a", "user": "ann"}, at_s)
    bench.correlator.resume((1_700_000_000 + 10_100) * 10**9)
    assert bench.wait(10_100) == []
    bench.feed({"kind": "a", "user": "ann"}, 10_110)
    assert bench.wait(10_200) == [], "of the ten minutes that we watched less than four are over"
    assert len(bench.wait(13_000)) == 1, "then it really is silent"


# --- chains -----------------------------------------------------------------------------------------------------------
CHAIN = """{type: event_count, rules: [a], group-by: [user], timespan: 10s, condition: {gte: 2}}
---
title: Above
id: above
correlation: {type: temporal_ordered, rules: [over, b], group-by: [user], timespan: 1m, generate: true}
"""


def test_a_correlation_over_others_names_all_events() -> None:
    bench = correlating(CHAIN)
    bench.feed({"kind": "a", "user": "ann", "id": "one"}, 0)
    (lower,) = bench.feed({"kind": "a", "user": "ann", "id": "two"}, 1)
    (upper,) = bench.feed({"kind": "b", "user": "ann", "id": "three"}, 2)
    assert (lower.correlation.info.rule_id, upper.correlation.info.rule_id) == ("over", "above")
    assert [event.event_ids for event in upper.events()] == [("one",), ("two",), ("three",)]
    assert upper.clauses()[-2].value == ["one", "two"]


def test_only_what_a_correlation_silences_is_silent() -> None:
    assert correlating(CHAIN).correlator.silent == {"a"}
    assert correlating(CHAIN.replace("generate: true", "generate: false")).correlator.silent == {"a", "over", "b"}


# --- bounds -----------------------------------------------------------------------------------------------------------
def test_a_flood_of_groups_pushes_out_its_own_actor_first() -> None:
    bench = correlating("{type: event_count, rules: [a], group-by: [actor, name], timespan: 1h, condition: {gte: 3}}")
    bench.correlator.events_max = 100
    for _ in range(2):
        bench.feed({"kind": "a", "actor": "ann", "name": "hers"}, 1)
    for number in range(1000):
        bench.feed({"kind": "a", "actor": "eve", "name": f"n{number}"}, 2)
    assert bench.correlator.left_out == {("evicted", "over"): 902}
    assert len(bench.feed({"kind": "a", "actor": "ann", "name": "hers"}, 3)) == 1


def test_a_group_keeps_its_newest_events() -> None:
    text = "{type: value_count, rules: [a], group-by: [user], timespan: 1d, condition: {field: n, gte: 1500}}"
    bench = correlating(text)
    for number in range(CORRELATION_GROUP_EVENTS_MAX + 5):
        assert bench.feed({"kind": "a", "user": "ann", "n": number % 7}, number) == []
    assert bench.correlator.left_out == {("shortened", "over"): 5}


def test_raw_bytes_are_kept_of_the_newest_events_alone() -> None:
    bench = correlating("{type: event_count, rules: [a], group-by: [user], timespan: 1h, condition: {gte: 8}}")
    firings = [firing for at_s in range(8) for firing in bench.feed({"kind": "a", "user": "ann"}, at_s)]
    assert [event.raw for event in firings[0].events()] == ["", "", "", "4", "5", "6", "7", "8"]
    assert [event.seq for event in firings[0].evidence()] == [8, 7, 6, 5, 4]
    assert CORRELATION_SAMPLE_CHARS_MAX > 0


def test_other_correlations_keep_their_groups_over_a_reload() -> None:
    bench = correlating(COUNT)
    bench.feed({"kind": "a", "user": "ann"}, 1)
    bench.correlator.use(bench.engine.correlations)
    assert len(bench.feed({"kind": "a", "user": "ann"}, 2)) == 1
    bench.correlator.use([])
    assert len(bench.correlator.state) == 0


# --- what is told of event time ---------------------------------------------------------------------------------------
def test_the_lag_of_a_source_is_how_late_its_newest_match_was_not_how_long_it_is_silent() -> None:
    bench = correlating("{type: event_count, rules: [a], group-by: [user], timespan: 10s, condition: {gte: 9}}", "a")
    assert bench.correlator.watermarks.lags_ns() == {}
    bench.feed({"kind": "a", "user": "ann"}, 100, arrival_s=130, source="flows")
    bench.feed({"kind": "a", "user": "ann"}, 140, source="audit")
    bench.wait(5_000)
    assert bench.correlator.watermarks.lags_ns() == {"flows": 30 * SECOND_NS, "audit": 0}
    bench.feed({"kind": "a", "user": "ann"}, 4_990, arrival_s=5_000, source="flows")
    assert bench.correlator.watermarks.lags_ns()["flows"] == 10 * SECOND_NS
