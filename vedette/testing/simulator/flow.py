"""VPC flow log records, version 5, in a custom format (AWS: Flow log records). No header: `FIELDS` is the order.

One record counts a connection in one window of aggregation, here at most a minute. Its event time is its end.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from vedette.schema.limits import SECOND_NS
from vedette.testing.simulator.record import Emission

FORMAT: Final = "vpc_flow"
FIELDS: Final = (
    "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action "
    "log-status vpc-id subnet-id instance-id tcp-flags pkt-srcaddr pkt-dstaddr flow-direction"
)
"""The order of fields: the decoder's `context`."""
TCP: Final = 6
UDP: Final = 17
_SYN: Final = 2
_SYN_FIN: Final = 3
_SYN_ACK_FIN: Final = 19
_PACKET_BYTES: Final = 1200


class Conversation(NamedTuple):
    """A connection as its client sees it: client and server with ports, bytes sent and received."""

    client: str
    client_port: int
    server: str
    server_port: int
    sent_bytes: int
    received_bytes: int
    protocol: int = TCP
    accepted: bool = True


def sent(interface: str, time_ns: int, talk: Conversation, duration_s: int = 1) -> Emission:
    """What the client sent, at its interface; `time_ns` is rounded down to whole seconds and is the record's end."""
    ends = (talk.client, talk.server, talk.client_port, talk.server_port)
    flags = 0 if talk.protocol != TCP else _SYN_FIN if talk.accepted else _SYN
    action = "ACCEPT" if talk.accepted else "REJECT"
    return _line(interface, time_ns, ends, (talk.protocol, talk.sent_bytes, flags, duration_s), f"{action} egress")


def received(interface: str, time_ns: int, talk: Conversation, duration_s: int = 1) -> Emission:
    """What the server answered, at the client's interface."""
    ends = (talk.server, talk.client, talk.server_port, talk.client_port)
    flags = _SYN_ACK_FIN if talk.protocol == TCP else 0
    return _line(interface, time_ns, ends, (talk.protocol, talk.received_bytes, flags, duration_s), "ACCEPT ingress")


def knocked(interface: str, time_ns: int, talk: Conversation) -> Emission:
    """A packet from outside that was turned away, at the server's interface."""
    ends = (talk.client, talk.server, talk.client_port, talk.server_port)
    return _line(interface, time_ns, ends, (talk.protocol, talk.sent_bytes, _SYN, 1), "REJECT ingress")


def _line(
    interface: str, time_ns: int, ends: tuple[str, str, int, int], counts: tuple[int, int, int, int], verdict: str
) -> Emission:
    source, destination, source_port, destination_port = ends
    protocol, sent_bytes, flags, duration_s = counts
    action, direction = verdict.split(" ")
    end_s = time_ns // SECOND_NS
    payload = (
        f"5 111122223333 eni-{interface} {source} {destination} {source_port} {destination_port} {protocol} "
        f"{sent_bytes // _PACKET_BYTES + 1} {sent_bytes} {end_s - duration_s} {end_s} {action} OK "
        f"vpc-0d0c0b0a090807060 subnet-0d0c0b0a090807061 i-{interface} {flags} {source} {destination} {direction}"
    ).encode()
    return Emission(end_s * SECOND_NS, payload, FORMAT, "")
