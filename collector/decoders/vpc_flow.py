"""AWS flow log records, versions 2 to 10: lines of text (S3, CloudWatch) or JSON (agents, Firehose, subscriptions).

Source: docs.aws.amazon.com/vpc/latest/userguide/flow-log-records.html, for transit gateways (version 6)
…/vpc/latest/tgw/tgw-flow-logs.html. The order of a line's fields is nowhere in the line: files in S3 begin with a
header, elsewhere it must be configured. So it is this format's `context`: field names separated by spaces, "" for the
default orders (version 2, or 6 where the line says that it is a transit gateway's). Traps: `-` means not applicable; a
record counts a window of up to ten minutes and comes minutes later; both directions of a connection are records of
their own; behind a NAT gateway or an EKS node only the `pkt-` addresses are the real ends; SKIPDATA means that AWS lost
records.
"""
# ruff: noqa: ARG002 - the seam's signatures serve other formats too

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final, NamedTuple

from collector.decoders._common.cloudwatch import CLOUDWATCH
from collector.decoders._common.json_decode import content_id, excerpt, loads_object
from collector.decoders._common.json_split import split_json
from collector.decoders._common.lines import BOM, SPACE, numbered_lines
from collector.decoders._common.timestamps import TIME_NS_MAX
from collector.decoders._common.values import text, whole
from vedette.schema.errors import DecodeError
from vedette.schema.event import Document, Facts, LogSource, Loss, Nature
from vedette.schema.limits import ITEM_BYTES_MAX, SECOND_NS
from vedette.schema.observation import Kind, Observation
from vedette.schema.record import Piece
from vedette.schema.rule import RuleInfo

DEFAULT_FIELDS: Final = (
    "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status"
)
"""The default format: the fields of version 2."""
GATEWAY_FIELDS: Final = (
    "version resource-type account-id tgw-id tgw-attachment-id tgw-src-vpc-account-id tgw-dst-vpc-account-id "
    "tgw-src-vpc-id tgw-dst-vpc-id tgw-src-subnet-id tgw-dst-subnet-id tgw-src-eni tgw-dst-eni tgw-src-az-id "
    "tgw-dst-az-id tgw-pair-attachment-id srcaddr dstaddr srcport dstport protocol packets bytes start end log-status "
    "type packets-lost-no-route packets-lost-blackhole packets-lost-mtu-exceeded packets-lost-ttl-expired tcp-flags "
    "region flow-direction pkt-src-aws-service pkt-dst-aws-service"
)
"""A transit gateway's default format: all its fields, those of version 6 among them. It has no `action`."""
FIELDS: Final = frozenset(
    (
        f"{DEFAULT_FIELDS} vpc-id subnet-id instance-id tcp-flags type pkt-srcaddr pkt-dstaddr "  # version 3
        "region az-id sublocation-type sublocation-id "  # 4
        "pkt-src-aws-service pkt-dst-aws-service flow-direction traffic-path "  # 5
        f"{GATEWAY_FIELDS} "  # 6
        "ecs-cluster-arn ecs-cluster-name ecs-container-instance-arn ecs-container-instance-id ecs-container-id "  # 7
        "ecs-second-container-id ecs-service-name ecs-task-definition-arn ecs-task-arn ecs-task-id "
        "reject-reason resource-id encryption-status"  # 8, 9, 10
    ).split()
)
"""Every field, by the name that text headers use (Parquet and Athena write underscores)."""
_INTEGERS: Final = frozenset(
    {
        "version",
        "srcport",
        "dstport",
        "protocol",
        "packets",
        "bytes",
        "start",
        "end",
        "tcp-flags",
        "traffic-path",
        "packets-lost-no-route",
        "packets-lost-blackhole",
        "packets-lost-mtu-exceeded",
        "packets-lost-ttl-expired",
        "encryption-status",
    }
)
_GATEWAY: Final = "TransitGateway"
"""What the second column of a transit gateway's default format begins with."""
_TELLING: Final = frozenset(
    {"srcaddr", "pkt-srcaddr", "dstaddr", "pkt-dstaddr", "log-status", "interface-id", "tgw-id"}
)
_LINE_KEYS: Final = ("message", "log")
"""Where agents put a line of text."""
_FIELD_NAME: Final = re.compile(r"[a-z][a-z0-9-]*", re.ASCII)
_PROTOCOLS: Final = {
    1: "icmp",
    2: "igmp",
    6: "tcp",
    17: "udp",
    47: "gre",
    50: "esp",
    51: "ah",
    58: "icmp6",
    132: "sctp",
}
"""IANA protocol numbers that turn up in clouds; others are given as their number."""
_DIGITS_MAX: Final = 18
"""Digits of a number: always below 2^63, which stores keep exact."""
_PORT_MAX: Final = 65_535
_BYTES_MAX: Final = 2**63 - 1
_FLAGS_MAX: Final = 255
_SYN: Final = 2
_ACK: Final = 16
"""Bits of `tcp-flags`; AWS gives an ACK only with a SYN: the answer of a server (Flow log records, tcp-flags)."""


