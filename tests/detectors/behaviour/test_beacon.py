"""Beacons: which rows of contacts a timer makes, who is no news, and what a flood of destinations does."""

from __future__ import annotations

from itertools import accumulate
from random import Random
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pytest

from detectors.behaviour import beacon
from detectors.behaviour.beacon import KEPT_MAX, TRACES_MAX, Beacon, Entity
from detectors.behaviour.beacon_score import score
from detectors.behaviour.loading import load_definitions
from detectors.behaviour.testing import passes
from detectors.behaviour.types import SETTINGS
from detectors.packs import shipped_pack_texts
from detectors.rule import RuleText
from vedette.schema.limits import SECOND_NS
from vedette.schema.observation import Kind, Observation, Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from detectors.behaviour.definition import Definition
    from detectors.behaviour.deviation import Deviation
    from detectors.testing.case import RuleTest

TEXT: Final = """
title: Beacon
id: 00000000-0000-4000-8000-000000000001
level: low
logsource: {product: vedette, category: connection}
detection: {any: {address: '*'}, condition: any}
behaviour: {type: beacon, by: [opener], value: [peer], SETTINGS}
"""
START_S: Final = 1_772_409_600
HOUR_S: Final = 3600
DAY_S: Final = 24 * HOUR_S
LATER_S: Final = 4 * DAY_S
"""After what everybody learns."""
SHIPPED: Final = [
    found
    for found in load_definitions(
        [text for text in shipped_pack_texts() if text.pack == "behaviour"], SETTINGS
    ).definitions
    if found.type == "beacon"
]


def contact(time_s: float, peer: str = "203.0.113.9", workload: str = "cart", **values: Any) -> Observation:
    plain: dict[str, Any] = {"kind": Kind.CONNECTION, "time_ns": int((START_S + time_s) * SECOND_NS)}
    plain |= {"address": "10.0.0.4", "namespace": "shop", "workload": workload, "peer": peer, "port": 443}
    return msgspec.convert(plain | values, Observation)


def row(intervals_s: Sequence[float], start_s: float = LATER_S, **values: Any) -> list[Observation]:
    return [contact(at_s, **values) for at_s in accumulate(intervals_s, initial=start_s)]


class Bench:
    """A detector with one definition, and a workload that has talked inside for days."""

    def __init__(self, settings: str = "learn_for: 3d") -> None:
        self.detector = Beacon()
        loaded = load_definitions([RuleText("beacon.yml", TEXT.replace("SETTINGS", settings), "test")], SETTINGS)
        assert loaded.errors == ()
        (self.definition,) = loaded.definitions
        self.detector.use([self.definition])
        self.see(contact(0, peer="10.0.0.9"))

    def see(self, *contacts: Observation) -> list[Deviation]:
        found = [self.detector.observe(self.definition, seen) for seen in contacts]
        return [deviation for deviation in found if deviation is not None]

    def entity(self) -> Entity:
        found = self.detector.state.get(next(iter(self.detector.state)))
        assert isinstance(found, Entity)
        return found


def jittered(random: Random, jitter: float, missed: float = 0.0) -> float:
    length = 60 * random.uniform(1 - jitter, 1 + jitter)
    return length + (jittered(random, jitter, missed) if random.random() < missed else 0.0)


TIMERS: Final[dict[str, Callable[[Random], float]]] = {
    "steady": lambda _: 60.0,
    "jitter 20 %": lambda random: jittered(random, 0.2),
    "jitter 20 %, one in ten missed": lambda random: jittered(random, 0.2, 0.1),
}
CHANCE: Final[dict[str, Callable[[Random], float]]] = {
    "as they come": lambda random: random.expovariate(1 / 60),
    "seldom": lambda random: random.expovariate(1 / 1800),
    "in bursts": lambda random: random.choice([1.0, 2.0, 7.0, 600.0]),
    "never still": lambda random: random.uniform(0.1, 1.0),
    "by turns": lambda random: random.choice([10.0, 300.0]),
    "pauses of all lengths": lambda random: random.lognormvariate(4, 1),
}


@pytest.mark.parametrize(
    ("definition", "test"),
    [pytest.param(found, test, id=f"{found.info.title}: {test.name}") for found in SHIPPED for test in found.tests],
)
def test_shipped_definitions_pass_their_tests(definition: Definition, test: RuleTest) -> None:
    assert passes(definition, test)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("timer", TIMERS)
def test_a_timer_is_found_within_an_hour(timer: str, seed: int) -> None:
    random = Random(seed)
    sizes = (random.randrange(480, 560) for _ in range(60))
    contacts = [contact(at_s, bytes_out=next(sizes)) for at_s in accumulate(_drawn(TIMERS[timer], random, 55))]
    for seen in contacts:
        seen.time_ns += LATER_S * SECOND_NS
    (found, *_) = Bench().see(*contacts)
    assert found.group == (("namespace", "shop"), ("workload", "cart"), ("peer", "203.0.113.9"))
    assert "of 1: intervals" in found.unusual


def _drawn(draw: Callable[[Random], float], random: Random, count: int) -> list[float]:
    return [draw(random) for _ in range(count)]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("chance", CHANCE)
def test_what_no_timer_makes_is_not(chance: str, seed: int) -> None:
    random = Random(seed)
    assert Bench().see(*row(_drawn(CHANCE[chance], random, 800))) == []


