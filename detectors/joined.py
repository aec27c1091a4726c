"""The values of some fields as one folded text, so that one scan sees them all.

Each value stands between a mark for its field and one for the end: a literal with the marks around it is the whole
value, with one of them its beginning or its end. Marks are control characters. Whoever writes them into a value makes a
scan find more than there is, never less.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from typing import Any, Final

from detectors.covers import Literal
from detectors.fields import getter, top_keys
from detectors.values import kind_of, text

_DIGITS: Final = tuple(map(chr, (*range(1, 9), *range(14, 32))))
"""Characters that marks are numbered with: folding leaves them alone, and they keep the text ASCII."""
_PLAIN: Final = frozenset((str, int, bool, type(None)))
"""Kinds of values that `str` writes as `text` does, but for case, or that are nothing to a keyword."""
_BEGIN: Final = "\x0b"
_END: Final = "\x0c"
_ANY: Final = f"%s{_BEGIN}"

Read = Callable[[dict[str, Any]], list[Any]]
"""From a document to what stands under each of some names: a value, "" for none, a list for several."""


class Joined:
    """Reads fields of documents, and writes literals as they stand in the joined values."""

    def __init__(self, fields: Sequence[str], *, nested: bool, leaves: bool = False) -> None:
        """`nested` promises that no key of a document has a dot and begins with the key of an object in it.

        `leaves`: whether to join all other values, too, for keywords.
        """
        self._leaves = leaves
        self.positions: Final = {field: at for at, field in enumerate(fields)}
        marks = [_mark(at) for at in range(len(fields))]
        self._begins = [mark + _BEGIN for mark in marks]
        self._ends = [_END + mark for mark in marks]
        self._names = tuple(fields)
        self._getters = tuple(map(getter, fields))
        self._read = (_nested_reader if nested else _flat_reader)(fields)
        self._odd: list[int] = []
        """Positions at which something else than one string was seen."""
        self._template: list[str] = [""] * (2 * len(fields) + 1)
        self._template[::2] = [end + begin for end, begin in zip(["", *self._ends], [*self._begins, ""], strict=True)]

    def values(self, doc: dict[str, Any]) -> tuple[list[str], bool]:
        """Read the fields of a document, folded; say whether that is all of them.

        It is not if a field has several values: they stand in one text with marks between them.
        """
        found = self._read(doc)
        plain = True
        for at in self._odd:
            value = found[at]
            if kind_of(value) is list:
                values = self._getters[at](doc)
                plain = plain and len(values) <= 1
                found[at] = (self._ends[at] + self._begins[at]).join(text(value) or "" for value in values)
            elif kind_of(value) is not str:
                found[at] = text(value) or ""
        try:
            return [*map(str.casefold, found)], plain
        except TypeError:  # at a position where no such value was seen before
            self._odd += [at for at, value in enumerate(found) if kind_of(value) is not str]
            return self.values(doc)

    def text(self, folded: list[str], doc: dict[str, Any]) -> bytes:
        """Join values that were read of a document to the text that is scanned."""
        parts = self._template[:]
        parts[1::2] = folded
        if self._leaves:
            parts.append(_leaves_of(doc).casefold())
        return _encoded("".join(parts))

    def literal(self, literal: Literal) -> bytes:
        """Return how a literal stands in the text."""
        if literal.field is None:
            return _encoded(literal.text)
        at = self.positions[literal.field]
        begin, end = self._begins[at] * literal.at_start, self._ends[at] * literal.at_end
        return _encoded(begin + literal.text + end)


def _leaves_of(doc: dict[str, Any]) -> str:
    """Join every value of a document, with marks between them."""
    if _PLAIN.issuperset(map(kind_of, doc.values())):
        try:
            return (_ANY * len(doc)) % tuple(doc.values())
        except ValueError:  # an integer of so many digits that Python writes none
            pass
    return _BEGIN.join(filter(None, map(text, getter(None)(doc))))


def _encoded(string: str) -> bytes:
    return string.encode("utf-8", "surrogatepass")


def _mark(number: int) -> str:
    """Return a text that no other number has at the beginning of its own."""
    high, low = divmod(number, len(_DIGITS) ** 2)
    middle, last = divmod(low, len(_DIGITS))
    return _DIGITS[high] + _DIGITS[middle] + _DIGITS[last]


def _flat_reader(fields: Sequence[str]) -> Read:
    """Read documents whose keys are the fields' names, dots and all; or whose objects hold them, field by field."""
    names = tuple(fields)
    inside: dict[str, list[int]] = {}
    for at, field in enumerate(fields):
        for key in top_keys(field)[:-1]:
            inside.setdefault(key, []).append(at)
    getters = tuple(map(getter, fields))
    blank = repeat("")

    def read_plain(doc: Any) -> list[Any]:
        return [*map(doc.get, names, blank)]

    def read(doc: Any) -> list[Any]:
        found = read_plain(doc)
        for key in inside.keys() & doc.keys():
            for at in inside[key]:
                found[at] = _one(getters[at](doc))
        return found

    return read if inside else read_plain


def _one(values: tuple[Any, ...]) -> Any:
    return values[0] if len(values) == 1 else list(values) or ""


def _nested_reader(fields: Sequence[str]) -> Read:
    """Read documents with objects inside them, as promised."""
    top = [at for at, field in enumerate(fields) if "." not in field]
    names = tuple(fields[at] for at in top)
    inner: dict[str, list[int]] = {}
    for at, field in enumerate(fields):
        if "." in field:
            inner.setdefault(field.partition(".")[0], []).append(at)
    objects = tuple((first, _object_reader(fields, places)) for first, places in inner.items())
    blank = repeat("")
    empty = [""] * len(fields)

    def read(doc: Any) -> list[Any]:
        found: list[Any] = empty[:]
        values: Iterator[Any] = map(doc.get, names, blank)
        for at, value in zip(top, values, strict=True):
            found[at] = value
        for first, read_object in objects:
            if first in doc:
                read_object(doc, doc[first], found)
        return found

    return read


def _object_reader(fields: Sequence[str], places: Sequence[int]) -> Callable[[dict[str, Any], Any, list[Any]], None]:
    """Read the fields that share their first name, which `value` stands under."""
    names = [(at, fields[at].partition(".")[2]) for at in places]
    getters = [(at, getter(fields[at])) for at in places]
    shorter = frozenset(key for _, name in names for key in top_keys(name)[:-1])

    def read(doc: dict[str, Any], value: Any, found: list[Any]) -> None:
        if kind_of(value) is dict and value.keys().isdisjoint(shorter):
            for at, name in names:
                if name in value:
                    found[at] = value[name]
        else:
            for at, get in getters:
                found[at] = _one(get(doc))

    return read
