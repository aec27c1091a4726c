"""The fields of a pod's containers in an audit event: one family for each of its container lists."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from detectors.falco.audit_event import AuditEvent, Extract, Value, json_text, texts, walk
from detectors.falco.audit_fields import CONTAINER_LISTS
from detectors.values import is_list


def repository(image: str, *, fixed: bool) -> str:
    """Return an image without tag and digest; the plugin cuts at the first colon, be it that of a port."""
    if not fixed:
        return image.partition(":")[0].partition("@")[0]
    name = image.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return head + slash + last.partition(":")[0]


def _every(family: str, get: Callable[[AuditEvent, Any], str | None]) -> Extract:
    """All containers have it, or the field has no values at all."""

    def extract(event: AuditEvent, arg: str | None) -> Value:
        values = [get(event, container) for container in event.containers(family, arg) or ()]
        present = [value for value in values if value is not None]
        return present if present and len(present) == len(values) else None

    return extract


def _some(family: str, values: Callable[[AuditEvent, Any], Iterator[Any]]) -> Extract:
    """Containers without it are left out."""

    def found(event: AuditEvent, arg: str | None) -> Iterator[Any]:
        for container in event.containers(family, arg) or ():
            yield from values(event, container)

    return lambda event, arg: texts(found(event, arg))


def image_of(_event: AuditEvent, container: Any) -> str | None:
    """Return a container's image."""
    return json_text(walk(container, "image"))


def repository_of(event: AuditEvent, container: Any) -> str | None:
    """Return a container's image without tag and digest."""
    image = image_of(event, container)
    return None if image is None else repository(image, fixed=event.fixed)


def _words(key: str) -> Callable[[AuditEvent, Any], Iterator[Any]]:
    def values(_event: AuditEvent, container: Any) -> Iterator[Any]:
        words = walk(container, key)
        if is_list(words):
            yield " ".join(filter(None, map(json_text, words)))

    return values


def _secured(key: str) -> Callable[[AuditEvent, Any], Iterator[Any]]:
    return lambda _event, container: iter((walk(container, "securityContext", key),))


def _effective(key: str) -> Callable[[AuditEvent, Any], Iterator[Any]]:
    def values(event: AuditEvent, container: Any) -> Iterator[Any]:
        keys = ("securityContext", key) if event.fixed else (key,)
        own = walk(container, *keys)
        common = walk(event.pod, *keys)
        yield own if own is not None else common if common is not None else "0"

    return values


def _capabilities(event: AuditEvent, container: Any) -> Iterator[Any]:
    added = walk(container, "securityContext", "capabilities", "add")
    if event.fixed and is_list(added):
        yield from added
    else:
        yield added


def _ports(_event: AuditEvent, container: Any) -> Iterator[Any]:
    ports = walk(container, "ports")
    for port in ports if is_list(ports) else ():
        host = walk(port, "hostPort")
        yield host if host is not None else walk(port, "containerPort")


def first_container(get: Callable[[AuditEvent, Any], str | None]) -> Extract:
    """Read the first container alone."""

    def extract(event: AuditEvent, _arg: str | None) -> Value:
        found = event.containers(CONTAINER_LISTS[0], "0")
        return get(event, found[0]) if found else None

    return extract


def any_privileged(event: AuditEvent, _arg: str | None) -> Value:
    """Say whether some container is privileged."""
    containers = event.containers(CONTAINER_LISTS[0], None)
    if containers is None:
        return None
    return "true" if any(walk(item, "securityContext", "privileged") is True for item in containers) else "false"


def family_of(family: str) -> dict[str, Extract]:
    """Return the fields of one container list."""
    found: dict[str, Extract] = {
        "name": _every(family, lambda _event, container: json_text(walk(container, "name"))),
        "image": _every(family, image_of),
        "image.repository": _every(family, repository_of),
        "command": _some(family, _words("command")),
        "args": _some(family, _words("args")),
        "host_port": _some(family, _ports),
        "privileged": _some(family, _secured("privileged")),
        "allow_privilege_escalation": _some(family, _secured("allowPrivilegeEscalation")),
        "read_only_fs": _some(family, _secured("readOnlyRootFilesystem")),
        "run_as_user": _some(family, _secured("runAsUser")),
        "eff_run_as_user": _some(family, _effective("runAsUser")),
        "run_as_group": _some(family, _secured("runAsGroup")),
        "eff_run_as_group": _some(family, _effective("runAsGroup")),
        "proc_mount": _some(family, _secured("procMount")),
        "add_capabilities": _some(family, _capabilities),
    }
    if family == "ephemeralContainers":
        del found["host_port"]  # they have no ports
    return {f"ka.req.pod.{family}.{name}": extract for name, extract in found.items()}
