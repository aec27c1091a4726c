"""Loaded rules as bytes: lowering thousands of rules takes seconds, reading what it made takes a blink.

Parts are kept by name in one blob, so that what is compiled from rules can lie beside them. The blob carries its key
and a checksum: one that was cut off, that rotted or that belongs to other rules is refused, never half read. That finds
accidents, not forgeries; who can write where blobs lie can write rules. No pickle, no marshal: MessagePack of known
types.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from detectors.alert_info import AlertInfo
from detectors.correlation.definition import Correlation
from detectors.rule import LoadedRules, Rule, RuleText
from vedette.schema.errors import DecodeError

_MAGIC: Final = b"vedette rules 1\n"
_DIGEST_BYTES: Final = hashlib.sha256().digest_size


class _Stored(msgspec.Struct, frozen=True, array_like=True):
    rules: tuple[Rule, ...]
    correlations: tuple[Correlation, ...]
    alerts: dict[str, AlertInfo]


_RULES: Final = msgspec.msgpack.Decoder(_Stored)
_PARTS: Final = msgspec.msgpack.Decoder(dict[str, bytes])


def cache_key(texts: Iterable[RuleText], made_by: str) -> str:
    """Name what a program makes of texts, as hex. `made_by` names the program and all else that it goes by."""
    content = (made_by, [(text.path, text.pack, text.text) for text in texts])
    return hashlib.sha256(msgspec.msgpack.encode(content)).hexdigest()


def pack_parts(key: str, parts: Mapping[str, bytes]) -> bytes:
    """Return one blob of some parts."""
    content = bytes.fromhex(key) + msgspec.msgpack.encode(parts)
    return _MAGIC + hashlib.sha256(content).digest() + content


def unpack_parts(key: str, blob: bytes) -> dict[str, bytes]:
    """Return the parts of a blob.

    Raises:
        DecodeError: it is not whole, or no blob of this key.
    """
    start = len(_MAGIC) + _DIGEST_BYTES
    if not blob.startswith(_MAGIC):
        raise DecodeError("not compiled rules of this format")
    if hashlib.sha256(blob[start:]).digest() != blob[len(_MAGIC) : start]:
        raise DecodeError("damaged")
    if blob[start : start + _DIGEST_BYTES] != bytes.fromhex(key):
        raise DecodeError("compiled from other rules")
    try:
        return _PARTS.decode(blob[start + _DIGEST_BYTES :])
    except msgspec.DecodeError as error:
        raise DecodeError("not compiled rules of this format", str(error)) from error


def encode_loaded(loaded: LoadedRules) -> bytes | None:
    """Encode rules and correlations; None for a set with errors, and where the bytes would not say the same.

    (Tests of rules may hold what MessagePack has not: whole numbers of more than 64 bits, sets, dates.)
    """
    if loaded.errors:
        return None
    try:
        content = msgspec.msgpack.encode(_Stored(loaded.rules, loaded.correlations, dict(loaded.alerts)))
        return content if decode_loaded(content) == loaded else None
    except (DecodeError, OverflowError, RecursionError, TypeError, UnicodeEncodeError):
        return None


def decode_loaded(content: bytes) -> LoadedRules:
    """Decode what `encode_loaded` made.

    Raises:
        DecodeError: it is something else.
    """
    try:
        stored = _RULES.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DecodeError("not compiled rules of this format", str(error)) from error
    return LoadedRules(stored.rules, (), stored.correlations, MappingProxyType(stored.alerts))
