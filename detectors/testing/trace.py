"""How each clause of a condition stands on an event, whether the rule matches or not.

`detectors.explain` names what decided that a rule matched; this tells of all clauses, as a tree that follows the
condition. Of And every part is looked at, so that everything which keeps a rule from matching is seen at once; of Or
what stands behind the first part that holds is not needed. Atoms that offer one field a list of values are one clause.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from itertools import groupby, islice
from typing import Any

import msgspec
from msgspec.structs import replace

from detectors.explain import bounded, describe
from detectors.fields import locate, render
from detectors.predicate import And, Atom, Not, Op, Or, Predicate, matches, value_limit, value_test

Document = dict[str, Any]


class State(StrEnum):
    """How a part of a condition stands on an event."""

    HELD = "held"
    FAILED = "failed"
    NOT_NEEDED = "not needed"
    """An alternative before it holds."""


class Part(msgspec.Struct, frozen=True, omit_defaults=True):
    """A part of a condition: `and`, `or` and `not` of `parts`, or a `clause`.

    Of a clause: `where` is its place in the rule, `test` what it asks of `field` ("" for any value of the event). Where
    it holds `path` and `value` are those that pass; where it fails those of the field's first value, of `values`.
    """

    kind: str
    state: State
    parts: tuple[Part, ...] = ()
    where: str = ""
    field: str = ""
    test: str = ""
    path: str = ""
    value: Any = None
    values: int = 0

    @property
    def held(self) -> bool:
        """Whether it holds; of what is not needed nothing is known."""
        return self.state is State.HELD


def trace(predicate: Predicate, doc: Document) -> Part:
    """Return how a predicate and its parts stand on a document."""
    return _Tracer(doc).part(predicate)


def decisive(part: Part) -> Iterator[Part]:
    """Yield the clauses that make a part hold, or that keep it from holding, in the rule's order."""
    if part.kind == "clause":
        yield part
    for inner in part.parts:
        if part.kind == "not" or inner.state is part.state:
            yield from decisive(inner)


class _Tracer:
    def __init__(self, doc: Document) -> None:
        self._doc = doc

    def part(self, predicate: Predicate, *, needed: bool = True) -> Part:
        if isinstance(predicate, Atom):
            return self._clause([predicate], needed=needed)
        if isinstance(predicate, Not):
            inner = self.part(predicate.part, needed=needed)
            return Part("not", state_of(not inner.held, needed=needed), (inner,))
        if isinstance(predicate, And):
            parts = tuple(self.part(part, needed=needed) for part in predicate.parts)
            return Part("and", state_of(all(part.held for part in parts), needed=needed), parts)
        return self._choice(predicate, needed=needed)

    def _choice(self, predicate: Or, *, needed: bool) -> Part:
        parts: list[Part] = []
        held = False
        for group in grouped(predicate.parts):
            first, wanted = group[0], needed and not held
            part = self.part(first, needed=wanted) if len(group) == 1 else self._clause(_atoms(group), needed=wanted)
            parts.append(part)
            held = held or part.held
        return parts[0] if len(parts) == 1 else Part("or", state_of(held, needed=needed), tuple(parts))

    def _clause(self, atoms: Sequence[Atom], *, needed: bool) -> Part:
        first = atoms[0]
        asked = Part("clause", State.NOT_NEEDED, where=first.where, field=first.field or "", test=describe(atoms))
        if not needed:
            return asked
        found = next((atom for atom in atoms if matches(atom, self._values)), None)
        if found is not None:
            path, value = self._passing(found)
            return replace(asked, state=State.HELD, path=path, value=value, values=1)
        if first.field is None:
            return replace(asked, state=State.FAILED)
        place, value = next(locate(first.field, self._doc), ((), None))
        count = len(self._values(first.field))
        return replace(asked, state=State.FAILED, path=render(place), value=bounded(value), values=count)

    def _passing(self, atom: Atom) -> tuple[str, Any]:
        test = value_test(atom, self._values)
        for path, value in islice(locate(atom.field, self._doc), value_limit(atom)):
            if test(value):
                return render(path), bounded(value)
        return "", None  # the field is absent, and that is what was asked

    def _values(self, field: str | None) -> tuple[Any, ...]:
        return tuple(value for _, value in locate(field, self._doc))


def grouped(parts: Sequence[Predicate]) -> list[list[Predicate]]:
    """Return the parts of an Or, neighbouring atoms that offer one field a list of values together."""
    found: list[list[Predicate]] = []
    for key, group in groupby(parts, key=_list_of):
        members = list(group)
        found.extend([[part] for part in members] if key is None else [members])
    return found


def _list_of(part: Predicate) -> tuple[str, str | None, Op, bool] | None:
    return (part.where, part.field, part.op, part.cased) if isinstance(part, Atom) else None


def _atoms(parts: Sequence[Predicate]) -> list[Atom]:
    return [part for part in parts if isinstance(part, Atom)]


def state_of(held: bool, *, needed: bool) -> State:
    """Return the state of a part that holds or does not."""
    if not needed:
        return State.NOT_NEEDED
    return State.HELD if held else State.FAILED
