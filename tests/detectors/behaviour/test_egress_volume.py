"""Egress volume: what is too much for whom, what never is, and what a flood of made-up destinations does."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pytest

from detectors.behaviour import egress_volume
from detectors.behaviour.egress_volume import EgressVolume, Sender
from detectors.behaviour.egress_volume_stream import MB
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
title: Volume
id: 00000000-0000-4000-8000-000000000001
level: low
logsource: {product: vedette, category: connection}
detection: {any: {address: '*'}, condition: any}
behaviour: {type: egress_volume, by: [namespace, workload], value: [peer_network], SETTINGS}
"""
START_S: Final = 1_772_409_600
"""A Monday, midnight."""
HOUR_S: Final = 3_600
DAY_S: Final = 86_400
VENDOR: Final = "198.51.100.7"
STRANGER: Final = "203.0.113.66"
INSIDE: Final = "10.3.0.9"
SHIPPED: Final = [
    found
    for found in load_definitions(
        [text for text in shipped_pack_texts() if text.pack == "behaviour"], SETTINGS
    ).definitions
    if found.type == "egress_volume"
]


def load(settings: str = "learn_for: 3d") -> Definition:
    loaded = load_definitions([RuleText("volume.yml", TEXT.replace("SETTINGS", settings), "test")], SETTINGS)
    assert loaded.errors == ()
    return loaded.definitions[0]


class Bench:
    """A detector with one definition."""

    def __init__(self, settings: str = "learn_for: 3d") -> None:
        self.detector = EgressVolume()
        self.definition = load(settings)
        self.detector.use([self.definition])

    def send(self, at_s: float, mb: float, peer: str = VENDOR, **more: Any) -> list[Deviation]:
        plain: dict[str, Any] = {
            "kind": Kind.CONNECTION,
            "namespace": "shop",
            "workload": "cart",
            "address": "10.1.0.4",
        }
        plain |= {
            "time_ns": int((START_S + at_s) * SECOND_NS),
            "peer": peer,
            "bytes_out": int(mb * MB),
            "seq": int(at_s),
        }
        told = self.detector.observe(self.definition, msgspec.convert(plain | more, Observation))
        return [] if told is None else [told]

    def send_many(self, start_s: float, count: int, gap_s: float, mb: float, peer: str = VENDOR) -> list[Deviation]:
        return [told for number in range(count) for told in self.send(start_s + number * gap_s, mb, peer)]

    def live(self, days: int, day_mb: float, peer: str = VENDOR, spread: float = 0.5) -> None:
        """Days of ordinary life: 48 conversations each."""
        random = Random(7)
        for number in range(days * 48):
            assert self.send(number * 1800, day_mb / 48 * random.uniform(1 - spread, 1 + spread), peer) == []

    def sender(self) -> Sender:
        found = self.detector.state.get(next(iter(self.detector.state)))
        assert isinstance(found, Sender)
        return found


@pytest.mark.parametrize(
    ("definition", "test"),
    [pytest.param(found, test, id=f"{found.info.title}: {test.name}") for found in SHIPPED for test in found.tests],
)
def test_shipped_definitions_pass_their_tests(definition: Definition, test: RuleTest) -> None:
    assert passes(definition, test)


@pytest.mark.parametrize("day_mb", [0.0, 2.0, 30.0, 100.0])
@pytest.mark.parametrize("minutes", [20, 40])
def test_a_burst_is_told_within_minutes(day_mb: float, minutes: int) -> None:
    bench = Bench()
    bench.live(5, day_mb)
    start_s = 5 * DAY_S + 2 * HOUR_S
    told = bench.send_many(start_s, minutes, 60, 3_000 / minutes)
    assert told[0].last.seq - start_s <= 5 * 60


@pytest.mark.parametrize(
    ("day_mb", "total_mb", "hours_max"), [(0.0, 200, 16), (5.0, 200, 16), (15.0, 200, 24), (40.0, 400, 24)]
)
def test_a_slow_theft_is_told_while_it_goes_on(day_mb: float, total_mb: float, hours_max: float) -> None:
    bench = Bench()
    bench.live(6, day_mb)
    start_s = 6 * DAY_S + 9 * HOUR_S
    told = bench.send_many(start_s, 192, 900, total_mb / 192)
    assert told[0].last.seq - start_s <= hours_max * HOUR_S


def test_what_is_slower_than_a_day_tells_adds_up() -> None:
    bench = Bench()
    bench.live(14, 100.0, spread=0.1)
    told = bench.send_many(14 * DAY_S, 8 * 48, 1800, 1.9 * 100.0 / 48)
    assert len(told) >= 1
    assert "hour by hour added up" in told[0].seen


def test_new_destinations_weigh_more() -> None:
    known, new = Bench(), Bench()
    for bench in (known, new):
        bench.live(5, 2.0)
    assert known.send_many(5 * DAY_S, 30, 600, 1.0, VENDOR) == []
    (told,) = new.send_many(5 * DAY_S, 30, 600, 1.0, STRANGER)
    assert "to destinations that are new to it (203.0.113.0/24)" in told.seen


