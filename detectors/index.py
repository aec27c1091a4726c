"""The index that keeps most rules from being looked at: which of them an event leaves possible.

For each of a few fields the index knows which branches of rules (as bits of an integer) given values leave possible,
going by the branches' needs (`detectors.anchors`); an event's candidates are the intersection over the fields.

Values come again and again, so each field remembers the answer for recent ones. The memory is bounded in entries and in
the length of what it keeps, starts again when it is full, and holds nothing but what the same values always give.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from detectors.anchors import branches, equal_to, needs_of, selective_fields, telling
from detectors.compiled import Check, compile_predicate
from detectors.fields import getter
from detectors.predicate import Predicate
from detectors.values import fold, kind_of, text

Lookup = Callable[[dict[str, Any]], int]
"""From a document to the branches that one field leaves possible, as bits."""

MEMORY_ENTRIES_MAX: Final = 1024
"""Values remembered for one field; with MEMORY_CHARS_MAX it bounds a field's memory at about 300 KB."""
MEMORY_CHARS_MAX: Final = 128
"""Length of a value that is worth remembering: user agents and service accounts are shorter."""
SHARE_MIN: Final = 0.2
"""A field that this share of the branches needs is worth its look-up even where they need a better one."""


class Index:
    """Finds, for a document, the rules that may match it. `predicates` are the rules', about fields of the document."""

    def __init__(self, predicates: Sequence[Predicate | None]) -> None:
        split = [(rule, branch) for rule, whole in enumerate(predicates) for branch in _split(whole)]
        self.owners: Final = tuple(rule for rule, _ in split)
        """For each branch's bit, its rule's position."""
        needs = [needs_of(branch) for _, branch in split]
        anchored = [bit for bit, found in enumerate(needs) if selective_fields(found)]
        self.unanchored: Final = frozenset(self.owners) - {self.owners[bit] for bit in anchored}
        self._anchored: Final = _bits(anchored)
        self._always: Final = _bits(bit for bit in range(len(needs)) if bit not in anchored)
        chosen = _choose([selective_fields(needs[bit]) for bit in anchored])
        self._lookups: Final = tuple(_lookup(field, needs, self._anchored) for field in chosen)

    def candidates(self, doc: dict[str, Any]) -> int:
        """Return the branches that may match, as bits."""
        possible = self._anchored
        for choosy, lookup in self._lookups:
            if possible & choosy:
                possible &= lookup(doc)
        return possible | self._always


def _split(predicate: Predicate | None) -> Sequence[Predicate | None]:
    return [None] if predicate is None else branches(predicate)


def _choose(needs: Sequence[Sequence[str]]) -> list[str]:
    """Choose the fields to index, so that every branch has its most telling one; the most useful first."""
    counts: dict[str, int] = {}
    for found in needs:
        for field in found:
            counts[field] = counts.get(field, 0) + 1
    ranked = sorted(counts, key=lambda field: (not telling(field), -counts[field], field))
    chosen = {next(field for field in ranked if field in found) for found in needs}
    chosen.update(field for field in ranked if counts[field] >= SHARE_MIN * len(needs))
    return [field for field in ranked if field in chosen]


def _bits(numbers: Iterable[int]) -> int:
    return sum(1 << number for number in numbers)


def _lookup(field: str, needs: Sequence[Mapping[str, Predicate]], anchored: int) -> tuple[int, Lookup]:
    """Return the branches that need something of the field, and the look-up."""
    by_need: dict[Predicate, int] = {}
    for bit, found in enumerate(needs):
        if field in found:
            by_need[found[field]] = by_need.get(found[field], 0) | 1 << bit
    choosy = anchored & sum(by_need.values())
    return choosy, _remembering(field, _evaluation(field, by_need, anchored & ~choosy))


def _evaluation(field: str, by_need: dict[Predicate, int], indifferent: int) -> Lookup:
    """Compile the needs of one field: lists of strings to one table, all else to checks."""
    table: dict[str, int] = {}
    checks: list[tuple[Check, int]] = []
    for need, bits in by_need.items():
        strings = equal_to(need)
        if strings is None:
            checks.append((compile_predicate(need), bits))
        for string in strings or ():
            table[string] = table.get(string, 0) | bits
    get = getter(field)

    def evaluate(doc: dict[str, Any]) -> int:
        possible = indifferent
        for value in get(doc):
            string = text(value)
            if string is not None:
                possible |= table.get(fold(string), 0)
        for check, bits in checks:
            if check(doc):
                possible |= bits
        return possible

    return evaluate


def _remembering(field: str, evaluate: Lookup) -> Lookup:
    """Put a memory before a look-up. Only strings and whole numbers are looked for in it, alone or in lists of strings.

    (To a dict `1`, `1.0` and `True` are one key, to a rule they are not.)
    """
    memory: dict[Any, int] = {}
    missing = evaluate({})
    get = getter(field)

    def learn(key: Any, doc: dict[str, Any]) -> int:
        found = evaluate(doc)
        if kind_of(key) is int or _length(key) <= MEMORY_CHARS_MAX:
            if len(memory) >= MEMORY_ENTRIES_MAX:
                memory.clear()
            memory[key] = found
        return found

    def lookup(doc: dict[str, Any]) -> int:
        values = get(doc)
        if not values:
            return missing
        key = _memory_key(values)
        if key is None:
            return evaluate(doc)
        known = memory.get(key)
        return learn(key, doc) if known is None else known

    first, dot, second = field.partition(".")
    if not dot:
        return _quick(field, memory, lookup)
    return lookup if "." in second else _quick_pair(first, second, memory, lookup, missing)


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


def _quick(field: str, memory: dict[Any, int], lookup: Lookup) -> Lookup:
    """Answer the usual cases of a top-level field at once."""

    def quick(doc: Any) -> int:
        value = doc.get(field)
        kind = kind_of(value)
        if kind is str or kind is int:
            known = memory.get(value)
        elif kind is list:
            known = memory.get(_memory_key(value))
        else:
            return lookup(doc)
        return lookup(doc) if known is None else known

    return quick


def _quick_pair(first: str, second: str, memory: dict[Any, int], lookup: Lookup, missing: int) -> Lookup:
    """Answer the usual cases of a string, or nothing, inside a top-level object at once."""
    literal = f"{first}.{second}"

    def quick(doc: Any) -> int:
        inner = doc.get(first)
        if inner is None:
            return lookup(doc) if literal in doc else missing
        if kind_of(inner) is dict and literal not in doc:
            value: Any = inner.get(second)
            kind = kind_of(value)
            if kind is str or kind is int:
                known = memory.get(value)
            elif kind is list:
                known = memory.get(_memory_key(value))
            else:
                known = missing if value is None and second not in inner else None
            if known is not None:
                return known
        return lookup(doc)

    return quick
