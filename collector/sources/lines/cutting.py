r"""Cuts bytes into whole lines, bounded, and says where in its origin each record stands.

A line is a record, or what the decoder's `split` makes of it. Lines end with `\n` (a `\r` before it is the decoder's
to ignore). The core is pure: what a stretch of bytes yields depends on the bytes and the place before them alone, so a
restart that reads the same bytes from the same place finds the same records.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

from prometheus_client import Counter

from vedette.runtime.telemetry import OperationalEvent
from vedette.schema.limits import DEAD_LETTER_BYTES_MAX, ITEM_BYTES_MAX
from vedette.schema.record import Piece, Run

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vedette.schema.event import Decoder

SHORTENED: Final = b"[Truncated...]"
"""Ends what is kept of an overlong line, so that no decoder takes it for a whole record; CloudWatch's own mark."""


@dataclass(frozen=True, slots=True)
class LineTooLong(OperationalEvent):
    """A line was over ITEM_BYTES_MAX; its beginning was handed on, for detection to put among the dead letters."""

    component: ClassVar[str] = "sources.lines"
    message: ClassVar[str] = "a line is longer than a record may be; only its beginning is kept"
    level: ClassVar[int] = logging.WARNING
    metric: ClassVar[Counter | None] = Counter(
        "vedette_source_overlong_lines_total", "Lines longer than a record may be.", ["source"]
    )
    labels: ClassVar[tuple[str, ...]] = ("source",)

    source: str
    origin: str
    record: int


class Place(NamedTuple):
    """Where in its origin the next byte stands."""

    record: int = 1
    """1-based number of the line that begins next."""
    context: str = ""
    """What the decoder must know beside the bytes."""
    skipping: bool = False
    """The next byte is inside an overlong line whose beginning was handed on already."""


class Cut(NamedTuple):
    """What a stretch of bytes yielded: `pieces` from its first `consumed` bytes, and the place after them."""

    pieces: list[Piece]
    consumed: int
    place: Place
    overlong: int = 0
    """The number of the line that was too long; 0 if none was."""


def cut(body: bytes, place: Place, decoder: Decoder, *, final: bool = False) -> Cut:
    """Take the whole lines at the beginning of `body`; with `final` also a last line that has no end.

    An overlong line ends the stretch, so call again with the rest until nothing is consumed. What is not consumed is
    the beginning of a line of at most ITEM_BYTES_MAX bytes.
    """
    start = 0
    if place.skipping:
        start = body.find(b"\n") + 1
        if not start:
            return Cut([], len(body), place)
        place = place._replace(skipping=False)
    if place.record == 1:
        start = _after_hole(body, start)
    newline = body.find(b"\n", start)
    if (newline if newline >= 0 else len(body)) - start > ITEM_BYTES_MAX:
        return _overlong(body, start, newline, place)
    end = len(body) if final else body.rfind(b"\n", start) + 1
    if end <= start:
        return Cut([], start, place)
    block = body[start:end]
    pieces = decoder.split(block, place.context, place.record)
    lines = block.count(b"\n") + (not block.endswith(b"\n"))
    context = pieces[-1].context if pieces else place.context
    return Cut([piece for piece in pieces if piece.items], end, Place(place.record + lines, context))


def _after_hole(body: bytes, start: int) -> int:
    """Step over zero bytes before the first line: the hole that a writer leaves whose file was truncated under it."""
    if body[start : start + 1] != b"\0":
        return start
    return len(body) - len(body[start:].lstrip(b"\0"))


def _overlong(body: bytes, start: int, newline: int, place: Place) -> Cut:
    kept = body[start : start + DEAD_LETTER_BYTES_MAX - len(SHORTENED)] + SHORTENED
    consumed = newline + 1 if newline >= 0 else len(body)
    after = Place(place.record + 1, place.context, newline < 0)
    return Cut([Piece([kept], place.context, place.record)], consumed, after, place.record)


class LineStream:
    r"""Cuts bytes as they come from a stream; holds back at most the beginning of one line."""

    def __init__(self, decoder: Decoder, context: str = "", record: int = 1) -> None:
        """Begin at the start of a line, the `record`-th of its origin."""
        self.place = Place(record, context)
        self._decoder = decoder
        self._held: list[bytes] = []
        self._held_bytes = 0

    def feed(self, data: bytes, *, final: bool = False) -> list[Cut]:
        """Take the next bytes; return what they complete. `final`: the stream ends here."""
        self._held.append(data)
        self._held_bytes += len(data)
        if not final and self._held_bytes <= ITEM_BYTES_MAX and b"\n" not in data:
            return []
        body, cuts = b"".join(self._held), list[Cut]()
        while body:
            taken = cut(body, self.place, self._decoder, final=final)
            if not taken.consumed:
                break
            cuts.append(taken)
            self.place = taken.place
            body = body[taken.consumed :]
        self._held, self._held_bytes = [body], len(body)
        return cuts


def described(pieces: Iterable[Piece], source: str, decoder: Decoder, origin: str) -> tuple[list[Run], list[bytes]]:
    """Turn pieces into what a parcel holds: runs, and their items one after the other."""
    runs: list[Run] = []
    items: list[bytes] = []
    for piece in pieces:
        runs.append(Run(source, decoder.name, len(piece.items), piece.context, origin, piece.record))
        items += piece.items
    return runs, items
