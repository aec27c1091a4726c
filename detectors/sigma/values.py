"""Sigma's value types, each lowered to the test that it stands for (specification 2.1; pySigma's classes, 2.x)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import MAXYEAR, MINYEAR
from typing import Any, Final

from sigma.types import (
    CompareOperators,
    Placeholder,
    SigmaBool,
    SigmaCasedString,
    SigmaCIDRExpression,
    SigmaCompareExpression,
    SigmaExists,
    SigmaExpansion,
    SigmaFieldReference,
    SigmaNull,
    SigmaNumber,
    SigmaRegularExpression,
    SigmaString,
    SigmaTimestampPart,
    SigmaType,
    SpecialChars,
)

from detectors.pattern import GlobPart, Wild, compile_regex, render_glob
from detectors.predicate import Atom, Not, Op, Predicate, any_of
from detectors.sigma.documents import Document
from detectors.sigma.places import Place
from vedette.schema.errors import RuleError

_WILD: Final = {SpecialChars.WILDCARD_MULTI: Wild.ANY, SpecialChars.WILDCARD_SINGLE: Wild.ONE}
_ORDER: Final = {
    CompareOperators.LT: Op.LT,
    CompareOperators.LTE: Op.LTE,
    CompareOperators.GT: Op.GT,
    CompareOperators.GTE: Op.GTE,
}
_REFERENCES: Final = {
    (False, False): Op.SAME,
    (True, False): Op.PREFIX_FIELD,
    (False, True): Op.SUFFIX_FIELD,
    (True, True): Op.CONTAINS_FIELD,
}
_PARTS: Final = {Op.MINUTE: (0, 59), Op.HOUR: (0, 23), Op.DAY: (1, 31), Op.WEEK: (1, 53), Op.MONTH: (1, 12)}
_INTEGER_MIN: Final = -(2**63)
_INTEGER_MAX: Final = 2**64 - 1


class Item:
    """Where a value stands: what an atom made of it needs, and where to report that it can't be made."""

    def __init__(self, document: Document, place: Place, field: str | None) -> None:
        self.field = field
        self._document = document
        self._place = place

    def atom(self, op: Op, value: str | float | bool | None = None, *, cased: bool = False) -> Atom:
        """Return an atom of this field."""
        return Atom(self.field, op, value, cased, self._place.where)

    def refused(self, message: str) -> RuleError:
        """Return the error that refuses the value."""
        return self._document.error(message, *self._place.keys, at_key=True)


def lower_value(value: SigmaType, item: Item) -> Predicate:
    """Lower one value.

    Raises:
        RuleError: it has no meaning on a stream of events.
    """
    for kind, lower in _VALUES:
        if isinstance(value, kind):
            return lower(value, item)
    raise item.refused(f"{type(value).__name__} has no meaning on a stream of events")


def _string(value: SigmaString, item: Item) -> Predicate:
    parts = _glob_parts(value, item)
    if item.field is None:
        parts = [Wild.ANY, *parts, Wild.ANY]
    return text_atom(item.atom, parts, cased=isinstance(value, SigmaCasedString))


def _glob_parts(value: SigmaString, item: Item) -> list[GlobPart]:
    parts: list[GlobPart] = []
    for part in value.s:
        if isinstance(part, Placeholder):
            raise item.refused(f"the placeholder %{part.name}% has no values; list them in the rule")
        parts.append(_WILD[part] if isinstance(part, SpecialChars) else part)
    return parts


def text_atom(atom: Callable[..., Atom], parts: Iterable[GlobPart], *, cased: bool) -> Atom:
    """Make the simplest atom that tests a text against a glob; `atom` takes (op, value, cased=…)."""
    merged = _merged(parts)
    literals = [part for part in merged if isinstance(part, str)]
    shape = tuple(part if isinstance(part, Wild) else None for part in merged)
    op = _SHAPES.get(shape, Op.WILDCARD)
    return atom(op, render_glob(merged) if op is Op.WILDCARD else "".join(literals), cased=cased)


def _merged(parts: Iterable[GlobPart]) -> list[GlobPart]:
    merged: list[GlobPart] = []
    for part in parts:
        last = merged[-1] if merged else None
        if isinstance(part, str) and isinstance(last, str):
            merged[-1] = last + part
        elif part and not (part is Wild.ANY and last is Wild.ANY):
            merged.append(part)
    return merged


_SHAPES: Final[dict[tuple[Wild | None, ...], Op]] = {
    (): Op.EQUALS,
    (None,): Op.EQUALS,
    (None, Wild.ANY): Op.PREFIX,
    (Wild.ANY, None): Op.SUFFIX,
    (Wild.ANY, None, Wild.ANY): Op.CONTAINS,
}


