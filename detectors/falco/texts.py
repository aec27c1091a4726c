"""Texts of rules put together from pieces, which remember where each piece stands in a file.

A condition is what its items say, appended to each other, with exceptions wrapped round and lists put in. Its errors
still name the line that somebody wrote: characters are traced back to their piece, and there to the characters of the
YAML scalar, by counting those that are not blank (folding changes blanks alone).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import NamedTuple

import yaml

from detectors.falco.diagnostics import Place, place_of
from detectors.rule import RuleText


class Piece(NamedTuple):
    """A part of a text: the YAML scalar that it was read from, or else just the place that it is due to."""

    text: str
    place: Place
    node: yaml.Node | None = None
    source: RuleText | None = None


def piece_of(source: RuleText, node: yaml.Node) -> Piece:
    """Return a scalar as a piece."""
    return Piece(str(node.value), place_of(source, node.start_mark), node, source)


Text = tuple[Piece, ...]


def joined(text: Text) -> str:
    """Return a text as one string."""
    return "".join(piece.text for piece in text)


def appended(text: Text, more: Text) -> Text:
    """Return a text with another behind it, and a blank between."""
    return (*text, Piece(" ", more[0].place), *more)


def locate(text: Text, offset: int) -> Place:
    """Return where a character of a text stands."""
    starts = [0, *accumulate(len(piece.text) for piece in text)]
    at = min(bisect_right(starts, offset) - 1, len(text) - 1)
    piece = text[at]
    if piece.node is None or piece.source is None:
        return piece.place
    return _in_scalar(piece.text[: offset - starts[at]], piece.node, piece.source)


def _in_scalar(before: str, node: yaml.Node, source: RuleText) -> Place:
    start = node.start_mark.index
    raw = source.text[start : node.end_mark.index].rstrip()
    at = raw.find("\n") + 1 if raw[:1] in ("|", ">") else int(raw[:1] in ("'", '"'))
    wanted = sum(not char.isspace() for char in before)
    while at < len(raw) and (wanted or raw[at].isspace()):
        wanted -= not raw[at].isspace()
        at += 1
    line = node.start_mark.line + raw[:at].count("\n") + 1
    return Place(source.path, line, start + at - source.text.rfind("\n", 0, start + at))


class Traced:
    """A string in which parts are replaced, with the offset that each character had at first."""

    def __init__(self, string: str) -> None:
        self.string = string
        self._origins: Sequence[int] = range(len(string) + 1)

    def replace(self, parts: Iterable[tuple[int, int, str]]) -> None:
        """Put strings in the place of parts, `(start, end, string)` in order; they count as their part's first."""
        strings: list[str] = []
        origins: list[int] = []
        done = 0
        for start, end, string in parts:
            strings += [self.string[done:start], string]
            origins.extend(self._origins[done:start])
            origins.extend([self._origins[start]] * len(string))
            done = end
        self.string = "".join((*strings, self.string[done:]))
        self._origins = [*origins, *self._origins[done:]]

    def origin(self, offset: int) -> int:
        """Return the offset that a character had at first."""
        return self._origins[min(offset, len(self._origins) - 1)]
