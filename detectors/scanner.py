"""Which of many string tests a text may pass, found in one call.

A rule set asks a command line or a user agent dozens of questions: contains this, begins with that, matches a regex.
RE2 looks for the literals that each of them can't do without, all at once, and then runs only the patterns whose
literals are there (`FilteredRE2`). One automaton of the whole patterns (`re2.Set`) is no slower on usual text, but its
states multiply with every `.*`: on hostile text it was fifteen times slower.

A scan never misses a test that the text passes; it may name one that fails, for text that is not ASCII.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import re2

from detectors.pattern import glob_regex
from detectors.predicate import Atom, Op
from detectors.values import fold, text

Scan = Callable[[str], int]
"""From a text to the tests that it may pass, as bits."""


def pattern_of(atom: Atom) -> str | None:
    """Return the RE2 pattern that is found in all text, or else folded text, that passes the atom's test.

    None for an atom that does not test text, or for a text that UTF-8 can't hold.
    """
    string = text(atom.value)
    if string is None or atom.op not in _PATTERNS:
        return None
    if atom.op is Op.REGEX:
        return string
    try:
        pattern = _PATTERNS[atom.op](string if atom.cased else fold(string))
    except UnicodeEncodeError:
        return None
    return ("(?s)" if atom.cased else "(?is)") + pattern


_PATTERNS: Final[dict[Op, Callable[[str], str]]] = {
    Op.EQUALS: lambda string: rf"\A{re2.escape(string)}\z",
    Op.PREFIX: lambda string: rf"\A{re2.escape(string)}",
    Op.SUFFIX: lambda string: rf"{re2.escape(string)}\z",
    Op.CONTAINS: re2.escape,
    Op.WILDCARD: lambda string: rf"\A{glob_regex(string)}\z",
    Op.REGEX: lambda string: string,
}


def scanner(patterns: Mapping[str, int]) -> Scan:
    """Compile patterns, each with the bits that it stands for, to one scan.

    Raises:
        ValueError: a pattern is too large for RE2; none is that RE2 takes alone.
    """
    parts = _filters(list(patterns.items()))

    def scan(string: str) -> int:
        data = string.encode("utf-8", "replace")
        bits = 0
        for match, masks in parts:
            for number in match(data) or ():
                bits |= masks[number]
            if not string.isascii():
                for number in match(fold(string).encode("utf-8", "replace")) or ():
                    bits |= masks[number]
        return bits

    return scan


_Part = tuple[Callable[[bytes], list[int] | None], tuple[int, ...]]
"""From a text to the numbers of the patterns found, and the bits for each number."""


def _filters(patterns: list[tuple[str, int]]) -> list[_Part]:
    """Compile to one filter, or to two halves where RE2's memory does not suffice."""
    if not patterns:
        return []
    together = re2.Filter()
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    try:
        for pattern, _ in patterns:
            together.Add(pattern.encode(), options)
        together.Compile()
    except re2.error as error:
        if len(patterns) == 1:
            raise ValueError(str(error)) from error
        middle = len(patterns) // 2
        return [*_filters(patterns[:middle]), *_filters(patterns[middle:])]
    return [(together.Match, tuple(bits for _, bits in patterns))]
