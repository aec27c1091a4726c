"""Distinct counts: exact in any order within minutes, told once, held against what is usual, bounded."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.behaviour.distinct_count import Counted, DistinctCount
from detectors.behaviour.first_seen_texts import GROUP_WEIGHT
from detectors.behaviour.groups import Groups
from detectors.behaviour.loading import load_definitions
from detectors.behaviour.testing import passes
from detectors.behaviour.types import SETTINGS
from detectors.packs import shipped_pack_texts
from detectors.rule import RuleText
from vedette.schema.limits import SECOND_NS
from vedette.schema.observation import Kind, Observation

if TYPE_CHECKING:
    from detectors.behaviour.definition import Definition
    from detectors.behaviour.deviation import Deviation
    from detectors.testing.case import RuleTest

TEXT: Final = """
title: Many
id: 00000000-0000-4000-8000-000000000002
level: low
logsource: {product: vedette, category: call}
detection: {any: {actor|exists: true}, condition: any}
behaviour: {type: distinct_count, by: [actor], value: [namespace, name], SETTINGS}
"""
MINUTE_S: Final = 60
HOUR_S: Final = 3600
DAY_S: Final = 24 * HOUR_S
PACK: Final = [text for text in shipped_pack_texts() if text.pack == "behaviour"]
SHIPPED: Final = [found for found in load_definitions(PACK, SETTINGS).definitions if found.type == "distinct_count"]


@cache
def load(settings: str) -> Definition:
    loaded = load_definitions([RuleText("many.yml", TEXT.replace("SETTINGS", settings), "test")], SETTINGS)
    assert loaded.errors == ()
    return loaded.definitions[0]


def read(time_s: float, name: object, actor: str = "ann", **values: Any) -> Observation:
    plain: dict[str, Any] = {"kind": Kind.CALL, "time_ns": int(time_s * SECOND_NS), "actor": actor, "name": str(name)}
    return msgspec.convert(plain | values, Observation)


class Bench:
    """A detector with one definition."""

    def __init__(self, settings: str) -> None:
        self.definition = load(settings)
        self.detector = DistinctCount()
        self.detector.use([self.definition])

    def see(self, *reads: Observation) -> list[Deviation]:
        found = [self.detector.observe(self.definition, seen) for seen in reads]
        return [deviation for deviation in found if deviation is not None]

    def left_out(self, reason: str) -> int:
        return self.detector.left_out.get((reason, self.definition.info.rule_id), 0)


@pytest.mark.parametrize(
    ("definition", "test"),
    [pytest.param(found, test, id=f"{found.info.title}: {test.name}") for found in SHIPPED for test in found.tests],
)
def test_shipped_definitions_pass_their_tests(definition: Definition, test: RuleTest) -> None:
    assert passes(definition, test)


def test_every_shipped_definition_has_tests_of_both_kinds() -> None:
    assert len(SHIPPED) >= 6
    assert all({test.match for test in found.tests} == {True, False} for found in SHIPPED)


def test_the_fifteenth_in_thirty_minutes_is_told_and_no_earlier() -> None:
    bench = Bench("at_least: 15, within: 30m")
    assert bench.see(*(read(2 * MINUTE_S * number, number) for number in range(14))) == []
    (told,) = bench.see(read(29 * MINUTE_S, 14))
    assert told.seen.startswith("15 different namespace, name of ann within 30 minutes, the last: (none) 5; ")
    assert told.normal == "fewer than 15 different namespace, name within 30 minutes"
    assert told.first_ns == 0
    assert dict(told.evidence)["distinct values"] == 15


def test_what_left_the_window_does_not_count() -> None:
    bench = Bench("at_least: 3, within: 30m")
    assert bench.see(read(0, "a"), read(1, "b"), read(30 * MINUTE_S, "c")) == []
    assert len(bench.see(read(30 * MINUTE_S + 0.5, "d"))) == 1, "b, c and d"


def test_told_once_in_each_window() -> None:
    bench = Bench("at_least: 3, within: 10m")
    assert len(bench.see(*(read(number, number) for number in range(500)))) == 1
    assert len(bench.see(*(read(HOUR_S + number, number) for number in range(500)))) == 1


def test_entities_count_apart_and_somebody_unknown_not_at_all() -> None:
    bench = Bench("at_least: 3")
    assert bench.see(*(read(number, number, actor=f"u{number}") for number in range(50))) == []
    assert bench.see(*(read(number, number, actor="") for number in range(50))) == []
    assert bench.see(*(read(number, "", namespace="") for number in range(50))) == []


@st.composite
def _sequences(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Times in order of arrival, up to nine minutes late, and names."""
    times = sorted(draw(st.lists(st.integers(0, 200), min_size=1, max_size=60)))
    late = [draw(st.integers(0, 9)) for _ in times]
    names = [draw(st.integers(0, 12)) for _ in times]
    return [(max(0, at - by), name) for at, by, name in zip(times, late, names, strict=True)]


