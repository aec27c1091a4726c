"""The form of a predicate that runs on the stream: closures over a document.

They mean what `predicate.matches` says (a property test compares them), and differ in order and in grouping: under And
and Or the cheap parts come first, and the values that a list offers one field are tested together. No test raises, so
the order can't be noticed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, Final

from detectors.combine import every, some
from detectors.fields import Getter, getter
from detectors.networks import in_networks
from detectors.pattern import compile_glob, compile_regex
from detectors.predicate import And, Atom, Not, Op, Predicate, fields, matches, value_limit, value_test
from detectors.presence import PARTS_MIN, Walk
from detectors.scanner import Scan, pattern_of, scanner
from detectors.values import fold, kind_of, text

Check = Callable[[dict[str, Any]], bool]
TextCheck = Callable[[str], bool]

_COSTS: Final = {Op.EXISTS: 1, Op.NULL: 1, Op.EQUALS: 2, Op.PREFIX: 2, Op.SUFFIX: 2, Op.CONTAINS: 3}
_COST_OTHER: Final = 10
_COST_KEYWORD: Final = 100
"""A keyword visits every leaf of the document."""
_GROUPED: Final = frozenset({Op.EQUALS, Op.PREFIX, Op.SUFFIX, Op.CIDR})
_SCANNED: Final = frozenset({Op.CONTAINS, Op.WILDCARD, Op.REGEX})


def compile_predicate(predicate: Predicate, walk: Walk | None = None) -> Check:
    """Compile a predicate to a function from a document to whether it holds.

    Predicates about the same documents can share a `walk`; they must all be compiled before one is asked.

    Raises:
        ValueError: a pattern or network in it is not valid; loaders refuse such rules.
    """
    if isinstance(predicate, Atom):
        return _atom(predicate)
    walk = walk or Walk()
    if isinstance(predicate, Not):
        inner = compile_predicate(predicate.part, walk)
        return lambda doc: not inner(doc)
    if isinstance(predicate, And):
        return every([compile_predicate(part, walk) for part in sorted(predicate.parts, key=_cost)])
    return _or(predicate.parts, walk)


def _or(parts: Iterable[Predicate], walk: Walk) -> Check:
    groups = sorted(_groups(parts), key=lambda group: sum(map(_cost, group)))
    walked = [group for group in groups if _needs_a_value(group)]
    if len(walked) < PARTS_MIN:
        return some([_group(group, walk) for group in groups])
    checks = [_group(group, walk) for group in groups if group not in walked]
    return some([*checks, _any_present(walked, walk)])


def _needs_a_value(group: Iterable[Predicate]) -> bool:
    """Say whether predicates are false wherever their fields have no values."""
    return not any(None in fields(part) or matches(part, lambda _: ()) for part in group)


def _any_present(groups: Sequence[Sequence[Predicate]], walk: Walk) -> Check:
    present = walk.presence([[name for part in group for name in fields(part) if name is not None] for group in groups])
    checks = tuple(_group(group, walk) for group in groups)

    def check(doc: dict[str, Any]) -> bool:
        found = present(doc)
        while found:
            lowest = found & -found
            found ^= lowest
            if checks[lowest.bit_length() - 1](doc):
                return True
        return False

    return check


def _cost(predicate: Predicate) -> int:
    if isinstance(predicate, Atom):
        depth = _COST_KEYWORD if predicate.field is None else predicate.field.count(".")
        return depth + _COSTS.get(predicate.op, _COST_OTHER)
    if isinstance(predicate, Not):
        return _cost(predicate.part)
    return sum(map(_cost, predicate.parts))


def _groups(parts: Iterable[Predicate]) -> list[list[Predicate]]:
    """Gather the atoms that ask one field in one way; each other part stands alone."""
    together: dict[object, list[Predicate]] = {}
    for number, part in enumerate(parts):
        together.setdefault(number if (way := _way(part)) is None else way, []).append(part)
    return list(together.values())


def _way(part: Predicate) -> tuple[str | None, str, bool] | None:
    if not isinstance(part, Atom) or text(part.value) is None or (part.field is None and part.op is not Op.CONTAINS):
        return None
    if part.op in _SCANNED and pattern_of(part) is not None:
        return (part.field, "scan", False)
    return (part.field, part.op.value, part.cased) if part.op in _GROUPED else None


def _group(group: Sequence[Predicate], walk: Walk) -> Check:
    first = group[0]
    if not isinstance(first, Atom) or len(group) == 1:
        return compile_predicate(first, walk)
    get = getter(first.field)
    if first.op in _SCANNED:
        return _scanned(get, group) if first.field is not None else _scanned_together(get, group)
    strings = tuple(_expected(part) for part in group)
    if first.op is Op.CIDR:
        test = in_networks(strings)
        return lambda doc: any(test(value) for value in get(doc))
    return _text_check(get, _among(first, strings), cased=first.cased)


def _patterns(group: Iterable[Predicate]) -> frozenset[str]:
    found = {pattern_of(part) for part in group if isinstance(part, Atom)}
    return frozenset(pattern for pattern in found if pattern is not None)


def _scanned(get: Getter, group: Sequence[Predicate]) -> Check:
    """Search for all at once; only in text that is not ASCII a scan may find too much."""
    scan = _scan_for(_patterns(group))
    exact = some([compile_predicate(part) for part in group])

    def check(doc: dict[str, Any]) -> bool:
        for value in get(doc):
            string = value if kind_of(value) is str else text(value)
            if string is not None and scan(string) and (string.isascii() or exact(doc)):
                return True
        return False

    return check


def _scanned_together(get: Getter, group: Sequence[Predicate]) -> Check:
    """Search for keywords in all values joined; only where that finds some, look whether one value contains it."""
    scan = _scan_for(_patterns(group))
    exact = some([compile_predicate(part) for part in group])

    def check(doc: dict[str, Any]) -> bool:
        strings = (value if kind_of(value) is str else text(value) for value in get(doc))
        return bool(scan("\0".join(filter(None, strings)))) and exact(doc)

    return check


@lru_cache(maxsize=256)
def _scan_for(patterns: frozenset[str]) -> Scan:
    """Return the scan for some patterns; rules search many fields for the same."""
    return scanner(dict.fromkeys(sorted(patterns), 1))


def _expected(part: Predicate) -> str:
    assert isinstance(part, Atom), "only atoms are grouped"
    string = text(part.value)
    assert string is not None, "only values with a text are grouped"
    return string if part.cased else fold(string)


def _among(atom: Atom, strings: tuple[str, ...]) -> TextCheck:
    if atom.op is Op.EQUALS:
        return frozenset(strings).__contains__
    if atom.op is Op.PREFIX:
        return lambda value: value.startswith(strings)
    return lambda value: value.endswith(strings)


def _atom(atom: Atom) -> Check:
    get = getter(atom.field)
    if atom.op is Op.EXISTS:
        return lambda doc: bool(get(doc))
    if atom.op is Op.NULL:
        return lambda doc: None in values if (values := get(doc)) else True
    if atom.op is Op.REGEX:
        return _text_check(get, compile_regex(str(atom.value)), cased=True)
    if text(atom.value) is not None and (test := _TEXT_CHECKS.get(atom.op)) is not None:
        return _text_check(get, test(_expected(atom)), cased=atom.cased)
    return _value_check(atom, get)


def _text_check(get: Getter, test: TextCheck, *, cased: bool) -> Check:
    def check(doc: dict[str, Any]) -> bool:
        for value in get(doc):
            string = value if kind_of(value) is str else text(value)
            if string is not None and test(string if cased else string.casefold()):
                return True
        return False

    return check


def _value_check(atom: Atom, get: Getter) -> Check:
    """Compile what the interpreter's own test of a value serves well; fields referred to are looked up each time."""
    limit = value_limit(atom)
    if limit is None:
        test = value_test(atom, lambda _: ())
        return lambda doc: any(test(value) for value in get(doc))
    get_other = getter(str(atom.value))

    def check(doc: dict[str, Any]) -> bool:
        test = value_test(atom, lambda _: get_other(doc))
        return any(test(value) for value in get(doc)[:limit])

    return check


_TEXT_CHECKS: Final[dict[Op, Callable[[str], TextCheck]]] = {
    Op.EQUALS: lambda expected: expected.__eq__,
    Op.PREFIX: lambda expected: lambda value: value.startswith(expected),
    Op.SUFFIX: lambda expected: lambda value: value.endswith(expected),
    Op.CONTAINS: lambda expected: lambda value: expected in value,
    Op.WILDCARD: compile_glob,
}
