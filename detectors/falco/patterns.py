"""Falco's ways to match text: `glob`, `regex`, `pmatch`, and case that is ASCII's.

Source: falcosecurity/libs, userspace/libsinsp/{utils,prefix_search,sinsp_filtercheck}.cpp. `glob` is POSIX fnmatch
without flags, `regex` is RE2 in POSIX syntax over the whole text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from string import ascii_lowercase, ascii_uppercase
from typing import Final

import re2

from detectors.pattern import REGEX_CACHE_SIZE, compile_regex

Test = Callable[[str], bool]

_LOWER: Final = str.maketrans(ascii_uppercase, ascii_lowercase)
_UPPER: Final = str.maketrans(ascii_lowercase, ascii_uppercase)
_BRACKET: Final = re.compile(r"\[[!^]?\]?(?:\[:[a-z]+:\]|\\.|[^\]\\])*\]", re.DOTALL)
_CLASSES: Final = frozenset(
    f"[:{name}:]"
    for name in (
        "alnum",
        "alpha",
        "blank",
        "cntrl",
        "digit",
        "graph",
        "lower",
        "print",
        "punct",
        "space",
        "upper",
        "xdigit",
    )
)
_CLASS: Final = re.compile(r"\[:[a-z]+:\]")
_WILD: Final = frozenset("*?[")


def lower(string: str) -> str:
    """Lower ASCII letters, and no others: C's `tolower` in the locale that Falco runs in."""
    return string.lower() if string.isascii() else string.translate(_LOWER)


def upper(string: str) -> str:
    """Raise ASCII letters, and no others."""
    return string.upper() if string.isascii() else string.translate(_UPPER)


@lru_cache(maxsize=REGEX_CACHE_SIZE)
def posix_regex(pattern: str) -> Test:
    """Compile the pattern of `regex` to a test of a whole text.

    Raises:
        ValueError: RE2 does not take it in POSIX syntax (it has no Perl classes, flags, look-around, …).
    """
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.posix_syntax = True
    options.longest_match = True
    try:
        regex = re2.compile(pattern.encode(), options)
    except (re2.error, UnicodeEncodeError) as error:
        reason = error.args[0]
        detail = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(error)
        raise ValueError(f"invalid regex pattern: {detail}") from error
    match = regex.fullmatch
    return lambda string: match(string.encode("utf-8", "replace")) is not None


@lru_cache(maxsize=REGEX_CACHE_SIZE)
def glob(pattern: str, *, folded: bool = False) -> Test:
    """Compile a pattern of `glob` (or, folded, of `iglob`) to a test of a whole text; any text is a pattern.

    Raises:
        ValueError: it is too large for RE2.
    """
    return compile_regex(glob_regex(pattern, folded=folded))


def glob_regex(pattern: str, *, folded: bool = False) -> str:
    """Return the RE2 pattern that a pattern of `glob` (or, folded, of `iglob`) stands for."""
    flags = "(?is)" if folded else "(?s)"
    return rf"{flags}\A(?:{''.join(_pieces(pattern))})\z"


def _pieces(pattern: str) -> list[str]:
    pieces: list[str] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        bracket = _BRACKET.match(pattern, at) if char == "[" else None
        if bracket is not None:
            pieces.append(_bracket(bracket.group()))
            at = bracket.end()
            continue
        if char == "\\" and at + 1 < len(pattern):
            at += 1
            pieces.append(re2.escape(pattern[at]))
        elif char == "*":
            if pieces[-1:] != [".*"]:
                pieces.append(".*")
        else:
            pieces.append("." if char == "?" else re2.escape(char))
        at += 1
    return pieces


def _bracket(text: str) -> str:
    """Return a bracket expression of fnmatch as RE2 writes it; one with an unknown class or a turned range as text."""
    inner = text[1:-1]
    negated = inner[:1] in ("!", "^")
    inner = inner[negated:]
    out: list[str] = []
    at = 0
    while at < len(inner):
        named = _CLASS.match(inner, at)
        if named is not None:
            out.append(named.group() if named.group() in _CLASSES else r"\[:\]")
            at = named.end()
            continue
        if inner[at] == "\\" and at + 1 < len(inner):
            at += 1
        elif inner[at] == "-" and 0 < at < len(inner) - 1:
            out.append("-")
            at += 1
            continue
        out.append(re2.escape(inner[at]))
        at += 1
    made = f"[{'^' if negated else ''}{''.join(out)}]"
    try:
        compile_regex(made)
    except ValueError:
        return re2.escape(text)
    return made


@lru_cache(maxsize=REGEX_CACHE_SIZE)
def path_prefix(search: str) -> Test:
    """Compile a path of `pmatch`: it, or what it names with wildcards, is the text or a directory above it."""
    parts = tuple(_component(part) for part in _components(search))
    count = len(parts)

    def test(string: str) -> bool:
        components = _components(string)
        return len(components) >= count and all(part(found) for part, found in zip(parts, components, strict=False))

    return test


def _components(path: str) -> list[str]:
    return path.removesuffix("/").split("/") if path else []


def _component(part: str) -> Test:
    return glob(part) if not _WILD.isdisjoint(part) else part.__eq__
