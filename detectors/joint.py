"""One look-up for several fields at once.

The fields of which rules ask whole values (verb, resource, stage, …) take few values in few combinations: an event's
combination was nearly always seen before, and one memory of combinations answers for all of them. It is bounded in
entries and in the length of what it keeps, starts again when it is full, and holds nothing but what the same values
always give; a combination that it can't tell from others for certain is looked up field by field.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any, Final

from detectors.fields import top_keys
from detectors.lookup import Lookup
from detectors.values import kind_of

COMBINATIONS_MAX: Final = 4096
"""Combinations remembered; with COMBINATION_CHARS_MAX it bounds the memory at about 6 MB, usually 2 MB."""
COMBINATION_CHARS_MAX: Final = 512
"""Length of all strings of a combination that is worth remembering."""

Read = Callable[[dict[str, Any]], list[Any] | None]
"""From a document to what decides the values of some fields; None if that is not so easily said."""

_MISSING: Final = object()


def remember(fields: Sequence[str], evaluate: Lookup, *, nested: bool) -> Lookup:
    """Put a memory of combinations of these fields' values before a look-up that depends on nothing else.

    `nested` promises that no key of a document has a dot and begins with the key of an object in it.
    """
    read = _nested_reader(fields) if nested else _flat_reader(fields)
    memory: dict[tuple[Any, ...], int] = {}
    lists: list[int] = []

    def learn(doc: dict[str, Any], key: tuple[Any, ...]) -> int:
        found = evaluate(doc)
        if _length(key) <= COMBINATION_CHARS_MAX:
            if len(memory) >= COMBINATIONS_MAX:
                memory.clear()
            memory[key] = found
        return found

    def lookup(doc: dict[str, Any]) -> int:
        parts = read(doc)
        if parts is None:
            return evaluate(doc)
        for at in lists:
            if kind_of(parts[at]) is list:
                parts[at] = tuple(parts[at])
        key = tuple(parts)
        try:
            known = memory.get(key)
        except TypeError:  # a list where none was seen before; or an object, or a list of lists
            before = len(lists)
            lists.extend(at for at, part in enumerate(parts) if kind_of(part) is list and at not in lists)
            return lookup(doc) if len(lists) > before else evaluate(doc)
        return learn(doc, key) if known is None else known

    return lookup


def _length(key: tuple[Any, ...]) -> int:
    """Return the length of all strings of a combination; more than any bound if Python may take it for another.

    Floats equal whole numbers in rules too, but booleans do not equal 0 and 1.
    """
    total = 0
    for part in key:
        kind = kind_of(part)
        if kind is str:
            total += len(part)
        elif kind is tuple:
            total += len(part) + sum(len(item) if kind_of(item) is str else COMBINATION_CHARS_MAX for item in part)
        elif part is not None and part is not _MISSING and (kind is not int or part in (0, 1)):
            return COMBINATION_CHARS_MAX + 1
    return total


def _flat_reader(fields: Sequence[str]) -> Read:
    """Read documents whose keys are the fields' names, dots and all."""
    names = tuple(fields)
    shorter = frozenset(key for field in fields for key in top_keys(field)[:-1])
    missing = repeat(_MISSING)

    def read(doc: Any) -> list[Any] | None:
        return [*map(doc.get, names, missing)] if doc.keys().isdisjoint(shorter) else None

    return read


def _nested_reader(fields: Sequence[str]) -> Read:
    """Read documents with one object inside another, as promised."""
    names = tuple(field for field in fields if "." not in field)
    pairs = tuple((first, rest) for first, dot, rest in (field.partition(".") for field in fields) if dot)
    unclear = tuple((first, frozenset(top_keys(rest)[:-1])) for first, rest in pairs if "." in rest)
    missing = repeat(_MISSING)

    def read(doc: Any) -> list[Any] | None:
        get = doc.get
        parts = [*map(get, names, missing)]
        append = parts.append
        for first, rest in pairs:
            inner = get(first)
            if kind_of(inner) is dict:
                append(inner.get(rest, _MISSING))
            elif kind_of(inner) is list:
                return None
            else:
                append(_MISSING)
        for first, shorter in unclear:
            inner = get(first)
            if kind_of(inner) is dict and not inner.keys().isdisjoint(shorter):
                return None
        return parts

    return read
