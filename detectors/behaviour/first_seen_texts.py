"""Values of several fields as one text, and back for people."""

from __future__ import annotations

from typing import Final

import orjson

from detectors.behaviour.plain import shown
from detectors.engine import bounded_text

_REMEMBERED_MAX: Final = 65_536


class Texts:
    """Writes values as one text, different where they are; remembers what it wrote."""

    def __init__(self) -> None:
        """Begin without texts."""
        self._known: dict[tuple[str, ...], str] = {}

    def of(self, parts: tuple[str, ...]) -> str:
        """Return the text of values: JSON, bounded."""
        known = self._known.get(parts)
        if known is None:
            if len(self._known) >= _REMEMBERED_MAX:
                self._known.clear()
            known = self._known[parts] = bounded_text(orjson.dumps(parts).decode())
        return known


def plain_text(value: str) -> str:
    """Write such a text for people; a cut one as it is."""
    try:
        return shown(orjson.loads(value))
    except orjson.JSONDecodeError:
        return shown([value])
