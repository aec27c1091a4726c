"""The line that a log agent put into a record of its own, where nothing took it apart on the way.

Source: docs.fluentbit.io (input tail, the parsers `docker` and `cri`, filter kubernetes, output http). The line is a
string under `log`, or under `message` with one of the `cri` parsers; beside it stand the agent's own keys. `_p` or
`logtag` is P where the container runtime cut a long line and nobody joined its parts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from collector.decoders._common.json_decode import loads_object
from vedette.schema.errors import DecodeError
from vedette.schema.event import Document

AGENT_KEYS: Final = frozenset({"_p", "date", "kubernetes", "log", "logtag", "message", "stream"})
"""What Fluent Bit adds to a record: never content, because the same event has none of it by another way."""
_MARKS: Final = (b'"log"', b'"message"')
_PART_KEYS: Final = ("_p", "logtag")


def decode_or_line(payload: bytes, decode: Callable[[bytes], Document]) -> Document:
    """Decode a record, or if it is none of the format, the line that an agent put into it; one level, no deeper.

    Raises:
        DecodeError: the record's refusal where it holds no line, else the line's.
    """
    try:
        return decode(payload)
    except DecodeError:
        line = _line_in(payload)
        if line is None:
            raise
    return decode(line)


def _line_in(payload: bytes) -> bytes | None:
    if not any(mark in payload for mark in _MARKS):
        return None
    try:
        record = loads_object(payload)
    except DecodeError:
        return None
    log, message = record.get("log"), record.get("message")
    is_part_told = any(key in record for key in _PART_KEYS)
    if isinstance(log, str):
        line = log
    elif isinstance(message, str) and (is_part_told or message.lstrip().startswith("{")):
        line = message  # elsewhere `message` is anything
    else:
        return None
    if "P" in (record.get(key) for key in _PART_KEYS):
        raise DecodeError("part of a line", 'let the agent join them: "multiline.parser: cri" of Fluent Bit\'s tail')
    return line.strip().encode()
