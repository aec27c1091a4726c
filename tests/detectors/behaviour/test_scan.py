"""Sequential scan tests: what makes a scan, what never does, and what a flood of made-up targets and sources does."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pytest

from detectors.behaviour import scan
from detectors.behaviour.loading import load_definitions
from detectors.behaviour.scan import RECENT_MAX, Scan, Source
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
title: Scan
id: 00000000-0000-4000-8000-000000000001
level: low
logsource: {product: vedette, category: connection}
detection: {any: {address: '*'}, condition: any}
behaviour: {type: scan, by: [address], value: [peer, port], SETTINGS}
"""
START_S: Final = 1_772_409_600
HOUR_S: Final = 3600
SHIPPED: Final = [
    found
    for found in load_definitions(
        [text for text in shipped_pack_texts() if text.pack == "behaviour"], SETTINGS
    ).definitions
    if found.type == "scan"
]


def load(settings: str = "window: 1h") -> Definition:
    loaded = load_definitions([RuleText("scan.yml", TEXT.replace("SETTINGS", settings), "test")], SETTINGS)
    assert loaded.errors == ()
    return loaded.definitions[0]


def contact(time_s: float, outcome: str, peer: str = "10.0.0.9", port: int = 80, **values: Any) -> Observation:
    plain: dict[str, Any] = {"kind": Kind.CONNECTION, "time_ns": int((START_S + time_s) * SECOND_NS)}
    plain |= {"address": "10.0.0.4", "peer": peer, "port": port, "outcome": outcome, "seq": int(time_s)}
    return msgspec.convert(plain | values, Observation)


def knocks(outcomes: str, *, start_s: float = 0, gap_s: float = 10, **values: Any) -> list[Observation]:
    """One contact with another port for each letter: d deny, a allow."""
    words = {"d": "deny", "a": "allow"}
    return [
        contact(start_s + number * gap_s, words[letter], port=1000 + number, **values)
        for number, letter in enumerate(outcomes)
    ]


class Bench:
    """A detector with one definition."""

    def __init__(self, settings: str = "window: 1h") -> None:
        self.detector = Scan()
        self.definition = load(settings)
        self.detector.use([self.definition])

    def see(self, *contacts: Observation) -> list[Deviation]:
        found = [self.detector.observe(self.definition, seen) for seen in contacts]
        return [deviation for deviation in found if deviation is not None]

    def source(self, address: str = "10.0.0.4") -> Source:
        found = self.detector.state.get(next(key for key in self.detector.state if f'"{address}"' in key))
        assert isinstance(found, Source)
        return found


@pytest.mark.parametrize(
    ("definition", "test"),
    [pytest.param(found, test, id=f"{found.info.title}: {test.name}") for found in SHIPPED for test in found.tests],
)
def test_shipped_definitions_pass_their_tests(definition: Definition, test: RuleTest) -> None:
    assert passes(definition, test)


@pytest.mark.parametrize(
    ("outcomes", "at"),
    [
        ("dddd", 4),
        ("dddad", 5),
        ("addddd", 5),
        ("ddadad", 6),
        ("adddad", 6),
        ("ddd", None),
        ("dadada", None),
        ("aaaaaaaaad", None),
        ("daaadaaadaaad", None),
    ],
)
def test_it_takes_four_refusals_of_six(outcomes: str, at: int | None) -> None:
    bench = Bench()
    told = [number for number, knock in enumerate(knocks(outcomes), 1) if bench.see(knock)]
    assert told == ([] if at is None else [at])


def test_a_long_good_life_excuses_nothing() -> None:
    bench = Bench()
    bench.see(*knocks("a" * 500))
    assert bench.see(*knocks("dddd", start_s=6000, peer="10.0.0.8"))


def test_known_targets_may_refuse() -> None:
    bench = Bench()
    bench.see(*knocks("a" * 20))
    assert bench.see(*knocks("d" * 20, start_s=5 * HOUR_S)) == []


def test_forgotten_targets_are_new_ones() -> None:
    bench = Bench()
    bench.see(*knocks("a" * 20))
    assert bench.see(*knocks("d" * 20, start_s=26 * HOUR_S))


def test_one_refused_target_counts_once() -> None:
    bench = Bench()
    assert bench.see(*(contact(at_s, "deny") for at_s in range(0, 4 * HOUR_S, 30))) == []
    assert len(bench.source().recent) == 1


