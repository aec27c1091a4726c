"""Explanations as people read them; that they are true is tested in test_equivalence."""

from __future__ import annotations

from typing import Any

import pytest

from detectors.explain import CLAUSES_MAX, VALUE_CHARS_MAX, explain
from detectors.predicate import And, Atom, Not, Op, Or, Predicate
from vedette.schema.finding import Clause

DOC: dict[str, Any] = {
    "verb": "create",
    "objectRef": {"subresource": "exec"},
    "annotations": {"authorization.k8s.io/decision": "allow"},
    "requestObject": {"spec": {"containers": [{"image": "a"}, {"image": "xmrig:1"}], "hostNetwork": True}},
    "long": "x" * 1000,
}
VERB = Atom("verb", Op.EQUALS, "create", where="selection.verb")
EXEC = Atom("objectRef.subresource", Op.EQUALS, "EXEC", where="selection.objectRef.subresource")
MINER = Atom("requestObject.spec.containers.image", Op.PREFIX, "xmrig", where="image")
ROBOT = Atom("user", Op.EQUALS, "robot", where="filter.user")
OTHER = Atom("user", Op.EQUALS, "other", where="filter.user")
GET = Atom("verb", Op.EQUALS, "get", where="filter.verb")
PATH = "requestObject.spec.containers[1].image"


@pytest.mark.parametrize(
    ("predicate", "expected"),
    [
        (VERB, [Clause("selection.verb", "verb", 'equals "create"', "verb", "create")]),
        (
            And((EXEC, VERB)),
            [
                Clause(EXEC.where, "objectRef.subresource", 'equals "EXEC"', "objectRef.subresource", "exec"),
                Clause("selection.verb", "verb", 'equals "create"', "verb", "create"),
            ],
        ),
        (Or((ROBOT, MINER, VERB)), [Clause("image", str(MINER.field), 'starts with "xmrig"', PATH, "xmrig:1")]),
        (Not(ROBOT), [Clause("filter.user", "user", 'not: equals "robot"', negated=True)]),
        (
            Not(Or((ROBOT, OTHER, GET))),
            [
                Clause("filter.user", "user", 'not: equals "robot" or "other"', negated=True),
                Clause("filter.verb", "verb", 'not: equals "get"', "verb", "create", negated=True),
            ],
        ),
        (Not(And((VERB, ROBOT, GET))), [Clause("filter.user", "user", 'not: equals "robot"', negated=True)]),
        (Not(Not(VERB)), [Clause("selection.verb", "verb", 'equals "create"', "verb", "create")]),
        (Atom("none", Op.NULL), [Clause("", "none", "is absent or null")]),
        (Atom("verb", Op.EXISTS), [Clause("", "verb", "exists", "verb", "create")]),
        (
            Atom(None, Op.CONTAINS, "allow"),
            [Clause("", "", 'contains "allow"', 'annotations["authorization.k8s.io/decision"]', "allow")],
        ),
        (
            Atom("long", Op.WILDCARD, "x*", cased=True),
            [Clause("", "long", 'is like (case-sensitive) "x*"', "long", "x" * (VALUE_CHARS_MAX - 1) + "…")],
        ),
        (
            Atom("requestObject.spec.containers", Op.EXISTS),
            [
                Clause(
                    "", "requestObject.spec.containers", "exists", "requestObject.spec.containers[0]", '{"image":"a"}'
                )
            ],
        ),
    ],
    ids=["atom", "and", "or", "absent", "not-or", "not-and", "not-not", "null", "exists", "keyword", "long", "object"],
)
def test_clauses(predicate: Predicate, expected: list[Clause]) -> None:
    assert list(explain(predicate, DOC)) == expected


def test_explanations_are_bounded() -> None:
    many = And(tuple(Atom("long", Op.CONTAINS, "x" * n, where=str(n)) for n in range(1, 500)))
    clauses = explain(many, DOC)
    assert len(clauses) == CLAUSES_MAX
    assert max(len(clause.test) for clause in explain(Atom("long", Op.CONTAINS, "x" * 900), DOC)) == VALUE_CHARS_MAX
