"""Turns responses of Falco's gRPC output into the JSON alerts that its HTTP output writes. Pure.

One shape for both, so that decoder, rules and archive know nothing of gRPC. What can't be had back: Falco turns every
value of `output_fields` into text before it sends it, so numbers are strings here.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import orjson
from google.protobuf.message import DecodeError

from collector.sources.falco_grpc.outputs_pb2 import priority, response
from vedette.schema.limits import DEAD_LETTER_BYTES_MAX, ITEM_BYTES_MAX

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

PRIORITIES: Final = {number: name.capitalize() for name, number in priority.items()}
"""Names as Falco writes them, such as `Warning`."""
SHORTENED: Final = b"[Truncated...]"
"""Ends what is kept of an overlong alert, so that no decoder takes it for a whole one."""
_END_OF_TIME_S: Final = 253_402_300_800
"""The year 10000, which RFC 3339 can't write."""
_SECOND_NS: Final = 10**9


def to_record(payload: bytes) -> bytes:
    """Return one response as a JSON alert; what is none, or too long as JSON, as bytes that the decoder refuses."""
    try:
        found = response.FromString(payload)
    except DecodeError:
        return payload[:DEAD_LETTER_BYTES_MAX]
    record = orjson.dumps(_alert(found), option=orjson.OPT_SORT_KEYS)
    return record if len(record) <= ITEM_BYTES_MAX else record[: DEAD_LETTER_BYTES_MAX - len(SHORTENED)] + SHORTENED


def _alert(found: response) -> dict[str, Any]:
    alert: dict[str, Any] = {
        "hostname": found.hostname,
        "output": found.output,
        "output_fields": dict(found.output_fields),
        "priority": PRIORITIES.get(found.priority, str(found.priority)),
        "rule": found.rule,
        "tags": list(found.tags),
    }
    if found.source:  # old versions know none, nor does their JSON
        alert["source"] = found.source
    if found.HasField("time") and (time := _rfc3339(found.time)):
        alert["time"] = time
    return alert


def _rfc3339(time: Timestamp) -> str:
    """Write a time as Falco does, with nanoseconds; "" if it is none."""
    if not (0 <= time.seconds < _END_OF_TIME_S and 0 <= time.nanos < _SECOND_NS):
        return ""
    return f"{datetime.fromtimestamp(time.seconds, UTC):%Y-%m-%dT%H:%M:%S}.{time.nanos:09d}Z"
