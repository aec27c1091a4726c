"""Silence: whose stopping is told and when, whose never is, and what made-up host names do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import pytest

from detectors.behaviour import silence
from detectors.behaviour.loading import load_definitions
from detectors.behaviour.silence import Silence
from detectors.behaviour.silence_habit import EDGES_S, learn, usual_s, watched_s
from detectors.behaviour.testing import passes
from detectors.behaviour.types import SETTINGS
from detectors.packs import shipped_pack_texts
from vedette.schema.limits import SECOND_NS
from vedette.schema.observation import Kind, Observation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from detectors.behaviour.definition import Definition
    from detectors.behaviour.deviation import Deviation
    from detectors.testing.case import RuleTest

START_S: Final = 1_772_409_600
HOUR_S: Final = 3600
DAY_S: Final = 24 * HOUR_S
KILLED_S: Final = 2 * DAY_S
SHIPPED: Final = [
    found
    for found in load_definitions(
        [text for text in shipped_pack_texts() if text.pack == "behaviour"], SETTINGS
    ).definitions
    if found.type == "silence"
]
SOURCE: Final = next(found for found in SHIPPED if found.by == ("source",))
SENSOR: Final = next(found for found in SHIPPED if found.by == ("source", "node"))


class Told(NamedTuple):
    """What was told: after how many seconds, about whom, and how it was put."""

    at_s: float
    names: tuple[str, ...]
    seen: str


def heard(time_s: float, **values: Any) -> Observation:
    """Something that arrives a second after it happened."""
    time_ns = int((START_S + time_s) * SECOND_NS)
    plain: dict[str, Any] = {"kind": Kind.LIFE, "source": "falco", "format": "falco", "time_ns": time_ns}
    return msgspec.convert(plain | {"arrival_ns": time_ns + SECOND_NS} | values, Observation)


def sensor(node: str, *spans: tuple[float, float], every_s: float = 60) -> list[Observation]:
    return [heard(at_s, node=node) for at_s in _times(spans, every_s)]


def kubelet(node: str, *spans: tuple[float, float], every_s: float = 300, **values: Any) -> list[Observation]:
    plain = {"kind": Kind.CALL, "source": "audit", "format": "kube_audit", "actor": f"system:node:{node}"}
    return [heard(at_s, node=node, **(plain | values)) for at_s in _times(spans, every_s)]


def _times(spans: Iterable[tuple[float, float]], every_s: float) -> Iterable[float]:
    for start_s, end_s in spans:
        at_s = start_s
        while at_s < end_s:
            yield at_s
            at_s += every_s


class Bench:
    """A detector with one definition; time goes on by observations and between them."""

    def __init__(self, definition: Definition, step_s: float = 20) -> None:
        self.detector = Silence()
        self.definition = definition
        self.step_s = step_s
        self.detector.use([definition])
        self.told: list[Told] = []
        self.now_s = 0.0

    def hear(self, *lists: list[Observation]) -> list[Told]:
        for seen in sorted((seen for one in lists for seen in one), key=lambda seen: seen.arrival_ns):
            self.wait(seen.arrival_ns / SECOND_NS - START_S)
            told = self.detector.observe(self.definition, seen)
            self._take([] if told is None else [told])
        return self.told

    def wait(self, until_s: float) -> list[Told]:
        """Let time go on step by step."""
        while self.now_s < until_s:
            self.now_s = min(until_s, self.now_s + self.step_s)
            self._take(self.detector.advance(int((START_S + self.now_s) * SECOND_NS)))
        return self.told

    def resume(self, at_s: float) -> None:
        """Begin to watch again, after nobody did."""
        self.now_s = at_s
        self.detector.resume(int((START_S + at_s) * SECOND_NS))

    def _take(self, found: list[Deviation]) -> None:
        self.told += [Told(self.now_s, tuple(value for _, value in one.group), one.seen) for one in found]


@pytest.mark.parametrize(
    ("definition", "test"),
    [pytest.param(found, test, id=f"{found.info.title}: {test.name}") for found in SHIPPED for test in found.tests],
)
def test_shipped_definitions_pass_their_tests(definition: Definition, test: RuleTest) -> None:
    assert passes(definition, test)


# --- sensors of nodes -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("phase_s", [0, 20, 50, 100, 200, 299])
@pytest.mark.parametrize(("every_s", "within_s"), [(300, 391), (40, 260)], ids=["status alone", "busy kubelet"])
def test_a_killed_sensor_is_told_as_soon_as_its_node_shows(phase_s: int, every_s: float, within_s: float) -> None:
    end_s, last_s = KILLED_S + HOUR_S, KILLED_S - 30
    calls = [kubelet(node, (phase_s, end_s), every_s=every_s) for node in "ab"]
    (told,) = Bench(SENSOR).hear(sensor("a", (0, end_s)), sensor("b", (30, KILLED_S)), *calls)
    assert told.names == ("falco", "b")
    assert 180 <= told.at_s - last_s <= within_s


def test_recovery_says_since_when_and_how_long() -> None:
    back_s = KILLED_S + 3 * HOUR_S
    told = Bench(SENSOR).hear(
        sensor("a", (0, back_s + HOUR_S)),
        sensor("b", (0, KILLED_S), (back_s, back_s + HOUR_S)),
        kubelet("a", (0, back_s + HOUR_S)),
        kubelet("b", (10, back_s), every_s=40),
    )
    assert [one.names for one in told] == [("falco", "b")] * 2
    assert told[1].seen == (
        "spoke again at 2026-03-04 03:00:00 UTC: it was silent for 3 hours, since 2026-03-03 23:59:00 UTC"
    )


def test_a_second_silence_is_told_as_soon_as_the_first() -> None:
    end_s = KILLED_S + 9 * HOUR_S
    told = Bench(SENSOR).hear(
        sensor("a", (0, end_s)),
        sensor("b", (0, KILLED_S), (KILLED_S + 4 * HOUR_S, KILLED_S + 5 * HOUR_S)),
        kubelet("a", (0, end_s)),
        kubelet("b", (10, end_s), every_s=40),
    )
    first, _, second = told
    assert first.at_s - KILLED_S < 240
    assert second.at_s - (KILLED_S + 5 * HOUR_S) < 240


@pytest.mark.parametrize("gap_s", [15, 45, 60, 100], ids=lambda gap_s: f"{gap_s} s")
def test_restarts_are_none(gap_s: int) -> None:
    spans = [(at_s + 10, at_s + HOUR_S - gap_s) for at_s in range(0, 3 * DAY_S, HOUR_S)]
    assert (
        Bench(SENSOR).hear(
            sensor("a", (0, 3 * DAY_S)),
            sensor("b", *spans),
            kubelet("a", (0, 3 * DAY_S)),
            kubelet("b", (0, 3 * DAY_S), every_s=60),
        )
        == []
    )


def test_a_node_that_ends_is_none() -> None:
    assert (
        Bench(SENSOR).hear(
            sensor("a", (0, KILLED_S + DAY_S)),
            sensor("b", (0, KILLED_S)),
            kubelet("a", (0, KILLED_S + DAY_S)),
            kubelet("b", (0, KILLED_S), every_s=20),
        )
        == []
    )


def test_a_deleted_node_is_forgotten_though_its_kubelet_lingers() -> None:
    deleted = kubelet("", (KILLED_S + 60, KILLED_S + 61), actor="ann", verb="delete", resource="nodes", name="b")
    deleted[0].outcome = "allow"
    lists = (
        sensor("a", (0, KILLED_S + DAY_S)),
        sensor("b", (0, KILLED_S)),
        kubelet("a", (0, KILLED_S + DAY_S)),
        kubelet("b", (0, KILLED_S + 900), every_s=20),
    )
    assert Bench(SENSOR).hear(*lists, deleted) == []
    deleted[0].outcome = "deny"
    assert Bench(SENSOR).hear(*lists, deleted)


def test_a_reboot_gives_the_sensor_time_to_start() -> None:
    up_s = KILLED_S + 600
    lists = (
        sensor("a", (0, KILLED_S + DAY_S)),
        sensor("b", (0, KILLED_S), (up_s + 90, KILLED_S + DAY_S)),
        kubelet("a", (0, KILLED_S + DAY_S)),
        kubelet("b", (0, KILLED_S), (up_s, KILLED_S + DAY_S), every_s=30),
    )
    registers = kubelet("b", (up_s + 2, up_s + 3), verb="create", resource="nodes")
    assert Bench(SENSOR).hear(*lists, registers) == []


def test_an_outage_of_all_is_told_by_the_source_alone_and_its_end_by_no_node() -> None:
    nodes = [f"n{number}" for number in range(5)]
    spans = ((0, KILLED_S), (KILLED_S + 2 * HOUR_S, KILLED_S + 5 * HOUR_S))
    lists = [
        sensor(node, *((start_s + 7 * number, end_s) for start_s, end_s in spans)) for number, node in enumerate(nodes)
    ]
    calls = [kubelet(node, (0, KILLED_S + 5 * HOUR_S), every_s=30) for node in nodes]
    assert Bench(SENSOR).hear(*lists, *calls) == []
    assert [one.names for one in Bench(SOURCE).hear(*lists)] == [("falco",)] * 2


def test_a_new_node_has_the_habit_of_the_others() -> None:
    killed_s = KILLED_S + 2 * HOUR_S
    (told,) = Bench(SENSOR).hear(
        sensor("a", (0, killed_s + HOUR_S)),
        sensor("new", (KILLED_S, killed_s)),
        kubelet("a", (0, KILLED_S)),
        kubelet("new", (KILLED_S, killed_s + HOUR_S), every_s=40),
    )
    assert told.names == ("falco", "new")
    assert told.at_s - killed_s < 300


@pytest.mark.parametrize("words", [1, 5, 30])
def test_hosts_that_spoke_a_few_times_are_none(words: int) -> None:
    assert (
        Bench(SENSOR).hear(
            sensor("a", (0, 3 * DAY_S)),
            sensor("few", (KILLED_S, KILLED_S + 60 * words)),
            kubelet("a", (0, 3 * DAY_S)),
            kubelet("few", (0, 3 * DAY_S)),
        )
        == []
    )


def test_made_up_names_take_no_room_of_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silence, "SPEAKERS_MAX", 200)
    bench, end_s = Bench(SENSOR, 60), KILLED_S + HOUR_S
    flood = [heard(KILLED_S - 6_000 + number, node=f"\x00host-{number}" * 900) for number in range(6_000)]
    told = bench.hear(
        sensor("a", (0, end_s)), sensor("b", (0, KILLED_S)), flood, kubelet("a", (0, end_s)), kubelet("b", (0, end_s))
    )
    assert [one.names for one in told] == [("falco", "b")]
    assert len(bench.detector.state) <= 200
    assert bench.detector.left_out["evicted", SENSOR.info.rule_id] > 5_000


def test_connections_that_a_flow_log_ascribes_to_a_node_are_no_sensors_word() -> None:
    flows = [
        heard(at_s, node="b", kind=Kind.CONNECTION, source="vpc", format="vpc_flow") for at_s in range(0, KILLED_S, 60)
    ]
    end_s = KILLED_S + DAY_S
    assert Bench(SENSOR).hear(flows, sensor("a", (0, end_s)), kubelet("b", (0, end_s)), kubelet("a", (0, end_s))) == []


# --- sources ----------------------------------------------------------------------------------------------------------
def calls(*spans: tuple[float, float], every_s: float = 5) -> list[Observation]:
    return kubelet("a", *spans, every_s=every_s)


def test_a_source_that_stops_is_told_once() -> None:
    (told,) = Bench(SOURCE).hear(calls((0, DAY_S + HOUR_S)), sensor("a", (0, 2 * DAY_S)))
    assert told.names == ("audit",)
    assert told.at_s - (DAY_S + HOUR_S) <= 220


@pytest.mark.parametrize("pause_s", [HOUR_S, 8 * HOUR_S])
def test_our_own_downtime_is_no_silence(pause_s: int) -> None:
    bench = Bench(SOURCE)
    bench.hear(calls((0, KILLED_S)))
    bench.resume(KILLED_S + pause_s)
    assert bench.hear(calls((KILLED_S + pause_s + 100, KILLED_S + pause_s + DAY_S))) == []
    (told,) = bench.wait(KILLED_S + pause_s + 2 * DAY_S)
    assert told.at_s - (KILLED_S + pause_s + DAY_S) <= 220, "and none is learned"


def test_what_stays_silent_after_our_downtime_is_told_by_the_time_since() -> None:
    bench = Bench(SOURCE)
    bench.hear(calls((0, KILLED_S)))
    bench.resume(KILLED_S + HOUR_S)
    (told,) = bench.wait(KILLED_S + 2 * HOUR_S)
    assert 180 <= told.at_s - (KILLED_S + HOUR_S) <= 220


def test_a_quiet_night_is_a_habit() -> None:
    days = [(day * DAY_S + 8 * HOUR_S, day * DAY_S + 18 * HOUR_S) for day in range(21)]
    nights = [(day * DAY_S + 18 * HOUR_S, day * DAY_S + 32 * HOUR_S) for day in range(21)]
    habit = [*calls(*days, every_s=30), *calls(*nights, every_s=4000)]
    bench = Bench(SOURCE, 300)
    assert bench.hear(sorted(habit, key=lambda seen: seen.arrival_ns)) == []
    (told,) = bench.wait(24 * DAY_S)
    assert told.at_s - habit[-1].arrival_ns / SECOND_NS + START_S < 5 * HOUR_S


def test_a_source_that_speaks_each_day_may_be_silent_for_two() -> None:
    bench = Bench(SOURCE, HOUR_S)
    assert bench.hear(calls((0, 200 * DAY_S), every_s=DAY_S)) == []
    assert bench.wait(202 * DAY_S) == []


# --- habits -----------------------------------------------------------------------------------------------------------
def test_habits_stay_small_and_forget() -> None:
    habit: dict[int, int] = {}
    for number in range(200_000):
        learn(habit, (number * 7919 % 5000 + 1) * SECOND_NS)
    assert len(habit) <= len(EDGES_S)
    assert watched_s(habit) <= 28 * DAY_S
    for _ in range(300 * 24 * 60):
        learn(habit, 60 * SECOND_NS)
    assert usual_s(habit, 2) == (59, 74)


@pytest.mark.parametrize("pause_s", [1, 2, 59, 60, 3600, 10**7])
def test_a_pause_lies_in_its_class(pause_s: int) -> None:
    habit: dict[int, int] = {}
    learn(habit, pause_s * SECOND_NS)
    low_s, high_s = usual_s(habit, 0)
    assert low_s <= pause_s
    assert pause_s < high_s or high_s == EDGES_S[-1]
