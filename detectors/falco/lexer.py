"""The tokens of a Falco condition.

Source: falcosecurity/libs, userspace/libsinsp/filter/parser.cpp and escaping.cpp. There is no separate run of a lexer:
what a character means depends on what the parser expects there, and keywords are recognised by their prefix.
"""

from __future__ import annotations

import re
from typing import Final

BLANKS: Final = frozenset(" \t\b\r\n")
FIELD: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9_]*(?:\.[a-zA-Z][a-zA-Z0-9_]*)+")
IDENTIFIER: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9_]*")
BARE: Final = re.compile(r"[^()\"' \t\n\v\f\r=,]+")
BARE_ARG: Final = re.compile(r"[^\]\[\"' \t\n\v\f\r]+")
NUMBER: Final = re.compile(r"0[xX][0-9a-zA-Z]+|[+-]?[0-9]+\.?[0-9]*(?:[eE][+-][0-9]+)?")
NOT: Final = re.compile(r"not[ \t\n\v\f\r]+")

_UNESCAPED: Final = {
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    " ": "\\",  # upstream keeps this for old rules
    "\\": "\\",
    "/": "/",
}
_HEX_CHARS: Final = 2


class ConditionError(Exception):
    """A condition is wrong; `offset` counts characters of its text."""

    def __init__(self, message: str, offset: int) -> None:
        """Keep both apart: the loader knows where the text stands in its file."""
        super().__init__(message)
        self.message = message
        self.offset = offset


class Cursor:
    """A place in a text, and the last token found there."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.offset = 0
        self.token = ""

    def error(self, message: str) -> ConditionError:
        """Return an error at this place."""
        return ConditionError(message, self.offset)

    def blank(self) -> bool:
        """Skip blanks, and say whether there were any."""
        start = self.offset
        while self.offset < len(self.text) and self.text[self.offset] in BLANKS:
            self.offset += 1
        return self.offset > start

    def after_blank(self) -> bool:
        """Say whether a blank stands before this place."""
        return self.offset > 0 and self.text[self.offset - 1] in BLANKS

    def word(self, word: str) -> bool:
        """Take a word, if it begins here."""
        if not self.text.startswith(word, self.offset):
            return False
        self.offset += len(word)
        self.token = word
        return True

    def match(self, pattern: re.Pattern[str]) -> bool:
        """Take what a pattern matches, if it does here."""
        found = pattern.match(self.text, self.offset)
        if found is None:
            return False
        self.offset = found.end()
        self.token = found.group()
        return True

    def peek(self, pattern: re.Pattern[str]) -> str:
        """Return what a pattern would match here, or an empty string."""
        found = pattern.match(self.text, self.offset)
        return found.group() if found else ""

    def quoted(self) -> bool:
        """Take a string in quotes, if one begins and ends here; its token has no quotes and no escapes.

        Raises:
            ConditionError: an escape that conditions don't know.
        """
        quote = self.text[self.offset : self.offset + 1]
        if quote not in ("'", '"'):
            return False
        end = self.offset + 1
        while end < len(self.text) and not (self.text[end] == quote and self.text[end - 1] != "\\"):
            end += 1
        if end >= len(self.text):
            return False
        self.token = self._unescaped(quote, end)
        self.offset = end + 1
        return True

    def _unescaped(self, quote: str, end: int) -> str:
        out: list[str] = []
        at = self.offset + 1
        while at < end:
            char = self.text[at]
            if char != "\\":
                out.append(char)
                at += 1
                continue
            value, at = self._escape(quote, at + 1, end)
            out.append(value)
        return "".join(out)

    def _escape(self, quote: str, at: int, end: int) -> tuple[str, int]:
        """Return the character that an escape stands for, and where the text goes on."""
        char = self.text[at : at + 1] if at < end else ""
        if char in _UNESCAPED:
            return _UNESCAPED[char], at + 1
        if char == "x":
            digits = self.text[at + 1 : min(at + 1 + _HEX_CHARS, end)]
            if len(digits) == _HEX_CHARS and all(digit in "0123456789abcdefABCDEF" for digit in digits):
                return chr(int(digits, 16)), at + 1 + _HEX_CHARS
        if char and char in "'\"":
            if char == quote:
                return char, at + 1
            raise ConditionError(f"invalid \\{char} escape in {quote}-quoted string", at)
        raise ConditionError(f"unsupported string escape sequence: \\{char}", at)
