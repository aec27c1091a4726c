"""Rate anomalies: what is too often for whom, what never is, and what a flood of made-up accounts does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
import pytest

from detectors.behaviour import rate
from detectors.behaviour.loading import load_definitions
from detectors.behaviour.rate import Rate
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
title: Rate
id: 00000000-0000-4000-8000-000000000001
level: low
logsource: {product: vedette, category: call}
detection: {any: {verb: '*'}, condition: any}
behaviour: {type: rate, by: [actor], value: [actor_kind], SETTINGS}
"""
START_S: Final = 1_772_409_600
"""A Monday, midnight."""
HOUR_S: Final = 3_600
DAY_S: Final = 86_400
SHIPPED: Final = [
    found
    for found in load_definitions(
        [text for text in shipped_pack_texts() if text.pack == "behaviour"], SETTINGS
    ).definitions
    if found.type == "rate"
]


def load(settings: str) -> Definition:
    loaded = load_definitions([RuleText("rate.yml", TEXT.replace("SETTINGS", settings), "test")], SETTINGS)
    assert loaded.errors == ()
    return loaded.definitions[0]


class Bench:
    """A detector with one definition; observations arrive when they happen, unless told otherwise."""

    def __init__(self, settings: str = "count_min: 20") -> None:
        self.detector = Rate()
        self.definition = load(settings)
        self.detector.use([self.definition])
        self.detector.advance(START_S * SECOND_NS)
        self.now_s = 0.0

    def see(self, at_s: float, actor: str = "ann", *, arrives_s: float | None = None, **more: Any) -> list[Deviation]:
        self.now_s = max(self.now_s, at_s if arrives_s is None else arrives_s)
        found = self.detector.advance(int((START_S + self.now_s) * SECOND_NS))
        plain: dict[str, Any] = {"kind": Kind.CALL, "actor": actor, "verb": "get", "seq": int(at_s)}
        seen = msgspec.convert(plain | {"time_ns": int((START_S + at_s) * SECOND_NS)} | more, Observation)
        told = self.detector.observe(self.definition, seen)
        return found if told is None else [*found, told]

    def see_many(self, start_s: float, count: int, gap_s: float, actor: str = "ann") -> list[Deviation]:
        return [told for number in range(count) for told in self.see(start_s + number * gap_s, actor)]

    def wait(self, until_s: float) -> list[Deviation]:
        self.now_s = until_s
        return self.detector.advance(int((START_S + until_s) * SECOND_NS))

    def steady(self, days: float, gap_s: float, actor: str = "ann") -> None:
        assert self.see_many(0, int(days * DAY_S / gap_s), gap_s, actor) == []


@pytest.mark.parametrize(
    ("definition", "test"),
    [pytest.param(found, test, id=f"{found.info.title}: {test.name}") for found in SHIPPED for test in found.tests],
)
def test_shipped_definitions_pass_their_tests(definition: Definition, test: RuleTest) -> None:
    assert passes(definition, test)


def test_a_flood_is_told_while_it_runs() -> None:
    bench = Bench()
    bench.steady(4, 120)
    (told,) = bench.see_many(4 * DAY_S + 10, 100, 1.0)
    assert told.observation is not None
    assert told.last.time_ns - told.first_ns < 60 * SECOND_NS
    assert dict(told.evidence)["expected"] == pytest.approx(5.0, rel=0.1)


def test_what_is_less_certain_is_told_when_the_interval_closes() -> None:
    bench = Bench("count_min: 10, at_once: 0.000000000000001, false_share: 0.001")
    bench.steady(4, 120)
    assert bench.see_many(4 * DAY_S + 10, 17, 30.0) == []
    assert bench.wait(4 * DAY_S + 700) == []
    (told,) = bench.wait(4 * DAY_S + 721)
    assert told.observation is None
    assert dict(told.evidence)["count"] == 17


def test_less_than_the_floor_is_never_told() -> None:
    bench = Bench("count_min: 50")
    bench.steady(4, HOUR_S)
    assert bench.see_many(4 * DAY_S, 49, 1.0) == []
    assert bench.wait(5 * DAY_S) == []


def test_a_flood_over_the_border_of_two_intervals_is_told() -> None:
    bench = Bench("count_min: 20")
    bench.steady(4, HOUR_S)
    assert bench.see_many(4 * DAY_S + 600 - 24, 24, 2.0)


def test_nights_and_days_have_their_own_measure() -> None:
    bench = Bench("count_min: 20")
    for day in range(10):
        assert bench.see_many(day * DAY_S + 2 * HOUR_S, 400, 4.0) == []
    assert bench.see_many(10 * DAY_S + 2 * HOUR_S, 400, 4.0) == []
    assert bench.see_many(10 * DAY_S + 14 * HOUR_S, 400, 4.0)


