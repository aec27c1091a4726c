"""The envelope in which a CloudWatch Logs subscription hands on log lines, once it is unpacked (base64, gzip).

Source: docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html. An object with `messageType`,
`logGroup`, `logStream` and `logEvents`, each of these with `id`, `timestamp` (ms) and the line as `message`. A
CONTROL_MESSAGE only says that the subscription can be reached: it holds no record.
"""

from __future__ import annotations

from typing import Final

import msgspec

from collector.decoders._common.json_split import REFUSALS, Envelope

_CONTROL: Final = "CONTROL_MESSAGE"


class _Subscription(msgspec.Struct):
    messageType: str = ""  # noqa: N815 - the name on the wire
    logEvents: list[msgspec.Raw] | None = None  # noqa: N815 - as above


_decode: Final = msgspec.json.Decoder(_Subscription).decode


def _events(text: bytes) -> list[bytes] | None:
    """The log events of a whole envelope, as they stand there."""
    try:
        found = _decode(text)
    except REFUSALS:
        return None
    if found.messageType == _CONTROL:
        return []
    return None if found.logEvents is None else [bytes(raw) for raw in found.logEvents]


CLOUDWATCH: Final = Envelope(b'"logEvents"', _events)
"""It comes compressed and whole, or not at all: there is nothing to rescue out of a broken one."""
