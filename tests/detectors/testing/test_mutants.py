"""Mutants: what is changed, and that none is the rule itself."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from msgspec.structs import replace

from detectors.fields import getter
from detectors.predicate import And, Atom, GetValues, Not, Op, Or, Predicate, atoms, matches
from detectors.rule import RuleText
from detectors.sigma import load_rules
from detectors.testing.mutants import LEFT_OUT, MOVED, NEGATED, correlation_mutants, mutants
from tests.detectors.test_equivalence import PREDICATES

A = Atom("a", Op.EQUALS, "1", where="s.a")
A2 = Atom("a", Op.EQUALS, "2", where="s.a")
B = Atom("b", Op.EQUALS, "1", where="s.b")
C = Atom("c", Op.EQUALS, "1", where="f.c")
D = Atom("d", Op.EQUALS, "1", where="f.d")
EXCEPTION = Atom("e", Op.EQUALS, "1", where="Eve may: s.e")
EVERYTHING = And(())
VALUES = Or((A, A2))


def found(predicate: Predicate) -> list[tuple[str, str, Predicate]]:
    return [(change.how, change.where, mutant) for change, mutant in mutants(predicate, lambda atom: atom != EXCEPTION)]


@pytest.mark.parametrize(
    ("predicate", "expected"),
    [
        pytest.param(A, [(NEGATED, "s.a", Not(A)), (LEFT_OUT, "s.a", EVERYTHING)], id="one_clause"),
        pytest.param(
            And((VALUES, B)),
            [
                (NEGATED, "s.a", And((Not(VALUES), B))),
                (LEFT_OUT, "s.a", And((B,))),
                (NEGATED, "s.b", And((VALUES, Not(B)))),
                (LEFT_OUT, "s.b", And((VALUES,))),
            ],
            id="values_are_one_clause",
        ),
        pytest.param(
            And((A, Not(C))),
            [
                (NEGATED, "s.a", And((Not(A), Not(C)))),
                (LEFT_OUT, "s.a", And((Not(C),))),
                (NEGATED, "f.c", And((A, C))),
                (LEFT_OUT, "f.c", And((A,))),
            ],
            id="a_negated_clause_is_one_part",
        ),
        pytest.param(
            And((A, Not(Or((C, D))))),
            [
                (NEGATED, "s.a", And((Not(A), Not(Or((C, D)))))),
                (LEFT_OUT, "s.a", And((Not(Or((C, D))),))),
                (NEGATED, "f.c, f.d", And((A, Or((C, D))))),
                (LEFT_OUT, "f.c, f.d", And((A,))),
                (NEGATED, "f.c", And((A, Not(Or((Not(C), D)))))),
                (LEFT_OUT, "f.c", And((A, Not(Or((D,)))))),
                (NEGATED, "f.d", And((A, Not(Or((C, Not(D))))))),
                (LEFT_OUT, "f.d", And((A, Not(Or((C,)))))),
            ],
            id="behind_a_negation",
        ),
        pytest.param(
            And((A, Not(EXCEPTION))),
            [(NEGATED, "s.a", And((Not(A), Not(EXCEPTION)))), (LEFT_OUT, "s.a", And((Not(EXCEPTION),)))],
            id="exceptions_stay",
        ),
        pytest.param(Or(()), [], id="nothing"),
        pytest.param(
            And((A, B, Or(()))),
            [
                (NEGATED, "s.a", And((Not(A), B, Or(())))),
                (LEFT_OUT, "s.a", And((B, Or(())))),
                (NEGATED, "s.b", And((A, Not(B), Or(())))),
                (LEFT_OUT, "s.b", And((A, Or(())))),
            ],
            id="a_part_that_asks_nothing",
        ),
    ],
)
def test_each_part_is_changed(predicate: Predicate, expected: list[tuple[str, str, Predicate]]) -> None:
    assert found(predicate) == expected


@pytest.mark.parametrize("predicate", [And((VALUES, B, Not(Or((C, D))))), Or((And((A, Not(B))), C)), Not(And((A, B)))])
def test_no_mutant_is_the_rule_itself(predicate: Predicate) -> None:
    documents = [{name: "1" if bits >> at & 1 else "x" for at, name in enumerate("abcd")} for bits in range(16)]

    def outcome(tried: Predicate) -> list[bool]:
        return [matches(tried, _values(doc)) for doc in documents]

    assert all(outcome(mutant) != outcome(predicate) for _, _, mutant in found(predicate))


@given(PREDICATES)
def test_any_predicate_has_mutants_that_can_be_asked(predicate: Predicate) -> None:
    found = list(mutants(_placed(predicate), lambda _: True))
    assert bool(found) is any(True for _ in atoms(predicate))
    for change, mutant in found:
        assert change.what
        assert matches(mutant, lambda _: ()) in (True, False)


def _placed(predicate: Predicate) -> Predicate:
    """Give each field a place of its own, as rules do."""
    if isinstance(predicate, Atom):
        return replace(predicate, where=f"selection.{predicate.field}")
    if isinstance(predicate, Not):
        return Not(_placed(predicate.part))
    return type(predicate)(tuple(map(_placed, predicate.parts)))


def _values(doc: dict[str, Any]) -> GetValues:
    return lambda field: getter(field)(doc)


COURSE = """\
title: A
id: a
logsource: {product: kubernetes, service: audit}
detection: {s: {verb: get}, condition: s}
---
title: B
id: b
logsource: {product: kubernetes, service: audit}
detection: {s: {verb: list}, condition: s}
---
title: Over
id: over
correlation: {type: TYPE, rules: [a, b], group-by: [user.username], timespan: 5m, condition: CONDITION}
"""


@pytest.mark.parametrize(
    ("kind", "condition", "expected"),
    [
        pytest.param(
            "event_count",
            "{gt: 2, lte: 5}",
            [
                (NEGATED, "condition", "gt 2"),
                (MOVED, "condition", "gt 2 to gt 1"),
                (MOVED, "condition", "gt 2 to gt 3"),
                (NEGATED, "condition", "lte 5"),
                (MOVED, "condition", "lte 5 to lte 4"),
                (MOVED, "condition", "lte 5 to lte 6"),
                (LEFT_OUT, "group-by", "user.username"),
            ],
            id="range",
        ),
        pytest.param(
            "temporal",
            "a and not b",
            [
                (NEGATED, "condition", "`A`"),
                (NEGATED, "condition", "`B`"),
                (LEFT_OUT, "group-by", "user.username"),
            ],
            id="expression",
        ),
    ],
)
def test_mutants_of_correlations(kind: str, condition: str, expected: list[tuple[str, str, str]]) -> None:
    loaded = load_rules([RuleText("r.yml", COURSE.replace("TYPE", kind).replace("CONDITION", condition), "")])
    assert [str(error) for error in loaded.errors] == []
    (correlation,) = loaded.correlations
    found = list(correlation_mutants(correlation))
    assert [tuple(change) for change, _ in found] == expected
    assert len({mutant.content_hash for _, mutant in found} | {correlation.content_hash}) == len(found) + 1
