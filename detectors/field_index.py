"""The index that keeps most rules from being looked at: which of them an event leaves possible.

For each field the index knows which branches of rules (as bits of an integer) given values leave possible, going by the
branches' needs (`detectors.anchors`); an event's candidates are the intersection over the fields. It asks first what
most rules need and tells events apart, all other fields only while a branch is left that needs something of them, and
last the conditions that compare fields with each other. What is left then holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from detectors.anchors import branches, conjuncts, needs_of, selective_fields, telling
from detectors.compiled import Check, compile_predicate
from detectors.joint import remember
from detectors.lookup import Lookup, lookup
from detectors.predicate import Op, Predicate, atoms, fields

SHARE_MIN: Final = 0.2
"""A field that this share of the branches needs is worth its look-up even where they need a better one."""
JOINT_FIELDS_MIN: Final = 2
"""Fewer fields are not worth a memory of combinations."""

Continue = Callable[[dict[str, Any], int], int]
"""From a document and what was left possible for it, as bits, to what holds."""
_Needs = Sequence[Mapping[str, Predicate]]
"""For each branch what it needs of each field."""
_Steps = tuple[tuple[int, Lookup], ...]
"""Look-ups, each with the branches that it is for."""


class FieldIndex:
    """Finds, for a document, the rules that match it. `predicates` are the rules', about fields of the document.

    `nested` promises that no key of a document has a dot and begins with the key of an object in it.
    """

    def __init__(self, predicates: Sequence[Predicate | None], *, nested: bool = False) -> None:
        """Choose the fields to ask first, and compile.

        `fields`: what any branch needs something of.
        """
        split = [(rule, branch) for rule, whole in enumerate(predicates) for branch in _split(whole)]
        self.owners: Final = tuple(rule for rule, _ in split)
        """For each branch's bit, its rule's position."""
        needs = [needs_of(branch) for _, branch in split]
        anchors = [selective_fields(found) for found in needs]
        self.unanchored: Final = frozenset(rule for rule, found in zip(self.owners, anchors, strict=True) if not found)
        self._all: Final = (1 << len(needs)) - 1

        self._anchors: Final = anchors
        first = _choose([found for found in anchors if found])
        ranked = [*first, *sorted({field for found in needs for field in found}.difference(first))]
        self.fields: Final = tuple(ranked)
        joint = [field for field in ranked if _of_whole_values(field, needs)]
        if len(joint) < JOINT_FIELDS_MIN:
            joint = []
        parts = _parts([branch for _, branch in split], needs)
        together = {part: bits for part, bits in parts.items() if joint and set(fields(part)) <= set(joint)}

        self._steps: Final = {field: _step(field, needs, self._all, nested=nested) for field in ranked}
        self._parts: Final = parts

        def steps(names: Iterable[str]) -> _Steps:
            return tuple(self._steps[field] for field in names)

        at_once = _joined(steps(joint), _compiled(together), self._all)
        self._joint: Final = remember(joint, at_once, nested=nested) if joint else None
        self._first: Final = steps(field for field in first if field not in joint)
        self._then: Final = steps(field for field in ranked if field not in joint and field not in first)
        self._last: Final = _compiled({part: bits for part, bits in parts.items() if part not in together})

    def relies_on(self, wanted: Iterable[str], known: Iterable[str]) -> bool:
        """Say whether some branch needs something of the wanted fields, and of no known one that tells events apart."""
        wanted, known = frozenset(wanted), frozenset(filter(telling, known))
        return any(known.isdisjoint(found) and not wanted.isdisjoint(found) for found in self._anchors)

    def within(self, *known: Iterable[str]) -> tuple[Lookup, ...] | None:
        """Return what each of some sets of fields leaves possible; None if some branch needs nothing of any."""
        indifferent = self._all
        for choosy, _ in (self._steps[field] for names in known for field in names if field in self._steps):
            indifferent &= ~choosy
        return None if indifferent else tuple(map(self._within, known))

    def beyond(self, *known: Iterable[str]) -> Continue:
        """Return what finds the branches that hold among those that `within` left possible for a document."""
        sets = [frozenset[str | None](names) for names in known]
        decided = frozenset[str | None]().union(*sets)
        steps = tuple(step for field, step in self._steps.items() if field not in decided)
        parts = {
            part: bits for part, bits in self._parts.items() if not any(one.issuperset(fields(part)) for one in sets)
        }
        return _continuing(steps, _compiled(parts))

    def _within(self, known: Iterable[str]) -> Lookup:
        there: frozenset[str | None] = frozenset(known)
        steps = tuple(step for field, step in self._steps.items() if field in there)
        parts = {part: bits for part, bits in self._parts.items() if there.issuperset(fields(part))}
        return _joined(steps, _compiled(parts), self._all)

    def candidates(self, doc: dict[str, Any]) -> int:
        """Return the branches that hold, as bits."""
        possible = self._all if self._joint is None else self._joint(doc)
        for choosy, look_up in self._first:
            if possible & choosy:
                possible &= look_up(doc)
        if not possible:
            return 0
        for choosy, look_up in self._then:
            if possible & choosy:
                possible &= look_up(doc)
        for bits, check in self._last:
            if possible & bits and not check(doc):
                possible &= ~bits
        return possible


def _split(predicate: Predicate | None) -> Sequence[Predicate | None]:
    return [None] if predicate is None else branches(predicate)


def _choose(needs: Sequence[Sequence[str]]) -> list[str]:
    """Choose the fields to ask first, so that every branch has its most telling one; the most useful first."""
    counts: dict[str, int] = {}
    for found in needs:
        for field in found:
            counts[field] = counts.get(field, 0) + 1
    ranked = sorted(counts, key=lambda field: (not telling(field), -counts[field], field))
    chosen = {next(field for field in ranked if field in found) for found in needs}
    chosen.update(field for field in ranked if counts[field] >= SHARE_MIN * len(needs))
    return [field for field in ranked if field in chosen]


def _of_whole_values(field: str, needs: _Needs) -> bool:
    """Say whether rules ask of a field only whole values, so that it takes few: not parts of free text."""
    asked = (found[field] for found in needs if field in found)
    return all(atom.op in (Op.EQUALS, Op.EXISTS, Op.NULL) for need in asked for atom in atoms(need))


def _step(field: str, needs: _Needs, every: int, *, nested: bool) -> tuple[int, Lookup]:
    """Return the branches that need something of the field, and the look-up."""
    by_need: dict[Predicate, int] = {}
    for bit, found in enumerate(needs):
        if field in found:
            by_need[found[field]] = by_need.get(found[field], 0) | 1 << bit
    choosy = sum(by_need.values())
    return choosy, lookup(field, by_need, every & ~choosy, nested=nested)


def _parts(branches: Sequence[Predicate | None], needs: _Needs) -> dict[Predicate, int]:
    """Return the conditions that no field alone decides, each with the branches that it is part of."""
    found: dict[Predicate, int] = {}
    for bit, branch in enumerate(branches):
        for part in () if branch is None else conjuncts(branch):
            asked = fields(part)
            if len(asked) != 1 or asked[0] not in needs[bit]:
                found[part] = found.get(part, 0) | 1 << bit
    return found


def _compiled(parts: Mapping[Predicate, int]) -> tuple[tuple[int, Check], ...]:
    return tuple((bits, compile_predicate(part)) for part, bits in parts.items())


def _continuing(steps: _Steps, parts: Sequence[tuple[int, Check]]) -> Continue:
    def evaluate(doc: dict[str, Any], possible: int) -> int:
        for choosy, look_up in steps:
            if possible & choosy:
                possible &= look_up(doc)
        for bits, check in parts:
            if possible & bits and not check(doc):
                possible &= ~bits
        return possible

    return evaluate


def _joined(steps: _Steps, parts: Sequence[tuple[int, Check]], every: int) -> Lookup:
    narrow = _continuing(steps, parts)
    return lambda doc: narrow(doc, every)