@given(sequence=_sequences(), floor=st.integers(2, 8))
def test_counts_are_exact_in_order_and_never_too_great_out_of_it(sequence: list[tuple[int, int]], floor: int) -> None:
    within = 30
    for events, exact in ((sorted(sequence), True), (sequence, False)):
        bench = Bench(f"at_least: {floor}, within: {within}m")
        told = [bool(bench.see(read(at * MINUTE_S, name))) for at, name in events]
        reached = [_most(events[: end + 1], within) >= floor for end in range(len(events))]
        if exact:
            assert any(told) == any(reached)
            assert not any(told) or told.index(True) == reached.index(True)
        elif any(told):
            assert reached[told.index(True)], "told without reason"


def _most(events: list[tuple[int, int]], within: int) -> int:
    return max(len({name for at, name in events if end - within < at <= end}) for end, _ in events)


def test_late_ones_complete_a_window() -> None:
    bench = Bench("at_least: 4, within: 30m")
    assert bench.see(read(0, "a"), read(MINUTE_S, "b"), read(33 * MINUTE_S, "z")) == []
    assert len(bench.see(read(28 * MINUTE_S, "c"), read(29 * MINUTE_S, "d"))) == 1, "a, b, c and d"


# --- what is usual ----------------------------------------------------------------------------------------------------
USUAL: Final = "at_least: 10, within: 30m, usual_factor: 3, learn_for: 2d"


def burst(start_s: float, size: int) -> list[Observation]:
    return [read(start_s + number, number) for number in range(size)]


def test_bursts_are_held_against_the_greatest_before() -> None:
    bench = Bench(USUAL)
    for hour in range(48):
        assert bench.see(*burst(hour * HOUR_S, 20)) == []
    assert bench.see(*burst(50 * HOUR_S, 59)) == []
    (told,) = bench.see(*burst(60 * HOUR_S, 200))
    assert dict(told.evidence) == {"distinct values": 177, "limit": 177, "usual": 59}
    assert told.normal == "ann showed at most 59 different namespace, name within 30 minutes; it is told from 177"
    assert told.unusual == "3.0 times the most it showed before"


def test_few_are_never_told_however_unusual() -> None:
    bench = Bench(USUAL)
    assert bench.see(*(read(hour * HOUR_S, "a") for hour in range(50)), *burst(60 * HOUR_S, 9)) == []
    assert len(bench.see(*burst(62 * HOUR_S, 30))) == 1


def test_what_stays_is_told_and_then_usual() -> None:
    bench = Bench(USUAL)
    assert bench.see(*(read(hour * HOUR_S, "a") for hour in range(50))) == []
    told = [bool(bench.see(*burst(hour * HOUR_S, 40))) for hour in range(60, 100)]
    assert told == [True, *[False] * 39]


def test_what_was_long_ago_is_no_more_usual() -> None:
    bench = Bench(USUAL)
    bench.see(*burst(0, 50))
    for hour in range(1, 300):
        bench.see(read(hour * HOUR_S, "a"))
    assert len(bench.see(*burst(300 * HOUR_S, 30))) == 1


# --- bounds -----------------------------------------------------------------------------------------------------------
def test_values_beyond_the_bound_are_only_known_to_be_more() -> None:
    bench = Bench("at_least: 20, within: 30m, values_max: 20")
    (told,) = bench.see(*(read(number * 0.01, number) for number in range(5000)))
    assert told.seen.startswith("20 or more different")
    assert bench.left_out("overflowing") > 4900
    assert bench.detector.counted.weight == GROUP_WEIGHT + 20
    assert len(bench.see(*burst(2 * HOUR_S, 20))) == 1, "there is room again"


def test_a_flood_of_made_up_names_evicts_itself_and_hides_no_attack() -> None:
    bench = Bench("at_least: 15, within: 30m")
    bench.detector.counted = Groups(Counted, 500, lambda group: len(group.values))
    bench.detector.state = bench.detector.counted.state
    attack = [read(number * 60, number, namespace="shop") for number in range(15)]
    flood = [read(n * 0.1, n, actor=f"u{n}", namespace="evil") for n in range(9000)]
    found = bench.see(*sorted([*attack, *flood], key=lambda seen: seen.time_ns))
    assert [dict(told.group) for told in found] == [{"actor": "ann"}]
    assert bench.detector.counted.weight <= 500
    assert bench.left_out("evicted") > 8000


def test_hostile_texts_are_bounded_and_apart() -> None:
    bench = Bench("at_least: 3")
    evil = ["\x00\u202e" * 4000 + str(number) for number in range(2)]
    assert bench.see(*(read(number, name) for number, name in enumerate(evil * 3))) == []
    (told,) = bench.see(read(9, '"]'))
    assert len(told.seen) < 2_000


def test_a_count_that_can_never_be_reached_is_refused() -> None:
    text = TEXT.replace("SETTINGS", "at_least: 50, values_max: 20")
    (error,) = load_definitions([RuleText("many.yml", text, "test")], SETTINGS).errors
    assert "no more than values_max = 20 are counted" in str(error)
