"""What detectors remember is bounded, and shared out fairly."""

from __future__ import annotations

import msgspec

from detectors.behaviour.groups import Groups, owner_of
from detectors.loading import load_rules
from detectors.rule import RuleText
from vedette.schema.observation import Kind, Observation
from vedette.testing.law import Checkpoints

from .test_loading import TEXT

(DEFINITION,) = load_rules([RuleText("b.yml", TEXT, "mine")]).definitions


class Bag(msgspec.Struct):
    owner: str
    items: list[int]


def groups(weight_max: int = 10) -> Groups[Bag]:
    return Groups(Bag, weight_max, lambda bag: len(bag.items))


def key(found: Groups[Bag], *values: str) -> str:
    return found.key(DEFINITION, "c", values)


def test_whoever_has_most_loses_the_oldest() -> None:
    found = groups()
    found.add(key(found, "mine"), Bag("me", [1, 2]))
    evicted = sum(found.add(key(found, f"flood{number}"), Bag("flood", [1])) for number in range(20))
    assert evicted == 12
    assert found.weight == 10
    assert key(found, "mine") in found.state
    assert list(found.state)[1:] == [key(found, f"flood{number}") for number in range(12, 20)]


def test_one_that_grows_is_not_its_own_victim() -> None:
    found = groups(3)
    bag = Bag("me", [1])
    found.add(key(found, "a"), bag)
    found.touch(key(found, "a"))
    bag.items += [2, 3, 4, 5]
    assert found.weigh(key(found, "a"), bag) == 0
    assert len(found) == 1


def test_one_that_had_to_go_weighs_nothing() -> None:
    found = groups(2)
    gone, other = key(found, "gone"), key(found, "other")
    bag = Bag("me", [1, 2])
    found.add(gone, bag)
    found.add(other, Bag("me", [1, 2]))
    assert gone not in found.state
    assert found.weigh(gone, bag) == 0
    assert found.weight == 2
    assert found.add(key(found, "more"), Bag("you", [1])) == 1


def test_keys_differ_where_values_do() -> None:
    found = groups()
    texts = [("a", "b"), ("a b",), ("a", ""), ("a",), ('a","b',), ("x" * 5000,), ("x" * 5001,), ("a\x1fb",)]
    keys = {found.key(DEFINITION, cluster, values) for cluster in ("", "c") for values in texts}
    assert len(keys) == 2 * len(texts)
    assert all(len(one) < 1200 for one in keys)


def test_a_restored_one_evicts_the_same() -> None:
    one = groups()
    for number in range(9):
        one.add(key(one, str(number)), Bag(f"o{number % 2}", [number]))
    store = Checkpoints()

    class Operator:
        name, version, state = "groups", 1, one.state

        def rebuild(self) -> None: ...

    store.save([Operator()], keys_max=3)
    other = groups()
    other.state.restore(store.rows["groups"].values())
    other.rebuild()
    for found in (one, other):
        found.add(key(found, "big"), Bag("o2", [0] * 5))
    assert list(one.state) == list(other.state)


def test_owners_are_namespaces_users_or_networks() -> None:
    assert owner_of(Observation(Kind.CALL, namespace="shop", actor="ann")) == "shop"
    assert owner_of(Observation(Kind.CALL, actor="ann", address="1.2.3.4")) == "ann"
    assert owner_of(Observation(Kind.CONNECTION, address="1.2.3.4")) == "1.2.3.0/24"
