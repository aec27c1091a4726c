"""The document of an event: the same few fields for every source, none of them named by what came in.

It is put together from encoded parts, because most of it is the record as received, and what says where that came from
is the same for all records of a stretch.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import msgspec

from vedette.schema.limits import TEXT_CHARS_MAX
from vedette.schema.text import clip_text, clip_texts, whole_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vedette.runtime.sink import ForwardedEvent
    from vedette.schema.event import Facts
    from vedette.schema.record import Run

ITEMS_MAX: Final = 32
"""Entries of one list (labels, groups, images) that a document carries, as in an alert."""
_MS_NS: Final = 1_000_000
_ENCODER: Final = msgspec.json.Encoder()


def event_id(forwarded: ForwardedEvent) -> str:
    """Name an event for good: sequence number and content id."""
    return f"{forwarded.event.record.seq}-{forwarded.event.uid}"


class EventDocuments:
    """Encodes events as JSON (UTF-8) without line breaks; strings are bounded but otherwise as they came."""

    def __init__(self, original_bytes_max: int) -> None:
        """Keep so many bytes of each record as received; 0: none, and no `event`."""
        self._original_bytes_max = original_bytes_max
        self._known: tuple[Run, str, Mapping[str, str]] | None = None
        self._run = self._source = b""

    def encode(self, forwarded: ForwardedEvent) -> bytes:
        """Encode an event. Times are ms since the epoch: `@timestamp` is the event's own, `arrival` is ours."""
        event, cluster, labels = forwarded
        record = event.record
        known = self._known
        if known is None or record.run is not known[0] or labels is not known[2] or cluster != known[1]:
            self._describe(record.run, cluster, labels)
        payload, bytes_max = record.payload, self._original_bytes_max
        head = (
            f'{{"@timestamp":{event.time_ns // _MS_NS},"arrival":{record.arrival_ns // _MS_NS},"seq":{record.seq},'
            f'"uid":"{event.uid}","event_ids":'
        )
        return b"".join(
            (
                head.encode(),
                _list(event.event_ids) if event.event_ids else b"[]",
                self._run,
                b"%d" % record.record,
                self._source,
                _facts(event.facts),
                _original(payload, bytes_max) if bytes_max else b',"event":null}',
            )
        )

    def _describe(self, run: Run, cluster: str, labels: Mapping[str, str]) -> None:
        """Encode what the records of a stretch have in common."""
        self._known = run, cluster, labels
        source, kind, origin = _json(run.source), _json(run.format), _json(clip_text(run.origin))
        self._run = b',"source":%b,"format":%b,"origin":%b,"record":' % (source, kind, origin)
        pairs = [f"{key}:{value}" for key, value in sorted(labels.items())]
        self._source = b',"cluster":%b,"labels":%b,"facts":' % (_json(clip_text(cluster)), _list(pairs))


def _original(payload: bytes, bytes_max: int) -> bytes:
    """Encode the end of a document: the record, and whether that is only the beginning of it."""
    if len(payload) > bytes_max:
        return b',"event":{"original":%b,"cut":true}}' % _ENCODER.encode(payload[:bytes_max].decode("utf-8", "ignore"))
    return b',"event":{"original":%b,"cut":false}}' % _ENCODER.encode(payload.decode("utf-8", "replace"))


def _facts(facts: Facts) -> bytes:
    try:
        encoded = _ENCODER.encode(facts)
        # In fewer bytes than that no string can be too long, and no list but of nothings.
        if len(encoded) <= TEXT_CHARS_MAX:
            return encoded
    except UnicodeEncodeError:  # a lone surrogate
        pass
    return _json({name: _shortened(value) for name, value in msgspec.to_builtins(facts).items()})


def _shortened(value: Any) -> Any:
    if isinstance(value, str):
        return clip_text(value)
    return value if isinstance(value, int) else clip_texts(value, ITEMS_MAX)


def _list(values: tuple[str, ...] | list[str]) -> bytes:
    return _json(clip_texts(values, ITEMS_MAX))


def _json(value: Any) -> bytes:
    try:
        return _ENCODER.encode(value)
    except UnicodeEncodeError:  # a lone surrogate, which UTF-8 can't carry
        return whole_text(json.dumps(msgspec.to_builtins(value), ensure_ascii=False)).encode()
