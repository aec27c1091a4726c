"""What the values of one field say about the branches of rules that need something of it.

Of a need that consists of tests of strings, only what these tests find can change the verdict: values are looked up in
one table of whole strings and in one scan (`detectors.scanner`), and only needs that these touch are checked. Other
needs are checked each time.

Values come again and again, so each field remembers the answer for recent ones. The memory is bounded in entries and in
the length of what it keeps, starts again when it is full, and holds nothing but what the same values always give.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from detectors.compiled import Check, compile_predicate
from detectors.fields import getter
from detectors.predicate import Atom, Op, Or, Predicate, atoms, matches
from detectors.scanner import Scan, pattern_of, scanner
from detectors.values import fold, kind_of, text

Lookup = Callable[[dict[str, Any]], int]
"""From a document to the branches that one field (or several) leaves possible, as bits."""

MEMORY_ENTRIES_MAX: Final = 1024
"""Values remembered for one field; with MEMORY_CHARS_MAX it bounds a field's memory at about 300 KB."""
MEMORY_CHARS_MAX: Final = 128
"""Length of a value that is worth remembering: user agents and service accounts are shorter."""


def lookup(field: str, by_need: Mapping[Predicate, int], indifferent: int, *, nested: bool) -> Lookup:
    """Compile the needs of one field, each with its branches, to an exact look-up with a memory.

    `indifferent` are the branches that need nothing of it; `nested` promises that no key of a document has a dot and
    begins with the key of an object in it.
    """
    return _remembering(field, _evaluation(field, by_need, indifferent), nested=nested)


def _evaluation(field: str, by_need: Mapping[Predicate, int], indifferent: int) -> Lookup:
    whole: dict[str, int] = {}
    patterns: dict[str, int] = {}
    touchable: list[tuple[Check | None, int]] = []
    others: list[tuple[Check, int]] = []
    untouched = indifferent
    for need, bits in by_need.items():
        tests = _string_tests(need)
        if tests is None:
            others.append((compile_predicate(need), bits))
            continue
        for test in tests:
            table, key = test
            into = whole if table is Op.EQUALS else patterns
            into[key] = into.get(key, 0) | 1 << len(touchable)
        touchable.append((None if _is_any_of_whole(need) else compile_predicate(need), bits))
        if matches(need, lambda _: ()):
            untouched |= bits
    return _evaluated(field, (whole, scanner(patterns) if patterns else None), touchable, others, untouched)


def _string_tests(need: Predicate) -> list[tuple[Op, str]] | None:
    """Return what touches a need: whole folded strings and patterns. None if something else can change its verdict."""
    found: list[tuple[Op, str]] = []
    for atom in atoms(need):
        string = text(atom.value)
        if atom.op is Op.EQUALS and string is not None:
            found.append((Op.EQUALS, fold(string)))
        elif (pattern := pattern_of(atom)) is not None:
            found.append((Op.REGEX, pattern))
        else:
            return None
    return found


def _is_any_of_whole(need: Predicate) -> bool:
    """Say whether to be touched is to hold."""
    if isinstance(need, Or):
        return all(map(_is_any_of_whole, need.parts))
    return isinstance(need, Atom) and need.op is Op.EQUALS and not need.cased


def _evaluated(
    field: str,
    tests: tuple[dict[str, int], Scan | None],
    touchable: Sequence[tuple[Check | None, int]],
    others: Sequence[tuple[Check, int]],
    untouched: int,
) -> Lookup:
    get = getter(field)
    whole, scan = tests

    def evaluate(doc: dict[str, Any]) -> int:
        touched = 0
        for value in get(doc):
            string = value if kind_of(value) is str else text(value)
            if string is not None:
                touched |= whole.get(string.casefold(), 0)
                if scan is not None:
                    touched |= scan(string)
        possible = untouched
        while touched:
            lowest = touched & -touched
            touched ^= lowest
            check, bits = touchable[lowest.bit_length() - 1]
            possible = possible | bits if check is None or check(doc) else possible & ~bits
        for check, bits in others:
            if check(doc):
                possible |= bits
        return possible

    return evaluate


def _remembering(field: str, evaluate: Lookup, *, nested: bool) -> Lookup:
    """Put a memory before a look-up. Only strings and whole numbers are looked for in it, alone or in lists of strings.

    (To a dict `1`, `1.0` and `True` are one key, to a rule they are not.)
    """
    memory: dict[Any, int] = {}
    missing = evaluate({})
    get = getter(field)

    def learn(doc: dict[str, Any]) -> int:
        values = get(doc)
        if not values:
            return missing
        key = _memory_key(values)
        known = None if key is None else memory.get(key)
        if known is not None:
            return known
        found = evaluate(doc)
        if key is not None and (kind_of(key) is int or _length(key) <= MEMORY_CHARS_MAX):
            if len(memory) >= MEMORY_ENTRIES_MAX:
                memory.clear()
            memory[key] = found
        return found

    first, dot, second = field.partition(".")
    if nested and dot and "." not in second:
        return _quick_pair(first, second, memory, learn, missing)
    return _quick(field, memory, learn)


def _length(key: str | tuple[str, ...]) -> int:
    return len(key) if isinstance(key, str) else len(key) + sum(map(len, key))


def _memory_key(values: Sequence[Any]) -> Any:
    """Return what stands for these values in a memory; None if nothing can."""
    if len(values) == 1:
        return values[0] if kind_of(values[0]) is str or kind_of(values[0]) is int else None
    for value in values:
        if kind_of(value) is not str:
            return None
    return tuple(values) or None


def _quick(key: str, memory: dict[Any, int], learn: Lookup) -> Lookup:
    """Answer the usual cases of a top-level key at once; such a key goes before all other readings of its name."""

    def quick(doc: Any) -> int:
        value = doc.get(key)
        kind = kind_of(value)
        if kind is str or kind is int:
            known = memory.get(value)
        elif kind is list:
            known = memory.get(_memory_key(value))
        else:
            return learn(doc)
        return learn(doc) if known is None else known

    return quick


def _quick_pair(first: str, second: str, memory: dict[Any, int], learn: Lookup, missing: int) -> Lookup:
    """Answer the usual cases of a string, or nothing, inside a top-level object at once."""

    def quick(doc: Any) -> int:
        inner = doc.get(first)
        if inner is None:
            return missing
        if kind_of(inner) is not dict:
            return learn(doc)
        value: Any = inner.get(second)
        kind = kind_of(value)
        if kind is str or kind is int:
            known = memory.get(value)
        elif kind is list:
            known = memory.get(_memory_key(value))
        else:
            known = missing if value is None and second not in inner else None
        return learn(doc) if known is None else known

    return quick
