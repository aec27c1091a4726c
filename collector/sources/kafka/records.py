"""Turns records of one partition into what a parcel holds. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from vedette.schema.limits import DEAD_LETTER_BYTES_MAX, ITEM_BYTES_MAX
from vedette.schema.record import Piece, Run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vedette.schema.event import Decoder

SHORTENED: Final = b"[Truncated...]"
"""Ends what is kept of an overlong record, so that no decoder takes it for a whole one; CloudWatch's own mark."""


class KafkaRecord(Protocol):
    """The part of a record that matters here."""

    @property
    def offset(self) -> int:
        """Its number in the partition."""
        ...

    @property
    def value(self) -> bytes | None:
        """What it says; None in a tombstone."""
        ...


class Recording:
    """Cuts values into items, and says where each was: `topic/partition` and the offset.

    Where a record holds several items (an `EventList`) they are numbered in `topic/partition@offset`. A record that
    holds none (no value, blanks, an empty list) is an item itself: its decoder refuses it, and the ledger counts it.
    """

    def __init__(self, source: str, decoder: Decoder, context: str) -> None:
        """Take what all records of a source share."""
        self._source = source
        self._decoder = decoder
        self._context = context

    def described(self, origin: str, records: Sequence[KafkaRecord]) -> tuple[list[Run], list[bytes]]:
        """Return runs, and their items one after the other."""
        runs: list[Run] = []
        items: list[bytes] = []
        begin, count = 0, 0
        for record in records:
            offset = record.offset
            pieces = self._pieces(record.value or b"")
            single = len(pieces) == 1 and len(pieces[0].items) == 1 and pieces[0].context == self._context
            if count and (not single or offset != begin + count):
                runs.append(self._run(origin, Piece(items[-count:], self._context, begin)))
                count = 0
            if single:
                begin = begin if count else offset
                count += 1
            else:
                runs += [self._run(f"{origin}@{offset}", piece) for piece in pieces]
            for piece in pieces:
                items += piece.items
        if count:
            runs.append(self._run(origin, Piece(items[-count:], self._context, begin)))
        return runs, items

    def _pieces(self, value: bytes) -> list[Piece]:
        pieces = [piece for piece in self._decoder.split(value, self._context, 1) if piece.items]
        if not pieces:
            return [Piece([_bounded(value)], self._context, 1)]
        if len(value) > ITEM_BYTES_MAX:
            return [piece._replace(items=[_bounded(item) for item in piece.items]) for piece in pieces]
        return pieces

    def _run(self, origin: str, piece: Piece) -> Run:
        return Run(self._source, self._decoder.name, len(piece.items), piece.context, origin, piece.record)


def _bounded(item: bytes) -> bytes:
    return item if len(item) <= ITEM_BYTES_MAX else item[: DEAD_LETTER_BYTES_MAX - len(SHORTENED)] + SHORTENED
