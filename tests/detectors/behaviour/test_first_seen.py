"""First-seen tuples: what is learned of whom, what is news, and what a flood of made-up values does."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pytest

from detectors.behaviour.definition import Definition
from detectors.behaviour.fields import FIELDS
from detectors.behaviour.first_seen import FirstSeen
from detectors.behaviour.loading import load_definitions
from detectors.behaviour.testing import passes
from detectors.behaviour.types import SETTINGS
from detectors.packs import shipped_pack_texts
from detectors.rule import RuleText
from vedette.schema.limits import SECOND_NS
from vedette.schema.observation import Kind, Observation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from detectors.behaviour.deviation import Deviation
    from detectors.testing.case import RuleTest

TEXT: Final = """
title: News
id: 00000000-0000-4000-8000-000000000001
level: low
logsource: {product: vedette, category: call}
detection: {any: {actor|exists: true}, condition: any}
behaviour: {type: first_seen, by: [actor], value: [verb, resource], learn_for: 2d}
"""
HOUR_S: Final = 3600
DAY_S: Final = 24 * HOUR_S
SHIPPED: Final = [
    found
    for found in load_definitions(
        [text for text in shipped_pack_texts() if text.pack == "behaviour"], SETTINGS
    ).definitions
    if found.type == "first_seen"
]


def load(**settings: Any) -> Definition:
    told = ", ".join(f"{name}: {value}" for name, value in settings.items())
    text = TEXT.replace("learn_for: 2d", f"{told}" if "learn_for" in settings else f"learn_for: 2d, {told}")
    loaded = load_definitions([RuleText("news.yml", text, "test")], SETTINGS)
    assert loaded.errors == ()
    return loaded.definitions[0]


def call(time_s: float, actor: str = "ann", verb: str = "get", **values: Any) -> Observation:
    plain: dict[str, Any] = {"kind": Kind.CALL, "time_ns": int(time_s * SECOND_NS), "actor": actor, "verb": verb}
    return msgspec.convert({"resource": "pods", "outcome": "allow"} | plain | values, Observation)


class Bench:
    """A detector with one definition."""

    def __init__(self, definition: Definition) -> None:
        self.detector = FirstSeen()
        self.detector.use([definition])
        self.definition = definition

    def see(self, *calls: Observation) -> list[Deviation]:
        found = [self.detector.observe(self.definition, seen) for seen in calls]
        return [deviation for deviation in found if deviation is not None]


def each_hour(start_s: int, end_s: int, **values: Any) -> Iterable[Observation]:
    return [call(at_s, **values) for at_s in range(start_s, end_s, HOUR_S)]


@pytest.mark.parametrize(
    ("definition", "test"),
    [pytest.param(found, test, id=f"{found.info.title}: {test.name}") for found in SHIPPED for test in found.tests],
)
def test_shipped_definitions_pass_their_tests(definition: Definition, test: RuleTest) -> None:
    assert passes(definition, test)


def test_every_shipped_definition_has_a_test_of_both_kinds() -> None:
    assert len(SHIPPED) >= 9
    assert all({test.match for test in found.tests} == {True, False} for found in SHIPPED)


def test_what_comes_while_learning_is_normal_and_after_that_news_once() -> None:
    bench = Bench(load())
    assert bench.see(*each_hour(0, 2 * DAY_S, verb="get"), call(2 * DAY_S - 1, verb="list")) == []
    (told,) = bench.see(call(2 * DAY_S, verb="delete"), call(2 * DAY_S + 1, verb="delete"), call(2 * DAY_S + 2))
    assert told.group == (("actor", "ann"),)
    assert told.seen == "verb, resource = delete pods"
    assert told.normal == "in 2 days ann showed 2 values of verb, resource, lately: list pods; get pods"
    assert told.unusual == "never seen of it in 2 days"


def test_somebody_else_learns_on_their_own() -> None:
    bench = Bench(load())
    bench.see(*each_hour(0, 3 * DAY_S))
    assert bench.see(call(3 * DAY_S, actor="bob", verb="delete")) == []


@pytest.mark.parametrize(
    ("last_s", "told"), [(29 * DAY_S, False), (30 * DAY_S, False), (30 * DAY_S + HOUR_S, True), (60 * DAY_S, True)]
)
def test_what_was_long_unseen_is_news_again(last_s: int, told: bool) -> None:
    bench = Bench(load())
    bench.see(call(0, verb="delete"))
    assert bool(bench.see(call(last_s, verb="delete"))) is told


def test_enough_values_end_learning_early() -> None:
    bench = Bench(load(learn_count=2))
    assert bench.see(call(0, verb="get"), call(1, verb="list")) == []
    assert len(bench.see(call(2, verb="delete"))) == 1


def test_values_with_any_characters_stay_apart() -> None:
    bench = Bench(load(learn_count=1))
    bench.see(call(0, verb="a b", resource="c"))
    assert len(bench.see(call(1, verb="a", resource="b c"))) == 1
    assert len(bench.see(call(2, verb="\x00\n\u202e" * 5000, resource='["'))) == 1
    assert bench.see(call(3, verb="a b", resource="c")) == []


def test_an_empty_first_value_shows_only_that_the_entity_is_there() -> None:
    bench = Bench(load())
    bench.see(call(0, verb=""))
    (told,) = bench.see(call(3 * DAY_S, verb="delete"))
    assert told.normal == "in 3 days ann showed no verb, resource"


def test_others_can_tell_that_somebody_exists() -> None:
    bench = Bench(load(exists_by="[token_account]"))
    token = {"resource": "serviceaccounts/token", "namespace": "shop", "name": "cart"}
    assert (
        bench.see(*(call(at_s, actor="kubelet", verb="create", **token) for at_s in range(0, 3 * DAY_S, HOUR_S))) == []
    )
    (told,) = bench.see(call(3 * DAY_S, actor="system:serviceaccount:shop:cart"))
    assert told.normal == ("in 3 days system:serviceaccount:shop:cart was known to exist and never seen to do anything")


def test_an_act_that_shows_nothing_is_an_act() -> None:
    bench = Bench(load(exists_by="[token_account]"))
    token = {"resource": "serviceaccounts/token", "namespace": "shop", "name": "cart"}
    cart = "system:serviceaccount:shop:cart"
    bench.see(call(0, actor="kubelet", verb="create", **token), call(HOUR_S, actor=cart, verb=""))
    (told,) = bench.see(call(3 * DAY_S, actor=cart))
    assert told.normal == f"in 3 days {cart} showed no verb, resource"


def test_it_says_when_something_was_seen_that_is_news_again() -> None:
    bench = Bench(load())
    bench.see(call(0, verb="delete"))
    (told,) = bench.see(call(50 * DAY_S, verb="delete"))
    assert told.unusual == "not seen of it for 50 days"


def test_what_many_others_show_is_no_news() -> None:
    bench = Bench(load(common_from=2, common_percent=10))
    bench.see(*(call(0, actor=f"a{number}") for number in range(18)))
    bench.see(*(call(1, actor=actor, verb="list") for actor in ("a1", "a2")))
    assert bench.see(call(3 * DAY_S, actor="a3", verb="list")) == []
    bench.see(*(call(2, actor=f"b{number}") for number in range(20)))
    assert len(bench.see(call(3 * DAY_S, actor="a4", verb="list"))) == 1, "three of 38 are too few"


def test_counts_of_others_follow_what_is_learned_evicted_and_restored() -> None:
    definition = load(common_from=1, common_percent=0, values_max=3)
    bench, rng = Bench(definition), random.Random(5)
    bench.detector.known = type(bench.detector.known)(200)
    bench.detector.state = bench.detector.known.state
    bench.detector.use([definition])
    for at_s in range(3000):
        bench.see(call(at_s, actor=f"a{rng.randrange(90)}", verb=f"v{rng.randrange(12)}"))
    fleet = bench.detector.known
    keys = list(fleet.state)
    asked = [(key, f'["v{number}","pods"]') for key in keys[:1] for number in range(12)]
    before = [fleet.shares(*each) for each in asked]
    assert len(keys) < 90, "some were evicted"
    fleet.rebuild()
    bench.detector.use([definition])
    assert [fleet.shares(*each) for each in asked] == before
    assert sum(count for count, _ in before) == sum(
        len(known.values) for known in map(fleet.get, keys) if known is not None
    )


def test_only_what_comes_straight_after_a_pause_is_told() -> None:
    bench = Bench(load(straight_within="2m", pause="1h"))
    bench.see(*each_hour(0, 3 * DAY_S, verb=""))
    start_s = 3 * DAY_S + 2 * HOUR_S
    assert bench.see(call(start_s, verb=""), call(start_s + 121, verb="delete")) == []
    assert len(bench.see(call(start_s + 5 * HOUR_S, verb=""), call(start_s + 5 * HOUR_S + 119, verb="list"))) == 1


def test_one_that_shows_something_else_each_time_is_left_alone_and_counted() -> None:
    bench = Bench(load(values_max=50))
    bench.see(*(call(number, verb=f"v{number}") for number in range(200)))
    assert bench.see(call(5 * DAY_S, verb="new")) == []
    assert bench.detector.left_out["overflowing", bench.definition.info.rule_id] == 151


def test_observations_of_nobody_teach_nothing() -> None:
    bench = Bench(load())
    assert bench.see(*each_hour(0, 5 * DAY_S, actor="")) == []
    assert len(bench.detector.state) == 0


def test_a_flood_of_made_up_names_evicts_itself_and_hides_no_attack() -> None:
    definition = load()
    bench = Bench(definition)
    bench.detector.known = type(bench.detector.known)(2_000)
    bench.detector.state = bench.detector.known.state
    bench.detector.use([definition])
    bench.see(*each_hour(0, 2 * DAY_S, namespace="shop"))
    found = bench.see(*(call(2 * DAY_S + n, actor=f"u{n}", namespace="evil") for n in range(20_000)))
    assert found == []
    assert bench.detector.known.weight <= 2_000
    assert bench.detector.left_out["evicted", definition.info.rule_id] > 17_000
    assert len(bench.see(call(3 * DAY_S, verb="delete", namespace="shop"))) == 1


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("exists_by: [who]", "there is no field 'who' for exists_by"),
        ("common_percent: 101", "<= 100"),
        ("learns: 7d", "unknown key 'learns'"),
    ],
)
def test_wrong_settings_are_refused(setting: str, message: str) -> None:
    (error,) = load_definitions([RuleText("a.yml", TEXT.replace("learn_for: 2d", setting), "test")], SETTINGS).errors
    assert message in str(error)


@pytest.mark.parametrize(
    ("field", "values", "expected"),
    [
        ("deed", {"verb": "get", "resource": "pods/exec"}, "use pods/exec"),
        ("deed", {"verb": "watch", "resource": "secrets"}, "list secrets"),
        ("deed", {"verb": "patch", "resource": "deployments"}, "write workloads"),
        ("deed", {"verb": "create", "resource": "statefulsets"}, "write workloads"),
        ("deed", {"verb": "deletecollection", "resource": "jobs"}, "delete jobs"),
        ("deed", {"verb": "patch", "resource": "pods/status"}, ""),
        ("deed", {"verb": "list", "resource": "pods"}, ""),
        ("deed_or_list", {"verb": "list", "resource": "pods"}, "list pods"),
        ("deed_or_list", {"verb": "get", "resource": "configmaps"}, ""),
        ("night_deed", {"verb": "get", "resource": "secrets", "time_s": 3 * HOUR_S}, "get secrets"),
        ("night_deed", {"verb": "get", "resource": "secrets", "time_s": 22 * HOUR_S}, "get secrets"),
        ("night_deed", {"verb": "get", "resource": "secrets", "time_s": 6 * HOUR_S}, ""),
        ("privilege_deed", {"verb": "create", "resource": "rolebindings"}, "write rolebindings"),
        ("privilege_deed", {"verb": "list", "resource": "rolebindings"}, ""),
        ("privilege_deed", {"verb": "create", "resource": "pods"}, ""),
        ("reach", {"actor": "system:serviceaccount:shop:cart", "namespace": "shop"}, "(own)"),
        ("reach", {"actor": "system:serviceaccount:shop:cart", "namespace": "sho"}, "(other)"),
        ("reach", {"actor": "system:serviceaccount:shop:cart"}, "(cluster)"),
        ("reach", {"actor": "ann", "namespace": "shop"}, "shop"),
        ("token_account", {"verb": "get", "resource": "serviceaccounts/token", "name": "a", "namespace": "b"}, ""),
        ("wide_network", {"address": "10.200.3.4"}, "10.200.0.0/16"),
        ("wide_network", {"address": "2001:db8:1:2::3"}, "2001:db8:1::/48"),
        ("wide_network", {"address": "nowhere"}, "nowhere"),
    ],
)
def test_what_fields_tell_of_a_call(field: str, values: dict[str, Any], expected: str) -> None:
    told: dict[str, Any] = {"time_s": 0} | values
    assert FIELDS[field](call(**told)) == expected