def test_refusals_over_days_are_no_scan() -> None:
    bench = Bench()
    assert bench.see(*knocks("d" * 30, gap_s=HOUR_S / 2)) == []


def test_unknown_outcomes_wait() -> None:
    bench = Bench()
    attempts = [msgspec.structs.replace(knock, outcome="") for knock in knocks("d" * 40)]
    assert bench.see(*attempts) == []
    assert len(bench.see(*knocks("dddd", start_s=300))) == 1


def test_a_scan_is_told_again_when_it_has_doubled() -> None:
    bench = Bench()
    found = bench.see(*knocks("d" * 200, gap_s=2))
    assert [dict(one.evidence)["targets that refused"] for one in found] == [4, 8, 16, 32, 64, 128]
    assert all(len(one.traces) <= 20 for one in found)
    assert len(bench.source().recent) == RECENT_MAX


def test_another_scan_later_is_told_anew() -> None:
    bench = Bench()
    bench.see(*knocks("d" * 40))
    assert len(bench.see(*knocks("dddd", start_s=6 * HOUR_S, peer="10.0.0.7"))) == 1


@pytest.mark.parametrize(
    ("differs", "ports", "hosts"), [("port", True, False), ("peer", False, True)], ids=["ports", "hosts"]
)
def test_definitions_share_scans_by_what_differs(differs: str, ports: bool, hosts: bool) -> None:
    settings = f"differs: {differs}"
    assert bool(Bench(settings).see(*knocks("dddd"))) is ports
    swept = [contact(number, "deny", peer=f"10.0.0.{number}") for number in range(4)]
    assert bool(Bench(settings).see(*swept)) is hosts
    both = [contact(number, "deny", peer=f"10.0.0.{number}", port=number) for number in range(4)]
    assert bool(Bench(settings).see(*both)) is hosts


def test_a_sweep_right_after_a_scan_of_ports_is_told_as_such() -> None:
    bench = Bench("differs: peer")
    assert bench.see(*knocks("d" * 40, gap_s=5)) == []
    assert bench.see(*(contact(300 + number, "deny", peer=f"10.0.1.{number}", port=22) for number in range(8)))


def test_disorder_of_minutes_changes_nothing() -> None:
    mixed = knocks("ddddaddd")
    Random(3).shuffle(mixed)
    assert Bench().see(*mixed)


def test_the_explanation_names_who_and_what() -> None:
    (found,) = Bench().see(*knocks("dddd", namespace="shop", workload="cart"))
    assert found.group == (("namespace", "shop"), ("workload", "cart"))
    assert "shop/cart (10.0.0.4)" in found.normal
    assert "4 of 4 targets contacted for the first time in 30 seconds refused: 10.0.0.9 1000;" in found.seen
    assert "times as likely for a scan" in found.unusual
    assert [trace.seq for trace in found.traces] == [0, 10, 20]


def test_hostile_strings_stay_bounded() -> None:
    bench = Bench()
    hostile = [contact(number, "deny", peer="\ud7ff\x00" * 40_000 + str(number)) for number in range(30)]
    found = bench.see(*hostile)
    assert found
    assert all(len(f"{one.normal}{one.seen}{one.group}{one.evidence}") < 10_000 for one in found)


def test_one_source_holds_a_bounded_set() -> None:
    bench = Bench("contacts_max: 100")
    bench.see(*(contact(number, "allow", port=number) for number in range(1000)))
    assert len(bench.source().contacts) == 100
    assert bench.detector.left_out == {("overflowing", bench.definition.info.rule_id): 900}


def test_a_scan_shows_through_a_flood_of_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "CONTACTS_MAX", 500)
    bench, random = Bench(), Random(5)
    found: list[Deviation] = []
    for number in range(20_000):
        address = f"10.9.{random.randrange(256)}.{random.randrange(256)}"
        found += bench.see(contact(number / 10, "deny", port=number % 50_000, address=address, namespace="flood"))
        if number % 2000 == 0:
            found += bench.see(contact(number / 10, "deny", port=number // 2000, namespace="shop"))
    assert {dict(one.evidence)["address"] for one in found} == {"10.0.0.4"}
    assert len(bench.detector.state) <= 500
    assert bench.detector.left_out["evicted", bench.definition.info.rule_id] > 10_000
