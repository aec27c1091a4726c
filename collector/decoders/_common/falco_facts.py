"""Who did what where, out of a Falco alert's fields (falco.org, supported fields; `ka.` is the k8saudit plugin's).

A field that Falco could not fill is null or `<NA>`, or missing because the rule's output does not print it. All alerts
of a rule print the same fields: which of them say something is found once for each such shape.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from collector.decoders._common.values import text, texts, whole
from vedette.schema.event import Document, Facts
from vedette.schema.limits import TEXT_CHARS_MAX

if TYPE_CHECKING:
    from collections.abc import Callable

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
_IMAGE_PARTS: Final = ((":", "container.image.tag"), ("@", "container.image.digest"))
_WORKLOADS: Final = (
    ("Deployment", ("k8s.deployment.name", "k8smeta.deployment.name", "ka.target.deployment")),
    ("ReplicaSet", ("k8s.rs.name", "k8smeta.rs.name")),
    ("ReplicationController", ("k8s.rc.name", "k8smeta.rc.name")),
)
_TEXTS: Final = {
    "actor": ("ka.user.name", "user.name", "user.loginname"),
    "user_agent": ("ka.useragent",),
    "action": ("evt.type", "ka.verb"),
    "namespace": ("k8s.ns.name", "k8smeta.ns.name", "ka.target.namespace"),
    "name": ("ka.target.name",),
    "pod": ("k8s.pod.name", "k8smeta.pod.name"),
    "container": ("container.name", "k8s.container.name"),
    "container_id": ("container.id",),
    "process": ("proc.name", "proc.exepath", "proc.exe"),
    "command": ("proc.cmdline", "ka.uri.param[command]"),
    "protocol": ("fd.l4proto",),
}
"""Facts that are the first of these fields that Falco filled."""
_SHAPES_MAX: Final = 1024
"""Shapes remembered: Falco's rule files define some hundred rules."""
_SHAPE_FIELDS_MAX: Final = 100
_SHAPE_CHARS_MAX: Final = 4096
"""Fields, and characters of their names, of a shape worth remembering; anybody may send others."""


class _Shape(NamedTuple):
    """What to ask alerts with the same fields: `texts` are field and fact, and the last one that is filled counts."""

    texts: tuple[tuple[str, str], ...]
    parts: tuple[Callable[[Facts, Document], None], ...]


def facts_of(doc: Document) -> Facts:
    """Normalise one alert; what is absent, unknown to Falco or of an unexpected type stays empty."""
    shape = _shapes.get(tuple(doc)) or _remember(doc)
    facts = Facts()
    for field, fact in shape.texts:
        value = doc[field]
        if type(value) is str and value not in _UNKNOWN:
            setattr(facts, fact, value[:TEXT_CHARS_MAX])
    for part in shape.parts:
        part(facts, doc)
    return facts


_shapes: Final[dict[tuple[str, ...], _Shape]] = {}


def _remember(doc: Document) -> _Shape:
    """Find the shape of an alert, and keep it for the next one; begin anew when there are too many."""
    shape = _Shape(
        tuple((field, fact) for fact, fields in _TEXTS.items() for field in reversed(fields) if field in doc),
        tuple(part for part, fields in _PARTS.items() if any(field in doc for field in fields)),
    )
    if len(doc) <= _SHAPE_FIELDS_MAX and sum(map(len, doc)) <= _SHAPE_CHARS_MAX:
        if len(_shapes) >= _SHAPES_MAX:
            _shapes.clear()
        _shapes[tuple(doc)] = shape
    return shape


def _is_filled(value: Any) -> bool:
    return type(value) is str and value not in _UNKNOWN


def _pick(doc: Document, *fields: str) -> str:
    """The first field that Falco filled with a string."""
    for field in fields:
        value = doc.get(field)
        if type(value) is str and value not in _UNKNOWN:
            return value[:TEXT_CHARS_MAX]
    return ""


def _pick_port(doc: Document, *fields: str) -> int:
    return next((port for field in fields if (port := whole(doc.get(field), _PORT_MAX))), 0)


def _list(value: Any) -> tuple[str, ...]:
    """A list field: a list, or as Falco prints it, `(a,b)`."""
    if isinstance(value, str):
        value = [word.strip() for word in text(value).strip("()").split(",")]
    return tuple(word for word in texts(value) if word not in _UNKNOWN)


def _add_impersonated(facts: Facts, doc: Document) -> None:
    impersonated = _pick(doc, "ka.impuser.name")
    if impersonated:
        facts.actor, facts.actor_real = impersonated, facts.actor


def _add_groups(facts: Facts, doc: Document) -> None:
    facts.groups = _list(doc["ka.user.groups"])


def _check_container(facts: Facts, doc: Document) -> None:
    """The host is no container; and tell what Falco did not know of one."""
    if facts.container_id == _HOST:
        facts.container_id = facts.container = ""
    elif facts.container_id:
        for field in _RESOLVED:
            if field in doc and not _is_filled(doc[field]):
                facts.incomplete = ("unresolved",)


def _add_workload(facts: Facts, doc: Document) -> None:
    for kind, fields in _WORKLOADS:
        facts.workload = _pick(doc, *fields)
        if facts.workload:
            facts.workload_kind = kind
            return


def _add_node(facts: Facts, doc: Document) -> None:
    if doc.get("source") in _NODE_SOURCES:
        facts.node = _pick(doc, "k8smeta.node.name", "hostname")


def _add_images(facts: Facts, doc: Document) -> None:
    name = _pick(doc, "container.image")
    if not name and (name := _pick(doc, "container.image.repository")):
        for mark, field in _IMAGE_PARTS:
            if field in doc and (part := _pick(doc, field)):
                name += mark + part
    facts.images = (name,) if name else _list(doc.get("ka.req.pod.containers.image"))


def _add_resource(facts: Facts, doc: Document) -> None:
    resource, subresource = _pick(doc, "ka.target.resource"), _pick(doc, "ka.target.subresource")
    facts.resource = f"{resource}/{subresource}" if subresource else resource


def _add_connection(facts: Facts, doc: Document) -> None:
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


_PARTS: Final = {
    _add_impersonated: ("ka.impuser.name",),
    _add_groups: ("ka.user.groups",),
    _check_container: ("container.id",),
    _add_workload: tuple(field for _, fields in _WORKLOADS for field in fields),
    _add_node: ("k8smeta.node.name", "hostname"),
    _add_images: ("container.image", "container.image.repository", "ka.req.pod.containers.image"),
    _add_resource: ("ka.target.resource", "ka.target.subresource"),
    _add_connection: (
        *("fd.name", "fd.cip", "fd.sip", "fd.rip", "ka.sourceips"),
        *("fd.cport", "fd.sport", "fd.rport"),
    ),
    _add_outcome: ("ka.response.code", "ka.auth.decision", "evt.res", "evt.rawres"),
}
"""What takes more than one field, or more than a look; each with the fields without which it has nothing to do."""
