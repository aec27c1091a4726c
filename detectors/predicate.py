"""The one form that rules of every language are lowered to, and its reference meaning.

A predicate is And, Or and Not over atoms; an atom tests the values of one field. Predicates are frozen and hashable,
and msgspec stores them as JSON or MessagePack. `matches` says what a predicate means, in the plainest way; what runs
on the stream is `detectors.compiled`, tested to agree with it.

Meaning. A field has any number of values (lists are transparent: see `detectors.fields`); an atom holds if any of them
passes. A missing field has none, so its atom is false, and under Not true: the logic is two-valued. Comparisons of text
ignore case (`values.fold`) unless the atom is `cased`. Numbers and booleans equal the strings that spell them
(`values.text`), null and containers equal nothing; only EXISTS and NULL look at them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import islice
from operator import ge, gt, le, lt
from typing import Any, Final

import msgspec

from detectors.pattern import compile_glob, compile_regex
from detectors.values import address, fold, instant, number, text

FIELDREF_VALUES_MAX: Final = 1000
"""Values looked at of each of two fields that are compared: attackers write long lists, and pairs are their product."""


class Op(StrEnum):
    """How an atom compares a value of its field with its own `value`."""

    EQUALS = "equals"
    PREFIX = "prefix"
    SUFFIX = "suffix"
    CONTAINS = "contains"
    WILDCARD = "wildcard"
    """`value` is a glob in canonical form (`detectors.pattern`) over the whole text."""
    REGEX = "regex"
    """`value` is an RE2 pattern, flags inline, found anywhere in the text."""
    CIDR = "cidr"
    LT = "lt"
    LTE = "lte"
    GT = "gt"
    GTE = "gte"
    EXISTS = "exists"
    """The field is there, be it null or empty; `value` is None."""
    NULL = "null"
    """The field is absent or null; `value` is None."""
    SAME = "same"
    """`value` names another field, and some value of both is equal; likewise for the next three."""
    PREFIX_FIELD = "prefix_field"
    SUFFIX_FIELD = "suffix_field"
    CONTAINS_FIELD = "contains_field"
    MINUTE = "minute"
    """The value, read as a point in time in UTC, has this minute; likewise for the next five."""
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    """ISO 8601 week number."""
    MONTH = "month"
    YEAR = "year"
    BEFORE = "before"
    """The value, read as a point in time, is before `value`, one in ISO 8601; likewise for the next."""
    SINCE = "since"
    """At `value` or later."""


class Atom(msgspec.Struct, frozen=True, tag="atom", omit_defaults=True):
    """One test of one field.

    `field` None means every leaf value of the document (a keyword). `where` names the place in the rule
    (`selection.verb`), for explanations.
    """

    field: str | None
    op: Op
    value: str | int | float | bool | None = None
    cased: bool = False
    where: str = ""


class And(msgspec.Struct, frozen=True, tag="and"):
    """All parts hold; true if there are none."""

    parts: tuple[Predicate, ...]


class Or(msgspec.Struct, frozen=True, tag="or"):
    """Some part holds; false if there are none."""

    parts: tuple[Predicate, ...]


class Not(msgspec.Struct, frozen=True, tag="not"):
    """The part does not hold."""

    part: Predicate


Predicate = And | Or | Not | Atom
GetValues = Callable[[str | None], Sequence[Any]]
"""Returns the values of a field, or for None every leaf value."""


def all_of(parts: Iterable[Predicate]) -> Predicate:
    """Join with And, without needless nesting."""
    flat = tuple(_flattened(parts, And))
    return flat[0] if len(flat) == 1 else And(flat)


def any_of(parts: Iterable[Predicate]) -> Predicate:
    """Join with Or, without needless nesting."""
    flat = tuple(_flattened(parts, Or))
    return flat[0] if len(flat) == 1 else Or(flat)


def _flattened(parts: Iterable[Predicate], kind: type[And | Or]) -> Iterator[Predicate]:
    for part in parts:
        if isinstance(part, kind):
            yield from part.parts
        else:
            yield part


def atoms(predicate: Predicate) -> Iterator[Atom]:
    """Yield every atom, in the rule's order."""
    if isinstance(predicate, Atom):
        yield predicate
    elif isinstance(predicate, Not):
        yield from atoms(predicate.part)
    else:
        for part in predicate.parts:
            yield from atoms(part)


def fields(predicate: Predicate) -> tuple[str | None, ...]:
    """Return every field that the predicate looks at, once each, in the rule's order."""
    found: dict[str | None, None] = {}
    for atom in atoms(predicate):
        found[atom.field] = None
        if atom.op in _FIELD_TESTS:
            found[str(atom.value)] = None
    return tuple(found)