class _Plan(NamedTuple):
    """How to read a line: the names of its columns, and which of them hold integers."""

    names: tuple[str, ...]
    integers: tuple[str, ...]


class VpcFlow:
    """The `vpc_flow` format; documents have AWS' names with hyphens, integers as such, and no key where AWS has `-`."""

    name: str = "vpc_flow"
    logsources: tuple[LogSource, ...] = (LogSource("aws", "vpcflow"),)
    dedup_by: tuple[str, ...] = ("account-id", "srcaddr", "dstaddr")
    """One alert for a rule and a pair of addresses (private ones repeat in other accounts). Not the port: in the
    records of answers it is the client's, another one for each connection."""
    head_fields: frozenset[str] | None = None
    plain: bool = False

    def split(self, body: bytes, context: str = "", record: int = 1) -> list[Piece]:
        """Cut lines or JSON into records.

        A header line, wherever it stands, is no record, and sets the context of what follows it; where nothing
        follows, the last piece is empty and carries the context on. CloudWatch's envelopes are opened.
        """
        content = body.removeprefix(BOM)
        if content.lstrip(SPACE)[:1] in (b"{", b"["):
            return split_json(content, context, record, CLOUDWATCH)
        return _split_lines(content, context, record)

    def decode(self, payload: bytes, context: str) -> Document:
        """Decode a line by the order of fields in `context`, or a JSON object by its keys.

        Raises:
            DecodeError: not such a record.
        """
        if payload[:1] == b"{":
            return _from_object(loads_object(payload), context)
        return _from_line(payload, context)

    def decode_all(self, payload: bytes, context: str) -> Document:
        """The same as `decode`.

        Raises:
            DecodeError: as there.
        """
        return self.decode(payload, context)

    def nature(self, head: Document) -> Nature:
        """EMPTY where AWS saw no traffic, or lost the records of it."""
        return Nature.EMPTY if head.get("log-status") in ("NODATA", "SKIPDATA") else Nature.EVENT

    def losses(self, head: Document) -> tuple[Loss, ...]:
        """SKIPDATA: one window of one interface is missing."""
        return (Loss("vpc_skipdata", 1),) if head.get("log-status") == "SKIPDATA" else ()

    def time_ns(self, head: Document) -> int:
        """The end of the window: what a record counts was complete then, and it is nearest to its arrival."""
        seconds = whole(head.get("end"), TIME_NS_MAX) or whole(head.get("start"), TIME_NS_MAX)
        return min(seconds * SECOND_NS, TIME_NS_MAX)

    def event_ids(self, head: Document) -> tuple[str, ...]:
        """None: AWS gives records no id."""
        return ()

    def uid(self, payload: bytes, doc: Document) -> str:
        """Content id over AWS' fields, the same for a line and a JSON object; not over what an agent added."""
        return content_id(payload, {name: value for name, value in doc.items() if name in FIELDS})

    def facts(self, doc: Document) -> Facts:
        """Normalise; addresses are the packet's where the format has them."""
        action, protocol = text(doc.get("action")), whole(doc.get("protocol"), 255)
        service = text(doc.get("ecs-service-name"))
        return Facts(
            action=action,
            outcome={"ACCEPT": "allow", "REJECT": "deny"}.get(action, "unknown"),
            sources=_address(doc, "pkt-srcaddr", "srcaddr"),
            source_port=whole(doc.get("srcport"), _PORT_MAX),
            destinations=_address(doc, "pkt-dstaddr", "dstaddr"),
            destination_port=whole(doc.get("dstport"), _PORT_MAX),
            protocol=_PROTOCOLS.get(protocol, str(protocol)) if "protocol" in doc else "",
            bytes_count=whole(doc.get("bytes"), _BYTES_MAX),
            container_id=text(doc.get("ecs-container-id")),
            workload_kind="Service" if service else "",
            workload=service,
        )

    def observe(self, payload: bytes, context: str, head: Document | None) -> Observation | None:
        """Tell the raw flow as the record has it; the flow view makes connections of them."""
        try:
            doc = self.decode(payload, context) if head is None else head
        except DecodeError:
            return None
        facts, end_ns = self.facts(doc), self.time_ns(doc)
        if not facts.sources or not facts.destinations:
            return None
        start_s, flags = whole(doc.get("start"), TIME_NS_MAX), whole(doc.get("tcp-flags"), _FLAGS_MAX)
        return Observation(
            Kind.FLOW,
            end_ns,
            outcome=facts.outcome if facts.outcome != "unknown" else "",
            address=facts.sources[0],
            source_port=facts.source_port,
            peer=facts.destinations[0],
            port=facts.destination_port,
            protocol=facts.protocol,
            direction=text(doc.get("flow-direction")),
            bytes_out=facts.bytes_count,
            window_s=max(0, end_ns // SECOND_NS - start_s) if start_s else 0,
            sender="" if not flags & _SYN else "server" if flags & _ACK else "client",
            reporter=text(doc.get("interface-id")) or text(doc.get("tgw-attachment-id")),
        )

    def finding(self, head: Document) -> RuleInfo | None:
        """None: a flow record reports no rule."""
        return None


def _split_lines(content: bytes, context: str, record: int) -> list[Piece]:
    pieces: list[Piece] = []
    known = context
    following = -1
    for number, payload in numbered_lines(content, record):
        header = _header(payload)
        if header is not None:
            context = header
            continue
        if number != following:
            pieces.append(Piece([], context, number))
            known = context
        pieces[-1].items.append(payload)
        following = number + 1
    if context != known:
        pieces.append(Piece([], context, record))
    return pieces


def _header(line: bytes) -> str | None:
    """The field order that a header line states, None if it is a record.

    AWS adds fields: most of the names must be known, all must look like names.
    """
    first = line.lstrip(b'"${')[:1]
    if not first.isalpha() or len(line) > _HEADER_BYTES_MAX:
        return None
    names = _names(line.decode("ascii", "replace"))
    known = sum(name in FIELDS for name in names)
    return " ".join(names) if 2 * known > len(names) and all(map(_FIELD_NAME.fullmatch, names)) else None


_HEADER_BYTES_MAX: Final = 4096


def _names(header: str) -> tuple[str, ...]:
    """Field names as we write them, from a header, a `${…}` format or a configured context."""
    return tuple(_columns(header.translate(_HEADER_SIGNS).lower()))


_HEADER_SIGNS: Final = str.maketrans("_", "-", '${}"')


def _columns(line: str) -> list[str]:
    """What stands between spaces, or between commas where there are any."""
    return [column.strip(' "') for column in line.split(",")] if "," in line else line.split()


@lru_cache(maxsize=64)
def _plan(context: str) -> _Plan:
    names = _names(context)
    return _Plan(names, tuple(name for name in names if name in _INTEGERS))


def _default_fields(columns: list[str]) -> str:
    return GATEWAY_FIELDS if columns[1:2] and columns[1].startswith(_GATEWAY) else DEFAULT_FIELDS


def _from_line(payload: bytes, context: str) -> Document:
    if len(payload) > ITEM_BYTES_MAX:
        raise DecodeError("record too large", f"{len(payload)} bytes, at most {ITEM_BYTES_MAX} are taken")
    try:
        line = payload.decode("ascii")
    except UnicodeDecodeError:
        raise DecodeError("not ASCII", f"a flow log record has no such characters: {excerpt(payload)}") from None
    columns = _columns(line)
    names, integers = _plan(context or _default_fields(columns))
    if len(columns) != len(names):
        raise DecodeError(
            "wrong number of columns",
            f"{len(columns)} instead of {len(names)}; state the flow log's format, or keep the file's header line",
        )
    doc: Document = dict(zip(names, columns, strict=True))
    for name in integers:
        value = doc[name]
        if value.isdigit() and len(value) <= _DIGITS_MAX:
            doc[name] = int(value)
        elif value != "-":
            raise DecodeError("not a number", f"column {name} holds {value[:40]!r}; is the order of fields right?")
    return {name: value for name, value in doc.items() if value != "-"} if "-" in columns else doc


def _from_object(found: Document, context: str) -> Document:
    """A record as a JSON object: one key per field, or a line of text under one key."""
    doc = {_canonical(key): value for key, value in found.items()}
    if not _TELLING.isdisjoint(doc):
        return {name: _value(name, value) for name, value in doc.items() if value is not None and value != "-"}
    for key in _LINE_KEYS:
        line = found.get(key)
        if isinstance(line, str):
            return _from_line(line.strip().encode(), context)
    raise DecodeError("not a flow log record", "neither fields like srcaddr nor a line under message or log")


def _canonical(key: str) -> str:
    name = key.replace("_", "-")
    return name if name in FIELDS else key


def _value(name: str, value: Any) -> Any:
    """Numbers as such, though JSON has them as strings; what is of no expected type stays as it is."""
    if name in _INTEGERS and isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value) if len(value) <= _DIGITS_MAX else value
    return value


def _address(doc: Document, *names: str) -> tuple[str, ...]:
    found = (text(doc.get(name)) for name in names)
    return next(((address,) for address in found if address), ())
