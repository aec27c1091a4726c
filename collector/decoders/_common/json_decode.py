"""One JSON document out of bytes that anybody may have written: decoded, checked, or refused with a constant reason.

What leaves here can be written again by orjson: valid UTF-8, at most JSON_DEPTH_MAX levels, integers of at most 64 bits
(orjson reads longer ones as floats), no NaN or infinity. Of a repeated key the last value counts.
"""

from __future__ import annotations

from hashlib import sha256
from sys import getrecursionlimit
from typing import Any, Final, cast

import orjson

from vedette.schema.errors import DecodeError
from vedette.schema.event import Document
from vedette.schema.limits import ITEM_BYTES_MAX, JSON_DEPTH_MAX

UNCOUNTED_BYTES_MAX: Final = 16 * 1024
"""8,192 levels, the most that these bytes can hold, take msgspec about a megabyte of stack."""
UID_CHARS: Final = 32
"""Hex digits of a content id: 128 bits, beyond any chance of two contents sharing it."""
TOO_DEEP: Final = "nested too deep"
"""The reason where JSON_DEPTH_MAX is exceeded."""
_DETAIL_BYTES: Final = 80


def loads_object(payload: bytes) -> Document:
    """Decode one JSON object.

    Raises:
        DecodeError: too large, not UTF-8, not JSON, nested too deep, or not an object.
    """
    if len(payload) > ITEM_BYTES_MAX:
        raise DecodeError("record too large", f"{len(payload)} bytes, at most {ITEM_BYTES_MAX} are taken")
    try:
        doc = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise _refusal(payload, error) from None
    if not isinstance(doc, dict):
        raise DecodeError("not a JSON object", excerpt(payload))
    found = cast("Document", doc)
    if not is_shallow(payload) and _is_deeper(found, JSON_DEPTH_MAX):
        raise DecodeError(TOO_DEEP, f"more than {JSON_DEPTH_MAX} levels")
    return found


def is_shallow(payload: bytes) -> bool:
    """Whether JSON_DEPTH_MAX certainly holds, without parsing: fewer brackets than levels."""
    return payload.count(b"{") + payload.count(b"[") <= JSON_DEPTH_MAX


def skips_safely(payload: bytes) -> bool:
    """Whether no nesting that fits into these bytes can exhaust the interpreter's recursion limit.

    msgspec skips over what it need not decode by recursion. Whether that fails would depend on how deep the stack is
    just then, and a replay has another stack. Half of the limit is left to the callers; counting brackets instead
    costs a microsecond an event.
    """
    return len(payload) <= UNCOUNTED_BYTES_MAX and len(payload) <= getrecursionlimit()


def content_id(payload: bytes, content: object) -> str:
    """Hex digest over decoded content, whatever the order of its keys and the spaces between them."""
    try:
        canonical = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # not out of `loads_object`: longer integers, lone surrogates
        canonical = payload
    return sha256(canonical).hexdigest()[:UID_CHARS]


def excerpt(payload: bytes) -> str:
    """The beginning of a record, for the detail of a refusal."""
    return repr(payload[:_DETAIL_BYTES])[1:]


def _refusal(payload: bytes, error: orjson.JSONDecodeError) -> DecodeError:
    try:
        payload.decode()
    except UnicodeDecodeError as invalid:
        return DecodeError("invalid UTF-8", f"{invalid.reason} at byte {invalid.start}")
    if "limit" in error.msg:  # orjson's own, 1024 levels
        return DecodeError(TOO_DEEP, f"more than {JSON_DEPTH_MAX} levels")
    return DecodeError("invalid JSON", str(error))


def _is_deeper(doc: Document, levels: int) -> bool:
    """Whether containers nest more than `levels` deep; no recursion, because that is what hostile input wants."""
    level: list[Any] = [doc]
    for _ in range(levels):
        level = [
            child
            for container in level
            for child in (cast("Document", container).values() if isinstance(container, dict) else container)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return False
    return True
