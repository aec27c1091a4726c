"""Text that attackers chose, made safe to show: on a terminal, in a ticket, in a log line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vedette.schema.limits import TEXT_CHARS_MAX

if TYPE_CHECKING:
    from collections.abc import Sequence

CUT: Final = "…"
"""Stands where text was cut off."""


def safe_text(value: str, chars_max: int = TEXT_CHARS_MAX) -> str:
    r"""Return `value` as one harmless line of at most `chars_max` characters (at least 1).

    Whatever Unicode does not call printable is written as an escape (`\x1b`, `\u202e`): control characters, line
    breaks, bidirectional and zero-width marks, lone surrogates, private-use and unassigned characters. What was cut
    ends with `…`. The result encodes as UTF-8, and `safe_text` leaves it as it is. Costs no more than `chars_max`
    characters do, however long `value` is. Not reversible: a literal backslash is left alone, so that paths stay
    readable.
    """
    assert chars_max >= 1, "there is room for the mark that something was cut"
    if len(value) <= chars_max and value.isprintable():
        return value
    head = value[:chars_max]
    if head.isprintable():
        return head[:-1] + CUT
    return _escaped(value, chars_max)


def clip_text(value: str, chars_max: int = TEXT_CHARS_MAX) -> str:
    """Return the beginning of `value`, unchanged but for its length: for data, not for terminals."""
    return value if len(value) <= chars_max else value[: chars_max - 1] + CUT


def clip_texts(values: Sequence[str], items_max: int, chars_max: int = TEXT_CHARS_MAX) -> list[str]:
    """Return the first `items_max` values, each clipped."""
    return [clip_text(value, chars_max) for value in values[:items_max]]


def whole_text(value: str) -> str:
    """Return `value` as text that UTF-8 can carry: surrogate pairs joined, lone ones replaced by U+FFFD."""
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _escaped(value: str, chars_max: int) -> str:
    parts: list[str] = []
    room = chars_max
    for char in value:
        part = char if char.isprintable() else _escape(ord(char))
        if len(part) > room:
            return _cut("".join(parts), chars_max)
        parts.append(part)
        room -= len(part)
    return "".join(parts)


def _cut(text: str, chars_max: int) -> str:
    return text[: chars_max - 1] + CUT


def _escape(code: int) -> str:
    if code <= 0xFF:  # noqa: PLR2004 - the widest that \x can say
        return f"\\x{code:02x}"
    if code <= 0xFFFF:  # noqa: PLR2004 - the widest that \u can say
        return f"\\u{code:04x}"
    return f"\\U{code:08x}"
