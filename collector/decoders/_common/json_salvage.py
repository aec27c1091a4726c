"""Rescue the complete objects out of a body that is not valid JSON as a whole.

One bad item must not cost its batch: an API server drops 400 events after five refusals. A scanner that knows strings
and brackets, and nothing else of JSON, emits every balanced object; each stretch between them becomes one record of its
own, so that it is refused with a reason and kept. Every byte is looked at a bounded number of times.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from collector.decoders._common.lines import SPACE

Opening = Callable[[bytes, int], int]
"""Where the items begin if an envelope opens at this offset, -1 if none does."""

_TOKEN: Final = re.compile(
    rb'(?:"[^"\\\n]*+(?:\\[^\n][^"\\\n]*+)*+"|[^"{}\[\]]++)++'  # strings and all else but brackets
    rb'|\{++|\}|\[++|\]++|"'  # the last is the start of a string that does not end
)
_MAY_PRECEDE_A_VALUE: Final = frozenset(b",:[")


def salvage(text: bytes, opening: Opening | None = None) -> list[bytes]:
    """Cut `text` into its complete objects and the stretches that are none, in order, without white space around them.

    Lists and commas between the objects vanish. An object ends a broken one where no value may stand (after another
    value), and a string cannot span lines, so what follows is found again. The other control characters, which RFC 8259
    forbids in strings just as well, end none: their object is refused alone.
    """
    scanner = _Scanner(text, opening)
    at = 0
    while at < len(text):
        at = scanner.scan(at)
    scanner.finish()
    return scanner.found


class _Scanner:
    def __init__(self, text: bytes, opening: Opening | None) -> None:
        self.text = text
        self.opening = opening
        self.found: list[bytes] = []
        self.stack = bytearray()  # the brackets open in the present object
        self.start = 0  # of the present object
        self.waste = -1  # start of a stretch that is no object, -1 while there is none
        self.before = 0  # the last byte of the token before
        self.orphan = False  # the present object is a value that lost its owner

    def scan(self, at: int) -> int:
        """Read tokens from `at` on; say where to go on after something that is skipped whole."""
        for token in _TOKEN.finditer(self.text, at):
            at, end = token.span()
            first = self.text[at]
            if first == b"{"[0]:
                at = self._last_brace(at, end)
                skip_to = self._open_object(at)
                if skip_to >= 0:
                    return skip_to
            elif first == b'"'[0] and end == at + 1:
                return self._break_off(at)
            elif first in b"[]}":
                if self.stack:
                    self._bracket(first, end, end - at)
            else:
                self._plain(at, end)
                continue
            self.before = first
        return len(self.text)

    def finish(self) -> None:
        if self.stack:
            self._spoil()
        self._flush(len(self.text))

    def _last_brace(self, at: int, end: int) -> int:
        """Of braces in a row only the last can begin an object."""
        if end - at > 1:
            if self.stack:
                self._spoil()
            elif self.waste < 0:
                self.waste = at
            self.before = b"{"[0]
        return end - 1

    def _open_object(self, at: int) -> int:
        if self.stack and not self._may_nest():
            self._spoil()
            self.before = 0
        if self.stack:
            self.stack += b"{"
            return -1
        self.orphan = self.before == b":"[0]
        if not self.orphan:
            self._flush(at)
            items_at = self.opening(self.text, at) if self.opening else -1
            if items_at >= 0:
                self.before = 0
                return items_at
        self.start = at
        self.stack += b"{"
        return -1

    def _may_nest(self) -> bool:
        if self.before == b","[0]:
            return self.stack.endswith(b"[")
        return self.before in _MAY_PRECEDE_A_VALUE

    def _plain(self, at: int, end: int) -> None:
        """Strings, numbers, commas, colons and white space: of interest is what they begin and end with."""
        last = self.text[end - 1]
        if last in SPACE:
            last = (self.text[at:end].rstrip(SPACE) or bytes([self.before]))[-1]
        self.before = last
        if not self.stack and self.waste < 0:
            rest = self.text[at:end].lstrip(SPACE + b",")
            self.waste = end - len(rest) if rest else -1

    def _bracket(self, first: int, end: int, length: int) -> None:
        if first == b"["[0]:
            self.stack += b"[" * length
        elif first == b"]"[0]:
            if self.stack.endswith(b"[" * length):
                del self.stack[-length:]
            else:
                self._spoil()
        elif self.stack.endswith(b"{"):
            self.stack.pop()
            if not self.stack:
                self._complete(end)
        else:
            self._spoil()

    def _complete(self, end: int) -> None:
        if self.orphan:
            self.waste = self.start if self.waste < 0 else self.waste
        else:
            self.found.append(self.text[self.start : end])

    def _break_off(self, at: int) -> int:
        """Give up the line of a string without an end."""
        if self.stack:
            self._spoil()
        elif self.waste < 0:
            self.waste = at
        line_end = self.text.find(b"\n", at)
        self.before = 0
        return len(self.text) if line_end < 0 else line_end + 1

    def _spoil(self) -> None:
        """The present object is none: it becomes waste, and what follows is read as from outside."""
        self.waste = self.start if self.waste < 0 else self.waste
        self.stack.clear()

    def _flush(self, end: int) -> None:
        if self.waste >= 0:
            self.found.append(self.text[self.waste : end].rstrip(SPACE + b","))
            self.waste = -1
