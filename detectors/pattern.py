r"""Two kinds of pattern over text: regular expressions (RE2) and globs, both in time linear in the text.

A glob is written `*` for any run of characters and `?` for exactly one; a backslash takes the meaning from a following
`*`, `?` or backslash. The canonical form, which rules are stored in, escapes every literal backslash, so that
`parse_glob(render_glob(parts)) == parts`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from functools import lru_cache
from typing import Final

import re2


class Wild(Enum):
    """The special parts of a glob."""

    ANY = "*"
    ONE = "?"


GlobPart = str | Wild
Search = Callable[[str], bool]

REGEX_CACHE_SIZE: Final = 4096
"""Compiled patterns kept; all come from rules. RE2 bounds each at 8 MiB, and usual ones take some KiB."""
_SPECIAL: Final = frozenset("*?\\")
_WILD: Final = {"*": Wild.ANY, "?": Wild.ONE}


def compile_regex(pattern: str) -> Search:
    """Compile a regular expression to a search (not a full match) over text.

    A lone surrogate, which no UTF-8 document can hold, is searched as `?`.

    Raises:
        ValueError: RE2 does not take the pattern (look-around, back-references, …).
    """
    return _compile(pattern)


@lru_cache(maxsize=REGEX_CACHE_SIZE)
def _compile(pattern: str) -> Search:
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    try:
        regex = re2.compile(pattern.encode(), options)
    except (re2.error, UnicodeEncodeError) as error:
        reason = error.args[0]
        raise ValueError(reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(error)) from error
    search = regex.search

    def found(text: str) -> bool:
        return search(text.encode("utf-8", "replace")) is not None

    return found


def render_glob(parts: Iterable[GlobPart]) -> str:
    """Write a glob in canonical form; runs of `*` become one."""
    out: list[str] = []
    for part in parts:
        if isinstance(part, Wild):
            if part is Wild.ONE or out[-1:] != ["*"]:
                out.append(part.value)
        elif part:
            out.append("".join(f"\\{char}" if char in _SPECIAL else char for char in part))
    return "".join(out)


def parse_glob(glob: str) -> tuple[GlobPart, ...]:
    """Take a glob apart into literal strings (never empty, never adjacent) and wildcards."""
    parts: list[GlobPart] = []
    literal: list[str] = []
    chars = iter(glob)
    for char in chars:
        if char in _WILD:
            _flush(literal, parts)
            parts.append(_WILD[char])
        elif char == "\\":
            follower = next(chars, "")
            literal.append(follower if follower in _SPECIAL else char + follower)
        else:
            literal.append(char)
    _flush(literal, parts)
    return tuple(parts)


def _flush(literal: list[str], parts: list[GlobPart]) -> None:
    if literal:
        parts.append("".join(literal))
        literal.clear()


@lru_cache(maxsize=REGEX_CACHE_SIZE)
def compile_glob(glob: str) -> Search:
    """Compile a glob to a test of a whole text."""
    parts = parse_glob(glob)
    if Wild.ONE in parts:
        return compile_regex(rf"(?s)\A{glob_regex(glob)}\z")
    if Wild.ANY not in parts:
        literal = "".join(part for part in parts if isinstance(part, str))
        return lambda text: text == literal
    head = parts[0] if isinstance(parts[0], str) else ""
    tail = parts[-1] if isinstance(parts[-1], str) else ""
    inner = tuple(part for part in parts[bool(head) : len(parts) - bool(tail)] if isinstance(part, str))
    return _Runs(head, inner, tail).matches


def glob_regex(glob: str) -> str:
    """Return the pattern, to be used with the flag `s`, that a glob stands for."""
    return "".join(map(_as_regex, parse_glob(glob)))


def _as_regex(part: GlobPart) -> str:
    if isinstance(part, str):
        return re2.escape(part)
    return ".*" if part is Wild.ANY else "."


class _Runs:
    """A glob of literals between `*`: its ends are fixed, and each literal between is best found leftmost."""

    def __init__(self, head: str, inner: tuple[str, ...], tail: str) -> None:
        self._head = head
        self._inner = inner
        self._tail = tail
        self._chars_min = len(head) + len(tail)

    def matches(self, text: str) -> bool:
        if len(text) < self._chars_min or not (text.startswith(self._head) and text.endswith(self._tail)):
            return False
        start, end = len(self._head), len(text) - len(self._tail)
        for literal in self._inner:
            start = text.find(literal, start, end)
            if start < 0:
                return False
            start += len(literal)
        return True
