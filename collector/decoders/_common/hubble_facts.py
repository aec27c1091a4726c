"""Who spoke to whom, out of a Hubble flow (cilium/cilium api/v1/flow/flow.proto).

What is absent is unknown. Source and destination are the packet's: in an answer the source is the server.
"""

from __future__ import annotations

from typing import Any, Final, cast

from collector.decoders._common.values import TEXTS_MAX, items, table, text, texts, whole
from vedette.schema.event import Document, Facts
from vedette.schema.observation import Kind, Observation

_OUTCOMES: Final = {
    "FORWARDED": "allow",
    "REDIRECTED": "allow",
    "AUDIT": "allow",  # policy audit mode: it would have been dropped
    "DROPPED": "deny",
    "ERROR": "failure",
}
"""TRACED and TRANSLATED say nothing about what became of a packet."""
_PROTOCOLS: Final = {"ICMPv4": "icmp", "ICMPv6": "icmp6"}
"""Names other than the member's own in small letters."""
_SERVICE_ACCOUNT: Final = "k8s:io.cilium.k8s.policy.serviceaccount="
_NAME_CHARS_MAX: Final = 253
"""A namespace and a service account are DNS names (RFC 1123)."""
_LABELS_MAX: Final = 256
"""Labels of an endpoint that are looked through; Cilium's own are among the first."""
_PORT_MAX: Final = 65_535
_CODE_MAX: Final = 999
_ENDPOINTS: Final = ("source", "destination")


def connection_of(flow: Document) -> str:
    """Name what a flow belongs to: protocol and both ends, in an order that does not depend on who sent the packet.

    So it is the same for every point of observation, for packets and answers, and where `is_reply` is unknown. "" where
    an address is missing. Before and after a translation of addresses there are two.
    """
    address = table(flow.get("IP"))
    source, destination = text(address.get("source")), text(address.get("destination"))
    if not source or not destination:
        return ""
    protocol, layer = _layer4(flow)
    one = source, whole(layer.get("source_port"), _PORT_MAX)
    other = destination, whole(layer.get("destination_port"), _PORT_MAX)
    first, second = (one, other) if one <= other else (other, one)
    return f"{protocol or 'ip'} {_end(*first)} {_end(*second)}"


def facts_of(doc: Document) -> Facts:
    """Normalise one flow; what is absent or of an unexpected type stays empty."""
    address, (protocol, layer) = table(doc.get("IP")), _layer4(doc)
    verdict, reason = text(doc.get("verdict")), text(doc.get("drop_reason_desc"))
    facts = Facts(
        action=f"{verdict} {reason}" if verdict and reason else verdict,
        outcome=_OUTCOMES.get(verdict, "unknown"),
        node=text(doc.get("node_name")).rpartition("/")[2],
        sources=_one(address.get("source")),
        source_port=whole(layer.get("source_port"), _PORT_MAX),
        destinations=(*_one(address.get("destination")), *texts(doc.get("destination_names")))[:TEXTS_MAX],
        destination_port=whole(layer.get("destination_port"), _PORT_MAX),
        protocol=protocol,
    )
    _add_pod(facts, doc)
    _add_message(facts, table(doc.get("l7")))
    return facts


def observed_flow(doc: Document, time_ns: int) -> Observation | None:
    """Tell a raw flow: who sent to whom, and which of them opened the connection. None where an address is missing."""
    address, (protocol, layer) = table(doc.get("IP")), _layer4(doc)
    source, destination = text(address.get("source")), text(address.get("destination"))
    if not source or not destination:
        return None
    answers = _is_reply(doc)
    ends = [_pod(table(doc.get(end))) for end in _ENDPOINTS]
    node = text(doc.get("node_name")).rpartition("/")[2]
    return Observation(
        Kind.FLOW,
        time_ns,
        outcome=_OUTCOMES.get(text(doc.get("verdict")), ""),
        address=source,
        source_port=whole(layer.get("source_port"), _PORT_MAX),
        peer=destination,
        port=whole(layer.get("destination_port"), _PORT_MAX),
        protocol=protocol,
        namespace=ends[0][0],
        workload_kind=ends[0][1],
        workload=ends[0][2],
        peer_namespace=ends[1][0],
        peer_workload=ends[1][2],
        node=node,
        sender="" if answers is None else "server" if answers else "client",
        reporter=node,
    )


def _pod(end: dict[str, Any]) -> tuple[str, str, str]:
    """Return the namespace of an end, and its workload's kind and name; of a bare pod that one."""
    workload = table(next(iter(items(end.get("workloads"))), None))
    owner, pod = text(workload.get("name")), text(end.get("pod_name"))
    kind = text(workload.get("kind")) if owner else "Pod" if pod else ""
    return text(end.get("namespace")), kind, owner or pod


def _is_reply(doc: Document) -> bool | None:
    """Whether the packet or message is an answer; None where nothing says so.

    The old `reply` can't be told from its absence where it is false.
    """
    said = doc.get("is_reply")
    if isinstance(said, bool):
        return said
    return True if doc.get("reply") is True else None


def _layer4(flow: Document) -> tuple[str, dict[str, Any]]:
    """The transport protocol's name, and its member; a flow has one of them."""
    for name, member in table(flow.get("l4")).items():
        if isinstance(member, dict):
            return _PROTOCOLS.get(name, text(name).lower()), cast("dict[str, Any]", member)
    return "", {}


def _end(address: str, port: int) -> str:
    if not port:  # protocols like ICMP have none
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _one(value: object) -> tuple[str, ...]:
    found = text(value)
    return (found,) if found else ()


def _add_pod(facts: Facts, doc: Document) -> None:
    """The pod that began to speak; where that is none, the pod that it spoke to."""
    ends = [table(doc.get(end)) for end in _ENDPOINTS]
    if _is_reply(doc):
        ends.reverse()
    pod = next((end for end in ends if text(end.get("pod_name"))), ends[0])
    facts.namespace, facts.pod = text(pod.get("namespace")), text(pod.get("pod_name"))
    workload = table(next(iter(items(pod.get("workloads"))), None))
    facts.workload_kind, facts.workload = text(workload.get("kind")), text(workload.get("name"))
    facts.actor = _service_account(ends[0])


def _service_account(end: dict[str, Any]) -> str:
    """The name that the API server knows it by, so that flows and audit events agree."""
    namespace = text(end.get("namespace"))
    for label in items(end.get("labels"))[:_LABELS_MAX]:
        if isinstance(label, str) and label.startswith(_SERVICE_ACCOUNT) and namespace:
            name = label[len(_SERVICE_ACCOUNT) :]
            return f"system:serviceaccount:{namespace[:_NAME_CHARS_MAX]}:{name[:_NAME_CHARS_MAX]}"
    return ""


def _add_message(facts: Facts, layer: dict[str, Any]) -> None:
    """What a message of a known protocol asks for: a name, a URL, a topic."""
    dns, http, kafka = (table(layer.get(protocol)) for protocol in ("dns", "http", "kafka"))
    if dns:
        facts.resource, facts.name = "dns", text(dns.get("query"))
    elif http:
        facts.resource, facts.name = "http", text(http.get("url"))
        facts.status_code = whole(http.get("code"), _CODE_MAX)
        for header in items(http.get("headers"))[:TEXTS_MAX]:
            if text(table(header).get("key")).lower() == "user-agent":
                facts.user_agent = text(table(header).get("value"))
    elif kafka:
        facts.resource, facts.name = "kafka", text(kafka.get("topic"))
