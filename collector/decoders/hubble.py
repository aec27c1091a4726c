"""Flows of Cilium's Hubble: lines of its exporter or of `hubble observe -o json`, or the same from an agent.

Source: cilium/cilium api/v1/flow/flow.proto and api/v1/observer/observer.proto (ExportEvent, GetFlowsResponse), as
protojson writes them with proto names. A record is `{"flow": {…}, "node_name": …, "time": …}`; some tools write the
flow bare; in the place of `flow` may stand `lost_events`, `node_status`, `agent_event` or `debug_event`. Traps: 64-bit
integers are strings; what is zero or false is left out, but `is_reply: false` is written, and its absence means
unknown; `reply` is only ever true; one packet is reported at every point that it passes, on both nodes, and the names
of source and destination change places in answers.
"""
# ruff: noqa: ARG002 - the seam's signatures serve other formats too

from __future__ import annotations

from typing import Any, Final

from collector.decoders._common.agent_line import AGENT_KEYS, decode_or_line
from collector.decoders._common.hubble_facts import connection_of, facts_of, observed_flow
from collector.decoders._common.json_decode import content_id, excerpt, loads_object
from collector.decoders._common.json_split import split_json
from collector.decoders._common.timestamps import rfc3339_ns
from collector.decoders._common.values import table, text, whole
from vedette.schema.errors import DecodeError
from vedette.schema.event import Document, Facts, LogSource, Loss, Nature
from vedette.schema.observation import Kind, Observation
from vedette.schema.record import Piece
from vedette.schema.rule import RuleInfo

CONNECTION: Final = "connection"
"""The key that this decoder adds: the two ends of the flow in a fixed order, the same for all reports of it."""
_TELLING: Final = frozenset(
    {
        "IP",
        "Summary",
        "Type",
        "destination",
        "event_type",
        "is_reply",
        "l4",
        "l7",
        "node_name",
        "source",
        "traffic_direction",
        "uuid",
        "verdict",
    }
)
"""Members of which a flow has at least one (an exporter's field mask may leave few); other products' have none."""
_BARE: Final = frozenset({"IP", "Type", "event_type", "verdict"})
"""Members of which a flow without `flow` around it has at least two."""
_BARE_MIN: Final = 2
_LOST: Final = "lost_events"
_HEALTH: Final = (_LOST, "node_status", "agent_event", "debug_event")
_NOT_CONTENT: Final = AGENT_KEYS | {CONNECTION}
_LOST_MAX: Final = 2**32
"""Events that one record may tell of; larger numbers are no counts, and would spoil sums."""


class Hubble:
    """The `hubble` format.

    The document is the flow with its own keys, whether it came bare or wrapped (then `node_name` and `time` of the
    wrapper count where the flow has none), and `connection`. Records of Hubble's own state stay as they are.
    """

    name: str = "hubble"
    logsources: tuple[LogSource, ...] = (LogSource("cilium", "hubble", "flow"),)
    dedup_by: tuple[str, ...] = (
        "source.namespace",
        "source.pod_name",
        "destination.namespace",
        "destination.pod_name",
    )
    """One alert for a rule and a pair of pods, whatever the points and nodes that reported it; all that is no pod is
    one. Not addresses and ports: those outside are the attacker's choice, and a port is new with each connection."""
    head_fields: frozenset[str] | None = None
    plain: bool = False

    def split(self, body: bytes, context: str = "", record: int = 1) -> list[Piece]:
        """Cut lines, arrays and streams into records."""
        return split_json(body, context, record)

    def decode(self, payload: bytes, context: str) -> Document:
        """Decode one record, or one that an agent wrapped as a line.

        Raises:
            DecodeError: not JSON (Hubble's compact output, say), or nothing that Hubble writes.
        """
        return decode_or_line(payload, _record)

    def decode_all(self, payload: bytes, context: str) -> Document:
        """The same as `decode`.

        Raises:
            DecodeError: as there.
        """
        return self.decode(payload, context)

    def nature(self, head: Document) -> Nature:
        """HEALTH for what Hubble says about itself, its nodes and its agents."""
        return Nature.HEALTH if _is_health(head) else Nature.EVENT

    def losses(self, head: Document) -> tuple[Loss, ...]:
        """Events that a full buffer or queue cost, at least one where the number can't be read."""
        number = table(head.get(_LOST)).get("num_events_lost", 0)
        if number in (0, "0") or not _is_health(head):
            return ()
        return (Loss("hubble_lost_events", whole(number, _LOST_MAX) or 1),)

    def time_ns(self, head: Document) -> int:
        """When the packet was seen; of lost events, the last."""
        return rfc3339_ns(head.get("time")) or rfc3339_ns(table(head.get(_LOST)).get("last"))

    def event_ids(self, head: Document) -> tuple[str, ...]:
        """The flow's `uuid`, which Cilium 1.14 and later give."""
        uuid = head.get("uuid")
        return (uuid,) if isinstance(uuid, str) and uuid else ()

    def uid(self, payload: bytes, doc: Document) -> str:
        """Content id, the same for a bare flow and a wrapped one; each point's report of a packet has its own."""
        return content_id(payload, {key: value for key, value in doc.items() if key not in _NOT_CONTENT})

    def facts(self, doc: Document) -> Facts:
        """Normalise (see `hubble_facts`)."""
        return facts_of(doc)

    def observe(self, payload: bytes, context: str, head: Document | None) -> Observation | None:
        """Tell the raw flow with the pods that Cilium knows of; of Hubble's own records, that the node lives."""
        try:
            doc = self.decode(payload, context) if head is None else head
        except DecodeError:
            return None
        if _is_health(doc):
            return Observation(Kind.LIFE, self.time_ns(doc), node=text(doc.get("node_name")).rpartition("/")[2])
        return observed_flow(doc, self.time_ns(doc))

    def finding(self, head: Document) -> RuleInfo | None:
        """None: a flow reports no rule."""
        return None


def _record(payload: bytes) -> Document:
    """Read one record of Hubble.

    Raises:
        DecodeError: it is none.
    """
    if payload[:1] != b"{" and payload.lstrip()[:1] != b"{":
        raise DecodeError("not a JSON object", f'call "hubble observe -o jsonpb"; got {excerpt(payload)}')
    found = loads_object(payload)
    flow = table(found.get("flow"))
    if not _TELLING.isdisjoint(flow):
        outer = {key: found[key] for key in ("node_name", "time") if key in found}
        return _with_connection(outer | flow)
    if _is_health(found):
        return found
    if "flow" not in found and len(_BARE & found.keys()) >= _BARE_MIN:
        return _with_connection(found)
    raise DecodeError("not a Hubble record", "neither a flow nor lost_events, node_status, agent_event or debug_event")


def _is_health(found: dict[str, Any]) -> bool:
    return any(isinstance(found.get(key), dict) for key in _HEALTH) and _BARE.isdisjoint(found)


def _with_connection(flow: Document) -> Document:
    connection = connection_of(flow)
    if connection:
        flow[CONNECTION] = connection
    return flow
