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
OUTLINE_BYTES_MAX it bounds the memory at about 20 MB; a usual outline takes 1.5 KB."""
OUTLINE_BYTES_MAX: Final = 1024
"""Length, as JSON, of an outline that is worth remembering."""

Screen = Callable[[bytes], bool]
"""From a record to whether no rule can match it; false also where only decoding it can tell."""


def screen(read: Callable[[bytes], msgspec.Struct | None], possible: Lookup) -> Screen:
    """Return a screen that reads outlines and asks which rules they leave possible."""
    young: dict[msgspec.Struct, bool] = {}
    old: dict[msgspec.Struct, bool] = {}

    def passes(payload: bytes) -> bool:
        outline = read(payload)
        if outline is None:
            return False
        known = young.get(outline)
        return recall(outline) if known is None else known

    def recall(outline: msgspec.Struct) -> bool:
        nonlocal young, old
        known = old.get(outline)
        if known is None:
            text = msgspec.json.encode(outline)
            known = not possible(_decode(text))
            if len(text) > OUTLINE_BYTES_MAX:
                return known
        if len(young) >= OUTLINES_MAX:
            young, old = {}, young
        young[outline] = known
        return known

    return passes


_decode: Final[Callable[[bytes], dict[str, Any]]] = msgspec.json.Decoder(dict[str, Any]).decode