def _number(value: SigmaNumber, item: Item) -> Predicate:
    if item.field is None:
        return item.atom(Op.CONTAINS, str(value.number))
    return item.atom(Op.EQUALS, _storable(value.number))


def _storable(number: float) -> float:
    """Keep a number within what MessagePack can store."""
    return number if _INTEGER_MIN <= number <= _INTEGER_MAX else float(number)


def _bool(value: SigmaBool, item: Item) -> Predicate:
    return item.atom(Op.EQUALS, value.boolean)


def _null(_: SigmaNull, item: Item) -> Predicate:
    if item.field is None:
        raise item.refused("null needs a field")
    return item.atom(Op.NULL)


def _exists(value: SigmaExists, item: Item) -> Predicate:
    atom = item.atom(Op.EXISTS)
    return atom if value.exists else Not(atom)


def _regex(value: SigmaRegularExpression, item: Item) -> Predicate:
    if not isinstance(value.regexp, SigmaString):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise item.refused("a regular expression must be a text; quote it")
    if value.contains_placeholder():
        raise item.refused("the regular expression has a placeholder without values; write them into the rule")
    flags = "".join(sorted(value.sigma_to_re_flag[flag] for flag in value.flags))
    pattern = f"(?{flags}){value.regexp}" if flags else str(value.regexp)
    try:
        compile_regex(pattern)
    except ValueError as error:
        raise item.refused(f"RE2 does not take the regular expression: {error}") from error
    return item.atom(Op.REGEX, pattern)


def _cidr(value: SigmaCIDRExpression, item: Item) -> Predicate:
    return item.atom(Op.CIDR, str(value.network))


def _compare(value: SigmaCompareExpression, item: Item) -> Predicate:
    op = _ORDER.get(value.op)
    if op is None or item.field is None:
        raise item.refused("a comparison needs a field and one of lt, lte, gt, gte")
    if isinstance(value.number, SigmaTimestampPart):
        return _compare_time(value.number, op, item)
    return item.atom(op, _storable(value.number.number))


def _compare_time(value: SigmaTimestampPart, op: Op, item: Item) -> Predicate:
    part = Op(value.timestamp_part.name.lower())
    bound = int(value.number)
    if part is Op.YEAR:
        return _compare_year(bound, op, item)
    least, most = _PARTS[part]
    low = {Op.GT: bound + 1, Op.GTE: bound}.get(op, least)
    high = {Op.LT: bound - 1, Op.LTE: bound}.get(op, most)
    return any_of(item.atom(part, number) for number in range(max(low, least), min(high, most) + 1))


def _compare_year(bound: int, op: Op, item: Item) -> Predicate:
    """Compare with the beginning of a year: there are too many of them to list."""
    year = bound + (op in (Op.GT, Op.LTE))
    is_after = op in (Op.GT, Op.GTE)
    if not MINYEAR < year <= MAXYEAR:
        return item.atom(Op.SINCE, _year(MINYEAR)) if is_after is (year <= MINYEAR) else any_of(())
    return item.atom(Op.SINCE if is_after else Op.BEFORE, _year(year))


def _year(year: int) -> str:
    return f"{year:04}-01-01T00:00:00Z"


def _time_part(value: SigmaTimestampPart, item: Item) -> Predicate:
    if item.field is None:
        raise item.refused("a part of a time needs a field")
    return item.atom(Op(value.timestamp_part.name.lower()), int(value.number))


def _field_reference(value: SigmaFieldReference, item: Item) -> Predicate:
    if item.field is None:
        raise item.refused("fieldref needs a field")
    return item.atom(_REFERENCES[value.starts_with, value.ends_with], value.field)


def _expansion(value: SigmaExpansion, item: Item) -> Predicate:
    return any_of(lower_value(part, item) for part in value.values)


_VALUES: Final[tuple[tuple[type[SigmaType], Callable[[Any, Item], Predicate]], ...]] = (
    (SigmaString, _string),
    (SigmaTimestampPart, _time_part),
    (SigmaNumber, _number),
    (SigmaBool, _bool),
    (SigmaNull, _null),
    (SigmaExists, _exists),
    (SigmaRegularExpression, _regex),
    (SigmaCIDRExpression, _cidr),
    (SigmaCompareExpression, _compare),
    (SigmaFieldReference, _field_reference),
    (SigmaExpansion, _expansion),
)
"""In this order: a time part is a number to Python too."""
