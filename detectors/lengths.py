"""Lengths of time as people write them in rules and their tests: 500ms, 30s, 5m, 1h, 7d, 2w."""

from __future__ import annotations

import re
from typing import Final

from vedette.schema.limits import SECOND_NS

_LENGTH: Final = re.compile(r"(\d{1,6})(ms|[smhdw])", re.ASCII)
_UNITS_NS: Final = {
    "ms": SECOND_NS // 1000,
    "s": SECOND_NS,
    "m": 60 * SECOND_NS,
    "h": 3600 * SECOND_NS,
    "d": 86_400 * SECOND_NS,
    "w": 7 * 86_400 * SECOND_NS,
}


def length_ns(text: object) -> int | None:
    """Return a length of time in ns; None for what is none."""
    match = _LENGTH.fullmatch(text) if isinstance(text, str) else None
    return int(match[1]) * _UNITS_NS[match[2]] if match else None