@pytest.mark.parametrize(
    "values",
    [
        {"peer": "10.0.0.7"},
        {"peer": "fd00::7"},
        {"window_s": 60},
        {"phase": Phase.COUNTED},
        {"address": "203.0.113.77", "workload": ""},
    ],
    ids=["inside", "inside by IPv6", "aggregated", "more of one connection", "from outside"],
)
def test_these_count_for_nothing(values: dict[str, Any]) -> None:
    assert Bench().see(*row([60.0] * 100, **values)) == []


def test_who_was_called_from_the_first_days_on_is_normal() -> None:
    assert Bench().see(*row([60.0] * 10_000, start_s=60)) == []


def test_who_was_forgotten_is_news() -> None:
    bench = Bench("learn_for: 1d, forget_after: 5d")
    bench.see(*row([60.0] * 100, start_s=60))
    assert bench.see(*row([60.0] * 100, start_s=10 * DAY_S))


def test_others_that_have_long_talked_to_it_speak_for_it() -> None:
    bench = Bench()
    bench.see(*(contact(60, workload=f"vendor-{number}") for number in range(3)))
    assert bench.see(*row([60.0] * 100, start_s=7 * DAY_S)) == []
    lone = Bench()
    lone.see(*(contact(7 * DAY_S, workload=f"hit-{number}") for number in range(3)))
    assert lone.see(*row([60.0] * 100, start_s=7 * DAY_S))


def test_each_pod_is_tested_alone() -> None:
    bench, random = Bench(), Random(3)
    contacts = [
        contact(LATER_S + offset_s + 60 * number, address=f"10.0.0.{pod}")
        for pod, offset_s in enumerate(random.uniform(0, 60) for _ in range(7))
        for number in range(40)
    ]
    found = bench.see(*sorted(contacts, key=lambda seen: seen.time_ns))
    assert {dict(one.evidence)["address"] for one in found} == {f"10.0.0.{pod}" for pod in range(7)}
    assert {one.group for one in found} == {(("namespace", "shop"), ("workload", "cart"), ("peer", "203.0.113.9"))}


def test_it_is_told_again_when_it_has_doubled() -> None:
    found = Bench().see(*row([60.0] * 400))
    assert [dict(one.evidence)["contacts"] for one in found] == [25, 51, 103, 207]
    assert all(len(one.traces) <= TRACES_MAX for one in found)


def test_contacts_that_come_late_behind_others_are_left_out() -> None:
    contacts = row([60.0] * 40)
    late = [msgspec.structs.replace(seen, time_ns=seen.time_ns - 90 * SECOND_NS) for seen in contacts]
    mixed = [seen for pair in zip(contacts, late, strict=True) for seen in pair]
    assert [one.seen for one in Bench().see(*mixed)] == [one.seen for one in Bench().see(*contacts)] != []


def test_state_of_a_destination_is_bounded() -> None:
    bench = Bench()
    bench.see(*row([60.0] * 1000, bytes_out=2**40))
    (track,) = bench.entity().followed.values()
    assert len(track.intervals) == len(track.sizes) == 4 * KEPT_MAX
    assert len(track.traces) == TRACES_MAX + 1


def test_a_beacon_shows_through_a_flood_of_the_same_workload() -> None:
    bench, random = Bench(), Random(9)
    flood = [
        contact(LATER_S + number / 2, peer=f"198.51.{random.randrange(256)}.{random.randrange(256)}")
        for number in range(7200)
    ]
    calls = row([60.0] * 58)
    found = bench.see(*sorted([*flood, *calls], key=lambda seen: seen.time_ns))
    assert {one.group[-1] for one in found} == {("peer", "203.0.113.9")}
    assert len(bench.entity().followed) <= 128
    assert bench.detector.left_out["overflowing", bench.definition.info.rule_id] > 5000


def test_a_beacon_shows_through_a_flood_of_workloads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beacon, "DESTINATIONS_MAX", 2000)
    bench = Bench()
    flood = [
        contact(LATER_S + number / 4, peer=f"198.51.{number % 256}.7", workload=f"w{number}", namespace="flood")
        for number in range(14_000)
    ]
    calls = row([60.0] * 58)
    found = bench.see(*sorted([*flood, *calls], key=lambda seen: seen.time_ns))
    assert {one.group[0] for one in found} == {("namespace", "shop")}
    assert len(bench.detector.state) <= 2000
    assert bench.detector.left_out["evicted", bench.definition.info.rule_id] > 10_000


def test_hostile_strings_stay_bounded() -> None:
    hostile = "\x00\ud7ff" * 50_000
    bench = Bench("learn_for: 1s")
    bench.see(contact(0, peer="10.0.0.9", workload=hostile))
    found = bench.see(*row([60.0] * 100, workload=hostile))
    assert found
    assert all(len(f"{one.normal}{one.seen}{one.group}{one.evidence}") < 10_000 for one in found)


@pytest.mark.parametrize(
    ("intervals_s", "sizes", "low", "high"),
    [
        ([60.0] * 24, [500] * 24, 0.9, 1.0),
        ([60.0] * 24, [], 0.9, 1.0),
        ([1.0, 2.0, 500.0, 3.0] * 6, [1, 90_000, 7, 4_000_000] * 6, 0.0, 0.6),
        ([0.0] * 23 + [5.0], [0, 0, 0], 0.0, 1.0),
    ],
    ids=["steady", "sizes not known", "irregular", "degenerate"],
)
def test_scores_lie_between_none_and_all(intervals_s: list[float], sizes: list[int], low: float, high: float) -> None:
    found = score(intervals_s, sizes)
    assert low <= found.total <= high
    assert (found.sizes is None) is (not sizes)
