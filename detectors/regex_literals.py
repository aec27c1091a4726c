r"""Texts that a regular expression can't match without, for an index to find its rules by.

Only what is plain to see is taken: runs of literal ASCII characters that every match contains, and at an alternation
one run of each choice. Anything else (classes, wildcards, optional parts, what is not ASCII) just ends a run, so a text
that the pattern matches always contains one of the runs, in some case (RE2 folds `k` and `s` to two characters outside
ASCII, as `str.casefold` does). A pattern in a syntax that this reader does not know has no such texts.

Source of the syntax: https://github.com/google/re2/wiki/Syntax.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

ALTERNATIVES_MAX: Final = 64
"""Runs for one pattern: beyond it some other condition of the rule is a better handle."""
DEPTH_MAX: Final = 32
"""Groups inside groups that are read."""

Runs = frozenset[str]
"""Texts of which any match contains at least one."""

_QUANTIFIERS: Final = "*+?{"
_SINGLE: Final = frozenset(".^$")
_CLASS_ESCAPES: Final = frozenset("dDsSwW")
_EMPTY_ESCAPES: Final = frozenset("AbBz")
_CONTROLS: Final = {"a": "\a", "f": "\f", "t": "\t", "n": "\n", "r": "\r", "v": "\v"}
_FLAGS: Final = frozenset("imsU-")


class _UnknownError(Exception):
    """The pattern uses syntax that is not read here."""


def required_texts(pattern: str) -> Runs | None:
    """Return texts, folded, of which each text that an RE2 pattern matches contains one; None if none are known."""
    reader = _Reader(pattern)
    try:
        found = _required(reader.alternatives(0))
    except _UnknownError:
        return None
    return found if reader.at_end else None


class _Item(NamedTuple):
    """What was read of a pattern: the texts that it is, if these are few; else what is required of a match."""

    exact: Runs | None
    required: Runs | None


_EMPTY: Final = frozenset({""})
_UNKNOWN: Final = _Item(None, None)
_NOTHING: Final = _Item(_EMPTY, None)


def _better(left: Runs | None, right: Runs | None) -> Runs | None:
    """Choose the rarer: the one whose shortest text is longer."""
    if left is None or right is None:
        return right if left is None else left
    return max(left, right, key=lambda runs: (min(map(len, runs)), -len(runs)))


def _runs(exact: Runs) -> Runs | None:
    """Return what is required where these texts stand."""
    return None if "" in exact else frozenset(text.casefold() for text in exact)


class _Reader:
    """Reads a pattern from left to right."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0

    @property
    def at_end(self) -> bool:
        return self._at == len(self._pattern)

    def alternatives(self, depth: int) -> _Item:
        """Read choices up to the end of the group, or of the pattern."""
        if depth > DEPTH_MAX:
            raise _UnknownError
        found = [self._sequence(depth)]
        while self._next() == "|":
            self._at += 1
            found.append(self._sequence(depth))
        return _Item(_union([item.exact for item in found]), _union([_required(item) for item in found]))

    def _next(self) -> str:
        return self._pattern[self._at : self._at + 1]

    def _sequence(self, depth: int) -> _Item:
        """Read items one after the other; texts that meet are one run."""
        best: Runs | None = None
        run, whole = _EMPTY, True
        while self._next() not in ("", "|", ")"):
            item = self._group(depth) if self._next() == "(" else self._item()
            optional, repeated = self._quantifier()
            if optional:
                item = _UNKNOWN
            elif repeated:
                item = _Item(None, _required(item))
            if item.exact is not None and len(run) * len(item.exact) <= ALTERNATIVES_MAX:
                run = frozenset(before + after for before in run for after in item.exact)
                continue
            best, run, whole = _better(best, _runs(run)), item.exact or _EMPTY, False
            best = _better(best, item.required)
        return _Item(run if whole else None, _better(best, _runs(run)))

    def _item(self) -> _Item:
        """Read one item that is no group: a literal character, or what may be several."""
        char = self._next()
        self._at += 1
        if char == "\\":
            return self._escape()
        if char == "[":
            self._skip_class()
            return _UNKNOWN
        if char in _QUANTIFIERS:
            raise _UnknownError
        return _UNKNOWN if char in _SINGLE or not char.isascii() else _Item(frozenset({char}), None)

    def _escape(self) -> _Item:
        char = self._next()
        self._at += 1
        if char in _CONTROLS:
            return _Item(frozenset({_CONTROLS[char]}), None)
        if char in _CLASS_ESCAPES or char in _EMPTY_ESCAPES:
            return _UNKNOWN
        if not char or char.isalnum() or not char.isascii():
            raise _UnknownError
        return _Item(frozenset({char}), None)

    def _skip_class(self) -> None:
        """Skip `[…]`; a bracket at its beginning is a member, `[:alpha:]` in it and escapes are whole."""
        self._at += self._next() == "^"
        first = True
        while first or self._next() != "]":
            if not self._next():
                raise _UnknownError
            if self._pattern.startswith("[:", self._at):
                end = self._pattern.find(":]", self._at)
                if end < 0:
                    raise _UnknownError
                self._at = end + 2
            else:
                self._at += 1 + (self._next() == "\\")
            first = False
        self._at += 1

    def _group(self, depth: int) -> _Item:
        self._at += 1
        if self._next() == "?":
            self._at += 1
            if self._opening():
                return _NOTHING
        found = self.alternatives(depth + 1)
        if self._next() != ")":
            raise _UnknownError
        self._at += 1
        return found

    def _opening(self) -> bool:
        """Read what follows `(?` up to the contents; true if there are none."""
        named = "P<" if self._pattern.startswith("P<", self._at) else "<"
        if self._pattern.startswith(named, self._at):
            end = self._pattern.find(">", self._at)
            if end < 0:
                raise _UnknownError
            self._at = end + 1
            return False
        while self._next() in _FLAGS and self._next():
            self._at += 1
        end_char = self._next()
        if end_char not in (":", ")") or not end_char:
            raise _UnknownError
        self._at += 1
        return end_char == ")"

    def _quantifier(self) -> tuple[bool, bool]:
        """Read what follows an item: whether it may be missing, and whether it may be there more than once."""
        char = self._next()
        if char not in _QUANTIFIERS or not char:
            return False, False
        self._at += 1
        optional = char in "*?"
        if char == "{":
            end = self._pattern.find("}", self._at)
            counts = self._pattern[self._at : end].split(",")
            if end < 0 or len(counts) > len(("least", "most")) or not counts[0].isdecimal():
                raise _UnknownError
            optional = int(counts[0]) == 0
            self._at = end + 1
        self._at += self._next() == "?"
        if self._next() in _QUANTIFIERS and self._next():
            raise _UnknownError
        return optional, True


def _required(item: _Item) -> Runs | None:
    return _better(item.required, None if item.exact is None else _runs(item.exact))


def _union(found: Sequence[Runs | None]) -> Runs | None:
    """Return all texts of some choices; None if those of one are not known, or they are too many."""
    known = [runs for runs in found if runs is not None]
    together = frozenset[str]().union(*known)
    return together if len(known) == len(found) and len(together) <= ALTERNATIVES_MAX else None
