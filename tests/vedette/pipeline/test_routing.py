"""What passes a filter, and that all revisions of an alert have one fate, whatever operators change in between."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vedette.journal.protocol import DetectCommit
from vedette.journal.sqlite import SqliteCoreLog
from vedette.pipeline.routing import Filter, Routes, Selection, encode_filter
from vedette.schema.alert import AlertRevision
from vedette.schema.level import Level

ALERT = AlertRevision(
    "a",
    1,
    1,
    5,
    "high",
    "falco:Terminal shell in container",
    b"{}",
    source="falco-eu",
    cluster="prod-1",
    tags=("attack.t1609", "attack.execution"),
)
HOSTILE = ALERT._replace(rule_id="falco:*[!a]\n?", source="*", cluster="", tags=())


def only(**globs: list[str]) -> Filter:
    return Filter(only=Selection(**{kind: tuple(each) for kind, each in globs.items()}))


def without(**globs: list[str]) -> Filter:
    return Filter(exclude=Selection(**{kind: tuple(each) for kind, each in globs.items()}))


@pytest.mark.parametrize(
    ("passing", "revision", "wanted"),
    [
        pytest.param(Filter(), ALERT, True, id="everything"),
        pytest.param(Filter(Level.HIGH), ALERT, True, id="level reached"),
        pytest.param(Filter(Level.CRITICAL), ALERT, False, id="level too low"),
        pytest.param(only(sources=["falco-*"]), ALERT, True, id="source"),
        pytest.param(only(sources=["audit", "falco-eu"]), ALERT, True, id="one of two sources"),
        pytest.param(only(sources=["audit"]), ALERT, False, id="another source"),
        pytest.param(only(sources=["Falco-*"]), ALERT, False, id="case counts"),
        pytest.param(only(clusters=["prod-?"]), ALERT, True, id="cluster"),
        pytest.param(only(clusters=["prod-[!1]"]), ALERT, False, id="cluster excepted in the glob"),
        pytest.param(only(rules=["falco:*"]), ALERT, True, id="rule"),
        pytest.param(only(rules=["5f1c*"]), ALERT, False, id="another rule"),
        pytest.param(only(tags=["attack.t1609"]), ALERT, True, id="one of its tags"),
        pytest.param(only(tags=["attack.t16"]), ALERT, False, id="a glob matches the whole tag"),
        pytest.param(only(sources=["falco-*"], clusters=["dev"]), ALERT, False, id="kinds are joined by and"),
        pytest.param(without(tags=["*.execution"]), ALERT, False, id="excluded by tag"),
        pytest.param(without(tags=["x"], rules=["y"], clusters=["prod-1"]), ALERT, False, id="excluded by any list"),
        pytest.param(without(sources=["audit"], tags=["x"]), ALERT, True, id="not excluded"),
        pytest.param(only(clusters=["*"]), HOSTILE, True, id="a star matches no name, too"),
        pytest.param(only(clusters=["?*"]), HOSTILE, False, id="a name that is there"),
        pytest.param(only(tags=["*"]), HOSTILE, False, id="no tag matches nothing"),
        pytest.param(only(rules=["falco:[*]*"]), HOSTILE, True, id="names are no globs"),
        pytest.param(without(rules=["falco:*"]), HOSTILE, False, id="a line break hides nothing"),
    ],
)
def test_an_alert_passes(passing: Filter, revision: AlertRevision, wanted: bool) -> None:
    assert passing.wants_alert(revision) is wanted
    again = msgspec.json.decode(encode_filter(passing), type=Filter)
    assert again.wants_alert(revision) is wanted


@pytest.mark.parametrize(
    ("passing", "wanted"),
    [
        pytest.param(Filter(), True, id="everything"),
        pytest.param(only(sources=["aud*"], formats=["kube_*"]), True, id="source and format"),
        pytest.param(only(formats=["falco"]), False, id="another format"),
        pytest.param(only(clusters=["prod"]), True, id="cluster"),
        pytest.param(without(formats=["kube_audit"]), False, id="format excluded"),
        pytest.param(without(clusters=["prod"]), False, id="cluster excluded"),
    ],
)
def test_a_record_passes(passing: Filter, wanted: bool) -> None:
    assert passing.wants_event("audit", "prod", "kube_audit") is wanted


def test_equal_filters_have_one_text() -> None:
    assert encode_filter(Filter()) == "{}"
    assert encode_filter(only(tags=["b", "a"])) == encode_filter(only(tags=["b", "a"])) == '{"only":{"tags":["b","a"]}}'


def test_a_filter_decides_from_its_time_on() -> None:
    routes = Routes([(0, encode_filter(only(rules=["a"]))), (100, encode_filter(only(rules=["b"])))])
    assert [routes.at(time_ns).only.rules for time_ns in (0, 99, 100, 1 << 62)] == [("a",), ("a",), ("b",), ("b",)]
    shortened = Routes([(50, encode_filter(Filter(Level.LOW)))])
    assert shortened.at(7).min_level is Level.LOW, "where older filters are forgotten, the oldest that is known decides"


# --- all revisions or none --------------------------------------------------------------------------------------------
NAMES = st.sampled_from(["a", "b", "c"])
GLOBS = st.lists(st.sampled_from(["a", "b", "[ab]", "*", "?"]), max_size=2).map(tuple)
SELECTIONS = st.builds(Selection, sources=GLOBS, clusters=GLOBS, rules=GLOBS, tags=GLOBS)
FILTERS = st.builds(Filter, st.sampled_from(Level), SELECTIONS, SELECTIONS)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("filter"), FILTERS),
        st.tuples(st.just("restart"), st.none()),
        st.tuples(st.just("open"), st.tuples(st.sampled_from(Level), NAMES, NAMES, NAMES, st.lists(NAMES, max_size=2))),
        st.tuples(st.just("revise"), st.integers(0, 50)),
        st.tuples(st.just("time"), st.integers(0, 2)),
    ),
    max_size=40,
)


@given(first=FILTERS, steps=STEPS)
def test_all_revisions_of_an_alert_have_one_fate(
    tmp_path_factory: pytest.TempPathFactory, first: Filter, steps: list[tuple[str, Any]]
) -> None:
    path = tmp_path_factory.mktemp("core") / "core.db"
    core = SqliteCoreLog(path)
    passing, now_ns, seq = first, 10, 0
    alerts: list[AlertRevision] = []
    fates: dict[str, set[bool]] = defaultdict(set)
    opened_under: dict[str, Filter] = {}
    routes = Routes(core.set_delivery_filter("sink", encode_filter(passing)))
    for step, value in steps:
        match step:
            case "filter" | "restart":  # a filter changes with a restart, and with it alone
                passing = value or passing
                core.close()
                core = SqliteCoreLog(path)
                routes = Routes(core.set_delivery_filter("sink", encode_filter(passing)))
            case "time":
                now_ns += value
            case _:
                if step == "open":
                    level, source, cluster, rule, tags = value
                    name = f"alert {len(alerts)}"
                    made = AlertRevision(name, 1, 1, now_ns, level, rule, b"", source, cluster, tuple(tags))
                    alerts.append(made)
                    opened_under[name] = passing
                elif alerts:
                    made = alerts[value % len(alerts)]
                    made = alerts[value % len(alerts)] = made._replace(revision=made.revision + 1)
                else:
                    continue
                seq += 1
                core.commit_detect(DetectCommit(seq, now_ns, b"", [made]))
                fates[made.alert_id].add(routes.want(made))
    with contextlib.closing(core):
        for entry in core.alerts(0, limit=1_000):  # and so it is when all of them are looked at again
            fates[entry.revision.alert_id].add(routes.want(entry.revision))
    assert all(len(fate) == 1 for fate in fates.values())
    for made in alerts:
        if opened_under[made.alert_id] is first:
            assert fates[made.alert_id] == {first.wants_alert(made)}, "what was opened under a filter goes by it"
