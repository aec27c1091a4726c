"""The values of some fields as one folded text, so that one scan sees them all.

Each value stands between a mark for its field and one for the end: a literal with the marks around it is the whole
value, with one of them its beginning or its end. Marks are control characters. Whoever writes them into a value makes a
scan find more than there is, never less.

Most of what thousands of rules ask for is in no given document. Which fields can be there follows from its top-level
keys, and these from the kind of event: so it is found once for each such shape, and the others cost nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from itertools import repeat
from typing import Any, Final, NamedTuple

import orjson

from detectors.covers import Literal
from detectors.fields import getter, top_keys
from detectors.inside import ReadInside, readers, spreading
from detectors.values import kind_of, text

SHAPES_MAX: Final = 256
"""Shapes remembered; sources have a few dozen. With SHAPE_KEYS_MAX it bounds the memory at a few MB for 100 fields."""
FIELDS_MIN: Final = 24
"""Fields for which shapes pay: up to here asking for each costs less, if all are keys."""
SHAPE_KEYS_MAX: Final = 128
"""Keys of a shape that is worth remembering."""

_DIGITS: Final = tuple(map(chr, (*range(1, 9), *range(14, 32))))
"""Characters that marks are numbered with: folding leaves them alone, and they keep the text ASCII."""
_PLAIN: Final = frozenset((str, int, bool, type(None)))
"""Kinds of values that `str` writes as `text` does, but for case, or that are nothing to a keyword."""
_BEGIN: Final = "\x0b"
_END: Final = "\x0c"
_ANY: Final = f"{_BEGIN}%s"


class Shape(NamedTuple):
    """What is read of documents with the same top-level keys.

    `names`: of the fields that may be there, whose `places` among all are these.
    `objects` read the fields inside of objects; `parts` are the marks around values, with gaps between them for these;
    `spread` puts them in the positions of all fields. `odd`: where something else than one string was seen.
    `lacking`: what needs a value of a field that is not there, as bits.
    """

    names: tuple[str, ...]
    places: tuple[int, ...]
    objects: tuple[ReadInside, ...]
    parts: list[str]
    spread: Callable[[list[str]], Sequence[str]]
    odd: list[int]
    lacking: int


class Joined:
    """Reads fields of documents, and writes literals as they stand in the joined values."""

    def __init__(self, fields: Mapping[str, int], *, leaves: bool = False) -> None:
        """`fields`: with what needs a value of each, as bits; `leaves`: join all other values, too, for keywords."""
        self._leaves = leaves
        self._needing = tuple(fields.values())
        self.positions: Final = {field: at for at, field in enumerate(fields)}
        marks = [_mark(at) for at in range(len(fields))]
        self._begins = [mark + _BEGIN for mark in marks]
        self._ends = [_END + mark for mark in marks]
        self._names = tuple(fields)
        self._keys = tuple(frozenset(top_keys(field)) for field in fields)
        self._getters = tuple(map(getter, fields))
        self._shapes: dict[tuple[str, ...], Shape] = {}
        is_small = len(fields) <= FIELDS_MIN and not any("." in field for field in fields)
        self._only = self._shape(frozenset(fields)) if is_small else None

    def read(self, doc: dict[str, Any]) -> tuple[Shape, list[str], bool]:
        """Read the fields that a document may have, folded; say whether that is all of them.

        It is not if a field has several values: they stand in one text with marks between them.
        """
        shape = self._only
        if shape is None:
            keys = tuple(doc)
            shape = self._shapes.get(keys) or self._learn(keys)
        found: list[Any] = [*map(doc.get, shape.names, _NOTHING)]
        for read_object in shape.objects:
            read_object(doc, found)
        plain = True
        for at in shape.odd:
            value = found[at]
            if kind_of(value) is list:
                place = shape.places[at]
                values = self._getters[place](doc)
                plain = plain and len(values) <= 1
                found[at] = (self._ends[place] + self._begins[place]).join(text(value) or "" for value in values)
            elif kind_of(value) is not str:
                found[at] = text(value) or ""
        try:
            return shape, [*map(str.casefold, found)], plain
        except TypeError:  # at a position where no such value was seen before
            shape.odd.extend(at for at, value in enumerate(found) if kind_of(value) is not str)
            return self.read(doc)

    def text(self, shape: Shape, folded: list[str], doc: dict[str, Any]) -> bytes:
        """Join values that were read of a document to the text that is scanned."""
        parts = shape.parts[:]
        parts[1::2] = folded
        if self._leaves:
            parts.append(_leaves_of(doc).casefold())
        return _encoded("".join(parts))

    def written(self, literal: Literal) -> tuple[bytes, ...]:
        """Return each way in which a literal may stand in the text."""
        if literal.field is not None:
            at = self.positions[literal.field]
            begin, end = self._begins[at] * literal.at_start, self._ends[at] * literal.at_end
            return (_encoded(begin + literal.text + end),)
        plain = _encoded(literal.text)
        return (plain, _escaped(literal.text)) if self._leaves else (plain,)

    def _learn(self, keys: tuple[str, ...]) -> Shape:
        shape = self._shape(frozenset(keys))
        if len(keys) <= SHAPE_KEYS_MAX:
            if len(self._shapes) >= SHAPES_MAX:
                self._shapes.clear()
            self._shapes[keys] = shape
        return shape

    def _shape(self, there: frozenset[str]) -> Shape:
        places = tuple(at for at, keys in enumerate(self._keys) if not keys.isdisjoint(there))
        names = tuple(self._names[at] for at in places)
        begins, ends = [self._begins[at] for at in places], [self._ends[at] for at in places]
        parts = [""] * (2 * len(places) + 1)
        parts[::2] = [end + begin for end, begin in zip(["", *ends], [*begins, ""], strict=True)]
        absent = (bits for at, bits in enumerate(self._needing) if at not in places)
        lacking = reduce(_UNION, absent, 0)
        return Shape(names, places, readers(names, there), parts, spreading(places, len(self._names)), [], lacking)


_NOTHING: Final = repeat("")
_UNION: Final[Callable[[int, int], int]] = int.__or__


def _leaves_of(doc: dict[str, Any]) -> str:
    """Join every value of a document, with marks between them; as JSON where some are in objects or lists.

    (Visiting those takes three times as long.) Keys are in it as well, and numbers are not always written as `text`
    does: see `detectors.covers`.
    """
    if _PLAIN.issuperset(map(kind_of, doc.values())):
        try:
            return (_ANY * len(doc)) % tuple(doc.values())
        except ValueError:  # an integer of so many digits that Python writes none
            pass
    try:
        return orjson.dumps(doc).decode()
    except TypeError:  # a longer integer, a lone surrogate, or nested too deep
        return _BEGIN.join(filter(None, map(text, getter(None)(doc))))


def _escaped(string: str) -> bytes:
    """Return how a folded text stands in folded JSON."""
    try:
        return orjson.dumps(string)[1:-1].lower()
    except TypeError:  # a lone surrogate: it is in no JSON
        return _encoded(string)


def _encoded(string: str) -> bytes:
    return string.encode("utf-8", "surrogatepass")


def _mark(number: int) -> str:
    """Return a text that no other number has at the beginning of its own."""
    high, low = divmod(number, len(_DIGITS) ** 2)
    middle, last = divmod(low, len(_DIGITS))
    return _DIGITS[high] + _DIGITS[middle] + _DIGITS[last]
