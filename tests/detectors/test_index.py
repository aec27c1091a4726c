"""The index names exactly the rules that hold, whatever it remembers."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors import joint, lookup
from detectors.anchors import conjuncts
from detectors.fields import getter
from detectors.index import Index
from detectors.predicate import And, Atom, Not, Op, Or, Predicate, matches
from tests.detectors.test_equivalence import DOCUMENTS, DOTTED_DOCUMENTS, PREDICATES, interpreted

WHOLE = st.sampled_from(["", "x", "X", "403", "true", "1", 403, 1, 0, True])
SHORT_FIELDS = st.sampled_from(["a", "b", "a.b", "b.c", "b.c.d"])
WHOLE_ATOMS = st.builds(Atom, SHORT_FIELDS, st.just(Op.EQUALS), WHOLE) | st.builds(
    Atom, SHORT_FIELDS, st.sampled_from([Op.EXISTS, Op.NULL])
)
WHOLE_RULES: st.SearchStrategy[Predicate] = st.recursive(
    WHOLE_ATOMS,
    lambda inner: st.one_of(
        st.builds(And, st.lists(inner, min_size=1, max_size=4).map(tuple)),
        st.builds(Or, st.lists(inner, min_size=1, max_size=4).map(tuple)),
        st.builds(Not, inner),
    ),
    max_leaves=8,
)
SCALARS = st.sampled_from(["x", "X", "", "403", "1", 403, 403.0, 1, 1.0, True, 0, False, -0.0, None])
ALIKE = (
    SCALARS
    | st.lists(SCALARS | st.lists(SCALARS, max_size=2), max_size=2)
    | st.dictionaries(st.sampled_from(["b", "c", "d", "c.d"]), SCALARS | st.lists(SCALARS, max_size=2), max_size=3)
)
NESTED = st.dictionaries(st.sampled_from(["a", "b", "c"]), ALIKE, max_size=3)
FLAT = st.dictionaries(st.sampled_from(["a", "b", "a.b", "b.c", "b.c.d"]), ALIKE, max_size=4)


def found(index: Index, doc: dict[str, Any]) -> set[int]:
    bits = index.candidates(doc)
    return {owner for bit, owner in enumerate(index.owners) if bits >> bit & 1}


def holding(rules: list[Predicate], doc: dict[str, Any]) -> set[int]:
    return {number for number, rule in enumerate(rules) if interpreted(rule, doc)}


@given(st.lists(PREDICATES, max_size=6), st.lists(DOCUMENTS | DOTTED_DOCUMENTS, min_size=1, max_size=4))
def test_an_index_names_the_rules_that_hold(rules: list[Predicate], docs: list[dict[str, Any]]) -> None:
    index = Index(rules)
    for doc in [*docs, *docs]:
        assert found(index, doc) == holding(rules, doc)


@pytest.mark.parametrize("nested", [True, False], ids=["nested", "flat"])
@given(st.lists(WHOLE_RULES, min_size=2, max_size=6), st.data())
def test_combinations_of_values_are_not_confused(nested: bool, rules: list[Predicate], data: st.DataObject) -> None:
    docs = data.draw(st.lists(NESTED if nested else FLAT | NESTED, min_size=1, max_size=8))
    index = Index(rules, nested=nested)
    for doc in [*docs, *reversed(docs)]:
        assert found(index, doc) == holding(rules, doc)


@given(PREDICATES, DOCUMENTS | DOTTED_DOCUMENTS)
def test_a_predicate_is_the_and_of_its_conjuncts(predicate: Predicate, doc: dict[str, Any]) -> None:
    parts = And(tuple(conjuncts(predicate)))
    assert matches(parts, lambda field: getter(field)(doc)) == interpreted(predicate, doc)


def test_the_memory_of_combinations_is_bounded_and_not_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    rules: list[Predicate] = [And((Atom("a", Op.EQUALS, "1"), Atom("b", Op.EQUALS, "2"))), Atom("b", Op.EQUALS, "3")]
    evaluated: list[dict[str, Any]] = []
    monkeypatch.setattr(joint, "COMBINATIONS_MAX", 3)
    monkeypatch.setattr(joint, "COMBINATION_CHARS_MAX", 8)

    def evaluate(doc: dict[str, Any]) -> int:
        evaluated.append(doc)
        return sum(1 << number for number in holding(rules, doc))

    look_up = joint.remember(["a", "b"], evaluate, nested=False)
    docs = [{"a": str(number), "b": str(number % 5)} for number in range(9)]
    expected = [evaluate(doc) for doc in docs]
    evaluated.clear()
    assert [look_up(doc) for doc in docs for _ in range(2)] == [bits for bits in expected for _ in range(2)]
    assert len(evaluated) == len(docs)
    evaluated.clear()
    long = {"a": "x" * 9, "b": "3"}
    assert [look_up(long), look_up(long)] == [2, 2]
    assert evaluated == [long, long]


def test_a_field_remembers_short_values_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "MEMORY_CHARS_MAX", 4)
    look_up = lookup.lookup("a", {Atom("a", Op.CONTAINS, "x"): 1}, 2, nested=False)
    for value, bits in [("x", 3), ("yyyyyyx", 3), ("yyyyyyy", 2), (["x" * 5, "y"], 3), ("x", 3), (None, 2), (7, 2)]:
        assert look_up({"a": value}) == bits


ORDER = """
from detectors.index import Index
from detectors.predicate import And, Atom, Not, Op, Or
words = ["alpha", "beta", "gamma", "delta"]
either = [Or((Atom("a", Op.EQUALS, n), Atom("b.c", Op.EQUALS, "x"))) for n in range(3)]
rules = [And((Atom(f"f{n % 5}", Op.CONTAINS, words[n % 4]), either[n % 3])) for n in range(40)]
index = Index(rules)
docs = [{f"f{m % 5}": words[m % 4] + str(m), "a": m % 3, "b": {"c": "xy"[m % 2]}} for m in range(60)]
print(index.owners, [index.candidates(doc) for doc in docs])
"""


def test_the_order_of_hashes_is_not_noticed() -> None:
    printed = {
        subprocess.run(
            [sys.executable, "-c", ORDER],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            stdout=subprocess.PIPE,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(printed) == 1
