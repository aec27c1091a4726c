"""Cut a body of JSON into its records, without decoding them and without ever failing.

Bodies come as one object (compact or pretty-printed), as lines of objects (NDJSON), as an array, as objects one after
the other with nothing between (Fluent Bit's `json_stream`), and as a format's own envelope of items. msgspec's `Raw`
skips over values, at a fifth of the cost of decoding them; a body that is not valid is handed to `salvage`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from collector.decoders._common.json_salvage import Opening, salvage
from collector.decoders._common.lines import BOM, SPACE, numbered_lines
from vedette.schema.record import Piece

REFUSALS: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises over bytes that it can't take."""

_VALUE: Final = msgspec.json.Decoder(msgspec.Raw)
_ARRAY: Final = msgspec.json.Decoder(list[msgspec.Raw])


class Envelope(NamedTuple):
    """An object that a format wraps its records in (Kubernetes' `EventList`).

    `mark`: bytes that stand in every envelope. `items`: the records in one, None if the text is no whole envelope.
    `opening`: where they begin in a broken one, None if a broken one is not opened.
    """

    mark: bytes
    items: Callable[[bytes], list[bytes] | None]
    opening: Opening | None = None


def split_json(body: bytes, context: str, record: int, envelope: Envelope | None = None) -> list[Piece]:
    """Cut a body into records; what can't be cut becomes a record itself.

    Lines keep their line number (all records of one line the same); in bodies that are not lines, records are counted.
    A body is lines if the first is a JSON value, or if it is no value as a whole and some line is an object.
    """
    text = body.removeprefix(BOM)
    known = envelope if envelope is not None and envelope.mark in text else None
    whole = text.strip(SPACE)
    if not whole:
        return []
    if b"\n" not in whole:
        return [Piece(_records(whole, known), context, record)]
    if not _is_value(_first_line(whole)):
        found = _in_one(whole, known)
        if found is not None:
            return [Piece(found, context, record)]
        if whole[0] in b"{[" and not any(_is_object(line) for _, line in numbered_lines(text, record)):
            return [Piece(_salvage(whole, known), context, record)]
    return _lines(text, known, context, record)


def _records(text: bytes, envelope: Envelope | None) -> list[bytes]:
    """The records of a text that is not read line by line."""
    found = _in_one(text, envelope)
    if found is not None:
        return found
    return _salvage(text, envelope) if text[0] in b"{[" else [text]


def _in_one(text: bytes, envelope: Envelope | None) -> list[bytes] | None:
    """The records of a text that is one JSON value, None if it is not."""
    try:
        if text[0] == b"["[0]:
            return _flatten([bytes(raw) for raw in _ARRAY.decode(text)], envelope)
        if envelope is not None and (inner := envelope.items(text)) is not None:
            return inner
        _VALUE.decode(text)
    except REFUSALS:
        return None
    return [text]


def _flatten(records: list[bytes], envelope: Envelope | None) -> list[bytes]:
    """Open the envelopes among the records."""
    if envelope is None:
        return records
    inner = [envelope.items(record) if envelope.mark in record else None for record in records]
    return [one for record, found in zip(records, inner, strict=True) for one in ([record] if found is None else found)]


def _salvage(text: bytes, envelope: Envelope | None) -> list[bytes]:
    return _flatten(salvage(text, envelope.opening if envelope else None), envelope)


def _lines(text: bytes, envelope: Envelope | None, context: str, number: int) -> list[Piece]:
    """Every line that is not blank, under its number; a piece ends where the next number does not follow."""
    pieces: list[Piece] = []
    following = -1
    for line_number, line in numbered_lines(text, number):
        for record in _records(line, envelope):
            if line_number != following:
                pieces.append(Piece([], context, line_number))
            pieces[-1].items.append(record)
            following = line_number + 1
    return pieces


def _is_value(text: bytes) -> bool:
    try:
        _VALUE.decode(text)
    except REFUSALS:
        return False
    return True


def _first_line(text: bytes) -> bytes:
    return text[: text.find(b"\n")]


def _is_object(line: bytes) -> bool:
    """Whether a line is an object of its own; an empty one may also be a line of something pretty-printed."""
    return line[0] == b"{"[0] and len(line) > len(b"{}") and _is_value(line)
