"""Documents and events as JSON on one line of printable ASCII, shortened with care where they are too long.

ASCII, because receivers do what they like with other bytes: some rewrite control characters, others guess encodings.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec
import orjson

from vedette.schema.text import clip_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from vedette.runtime.sink import ForwardedEvent

ESSENCE_CHARS_MAX: Final = 100
"""Characters of each text of what is left of a document at last: five of them in 12-byte escapes take 6 KiB."""
EVENT_IDS_MAX: Final = 8
EVENT_ID_CHARS_MAX: Final = 64
_BEYOND_ASCII: Final = re.compile("[\x7f-\U0010ffff]")

Document = dict[str, Any]


def ocsf(document: bytes, bytes_max: int) -> bytes:
    """Say an alert's document in at most `bytes_max` bytes, at least 8 KiB.

    What is too long loses, in this order and until it fits: the raw samples, all samples, the explanations, and then
    all but the ids, times, title and message. `unmapped.cut` names what is missing.
    """
    text = _ascii(document)
    if len(text) <= bytes_max:
        return text
    whole: Document = orjson.loads(document)
    for shorten in _STEPS:
        whole = shorten(whole)
        text = _ascii(orjson.dumps(whole))
        if len(text) <= bytes_max:
            break
    return text


def event_json(forwarded: ForwardedEvent, bytes_max: int) -> bytes:
    """Say a record with where it came from in at most `bytes_max` bytes; `cut`: whether it is only the beginning."""
    event = forwarded.event
    record = event.record
    document: Document = {
        "uid": f"{record.seq}-{event.uid}",
        "source": record.run.source,
        "cluster": forwarded.cluster,
        "labels": dict(forwarded.labels),
        "format": record.run.format,
        "origin": record.run.origin,
        "time_ns": event.time_ns,
        "arrival_ns": record.arrival_ns,
        "event_ids": [clip_text(event_id, EVENT_ID_CHARS_MAX) for event_id in event.event_ids[:EVENT_IDS_MAX]],
        "cut": False,
        "original": record.payload[:bytes_max].decode("utf-8", "replace"),
    }
    document["cut"] = len(record.payload) > bytes_max
    text = _ascii(msgspec.json.encode(document))
    while len(text) > bytes_max and document["original"]:
        document["cut"] = True
        original: str = document["original"]
        # By as much as it is too long, and by a quarter at most, since escapes are not spread evenly.
        fewer = max(1, min(len(original) // 4, len(text) - bytes_max))
        document["original"] = original[:-fewer]
        text = _ascii(msgspec.json.encode(document))
    return text


def _ascii(text: bytes) -> bytes:
    """Write what is not printable ASCII as JSON's escapes; in JSON without blanks it can only stand in strings."""
    if text.isascii() and b"\x7f" not in text:
        return text
    return _BEYOND_ASCII.sub(_escape, text.decode()).encode()


def _escape(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


# --- what goes first --------------------------------------------------------------------------------------------------
def _without_raw(document: Document) -> Document:
    for sample in document["evidences"]:
        sample["data"] |= {"raw": "", "cut": True}
    return _marked(document, "evidences.raw")


def _without_samples(document: Document) -> Document:
    return _marked(document | {"evidences": []}, "evidences")


def _without_explanations(document: Document) -> Document:
    unmapped = document["unmapped"]
    unmapped["explanation"] = []
    for rule in unmapped.get("rules", []):
        rule["explanation"] = []
    return _marked(document, "explanation")


def _essence(document: Document) -> Document:
    finding, unmapped = document["finding_info"], document["unmapped"]
    kept: Document = {key: value for key, value in document.items() if isinstance(value, int)}
    for key in ("activity_name", "category_name", "class_name", "type_name", "severity", "status"):
        kept[key] = document[key]
    metadata = {key: document["metadata"][key] for key in ("uid", "correlation_uid", "product", "version")}
    return kept | {
        "message": _short(document["message"]),
        "metadata": metadata,
        "finding_info": {
            **{key: value for key, value in finding.items() if isinstance(value, int)},
            "uid": finding["uid"],
            "title": _short(finding["title"]),
        },
        "unmapped": {
            **{key: value for key, value in unmapped.items() if isinstance(value, int)},
            "alert_id": unmapped["alert_id"],
            "cluster": _short(unmapped["cluster"]),
            "rule": {"id": _short(unmapped["rule"]["id"]), "level": unmapped["rule"]["level"]},
            "cut": ["document"],
        },
    }


_STEPS: Final[tuple[Callable[[Document], Document], ...]] = (
    _without_raw,
    _without_samples,
    _without_explanations,
    _essence,
)


def _marked(document: Document, what: str) -> Document:
    document["unmapped"]["cut"] = [*document["unmapped"]["cut"], what]
    return document


def _short(text: str) -> str:
    return clip_text(text, ESSENCE_CHARS_MAX)
