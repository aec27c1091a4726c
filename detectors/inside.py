"""Reading many fields of documents with the same top-level keys: those of them that can be there, into a list.

A field that is a key itself is read with all others in one go; here are those inside of objects.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

from detectors.fields import getter, top_keys
from detectors.values import kind_of

ReadInside = Callable[[dict[str, Any], list[Any]], None]
"""Puts what a document has inside of its objects in the places of some fields, in a list with "" for nothing: a value,
or a list where there are several."""
_Places = Sequence[tuple[int, str]]
"""Fields, each with its place in the list."""


def readers(fields: Sequence[str], there: frozenset[str]) -> tuple[ReadInside, ...]:
    """Return how to read what stands inside of these top-level keys; of each field at least one is there."""
    inside: dict[str, list[tuple[int, str]]] = {}
    unclear: list[tuple[int, str]] = []
    for place, field in enumerate(fields):
        first = field.partition(".")[0]
        keys = there.intersection(top_keys(field))
        if first != field and keys <= {first}:
            inside.setdefault(first, []).append((place, field))
        elif not keys <= {field}:
            unclear.append((place, field))
    found = [_object_reader(first, names) for first, names in inside.items()]
    return (*found, _getters_reader(unclear)) if unclear else tuple(found)


def spreading(places: Sequence[int], count: int) -> Callable[[list[str]], Sequence[str]]:
    """Return what puts values in these places among `count`, "" in all others."""
    if places == tuple(range(count)):
        return lambda values: values
    order = [places.index(at) if at in places else -1 for at in range(count)]
    pick = itemgetter(*order, -1)  # of one alone it would make no tuple
    return lambda values: pick([*values, ""])


def _object_reader(first: str, fields: _Places) -> ReadInside:
    """Read fields inside of what stands under their first name."""
    names = [(place, field.partition(".")[2]) for place, field in fields]
    shorter = frozenset(key for _, name in names for key in top_keys(name)[:-1])
    read_unclear = _getters_reader(fields)

    def read(doc: dict[str, Any], found: list[Any]) -> None:
        value = doc[first]
        if kind_of(value) is not dict or not value.keys().isdisjoint(shorter):
            read_unclear(doc, found)
            return
        for place, name in names:
            if name in value:
                found[place] = value[name]

    return read


def _getters_reader(fields: _Places) -> ReadInside:
    """Read fields whose names have several readings in a document."""
    getters = [(place, getter(field)) for place, field in fields]

    def read(doc: dict[str, Any], found: list[Any]) -> None:
        for place, get in getters:
            values = get(doc)
            found[place] = values[0] if len(values) == 1 else list(values) or ""

    return read
