"""Credentials in several places: moves are none, returns are, what is usual is learned, and memory is bounded."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pytest

from detectors.behaviour.credential_addresses import PLACES_MAX, CredentialAddresses, Holder
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
title: Twice
id: 00000000-0000-4000-8000-000000000003
level: low
logsource: {product: vedette, category: call}
detection: {any: {actor|exists: true}, condition: any}
behaviour: {type: credential_addresses, by: [actor], value: [network], learn_for: 2d, SETTINGS}
"""
MINUTE_S: Final = 60
DAY_S: Final = 86_400
LATER_S: Final = 3 * DAY_S
HERE, THERE, ELSEWHERE = "10.1.0.7", "10.2.0.7", "198.51.100.7"
PACK: Final = [text for text in shipped_pack_texts() if text.pack == "behaviour"]
SHIPPED: Final = [
    found for found in load_definitions(PACK, SETTINGS).definitions if found.type == "credential_addresses"
]


@cache
def load(settings: str) -> Definition:
    loaded = load_definitions([RuleText("twice.yml", TEXT.replace("SETTINGS", settings), "test")], SETTINGS)
    assert loaded.errors == ()
    return loaded.definitions[0]


def use(time_s: float, address: str, credential: str = "JTI=a", actor: str = "ann", **values: Any) -> Observation:
    plain: dict[str, Any] = {"kind": Kind.CALL, "time_ns": int(time_s * SECOND_NS), "actor": actor}
    return msgspec.convert(plain | {"address": address, "credential": credential} | values, Observation)


class Bench:
    """A detector with one definition, and somebody who was learned."""

    def __init__(self, settings: str = "within: 1h") -> None:
        self.definition = load(settings)
        self.detector = CredentialAddresses()
        self.detector.use([self.definition])
        assert self.see(use(1, HERE)) == []

    def see(self, *uses: Observation) -> list[Deviation]:
        found = [self.detector.observe(self.definition, seen) for seen in uses]
        return [deviation for deviation in found if deviation is not None]

    def left_out(self, reason: str) -> int:
        return self.detector.left_out.get((reason, self.definition.info.rule_id), 0)


def after(*uses: tuple[float, str], credential: str = "JTI=a") -> list[Observation]:
    return [use(LATER_S + minute * MINUTE_S, address, credential) for minute, address in uses]


@pytest.mark.parametrize(
    ("definition", "test"),
    [pytest.param(found, test, id=f"{found.info.title}: {test.name}") for found in SHIPPED for test in found.tests],
)
def test_shipped_definitions_pass_their_tests(definition: Definition, test: RuleTest) -> None:
    assert passes(definition, test)


def test_every_shipped_definition_has_tests_of_both_kinds() -> None:
    assert len(SHIPPED) == 1
    assert all({test.match for test in found.tests} == {True, False} for found in SHIPPED)


@pytest.mark.parametrize(
    ("uses", "told"),
    [
        pytest.param([(0, HERE), (1, THERE), (2, HERE)], True, id="here, there, here"),
        pytest.param([(0, HERE), (1, THERE), (1.5, THERE), (59, HERE)], True, id="within the hour"),
        pytest.param([(0, HERE), (1, THERE), (60, HERE)], False, id="after the hour"),
        pytest.param([(0, HERE), (1, THERE), (2, THERE), (3, THERE)], False, id="moved"),
        pytest.param([(0, HERE), (1, THERE), (2, ELSEWHERE)], False, id="moved twice"),
        pytest.param([(0, HERE), (1, "10.1.0.99"), (2, HERE)], False, id="the same network"),
        pytest.param([(1, THERE), (0, HERE), (2, THERE)], False, id="in order by time, though late"),
        pytest.param([(0, HERE), (2, HERE), (1, THERE), (3, HERE)], True, id="late and in between"),
        pytest.param([(0, HERE), (0.1, HERE), (1, THERE), (1.1, HERE)], True, id="repeated before"),
        pytest.param([(0, HERE), (1, ""), (2, HERE)], False, id="no address"),
    ],
)
def test_a_credential_that_comes_back_is_held_by_two(uses: list[tuple[float, str]], told: bool) -> None:
    assert bool(Bench().see(*after(*uses))) is told


