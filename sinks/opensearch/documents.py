"""The document of an event: the same few fields for every source, none of them named by what came in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import msgspec

from vedette.schema.event import Facts
from vedette.schema.limits import TEXT_CHARS_MAX
from vedette.schema.text import clip_text, clip_texts, whole_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vedette.runtime.sink import ForwardedEvent

ITEMS_MAX: Final = 32
"""Entries of one list (labels, groups, images) that a document carries, as in an alert."""
_MS_NS: Final = 1_000_000


class _Original(msgspec.Struct):
    original: str
    cut: bool
    """Whether `original` is only the beginning."""


class EventDocument(msgspec.Struct):
    """An event on its way. Times are ms since the epoch: `@timestamp` is the event's own, `arrival` is ours."""

    timestamp: int = msgspec.field(name="@timestamp")
    arrival: int
    seq: int
    uid: str
    event_ids: list[str]
    source: str
    format: str
    origin: str
    record: int
    cluster: str
    labels: list[str]
    facts: Facts | dict[str, Any]
    event: _Original | None


_ENCODER: Final = msgspec.json.Encoder()


def event_id(forwarded: ForwardedEvent) -> str:
    """Name an event for good: sequence number and content id."""
    return f"{forwarded.event.record.seq}-{forwarded.event.uid}"


def event_document(forwarded: ForwardedEvent, original_bytes_max: int) -> bytes:
    """Encode an event as JSON (UTF-8); strings are bounded but otherwise as they came."""
    event = forwarded.event
    record = event.record
    document = EventDocument(
        timestamp=event.time_ns // _MS_NS,
        arrival=record.arrival_ns // _MS_NS,
        seq=record.seq,
        uid=event.uid,
        event_ids=clip_texts(event.event_ids, ITEMS_MAX),
        source=record.run.source,
        format=record.run.format,
        origin=clip_text(record.run.origin),
        record=record.record,
        cluster=clip_text(forwarded.cluster),
        labels=_labels(forwarded.labels),
        facts=event.facts,
        event=_original(record.payload, original_bytes_max) if original_bytes_max else None,
    )
    try:
        # In fewer bytes than that no string can be too long, and no list but of nothings.
        if len(_ENCODER.encode(event.facts)) > TEXT_CHARS_MAX:
            document.facts = _bounded(event.facts)
        return _ENCODER.encode(document)
    except UnicodeEncodeError:  # a lone surrogate, which UTF-8 can't carry
        document.facts = _bounded(event.facts)
        return whole_text(json.dumps(msgspec.to_builtins(document), ensure_ascii=False)).encode()


def _labels(labels: Mapping[str, str]) -> list[str]:
    return clip_texts([f"{key}:{value}" for key, value in sorted(labels.items())], ITEMS_MAX)


def _original(payload: bytes, bytes_max: int) -> _Original:
    cut = len(payload) > bytes_max
    return _Original(payload[:bytes_max].decode("utf-8", "ignore" if cut else "replace"), cut)


def _bounded(facts: Facts) -> dict[str, Any]:
    return {name: _shortened(value) for name, value in msgspec.to_builtins(facts).items()}


def _shortened(value: Any) -> Any:
    if isinstance(value, str):
        return clip_text(value)
    return value if isinstance(value, int) else clip_texts(value, ITEMS_MAX)
