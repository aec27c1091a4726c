"""Profiles and what is told of them: states, start-up, releases, freezes, floods; and what it all may weigh."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
import pytest

from detectors.behaviour.loading import load_definitions
from detectors.behaviour.profiles import room
from detectors.behaviour.profiles.control import Action, decide, take_in
from detectors.behaviour.profiles.freezes import workload_name
from detectors.behaviour.profiles.reading import State, readings, rows_of, summaries
from detectors.behaviour.profiles.shapes import SHAPES
from detectors.behaviour.profiles.store import OUTSIDE_MAX
from detectors.behaviour.profiles.terms import Aspect
from detectors.behaviour.profiles.transfer import pack, unpack
from detectors.behaviour.testing import passes
from detectors.behaviour.types import SETTINGS
from detectors.behaviour.watch import Watch
from detectors.packs import shipped_pack_texts
from detectors.rule import RuleText
from vedette.schema.errors import ConfigError
from vedette.schema.limits import SECOND_NS
from vedette.schema.observation import Kind, Observation

if TYPE_CHECKING:
    from detectors.behaviour.definition import Definition
    from detectors.behaviour.deviation import Deviation
    from detectors.testing.case import RuleTest

HOUR: Final = 3600
DAY: Final = 24 * HOUR
START_S: Final = 1_772_409_600
TEXT: Final = """
title: Program
id: 00000000-0000-4000-8000-0000000000ASPECT
level: low
logsource: {product: vedette, category: KIND}
detection: {any: {namespace|re: .}, condition: any}
behaviour: {type: profile, aspect: ASPECT}
"""
HOSTILE: Final = "\x1b]0;owned\x07\u202e\x1f\x1f*/" + 3_000 * "x"
SHIPPED: Final = [
    found
    for found in load_definitions(
        [text for text in shipped_pack_texts() if text.pack == "behaviour"], SETTINGS
    ).definitions
    if found.type in ("profile", "new_edge")
]


def definition(aspect: str = "programs", kind: str = "process") -> Definition:
    text = TEXT.replace("KIND", kind).replace("ASPECT", aspect)
    loaded = load_definitions([RuleText("p.yml", text, "test")], SETTINGS)
    assert loaded.errors == ()
    return loaded.definitions[0]


def program(at_s: float, path: str = "/usr/bin/node", **values: Any) -> Observation:
    plain: dict[str, Any] = {
        "kind": Kind.PROCESS,
        "namespace": "shop",
        "workload_kind": "Deployment",
        "workload": "cart",
    }
    plain |= {"container": "cart", "pod": "cart-1", "digest": "sha256:a", "process": path, "parent": "node"}
    plain |= {"time_ns": int((START_S + at_s) * SECOND_NS), "arrival_ns": int((START_S + at_s) * SECOND_NS)}
    return msgspec.convert(plain | values, Observation)


class Bench:
    """All detectors, with one definition."""

    def __init__(self, *definitions: Definition) -> None:
        self.watch = Watch()
        self.watch.use(definitions or [definition()])

    def see(self, *seen: Observation) -> list[Deviation]:
        return [told for one in seen for told in self.watch.observe(one)]

    def learned(self, days: int = 6, **values: Any) -> Bench:
        self.see(*(program(hour * HOUR, **values) for hour in range(24 * days)))
        return self

    def reasons(self) -> dict[str, int]:
        self.watch.advance(SECOND_NS)
        return {reason: times for reason, _, times in self.watch.take_left_out()}

    def the_state(self, aspect: str = "programs") -> State:
        (one,) = [one for one in summaries(self.watch.profiles) if one.aspect == aspect]
        return one.state


@pytest.mark.parametrize(
    ("found", "test"),
    [pytest.param(found, test, id=f"{found.info.title}: {test.name}") for found in SHIPPED for test in found.tests],
)
def test_shipped_definitions_pass_their_tests(found: Definition, test: RuleTest) -> None:
    assert passes(found, test)


def test_what_is_not_in_a_profile_is_told_once_and_in_words() -> None:
    bench = Bench().learned()
    (told,) = bench.see(program(6 * DAY, "/usr/bin/curl", command="curl x"), program(6 * DAY + 60, "/usr/bin/curl"))
    assert told.normal == (
        "in 6 days container shop/Deployment/cart/cart ran 1 program, most often: /usr/bin/node started by node"
    )
    assert told.seen == "container shop/Deployment/cart/cart ran /usr/bin/curl started by node"
    assert told.unusual == "not in its learned profile of 6 days"
    assert dict(told.group) == {"namespace": "shop", "workload": "cart", "container": "cart"}
    assert bench.reasons()["repeated"] == 1


def test_a_partial_profile_learns_longer_than_a_full_one() -> None:
    partial, full = Bench(), Bench()
    full.see(program(0, parent="containerd-shim"))
    for bench in (partial, full):
        bench.learned(days=4)
    news = program(4 * DAY, "/usr/bin/curl")
    assert (len(partial.see(news)), len(full.see(news))) == (0, 1)
    assert partial.reasons()["partial"] == 1


def test_learning_lasts_until_nothing_new_has_come_for_a_day() -> None:
    bench = Bench().learned(days=5)
    bench.see(program(4.8 * DAY, "/late"), program(4.9 * DAY, "/late"))
    assert bench.see(program(5.5 * DAY, "/later")) == []
    assert len(bench.see(*(program(5.5 * DAY + hour * HOUR) for hour in range(30)), program(6.8 * DAY, "/news"))) == 1


def test_learning_takes_longer_while_much_came_but_once() -> None:
    bench = Bench().learned(days=5)
    bench.see(*(program(3 * DAY + number * HOUR, f"/once-{'abc'[number]}") for number in range(3)))
    assert bench.see(program(6 * DAY, "/fourth")) == []
    bench.see(*(program(6 * DAY + hour * HOUR) for hour in range(4 * 24)))
    assert len(bench.see(program(10 * DAY, "/fifth"))) == 1


def test_a_job_that_runs_once_a_day_is_learned_for_long() -> None:
    bench = Bench()
    bench.see(*(program(day * DAY) for day in range(14)))
    assert bench.see(program(14 * DAY, "/other")) == []
    assert bench.the_state() is State.LEARNING


def test_what_never_settles_is_left_alone_and_listed() -> None:
    bench = Bench().learned()
    told = [len(bench.see(program((6 + day) * DAY + 60, f"/builds/tool-{'abc'[day]}"))) for day in range(3)]
    assert told == [1, 1, 1]
    assert bench.see(program(9 * DAY, "/builds/another")) == []
    assert bench.the_state() is State.UNSTABLE
    assert bench.reasons()["unstable"] == 1


def test_what_goes_on_for_as_long_as_learning_took_is_learned_after_all() -> None:
    bench = Bench().learned()
    told = bench.see(*(program(6 * DAY + hour * HOUR, "/new") for hour in range(80)))
    assert len(told) == 1
    (one,) = readings(bench.watch.profiles)
    assert [value.parts[0] for value in one.values] == ["/new", "/usr/bin/node"]


class TestLocked:
    def test_it_learns_nothing_and_tells_each_day(self) -> None:
        bench = Bench().learned()
        decide(bench.watch.profiles, Action.LOCK, [_id(bench)], "ann", START_S * SECOND_NS)
        told = bench.see(*(program(6 * DAY + day * 2 * DAY, "/new") for day in range(5)))
        assert len(told) == 5
        assert told[0].unusual.startswith("not in its locked profile")
        assert bench.the_state() is State.LOCKED

    def test_no_flood_of_its_namespace_pushes_it_out(self, monkeypatch: pytest.MonkeyPatch) -> None:
        bench = Bench().learned()
        decide(bench.watch.profiles, Action.LOCK, [_id(bench)], "ann", START_S * SECOND_NS)
        monkeypatch.setattr(bench.watch.profiles.groups, "_weight_max", 500)
        bench.see(*(program(6 * DAY, f"/{number}", workload=f"made-up-{number}") for number in range(400)))
        assert State.LOCKED in {one.state for one in summaries(bench.watch.profiles)}
        assert bench.watch.profiles.groups.weight <= 500
        assert bench.reasons()["evicted"] > 100

    def test_forgotten_it_learns_anew(self) -> None:
        bench = Bench().learned()
        decide(bench.watch.profiles, Action.LOCK, [_id(bench)], "ann", START_S * SECOND_NS)
        assert decide(bench.watch.profiles, Action.FORGET, [_id(bench)], "ann", (START_S + 6 * DAY) * SECOND_NS) == 1
        assert bench.see(program(6 * DAY, "/new")) == []
        assert bench.the_state() is State.LEARNING


def test_nothing_is_learned_for_a_day_after_a_severe_alert() -> None:
    bench = Bench().learned(days=2)
    frozen_at_ns = (START_S + 2 * DAY) * SECOND_NS
    bench.watch.profiles.freezes.freeze("", workload_name("shop", "cart"), frozen_at_ns)
    bench.see(program(2 * DAY + 60, "/implant"), program(2 * DAY + 60, "/else", workload="stock"))
    bench.see(*(program(2 * DAY + hour * HOUR) for hour in range(24 * 5)))
    assert bench.reasons()["frozen"] == 1
    assert len(bench.see(program(7 * DAY, "/implant"))) == 1


def test_whoever_never_did_a_thing_has_an_empty_profile_of_it() -> None:
    bench = Bench(definition(), definition("files", "file")).learned()
    file = {"kind": Kind.FILE, "file": "/etc/shadow"}
    bench.see(program(0, workload="stock", **(file | {"file": "/tmp/a"})))
    told = bench.see(program(6 * DAY, **file))
    assert len(told) == 1
    assert "opened 0 files" in told[0].normal


def test_an_edge_to_a_newcomer_is_learned_and_one_to_somebody_long_there_is_told() -> None:
    edges = next(found for found in SHIPPED if found.info.title.startswith("Workload Talks To A Workload"))
    bench = Bench(edges)

    def talk(at_s: float, peer: str) -> Observation:
        ends = {"kind": Kind.CONNECTION, "address": "10.1.0.5", "peer": "10.96.0.7", "direction": "egress"}
        return program(at_s, **ends, peer_namespace="hr", peer_workload=peer, port=80, protocol="tcp")

    bench.see(*(talk(hour * HOUR, "stock") for hour in range(6 * 24)))
    bench.see(*(program(hour * HOUR, workload="payroll") for hour in range(6 * 24)))
    bench.see(*(program(hour * HOUR, workload="payroll", namespace="hr") for hour in range(6 * 24)))
    bench.see(program(5.9 * DAY, workload="newcomer", namespace="hr"))
    assert bench.see(talk(6 * DAY, "newcomer"), talk(6 * DAY, "payroll")) == []
    told = bench.watch.advance((START_S + 7 * DAY) * SECOND_NS)
    assert [dict(one.evidence)["profile value"] for one in told] == ["egress tcp workload hr/payroll 80"]
    assert bench.reasons()["newcomer"] == 1


def test_a_flood_of_programs_is_one_group_bounded_and_hides_nobody_else() -> None:
    bench = Bench().learned()
    bench.learned(workload="stock")
    told = bench.see(
        *(program(6 * DAY + number, f"/tmp/x{chr(97 + number % 26)}{'g' * number}") for number in range(900))
    )
    assert len({one.group for one in told}) == 1
    (flooded,) = [one for one in readings(bench.watch.profiles) if one.summary.names[2] == "cart"]
    assert len(flooded.outside) == OUTSIDE_MAX
    assert len(bench.see(program(6 * DAY + 1000, "/usr/bin/curl", workload="stock"))) == 1
    assert len(bench.see(program(6 * DAY + 1000, "/usr/bin/curl"))) == 1


def test_all_of_it_stays_within_its_bounds_while_it_learns() -> None:
    bench = Bench()
    for number in range(3_000):
        bench.see(
            program(number, f"/a{'/b' * (number % 7)}/{'hij'[number % 3]}{'g' * number}", parent=f"p{number % 70}")
        )
    for _, row in rows_of(bench.watch.profiles.state):
        assert len(row.values) <= SHAPES[Aspect.PROGRAMS].values_max


def test_hostile_strings_are_bounded_and_travel() -> None:
    bench = Bench().learned(container=HOSTILE)
    (told,) = bench.see(program(6 * DAY, HOSTILE, container=HOSTILE, parent=HOSTILE))
    assert max(len(part) for part in (told.normal, told.seen, told.unusual)) < 8_000
    exported = pack(row for _, row in rows_of(bench.watch.profiles.state))
    other = Watch().profiles
    assert take_in(other, exported, "ann", (START_S + 7 * DAY) * SECOND_NS) == 1
    assert pack(row for _, row in rows_of(other.state)) == exported


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param(lambda text: text[:-9], "no export", id="cut"),
        pytest.param(lambda text: text.replace(b"/usr/bin/node", b"/usr/bin/evil"), "checksum", id="changed"),
        pytest.param(lambda text: text.replace(b'"version":1', b'"version":2'), "version 2", id="another version"),
        pytest.param(lambda _: b"[" * 100_000, "no export", id="nested"),
        pytest.param(lambda _: b"\xff\xfe{}", "no export", id="no UTF-8"),
        pytest.param(lambda _: b" " * (16 * 1024 * 1024 + 1), "too large", id="too large"),
    ],
)
def test_what_is_no_export_is_refused(change: Any, says: str) -> None:
    bench = Bench().learned()
    exported = pack(row for _, row in rows_of(bench.watch.profiles.state))
    assert unpack(exported)
    with pytest.raises(ConfigError, match=says):
        unpack(change(exported))


def test_the_page_has_the_bounds() -> None:
    assert room.TUPLES_MAX == 300_000
    assert {aspect: shape.values_max for aspect, shape in SHAPES.items()} == {
        Aspect.PROGRAMS: 300,
        Aspect.FILES: 500,
        Aspect.PEERS: 600,
        Aspect.CALLS: 600,
        Aspect.ACTORS: 400,
        Aspect.IMAGES: 300,
    }


def _id(bench: Bench) -> str:
    (one,) = [one for one in summaries(bench.watch.profiles) if one.aspect == "programs"]
    return one.profile_id
