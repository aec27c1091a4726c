"""Typed and bounded access to what a decoded document holds, whatever an attacker put there.

Each function takes any value and returns the wanted type: what is of another type counts as absent.
"""

from __future__ import annotations

from itertools import islice
from typing import Any, Final, cast

from vedette.schema.limits import TEXT_CHARS_MAX

TEXTS_MAX: Final = 32
"""Elements of a list taken into facts (groups, source addresses, images): people have a handful, attackers choose."""
_DIGITS_MAX: Final = 19
"""Digits of a number read from text: enough for nanoseconds since the epoch and all of 63 bits."""

_NOTHING: Final[dict[str, Any]] = {}


def table(value: object) -> dict[str, Any]:
    """The object itself, or an empty one; not to be written to."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else _NOTHING


def items(value: object) -> list[Any]:
    """The list itself, or an empty one; not to be written to."""
    is_list = isinstance(value, list)
    return cast("list[Any]", value) if is_list else []


def text(value: object) -> str:
    """The string, cut at TEXT_CHARS_MAX characters."""
    return value[:TEXT_CHARS_MAX] if isinstance(value, str) else ""


def texts(value: object) -> tuple[str, ...]:
    """The non-empty strings of a list, the first TEXTS_MAX of them."""
    return tuple(islice((text(item) for item in items(value) if item and isinstance(item, str)), TEXTS_MAX))


def last_texts(value: object) -> tuple[str, ...]:
    """The non-empty strings of a list, the last TEXTS_MAX of them (of source addresses the last is the peer)."""
    return texts(items(value)[-TEXTS_MAX:])


def whole(value: object, highest: int) -> int:
    """A whole number from 0 to `highest`, given as such or as decimal digits; 0 for all else."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _DIGITS_MAX:
        value = int(value)
    return value if type(value) is int and 0 <= value <= highest else 0