def test_it_says_where() -> None:
    (told,) = Bench().see(*after((0, HERE), (1, THERE), (2, ELSEWHERE), (3, HERE), (4, THERE)))
    assert told.group == (("actor", "ann"), ("credential", "JTI=a"))
    assert told.seen == (
        "JTI=a was used from 10.1.0.0/24, then from 198.51.100.0/24, 10.2.0.0/24, then from 10.1.0.0/24 again, "
        "within 60 minutes"
    )
    assert told.normal == "in 3 days no credential of ann was used from more than 1 network at once"


def test_other_credentials_of_the_same_actor_may_be_elsewhere() -> None:
    bench = Bench()
    uses = [use(LATER_S + n, f"10.{n % 9}.0.7", f"JTI={n % 9}") for n in range(200)]
    assert bench.see(*uses) == []


def test_ways_that_were_learned_are_usual_and_more_are_not() -> None:
    bench = Bench()
    bench.see(*(use(n * MINUTE_S, (HERE, THERE)[n % 2]) for n in range(10)))
    assert bench.see(*after((0, HERE), (1, THERE), (2, HERE))) == []
    assert len(bench.see(*after((3, ELSEWHERE), (4, THERE), (5, HERE)))) == 1


def test_told_once_in_each_window() -> None:
    bench = Bench()
    assert len(bench.see(*after(*((minute, (HERE, THERE)[minute % 2]) for minute in range(59))))) == 1
    assert len(bench.see(*after(*((minute, (HERE, THERE)[minute % 2]) for minute in range(70, 90))))) == 1


def test_without_a_credential_or_an_actor_nothing_is_learned() -> None:
    bench = Bench()
    bench.see(use(0, HERE, credential=""), use(0, HERE, actor=""))
    assert len(bench.detector.state) == 1


# --- bounds -----------------------------------------------------------------------------------------------------------
def test_credentials_no_longer_used_make_room() -> None:
    bench = Bench("within: 1h, credentials_max: 10")
    bench.see(*(use(LATER_S + n * 1000, HERE, f"JTI={n}") for n in range(500)))
    assert bench.left_out("overflowing") == 0
    (holder,) = (bench.detector.holders.get(key) for key in bench.detector.state)
    assert holder is not None
    assert len(holder.credentials) <= 10
    assert holder.size == sum(len(uses.places) for uses in holder.credentials.values())


def test_too_many_at_once_push_out_the_oldest_and_are_counted() -> None:
    bench = Bench("within: 1h, credentials_max: 10")
    bench.see(*(use(LATER_S + n, HERE, f"JTI={n}") for n in range(500)))
    assert bench.left_out("overflowing") == 490
    assert bench.detector.holders.weight == GROUP_WEIGHT + 10


def test_places_of_one_credential_are_bounded() -> None:
    bench = Bench()
    bench.see(*(use(LATER_S + n, f"10.{n % 250}.{n // 250}.1") for n in range(5000)))
    assert bench.detector.holders.weight == GROUP_WEIGHT + PLACES_MAX
    assert len(bench.see(use(LATER_S + 5001, "10.249.19.1"))) == 0
    assert len(bench.see(use(LATER_S + 5002, HERE), use(LATER_S + 5003, THERE), use(LATER_S + 5004, HERE))) == 1


def test_a_flood_of_made_up_actors_evicts_itself_and_hides_no_attack() -> None:
    bench = Bench()
    bench.detector.holders = Groups(Holder, 400, lambda holder: GROUP_WEIGHT + holder.size)
    bench.detector.state = bench.detector.holders.state
    bench.see(use(1, HERE, namespace="shop"))
    attack = [use(LATER_S + 300 * n, (HERE, THERE)[n % 2], namespace="shop") for n in range(3)]
    flood = [use(LATER_S + n * 0.1, HERE, f"JTI={n}", f"u{n}", namespace="evil") for n in range(9000)]
    found = bench.see(*sorted([*attack, *flood], key=lambda seen: seen.time_ns))
    assert [dict(told.group)["actor"] for told in found] == ["ann"]
    assert bench.detector.holders.weight <= 400
    assert bench.left_out("evicted") > 8000


def test_hostile_credentials_are_bounded_and_apart() -> None:
    bench = Bench()
    evil = "\x00\u202e" * 4000
    bench.see(use(LATER_S, HERE, evil + "1"), use(LATER_S + 1, THERE, evil + "2"))
    assert bench.see(use(LATER_S + 2, HERE, evil + "1")) == []
    (told,) = bench.see(use(LATER_S + 3, HERE, evil + "2"), use(LATER_S + 4, THERE, evil + "2"))
    assert len(told.seen) < 1_000
