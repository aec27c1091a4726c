"""Why a rule matched: the clauses of its condition that decided, each with the value it was decided by.

For And every part counts, for Or the first part that holds; under Not what counts is that something does *not* hold,
of And then the first such part, of Or every part. Atoms that offer one field a list of values are told as one clause
where none of them holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from typing import Any, Final

import msgspec

from detectors.fields import locate, render
from detectors.predicate import And, Atom, Not, Op, Predicate, matches, value_limit, value_test
from detectors.values import is_list, is_object
from vedette.schema.finding import Clause

VALUE_CHARS_MAX: Final = 256
"""Characters of a value, or of a test, that a clause quotes; attackers choose lengths too."""
CLAUSES_MAX: Final = 64
"""Clauses of one explanation; rules with longer ones say no more to a person."""

_WORDS: Final = {
    Op.EQUALS: "equals",
    Op.PREFIX: "starts with",
    Op.SUFFIX: "ends with",
    Op.CONTAINS: "contains",
    Op.WILDCARD: "is like",
    Op.REGEX: "matches regex",
    Op.CIDR: "is in network",
    Op.LT: "<",
    Op.LTE: "≤",
    Op.GT: ">",
    Op.GTE: "≥",
    Op.EXISTS: "exists",
    Op.NULL: "is absent or null",
    Op.SAME: "equals the field",
    Op.PREFIX_FIELD: "starts with the field",
    Op.SUFFIX_FIELD: "ends with the field",
    Op.CONTAINS_FIELD: "contains the field",
    Op.MINUTE: "is in minute",
    Op.HOUR: "is in hour",
    Op.DAY: "is on day",
    Op.WEEK: "is in week",
    Op.MONTH: "is in month",
    Op.YEAR: "is in year",
    Op.BEFORE: "is before",
    Op.SINCE: "is not before",
}
Document = dict[str, Any]


def explain(predicate: Predicate, doc: Document) -> tuple[Clause, ...]:
    """Return the clauses that decided that a predicate holds for a document, in the rule's order.

    Each clause that is not negated names a value that passes its test; for a negated one nothing in the document does.
    """
    return tuple(islice(_why(predicate, doc), CLAUSES_MAX))


def _why(predicate: Predicate, doc: Document) -> Iterator[Clause]:
    if isinstance(predicate, Atom):
        yield _positive(predicate, doc)
    elif isinstance(predicate, Not):
        yield from _why_not(predicate.part, doc)
    elif isinstance(predicate, And):
        for part in predicate.parts:
            yield from _why(part, doc)
    else:
        yield from _why(next(part for part in predicate.parts if _holds(part, doc)), doc)


def _why_not(predicate: Predicate, doc: Document) -> Iterator[Clause]:
    if isinstance(predicate, Atom):
        yield _negative([predicate], doc)
    elif isinstance(predicate, Not):
        yield from _why(predicate.part, doc)
    elif isinstance(predicate, And):
        yield from _why_not(next(part for part in predicate.parts if not _holds(part, doc)), doc)
    else:
        for place, group in groupby(predicate.parts, key=_list_of):
            parts = list(group)
            if place is not None:
                yield _negative([part for part in parts if isinstance(part, Atom)], doc)
            else:
                for part in parts:
                    yield from _why_not(part, doc)


def _list_of(part: Predicate) -> tuple[str, str | None, Op, bool] | None:
    return (part.where, part.field, part.op, part.cased) if isinstance(part, Atom) else None


def _holds(predicate: Predicate, doc: Document) -> bool:
    return matches(predicate, lambda field: _values(field, doc))


def _values(field: str | None, doc: Document) -> tuple[Any, ...]:
    return tuple(value for _, value in locate(field, doc))


def _positive(atom: Atom, doc: Document) -> Clause:
    test = value_test(atom, lambda field: _values(field, doc))
    for path, value in islice(locate(atom.field, doc), value_limit(atom)):
        if test(value):
            return Clause(atom.where, atom.field or "", describe([atom]), render(path), bounded(value))
    assert atom.op is Op.NULL, "an atom is explained where it holds"
    return Clause(atom.where, atom.field or "", describe([atom]))


def _negative(atoms: Sequence[Atom], doc: Document) -> Clause:
    """Explain that none of several tests of one field holds: with the field's (first) value if it has one."""
    first = atoms[0]
    path, value = ((), None) if first.field is None else next(locate(first.field, doc), ((), None))
    test = _cut(f"not: {describe(atoms)}")
    return Clause(first.where, first.field or "", test, render(path), bounded(value), negated=True)


def describe(atoms: Sequence[Atom]) -> str:
    """Say what some atoms of one field and operator test for: `starts with "system:" or "kube-"`."""
    first = atoms[0]
    word = _WORDS[first.op] + (" (case-sensitive)" if first.cased else "")
    if first.op in (Op.EXISTS, Op.NULL):
        return word
    return _cut(f"{word} {' or '.join(_quoted(atom.value) for atom in atoms)}")


def _quoted(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def bounded(value: Any) -> Any:
    """Return a value as a clause quotes it: long strings cut, containers as the beginning of their JSON."""
    if is_object(value) or is_list(value):
        value = _quoted(value)
    return _cut(value) if isinstance(value, str) else value


def _cut(string: str) -> str:
    return string if len(string) <= VALUE_CHARS_MAX else string[: VALUE_CHARS_MAX - 1] + "…"
