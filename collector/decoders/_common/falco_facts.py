"""Who did what where, out of a Falco alert's fields (falco.org, supported fields; `ka.` is the k8saudit plugin's).

A field that Falco could not fill is null or `<NA>`, or missing because the rule's output does not print it.
"""

from __future__ import annotations

import re
from typing import Any, Final

from collector.decoders._common.values import text, texts, whole
from vedette.schema.event import Document, Facts

_UNKNOWN: Final = frozenset({"", "<NA>", "N/A", "<nil>"})
_HOST: Final = "host"
_NODE_SOURCES: Final = (None, "syscall", "syscalls")
"""Elsewhere `hostname` is where a plugin runs. Old versions wrote no source; falcosidekick then says `syscalls`."""
_PORT_MAX: Final = 65_535
_CODE_MAX: Final = 999
_DENIALS: Final = (401, 403)
_FIRST_ERROR: Final = 400
_CONNECTION: Final = re.compile(r"([0-9A-Fa-f:.]{2,45}):(\d{1,5})->([0-9A-Fa-f:.]{2,45}):(\d{1,5})", re.ASCII)
"""`fd.name` of a connected socket: client and server, whichever side the process is."""
_RESOLVED: Final = ("k8s.ns.name", "k8s.pod.name", "container.name", "container.image.repository")
_WORKLOADS: Final = (
    ("Deployment", ("k8s.deployment.name", "k8smeta.deployment.name", "ka.target.deployment")),
    ("ReplicaSet", ("k8s.rs.name", "k8smeta.rs.name")),
    ("ReplicationController", ("k8s.rc.name", "k8smeta.rc.name")),
)


def facts_of(doc: Document) -> Facts:
    """Normalise one alert; what is absent, unknown to Falco or of an unexpected type stays empty."""
    facts = Facts()
    _add_actor(facts, doc)
    _add_workload(facts, doc)
    _add_target(facts, doc)
    _add_connection(facts, doc)
    _add_outcome(facts, doc)
    facts.action = _pick(doc, "evt.type", "ka.verb")
    facts.process = _pick(doc, "proc.name", "proc.exepath", "proc.exe")
    facts.command = _pick(doc, "proc.cmdline", "ka.uri.param[command]")
    return facts


def _pick(doc: Document, *fields: str) -> str:
    """The first field that Falco filled with a string."""
    for field in fields:
        value = text(doc.get(field))
        if value not in _UNKNOWN:
            return value
    return ""


def _pick_port(doc: Document, *fields: str) -> int:
    return next((port for field in fields if (port := whole(doc.get(field), _PORT_MAX))), 0)


def _list(value: Any) -> tuple[str, ...]:
    """A list field: a list, or as Falco prints it, `(a,b)`."""
    if isinstance(value, str):
        value = [word.strip() for word in text(value).strip("()").split(",")]
    return tuple(word for word in texts(value) if word not in _UNKNOWN)


def _add_actor(facts: Facts, doc: Document) -> None:
    impersonated = _pick(doc, "ka.impuser.name")
    user = _pick(doc, "ka.user.name", "user.name", "user.loginname")
    facts.actor = impersonated or user
    facts.actor_real = user if impersonated else ""
    facts.groups = _list(doc.get("ka.user.groups"))
    facts.user_agent = _pick(doc, "ka.useragent")


def _add_workload(facts: Facts, doc: Document) -> None:
    container_id = _pick(doc, "container.id")
    facts.container_id = "" if container_id == _HOST else container_id
    facts.container = "" if container_id == _HOST else _pick(doc, "container.name", "k8s.container.name")
    facts.pod = _pick(doc, "k8s.pod.name", "k8smeta.pod.name")
    facts.images = _images(doc)
    for kind, fields in _WORKLOADS:
        facts.workload = facts.workload or _pick(doc, *fields)
        facts.workload_kind = facts.workload_kind or (kind if facts.workload else "")
    if doc.get("source") in _NODE_SOURCES:
        facts.node = _pick(doc, "k8smeta.node.name", "hostname")
    if facts.container_id and any(field in doc and not _pick(doc, field) for field in _RESOLVED):
        facts.incomplete = ("unresolved",)


def _images(doc: Document) -> tuple[str, ...]:
    whole_name = _pick(doc, "container.image")
    repository, tag, digest = (_pick(doc, f"container.image.{part}") for part in ("repository", "tag", "digest"))
    if not whole_name and repository:
        whole_name = repository + (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")
    return (whole_name,) if whole_name else _list(doc.get("ka.req.pod.containers.image"))


def _add_target(facts: Facts, doc: Document) -> None:
    resource, subresource = _pick(doc, "ka.target.resource"), _pick(doc, "ka.target.subresource")
    facts.resource = f"{resource}/{subresource}" if subresource else resource
    facts.namespace = _pick(doc, "k8s.ns.name", "k8smeta.ns.name", "ka.target.namespace")
    facts.name = _pick(doc, "ka.target.name")


def _add_connection(facts: Facts, doc: Document) -> None:
    facts.protocol = _pick(doc, "fd.l4proto")
    match = _CONNECTION.fullmatch(_pick(doc, "fd.name"))
    source, source_port, destination, destination_port = match.groups() if match else ("", "", "", "")
    source = source or _pick(doc, "fd.cip")
    destination = destination or _pick(doc, "fd.sip", "fd.rip")
    facts.sources = (source,) if source else _list(doc.get("ka.sourceips"))
    facts.destinations = (destination,) if destination else ()
    facts.source_port = whole(source_port, _PORT_MAX) or _pick_port(doc, "fd.cport")
    facts.destination_port = whole(destination_port, _PORT_MAX) or _pick_port(doc, "fd.sport", "fd.rport")


def _add_outcome(facts: Facts, doc: Document) -> None:
    code = whole(doc.get("ka.response.code"), _CODE_MAX)
    result, raw = _pick(doc, "evt.res"), doc.get("evt.rawres")
    facts.status_code = code
    if code in _DENIALS or doc.get("ka.auth.decision") == "forbid":
        facts.outcome = "deny"
    elif code:
        facts.outcome = "failure" if code >= _FIRST_ERROR else "allow"
    elif result:
        facts.outcome = "success" if result == "SUCCESS" else "failure"
    elif type(raw) is int:
        facts.outcome = "failure" if raw < 0 else "success"
