"""Blank out members of an object that no decoder goes into (they nest too deep, say), without decoding or recursion."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_TOKEN: Final = re.compile(rb'(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"|[^"{}\[\]]++)++|[{\[]++|[}\]]++', re.DOTALL)


def blank_members(text: bytes, opening: re.Pattern[bytes]) -> bytes:
    """Replace objects and lists that are members of the object `text` by `null`.

    `opening` matches a key with its colon, up to the value. What stands in the value's place is not checked; one that
    does not end stays. Every byte is looked at once.
    """
    parts: list[bytes] = []
    kept = 0
    for start, end in _values(text, {match.end() for match in opening.finditer(text)}):
        parts += (text[kept:start], b"null")
        kept = end
    return b"".join([*parts, text[kept:]])


def _values(text: bytes, starts: set[int]) -> Iterator[tuple[int, int]]:
    """Where the containers of the outermost object that begin at one of `starts` begin and end."""
    depth, start = 0, -1
    for token in _TOKEN.finditer(text) if starts else ():
        at, end = token.span()
        if text[at] in b"{[":
            if depth == 1 and at in starts:
                start = at
            depth += end - at
        elif text[at] in b"}]":
            if start >= 0 and depth - (end - at) <= 1:
                yield start, at + depth - 1
                start = -1
            depth -= end - at