def test_who_changes_destinations_by_habit_is_given_room() -> None:
    bench = Bench()
    for day in range(8):
        for number in range(20):
            assert bench.send(day * DAY_S + number * 4_000, 2.0, f"198.18.{day}.{number}") == []


def test_a_destination_has_a_measure_of_its_own() -> None:
    bench = Bench()
    for number in range(6 * 48):
        assert bench.send(number * 1800, 12.0, VENDOR) == []
        assert bench.send(number * 1800 + 60, 0.02, STRANGER) == []
    (told,) = bench.send_many(6 * DAY_S, 40, 600, 1.5, STRANGER)
    assert "to 203.0.113.0/24" in told.seen


def test_nightly_gigabytes_are_a_habit_of_the_night() -> None:
    random = Random(3)
    bench = Bench()
    for day in range(10):
        total_mb = 2_000 * random.lognormvariate(0.0, 0.15)
        start_s = day * DAY_S + 2 * HOUR_S + random.randrange(HOUR_S)
        assert bench.send_many(start_s, 20, 60, total_mb / 20) == []
    assert bench.send_many(10 * DAY_S + 14 * HOUR_S, 20, 60, 80.0) != []


def test_irregular_bursts_are_a_habit_too() -> None:
    bench = Bench()
    for day in range(12):
        for hour in (3 + day % 5, 12 + day % 4):
            assert bench.send_many(day * DAY_S + hour * HOUR_S, 10, 60, 60.0) == []
    assert bench.send_many(12 * DAY_S + 20 * HOUR_S, 10, 60, 60.0) == []


def test_what_was_told_is_not_learned_until_it_is_the_new_normal() -> None:
    bench = Bench()
    bench.live(5, 2.0)
    told = bench.send_many(5 * DAY_S, 12 * 48, 1800, 5.0)
    days = sorted({(one.last.seq - 5 * DAY_S) // DAY_S for one in told})
    assert days[:3] == [0, 1, 2]
    assert days[-1] < 11


def test_while_it_is_new_nothing_is_told() -> None:
    bench = Bench()
    assert bench.send_many(0, 48, 3600, 200.0) == []


def test_records_that_come_late_count_where_they_belong() -> None:
    bench = Bench()
    bench.live(5, 2.0)
    assert bench.send(5 * DAY_S + 8 * HOUR_S, 0.1) == []
    assert [told for hour in range(4) for told in bench.send(5 * DAY_S + (7 - hour) * HOUR_S, 10.0)] == []
    assert bench.send(5 * DAY_S + 8 * HOUR_S + 60, 9.0) != []
    assert bench.detector.left_out == {}
    assert bench.send(2 * DAY_S, 500.0) == []
    assert bench.detector.left_out == {("late", bench.definition.info.rule_id): 1}


def test_only_what_goes_outside_counts() -> None:
    bench = Bench()
    bench.live(5, 2.0)
    assert bench.send_many(5 * DAY_S, 30, 60, 500.0, INSIDE) == []


def test_the_explanation_has_numbers_and_who() -> None:
    bench = Bench()
    bench.live(5, 10.0)
    (told, *_) = bench.send_many(5 * DAY_S, 30, 60, 100.0)
    assert told.group == (("namespace", "shop"), ("workload", "cart"))
    assert told.normal.startswith("in 5 days of history shop cart sends 10.0 MB a day outside")
    assert told.seen.endswith("just now to 198.51.100.7")
    assert "times a usual day" in told.unusual


def test_hostile_names_stay_bounded() -> None:
    bench = Bench("learn_for: 3d, destinations_max: 4")
    name = "\ud7ff\x00[\"'" * 40_000
    for number in range(5 * 24):
        bench.send(number * HOUR_S, 0.1, workload=name)
    (told,) = bench.send(5 * DAY_S, 900.0, workload=name)
    assert len(f"{told.normal}{told.seen}{told.group}{told.evidence}") < 3_000


def test_one_entity_holds_a_bounded_number_of_destinations() -> None:
    bench = Bench("destinations_max: 16")
    for number in range(400):
        bench.send(number * 60, 0.001, f"198.18.{number % 250}.1")
    assert len(bench.sender().to) == 16
    assert bench.detector.left_out["overflowing", bench.definition.info.rule_id] > 300


def test_a_flood_evicts_itself_and_an_attack_in_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(egress_volume, "STREAMS_MAX", 400)
    bench = Bench()
    bench.live(5, 2.0)
    found: list[Deviation] = []
    for number in range(8_000):
        at_s = 5 * DAY_S + number
        found += bench.send(at_s, 0.01, f"198.19.{number % 256}.9", namespace="flood", workload=f"made-up-{number}")
        if number % 100 == 0:
            found += bench.send(at_s, 10.0, VENDOR)
    assert {dict(one.group)["workload"] for one in found} == {"cart"}
    assert len(bench.detector.state) <= 400 / 3 + 1
    assert bench.detector.left_out["evicted", bench.definition.info.rule_id] > 7_000
