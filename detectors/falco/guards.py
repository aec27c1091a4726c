"""What must hold for a rule to match, as far as it is "this field has one of these texts".

Nearly every rule asks for a verb, a resource or an event type before anything else. Such guards find the candidates
among all rules with one look-up for each field; only those are evaluated. They are necessary, never sufficient: a rule
that matches passes all its guards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from detectors.falco.field_types import FieldType
from detectors.falco.resolving import GetValue
from detectors.falco.sources import Source
from detectors.falco.syntax import And, Check, Expr, Field, Not, Or, Values
from detectors.values import kind_of, text

Guards = dict[Field, frozenset[str]]
"""By field, the texts of which it must have one."""

_EQUALITY: Final = frozenset((("=", ""), ("==", ""), ("in", ""), ("intersects", ""), ("=", "anyof"), ("==", "anyof")))


def guards_of(expr: Expr, source: Source) -> Guards:
    """Return what a condition needs."""
    if isinstance(expr, Check):
        return _of_check(expr, source)
    if isinstance(expr, And):
        return _joined(guards_of(part, source) for part in expr.parts)
    if isinstance(expr, Or):
        return _alternative([guards_of(part, source) for part in expr.parts])
    assert isinstance(expr, Not), "macros are expanded"
    return {}


def _of_check(check: Check, source: Source) -> Guards:
    if not isinstance(check.left, Field) or (check.op, check.modifier) not in _EQUALITY:
        return {}
    info, field = source.resolve(check.left)
    if info.is_list or info.type is not FieldType.CHARBUF or not isinstance(check.right, Values):
        return {}
    return {field: frozenset(check.right.items)}


def _joined(found: Iterable[Guards]) -> Guards:
    joined: Guards = {}
    for guards in found:
        for field, texts in guards.items():
            joined[field] = joined.get(field, texts) & texts
    return joined


def _alternative(found: Sequence[Guards]) -> Guards:
    return {
        field: frozenset[str]().union(*(guards[field] for guards in found))
        for field in found[0]
        if all(field in guards for guards in found)
    }


class Candidates:
    """Finds the conditions whose guards an event passes, as bits."""

    def __init__(self, found: Sequence[Guards]) -> None:
        self._all = (1 << len(found)) - 1
        fields = dict.fromkeys(field for guards in found for field in guards)
        self._fields = [(field.name, field.arg, *_masks(field, found)) for field in fields]

    def find(self, get: GetValue) -> Iterator[int]:
        """Yield the positions of the candidates, in order."""
        bits = self._all
        for name, arg, passing, unguarded in self._fields:
            value = get(name, arg)
            kind = kind_of(value)
            if kind is not list:
                bits &= passing.get(value if kind is str or value is None else text(value), unguarded)
        while bits:
            lowest = bits & -bits
            yield lowest.bit_length() - 1
            bits ^= lowest


def _masks(field: Field, found: Sequence[Guards]) -> tuple[dict[str | None, int], int]:
    """Return, by text of a field, the conditions that pass with it; and those that do with any other."""
    unguarded = sum(1 << at for at, guards in enumerate(found) if field not in guards)
    passing: dict[str | None, int] = {}
    for at, guards in enumerate(found):
        for value in guards.get(field, ()):
            passing[value] = passing.get(value, unguarded) | 1 << at
    return passing, unguarded