def matches(predicate: Predicate, get_values: GetValues) -> bool:
    """Say whether a predicate holds: the reference meaning."""
    if isinstance(predicate, Atom):
        return holds(predicate, get_values)
    if isinstance(predicate, Not):
        return not matches(predicate.part, get_values)
    results = (matches(part, get_values) for part in predicate.parts)
    return all(results) if isinstance(predicate, And) else any(results)


def holds(atom: Atom, get_values: GetValues) -> bool:
    """Say whether an atom holds."""
    values = get_values(atom.field)
    if atom.op is Op.NULL and not values:
        return True
    test = value_test(atom, get_values)
    return any(test(value) for value in values[: value_limit(atom)])


def value_limit(atom: Atom) -> int | None:
    """How many values of its field an atom looks at; None means all."""
    return FIELDREF_VALUES_MAX if atom.op in _FIELD_TESTS else None


def value_test(atom: Atom, get_values: GetValues) -> Callable[[Any], bool]:
    """Return an atom's test of a single value; for one that refers to another field, against the values of that."""
    if atom.op in _FIELD_TESTS:
        others = tuple(islice(get_values(str(atom.value)), FIELDREF_VALUES_MAX))
        return lambda value: any(_compared(_FIELD_TESTS[atom.op], value, other, atom) for other in others)
    if atom.op in _TEXT_TESTS:
        return lambda value: _compared(_TEXT_TESTS[atom.op], value, atom.value, atom)
    if atom.op in _ORDER_TESTS:
        return lambda value: _ordered(value, atom)
    return _OTHER_TESTS[atom.op](atom)


TextTest = Callable[[str, str], bool]


def _compared(test: TextTest, value: Any, expected: Any, atom: Atom) -> bool:
    left, right = text(value), text(expected)
    if left is None or right is None:
        return False
    return test(left, right) if atom.cased else test(fold(left), fold(right))


def _ordered(value: Any, atom: Atom) -> bool:
    left = number(value)
    return left is not None and _ORDER_TESTS[atom.op](left, atom.value)


@lru_cache(maxsize=1024)
def network(cidr: str) -> IPv4Network | IPv6Network:
    """Parse a network; raises ValueError if it is none or has host bits."""
    return ip_network(cidr)


def _in_network(atom: Atom) -> Callable[[Any], bool]:
    block = network(str(atom.value))
    return lambda value: (ip := address(value)) is not None and ip in block


def _found(atom: Atom) -> Callable[[Any], bool]:
    search = compile_regex(str(atom.value))
    return lambda value: (string := text(value)) is not None and search(string)


def _in_time(atom: Atom) -> Callable[[Any], bool]:
    return lambda value: (when := instant(value)) is not None and time_part(when, atom.op) == atom.value


def _at_time(compare: Callable[[datetime, datetime], bool]) -> Callable[[Atom], Callable[[Any], bool]]:
    def test_of(atom: Atom) -> Callable[[Any], bool]:
        bound = instant(atom.value)
        return lambda value: bound is not None and (when := instant(value)) is not None and compare(when, bound)

    return test_of


def time_part(when: Any, op: Op) -> int:
    """Return the part of a point in time that the operator names."""
    return int(when.isocalendar().week if op is Op.WEEK else getattr(when, op.value))


_FIELD_TESTS: Final[dict[Op, TextTest]] = {
    Op.SAME: lambda left, right: left == right,
    Op.PREFIX_FIELD: str.startswith,
    Op.SUFFIX_FIELD: str.endswith,
    Op.CONTAINS_FIELD: lambda left, right: right in left,
}
_TEXT_TESTS: Final[dict[Op, TextTest]] = {
    Op.EQUALS: lambda left, right: left == right,
    Op.PREFIX: str.startswith,
    Op.SUFFIX: str.endswith,
    Op.CONTAINS: lambda left, right: right in left,
    Op.WILDCARD: lambda left, right: compile_glob(right)(left),
}
_ORDER_TESTS: Final[dict[Op, Callable[[Any, Any], bool]]] = {Op.LT: lt, Op.LTE: le, Op.GT: gt, Op.GTE: ge}
_OTHER_TESTS: Final[dict[Op, Callable[[Atom], Callable[[Any], bool]]]] = {
    Op.REGEX: _found,
    Op.CIDR: _in_network,
    Op.EXISTS: lambda _: lambda _: True,
    Op.NULL: lambda _: lambda value: value is None,
    Op.BEFORE: _at_time(lt),
    Op.SINCE: _at_time(ge),
    **dict.fromkeys((Op.MINUTE, Op.HOUR, Op.DAY, Op.WEEK, Op.MONTH, Op.YEAR), _in_time),
}