def test_who_scatters_is_given_room() -> None:
    steady, bursty = Bench("count_min: 20"), Bench("count_min: 20")
    steady.steady(5, 200)
    for number in range(120):
        bursty.see_many(number * HOUR_S, 18, 1.0)
    assert steady.see_many(5 * DAY_S + 60, 40, 2.0)
    assert bursty.see_many(5 * DAY_S + 60, 40, 2.0) == []


def test_newcomers_are_measured_by_newcomers() -> None:
    quiet, noisy = Bench("count_min: 10"), Bench("count_min: 10")
    for number in range(200):
        noisy.see_many(number * HOUR_S, 30, 1.0, f"user-{number}")
    for bench in (quiet, noisy):
        bench.steady(0.001, 60, "system:node:a")
        bench.wait(9 * DAY_S)
    assert quiet.see_many(9 * DAY_S, 30, 1.0, "eve")
    assert noisy.see_many(9 * DAY_S, 30, 1.0, "eve") == []


def test_nobody_is_told_of_while_everything_is_new() -> None:
    bench = Bench("count_min: 10")
    assert bench.see_many(DAY_S, 500, 1.0) == []
    assert bench.see_many(2.9 * DAY_S, 500, 1.0, "eve") == []


def test_what_deviates_is_not_learned_for_a_day() -> None:
    bench = Bench("count_min: 20")
    bench.steady(4, 120)
    told = bench.see_many(4 * DAY_S, 3 * 24 * 60, 10.0)  # half a day, twelve times as often
    assert 10 <= len(told) <= 13, "once an hour"
    assert max(float(dict(one.evidence)["expected"]) for one in told) < 6
    later = bench.see_many(4.5 * DAY_S, 9 * 24 * 360, 10.0)
    assert later[-1].last.time_ns < (START_S + 9 * DAY_S) * SECOND_NS, "after some days it is the new normal"


def test_what_deviates_once_a_day_is_told_each_day() -> None:
    bench = Bench("count_min: 12")
    bench.steady(4, 5 * HOUR_S)
    for day in range(4, 12):
        assert bench.see_many(day * DAY_S + 3 * HOUR_S, 25, 4.0)


def test_disorder_of_minutes_changes_nothing() -> None:
    bench = Bench("count_min: 20")
    bench.steady(4, HOUR_S)
    start_s = 4 * DAY_S + 590
    assert bench.see(start_s + 20) == []
    assert [told for number in range(25) for told in bench.see(start_s - number, arrives_s=start_s + 21 + number)]


def test_what_is_too_late_is_counted() -> None:
    bench = Bench()
    bench.see(10_000)
    assert bench.see(100, arrives_s=10_001) == []
    assert bench.detector.left_out == {("late", bench.definition.info.rule_id): 1}


def test_the_explanation_has_numbers_and_who() -> None:
    bench = Bench("count_min: 20")
    bench.steady(4, 120, "system:serviceaccount:shop:cart")
    (told,) = bench.see_many(4 * DAY_S + 10, 60, 1.0, "system:serviceaccount:shop:cart")
    assert told.group == (("actor", "system:serviceaccount:shop:cart"),)
    assert told.normal.startswith("in 4 days of history: 5 in 10 minutes at this hour of the week expected of system:")
    assert "in 10 minutes" in told.seen
    assert told.unusual.startswith("by chance so many come once in 10^")


def test_hostile_names_stay_bounded() -> None:
    bench = Bench("count_min: 10")
    bench.wait(9 * DAY_S)
    (told,) = bench.see_many(9 * DAY_S, 20, 1.0, "\ud7ff\x00[\"'" * 40_000)
    assert len(f"{told.normal}{told.seen}{told.group}{told.evidence}") < 3_000


def test_a_flood_of_names_evicts_itself_and_an_attack_in_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate, "WEIGHT_MAX", 300)
    bench = Bench("count_min: 20")
    for number in range(int(4 * DAY_S / 600)):
        bench.see(number * 600, "system:serviceaccount:shop:cart", namespace="shop")
    found: list[Deviation] = []
    for number in range(6_000):
        found += bench.see(4 * DAY_S + number / 20, f"made-up-{number}", namespace="flood")
        if number % 100 == 0:
            found += bench.see(4 * DAY_S + number / 20, "system:serviceaccount:shop:cart", namespace="shop")
    assert [dict(one.group)["actor"] for one in found] == ["system:serviceaccount:shop:cart"]
    assert len(bench.detector.state) <= 300
    assert bench.detector.left_out["evicted", bench.definition.info.rule_id] > 5_000


@pytest.mark.parametrize("interval", ["7m", "2m", "2h"])
def test_intervals_that_hours_are_not_made_of_are_refused(interval: str) -> None:
    text = TEXT.replace("SETTINGS", f"count_min: 20, interval: {interval}")
    (error,) = load_definitions([RuleText("rate.yml", text, "test")], SETTINGS).errors
    assert "an hour is a whole number of them" in str(error)
