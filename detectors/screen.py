"""Letting records go that no rule can match, before they are decoded.

The fields that rules ask whole events for (verb, resource, user, agent, …) take few values in few combinations, so a
decoder's outline of them (`vedette.schema.outline`) was nearly always seen before, with the answer: no rule is left, or
some are. The answer depends on the outline alone, so remembering it changes nothing but time. The memory is bounded in
entries and in the bytes of each: an outline that is not remembered is looked up field by field each time.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Final, Generic, NamedTuple, TypeVar

import msgspec

from detectors.behaviour.interest import Wish
from detectors.lookup import Lookup
from vedette.schema.outline import Outline

T = TypeVar("T")

OUTLINES_MAX: Final = 4096
"""Outlines of one generation; there are two, and what the older one is asked for goes on into the younger. With
OUTLINE_BYTES_MAX it bounds the memory at about 20 MB, and that of texts apart at 10; usual outlines have most of their
parts in common."""
OUTLINE_BYTES_MAX: Final = 1024
"""Length, as JSON, of an outline that is worth remembering, or of a text apart."""

Look = Callable[[bytes, int], int | None]
"""From a record, and the second in which it arrived, to bits: what its outline leaves; None if only decoding can tell.

0 lets the record go: no rule can match it, and nobody watches it.
"""


Recall = Callable[[Hashable, msgspec.Struct, int], int]
"""From an outline's key, the outline and the second to its bits."""


class Screen(NamedTuple):
    """How to look at records. Of the bits that come of it `rules` are those of rules that are possible.

    `watched`: the bit that says that behaviour wants to see the record.
    """

    look: Look
    rules: int
    watched: int

    def possible(self, payload: bytes) -> int | None:
        """Return the rules that a record's outline leaves possible; None where only decoding can tell."""
        bits = self.look(payload, 0)
        return None if bits is None else bits & self.rules


def screen(
    outline: Outline, possible: Lookup, possible_apart: Lookup, size: int, wish: Callable[[dict[str, Any]], Wish] | None
) -> Screen:
    """Return a screen that reads outlines and asks which rules they leave possible.

    `possible` is asked of the fields that are remembered, `possible_apart` of those apart; each answer has `size` bits.
    `wish` says how often behaviour wants to see records with an outline; without it, never.
    """
    rules, watched = (1 << size) - 1, 1 << size
    seldom = watched << 1
    asked = possible if wish is None else _wished(possible, wish, watched, seldom)
    recall: Recall = _Memory(asked, _document).recall
    recall = recall if wish is None else _seldom(recall, watched, seldom)
    return Screen(_look(outline, recall, possible_apart, watched), rules, watched)


def _wished(possible: Lookup, wish: Callable[[dict[str, Any]], Wish], watched: int, seldom: int) -> Lookup:
    flags = {Wish.NEVER: 0, Wish.SELDOM: seldom, Wish.ALWAYS: watched}
    return lambda doc: possible(doc) | flags[wish(doc)]


def _seldom(recall: Recall, watched: int, seldom: int) -> Recall:
    """Let what is wanted seldom be watched once in a second of arrival, outline by outline.

    To be shown one more is without effect, so it does not matter what was forgotten of this with a restart.
    """
    shown: dict[Hashable, int] = {}

    def remember(key: Hashable, outline: msgspec.Struct, second: int) -> int:
        bits = recall(key, outline, second)
        if not bits & seldom:
            return bits
        if shown.get(key) == second:
            return bits ^ seldom
        if len(shown) >= OUTLINES_MAX:
            shown.clear()
        shown[key] = second
        return bits ^ seldom | watched

    return remember


def _look(outline: Outline, recall: Recall, possible_apart: Lookup, watched: int) -> Look:
    read, apart = outline.read, outline.apart
    if apart is None:

        def look(payload: bytes, second: int) -> int | None:
            found = read(payload)
            return None if found is None else recall(found, found, second)

        return look
    split, field = apart.split, apart.field
    # A memory of its own, rather than that of the index by field: it takes one call instead of four.
    memory: _Memory[str] = _Memory(possible_apart, lambda value: ({field: value}, len(value)))
    recall_apart, without = memory.recall, possible_apart({})

    def look_apart(payload: bytes, second: int) -> int | None:
        found = read(payload)
        if found is None:
            return None
        key, value = split(found)
        bits = recall(key, found, second)
        if bits in (0, watched):
            return bits
        return bits & ((without if value is msgspec.UNSET else recall_apart(value, value)) | watched)

    return look_apart


class _Memory(Generic[T]):
    """Remembers which rules outlines leave possible. `document` reads one, and says how long it is."""

    def __init__(self, possible: Lookup, document: Callable[[T], tuple[dict[str, Any], int]]) -> None:
        self._possible = possible
        self._document = document
        self._young: dict[Hashable, int] = {}
        self._old: dict[Hashable, int] = {}
        self._parts: dict[Any, Any] = {}

    def recall(self, key: Hashable, outline: T, _: int = 0) -> int:
        """Return what an outline leaves possible, known by its key."""
        known = self._young.get(key)
        return self._learn(key, outline) if known is None else known

    def _learn(self, key: Hashable, outline: T) -> int:
        known = self._old.get(key)
        if known is None:
            doc, length = self._document(outline)
            known = self._possible(doc)
            if length > OUTLINE_BYTES_MAX:
                return known
        if len(self._young) >= OUTLINES_MAX:
            self._young, self._old, self._parts = {}, self._young, {}
        self._young[_sharing(key, self._parts)] = known
        return known


def _sharing(key: Hashable, parts: dict[Any, Any]) -> Hashable:
    """Make of a key one that has its parts in common with others: that keeps them in the processor's caches."""
    if isinstance(key, str):
        return key
    if not isinstance(key, msgspec.Struct):
        rest: Any = key
        return tuple(parts.setdefault(value, value) for value in rest)
    values = (getattr(key, name) for name in key.__struct_fields__)
    fields = zip(key.__struct_fields__, values, strict=True)
    shared: Hashable = type(key)(**{name: parts.setdefault(value, value) for name, value in fields})
    return shared


def _document(outline: msgspec.Struct) -> tuple[dict[str, Any], int]:
    text = msgspec.json.encode(outline)
    return _decode(text), len(text)


_decode: Final[Callable[[bytes], dict[str, Any]]] = msgspec.json.Decoder(dict[str, Any]).decode
