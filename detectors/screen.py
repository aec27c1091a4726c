"""Letting records go that no rule can match, before they are decoded.

The fields that rules ask whole events for (verb, resource, user, agent, …) take few values in few combinations, so a
decoder's outline of them (`vedette.schema.outline`) was nearly always seen before, with the answer: no rule is left, or
some are. The answer depends on the outline alone, so remembering it changes nothing but time. The memory is bounded in
entries and in the bytes of each: an outline that is not remembered is looked up field by field each time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from detectors.lookup import Lookup

OUTLINES_MAX: Final = 4096
"""Outlines of one generation; there are two, and what the older one is asked for goes on into the younger. With
OUTLINE_BYTES_MAX it bounds the memory at about 20 MB; usual outlines have most of their parts in common."""
OUTLINE_BYTES_MAX: Final = 1024
"""Length, as JSON, of an outline that is worth remembering."""

Screen = Callable[[bytes], bool]
"""From a record to whether no rule can match it; false also where only decoding it can tell."""


def screen(read: Callable[[bytes], msgspec.Struct | None], possible: Lookup) -> Screen:
    """Return a screen that reads outlines and asks which rules they leave possible."""
    young: dict[msgspec.Struct, bool] = {}
    old: dict[msgspec.Struct, bool] = {}
    parts: dict[Any, Any] = {}

    def passes(payload: bytes) -> bool:
        outline = read(payload)
        if outline is None:
            return False
        known = young.get(outline)
        return recall(outline) if known is None else known

    def recall(outline: msgspec.Struct) -> bool:
        nonlocal young, old, parts
        known = old.get(outline)
        if known is None:
            text = msgspec.json.encode(outline)
            known = not possible(_decode(text))
            if len(text) > OUTLINE_BYTES_MAX:
                return known
        if len(young) >= OUTLINES_MAX:
            young, old, parts = {}, young, {}
        young[_sharing(outline, parts)] = known
        return known

    return passes


def _sharing(outline: msgspec.Struct, parts: dict[Any, Any]) -> msgspec.Struct:
    """Make of an outline one that has its parts in common with others: that keeps them in the processor's caches."""
    values = (getattr(outline, name) for name in outline.__struct_fields__)
    fields = zip(outline.__struct_fields__, values, strict=True)
    return type(outline)(**{name: parts.setdefault(value, value) for name, value in fields})


_decode: Final[Callable[[bytes], dict[str, Any]]] = msgspec.json.Decoder(dict[str, Any]).decode
