"""Who looks at which observation."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from detectors.behaviour import watch as module
from detectors.behaviour.fields import general, network_of, reader, scope_of
from detectors.behaviour.watch import Watch
from detectors.loading import load_rules
from detectors.rule import RuleText
from vedette.schema.observation import Observation

NEWS = """
title: {title}
id: {title}
logsource: {{product: vedette, category: {category}}}
detection: {{sel: {{{detection}}}, condition: sel}}
behaviour: {{type: first_seen, by: [actor], value: [verb], learn_for: 1s}}
"""


def watch_of(*texts: tuple[str, str, str]) -> Watch:
    written = [NEWS.format(title=title, category=category, detection=detection) for title, category, detection in texts]
    loaded = load_rules([RuleText("b.yml", "\n---\n".join(written), "mine")])
    assert not loaded.errors
    watch = Watch()
    watch.use(loaded.definitions)
    return watch


def seen(time_s: int, **values: Any) -> Observation:
    return msgspec.convert({"kind": "call", "time_ns": time_s * 10**9, **values}, Observation)


def found(watch: Watch, *given: Observation) -> list[list[str]]:
    return [[deviation.info.title for deviation in watch.observe(one)] for one in given]


def test_each_looks_at_its_kind_and_what_it_selects() -> None:
    watch = watch_of(
        ("anns", "call", "actor: ann"), ("all", "any", "actor|exists: true"), ("deeds", "process", "actor: ann")
    )
    calls = [seen(0, actor="ann", verb="get"), seen(9, actor="ann", verb="list"), seen(9, actor="bob", verb="list")]
    assert found(watch, *calls) == [[], ["anns", "all"], []]
    assert found(watch, seen(99, actor="bob", verb="x"), seen(99, kind="process", actor="ann", verb="x")) == [
        ["all"],
        ["all"],
    ]


def test_what_is_unknown_is_no_value() -> None:
    watch = watch_of(("named", "call", "namespace|exists: true"))
    assert found(watch, seen(0, actor="a", verb="x"), seen(9, actor="a", verb="y")) == [[], []]
    assert found(watch, seen(0, actor="a", namespace="n"), seen(9, actor="a", verb="y", namespace="n")) == [
        [],
        ["named"],
    ]


def test_numbers_select_as_numbers() -> None:
    watch = watch_of(("refused", "call", "code|gte: 400"))
    assert found(watch, seen(0, actor="a", code=403), seen(9, actor="a", code=404, verb="y")) == [[], ["refused"]]
    assert found(watch, seen(9, actor="a", code=200, verb="z")) == [[]]


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PLANS_MAX", 10)
    watch = watch_of(("all", "call", "actor|exists: true"))
    for number in range(100):
        watch.observe(seen(number, actor=f"a{number}"))
    assert len(watch._selections["call"]._plans) <= 10
    assert found(watch, seen(200, actor="a99", verb="x")) == [["all"]]


@pytest.mark.parametrize(
    ("address", "network", "scope"),
    [
        ("10.1.2.3", "10.1.2.0/24", "inside"),
        ("172.16.0.1", "172.16.0.0/24", "inside"),
        ("172.32.0.1", "172.32.0.0/24", "outside"),
        ("198.51.100.7", "198.51.100.0/24", "outside"),
        ("fd00::1", "fd00::/64", "inside"),
        ("2001:db8::1", "2001:db8::/64", "outside"),
        ("no address", "no address", ""),
        ("", "", ""),
    ],
)
def test_networks(address: str, network: str, scope: str) -> None:
    assert (network_of(address), scope_of(address)) == (network, scope)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/tmp/upload-0a1b2c3d4e", "/tmp/upload-*"),
        ("/var/log/app.log.17", "/var/log/app.log.*"),
        ("/proc/4711/mem", "/proc/*/mem"),
        ("/data/4f9c2e1a-7b3d-4c5e-8f60-0123456789ab/x", "/data/*/x"),
        ("/etc/shadow", "/etc/shadow"),
    ],
)
def test_what_differs_each_time_is_left_out(path: str, expected: str) -> None:
    assert general(path) == expected


def test_fields_are_read_as_texts() -> None:
    one = seen(0, actor="ann", code=200, user_agent="kubectl/v1.3 (linux)", address="10.0.0.1")
    assert reader(("actor", "verb"))(one) == ("ann", "")
    assert reader(("code", "agent", "network"))(one) == ("200", "kubectl", "10.0.0.0/24")
    assert reader(("actor",))(one) == ("ann",)
    assert reader(())(one) == ()
