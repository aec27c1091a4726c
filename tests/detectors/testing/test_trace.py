"""How conditions stand on events: as trees, and as the clauses that decide."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given

from detectors.fields import getter
from detectors.predicate import And, Atom, Not, Op, Or, Predicate, atoms, matches
from detectors.testing.trace import Part, State, decisive, trace
from tests.detectors.test_equivalence import DOCUMENTS, PREDICATES

if TYPE_CHECKING:
    from collections.abc import Iterator

DOC: dict[str, Any] = {"verb": "create", "user": "eve", "groups": ["dev", "ops"], "ports": [1, 22]}
CREATE = Atom("verb", Op.EQUALS, "create", where="selection.verb")
GET = Atom("verb", Op.EQUALS, "get", where="selection.verb")
LIST = Atom("verb", Op.EQUALS, "list", where="selection.verb")
ADMIN = Atom("groups", Op.EQUALS, "admin", where="selection.groups")
OPS = Atom("groups", Op.EQUALS, "ops", where="filter.groups")
MISSING = Atom("none", Op.EXISTS, where="selection.none")


def lines(part: Part) -> Iterator[tuple[str, State]]:
    yield (part.where or part.kind), part.state
    for inner in part.parts:
        yield from lines(inner)


@pytest.mark.parametrize(
    ("predicate", "expected"),
    [
        pytest.param(CREATE, [("selection.verb", State.HELD)], id="atom"),
        pytest.param(Or((GET, LIST)), [("selection.verb", State.FAILED)], id="values_are_one_clause"),
        pytest.param(
            And((GET, CREATE, MISSING)),
            [
                ("and", State.FAILED),
                ("selection.verb", State.FAILED),
                ("selection.verb", State.HELD),
                ("selection.none", State.FAILED),
            ],
            id="all_parts_of_and",
        ),
        pytest.param(
            Or((ADMIN, CREATE, OPS)),
            [
                ("or", State.HELD),
                ("selection.groups", State.FAILED),
                ("selection.verb", State.HELD),
                ("filter.groups", State.NOT_NEEDED),
            ],
            id="or_until_one_holds",
        ),
        pytest.param(
            And((CREATE, Not(OPS))),
            [
                ("and", State.FAILED),
                ("selection.verb", State.HELD),
                ("not", State.FAILED),
                ("filter.groups", State.HELD),
            ],
            id="negation",
        ),
        pytest.param(
            Or((CREATE, Not(And((OPS, GET))))),
            [
                ("or", State.HELD),
                ("selection.verb", State.HELD),
                ("not", State.NOT_NEEDED),
                ("and", State.NOT_NEEDED),
                ("filter.groups", State.NOT_NEEDED),
                ("selection.verb", State.NOT_NEEDED),
            ],
            id="nothing_is_known_of_what_is_not_needed",
        ),
    ],
)
def test_the_tree_follows_the_condition(predicate: Predicate, expected: list[tuple[str, State]]) -> None:
    assert list(lines(trace(predicate, DOC))) == expected


@pytest.mark.parametrize(
    ("predicate", "expected"),
    [
        pytest.param(OPS, ("groups[1]", "ops", 1), id="the_value_that_passes"),
        pytest.param(ADMIN, ("groups[0]", "dev", 2), id="the_first_of_those_that_fail"),
        pytest.param(MISSING, ("", None, 0), id="absent"),
        pytest.param(Atom("none", Op.NULL), ("", None, 1), id="absent_as_asked"),
        pytest.param(Atom(None, Op.CONTAINS, "nowhere"), ("", None, 0), id="keyword"),
        pytest.param(Atom("ports", Op.GT, 5), ("ports[1]", 22, 1), id="number"),
        pytest.param(Or((GET, CREATE)), ("verb", "create", 1), id="one_of_a_list"),
    ],
)
def test_clauses_name_values_and_places(predicate: Predicate, expected: tuple[str, Any, int]) -> None:
    part = trace(predicate, DOC)
    assert (part.path, part.value, part.values) == expected


@pytest.mark.parametrize(
    ("predicate", "expected"),
    [
        (And((CREATE, GET, MISSING)), ["selection.verb", "selection.none"]),
        (And((CREATE, Not(OPS))), ["filter.groups"]),
        (And((CREATE, Or((ADMIN, OPS)))), ["selection.verb", "filter.groups"]),
        (Not(Or((ADMIN, MISSING))), ["selection.groups", "selection.none"]),
        (Or((ADMIN, MISSING)), ["selection.groups", "selection.none"]),
    ],
    ids=["failed_and", "failed_not", "held_and", "held_not", "failed_or"],
)
def test_decisive_clauses(predicate: Predicate, expected: list[str]) -> None:
    assert [clause.where for clause in decisive(trace(predicate, DOC))] == expected


@given(PREDICATES, DOCUMENTS)
def test_what_decides_is_known_and_has_a_say(predicate: Predicate, doc: dict[str, Any]) -> None:
    whole = trace(predicate, doc)
    found = list(decisive(whole))
    assert all(clause.kind == "clause" and clause.state is not State.NOT_NEEDED for clause in found)
    assert found or not list(atoms(predicate)) or _decided_by_nothing(predicate)


def _decided_by_nothing(predicate: Predicate) -> bool:
    """Whether some And or Or has no parts: it decides without a clause."""
    if isinstance(predicate, Atom):
        return False
    parts = [predicate.part] if isinstance(predicate, Not) else predicate.parts
    return not parts or any(map(_decided_by_nothing, parts))


@given(PREDICATES, DOCUMENTS)
def test_a_tree_says_what_the_interpreter_says(predicate: Predicate, doc: dict[str, Any]) -> None:
    assert trace(predicate, doc).held == matches(predicate, lambda field: getter(field)(doc))
