"""What a Falco alert shows of a container's behaviour: a program, a file, a connection, or that the sensor lives."""

from __future__ import annotations

from typing import Final

from collector.decoders._common.falco_facts import facts_of
from collector.decoders._common.values import text
from vedette.schema.event import Document
from vedette.schema.observation import Kind, Observation

_KINDS: Final = {
    **dict.fromkeys(("execve", "execveat"), Kind.PROCESS),
    **dict.fromkeys(("open", "openat", "openat2", "creat", "open_by_handle_at"), Kind.FILE),
    **dict.fromkeys(("connect", "accept", "accept4", "sendto", "sendmsg"), Kind.CONNECTION),
}
_ACCEPTS: Final = ("accept", "accept4")
_UNKNOWN: Final = frozenset({"", "<NA>", "N/A", "<nil>"})


def observed_deed(doc: Document, time_ns: int, *, internal: bool) -> Observation:
    """Tell what an alert of system calls shows; of others, and of Falco's word about itself, that the sensor lives."""
    kind = Kind.LIFE if internal else _KINDS.get(text(doc.get("evt.type")), Kind.LIFE)
    if kind is Kind.LIFE:
        return Observation(kind, time_ns, node=text(doc.get("hostname")))
    facts = facts_of(doc)
    seen = Observation(
        kind,
        time_ns,
        actor=facts.actor,
        outcome=facts.outcome if facts.outcome != "unknown" else "",
        namespace=facts.namespace,
        workload_kind=facts.workload_kind,
        workload=facts.workload,
        container=facts.container,
        image=_known(doc, "container.image.repository") or (facts.images[0] if facts.images else ""),
        digest=_known(doc, "container.image.digest"),
        pod=facts.pod,
        node=facts.node,
        process=_known(doc, "proc.exepath") or facts.process,
        parent=_known(doc, "proc.pname"),
        command=facts.command,
    )
    if kind is Kind.FILE:
        seen.file = _known(doc, "fd.name")
    elif kind is Kind.CONNECTION:
        seen.address = facts.sources[0] if facts.sources else ""
        seen.source_port = facts.source_port
        seen.peer = facts.destinations[0] if facts.destinations else ""
        seen.port = facts.destination_port
        seen.protocol = facts.protocol
        seen.direction = "ingress" if facts.action in _ACCEPTS else "egress"
        if not seen.peer:
            seen.kind = Kind.LIFE
    return seen


def _known(doc: Document, field: str) -> str:
    value = text(doc.get(field))
    return "" if value in _UNKNOWN else value
