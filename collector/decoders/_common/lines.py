"""Lines of a body with their numbers, one at a time: a body of 64 MiB may be nothing but line ends."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

SPACE: Final = b" \t\r\n"
"""JSON's white space (RFC 8259, section 2), which is what lines are stripped of."""
BOM: Final = b"\xef\xbb\xbf"
"""What some Windows tools begin a UTF-8 text with."""

_INK: Final = re.compile(rb"[^ \t\r\n]")


def numbered_lines(text: bytes, number: int) -> Iterator[tuple[int, bytes]]:
    """Every line that is not blank, without the space around it; the first line of the text has `number`."""
    end = 0
    while (ink := _INK.search(text, end)) is not None:
        at = ink.start()
        number += text.count(b"\n", end, at)
        end = text.find(b"\n", at)
        if end < 0:
            end = len(text)
        yield number, text[at:end].rstrip(SPACE)
