"""What is written: alerts and events as keyed records with headers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vedette.runtime.sink import ForwardedEvent
    from vedette.schema.alert import AlertRevision

_JSON: Final = ("content-type", b"application/json")


class KafkaRecord(NamedTuple):
    """One record of a topic."""

    key: bytes
    value: bytes
    headers: Sequence[tuple[str, bytes]]


def alert_record(revision: AlertRevision) -> KafkaRecord:
    """All revisions of an alert have its id as their key: one partition, in order, and compaction keeps the last."""
    uid = f"{revision.alert_id}-{revision.generation}-{revision.revision}"
    headers = [_JSON, ("vedette-uid", uid.encode()), ("vedette-version", b"%d" % revision.version)]
    return KafkaRecord(revision.alert_id.encode(), revision.document, headers)


def event_record(forwarded: ForwardedEvent) -> KafkaRecord:
    """A record as it was received, with where it came from."""
    document = forwarded.document()
    uid: str = document["uid"]
    return KafkaRecord(uid.encode(), msgspec.json.encode(document), [_JSON, ("vedette-uid", uid.encode())])
