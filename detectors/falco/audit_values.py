"""The values of `ka.*` fields in a Kubernetes audit event.

Source: falcosecurity/plugins, plugins/k8saudit/pkg/k8saudit/{fields,extract}.go. Two modes. COMPAT extracts what that
plugin does, its faults included: it sees the bodies of pods alone, no PATCH, no source address, cuts an image at the
port of its registry, and takes `eff_run_as_user` from where Kubernetes never puts it. FIXED sees what the request asks
for: the pod templates of workloads, what a PATCH led to, init and ephemeral containers among `containers`, each
capability by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from detectors.falco.audit_fields import CONTAINER_LISTS
from detectors.values import is_list, is_object, text

Value = str | list[str] | None
"""A field's value: one text, those of a list field (never empty), or None where it has none."""
Extract = Callable[["AuditEvent", str | None], Value]


class Mode(StrEnum):
    """Whose reading of an audit event."""

    COMPAT = "falco"
    FIXED = "fixed"


def json_text(value: Any) -> str | None:
    """Return a value as the plugin's strings show it: texts as they are, the rest as JSON; None for null."""
    if value is None or isinstance(value, str):
        return value
    return text(value) if not isinstance(value, dict | list) else msgspec.json.encode(value).decode()


def walk(value: Any, *keys: str) -> Any:
    """Follow keys through objects; None where one is missing."""
    for key in keys:
        value = value.get(key) if is_object(value) else None
    return value


class AuditEvent:
    """One audit event, and what several of its fields are read from."""

    def __init__(self, doc: dict[str, Any], mode: Mode) -> None:
        self.doc = doc
        self.fixed = mode is Mode.FIXED

    @property
    def body(self) -> Any:
        """The object that the request speaks of; FIXED takes a PATCH's result, if the log has it."""
        result = self.doc.get("responseObject")
        if self.fixed and self.doc.get("verb") == "patch" and is_object(result) and result.get("kind") != "Status":
            return result
        return self.doc.get("requestObject")

    @property
    def pod(self) -> Any:
        """A pod's specification; FIXED finds those in the templates of workloads as well."""
        body = self.body
        spec = walk(body, "spec")
        if not self.fixed:
            return spec
        for keys in (("jobTemplate", "spec", "template", "spec"), ("template", "spec")):
            inner = walk(spec, *keys)
            if is_object(inner):
                return inner
        inner = walk(body, "template", "spec")
        return inner if is_object(inner) else spec

    def containers(self, family: str, index: str | None) -> list[Any] | None:
        """The containers of a list; None if the specification has none of that name."""
        pod = self.pod
        families = CONTAINER_LISTS if self.fixed and family == CONTAINER_LISTS[0] else (family,)
        found = [items for items in (walk(pod, name) for name in families) if is_list(items)]
        if not found:
            return None
        return _at([item for items in found for item in items], index)


def _at(items: list[Any], index: str | None) -> list[Any]:
    if index is None:
        return items
    at = int(index)
    return items[at : at + 1]


def _texts(values: Iterator[Any]) -> Value:
    return [found for found in map(json_text, values) if found is not None] or None


def _at_path(*keys: str) -> Extract:
    return lambda event, _arg: json_text(walk(event.doc, *keys))


def _in_body(*keys: str) -> Extract:
    return lambda event, _arg: json_text(walk(event.body, *keys))


def _in_pod(*keys: str) -> Extract:
    return lambda event, _arg: json_text(walk(event.pod, *keys))


def _list_of(get: Callable[[AuditEvent], Any]) -> Extract:
    def extract(event: AuditEvent, arg: str | None) -> Value:
        found = get(event)
        return _texts(iter(_at(found, arg))) if is_list(found) else None

    return extract


def _subjects(kind: str, *, with_namespace: bool = False) -> Extract:
    def names(event: AuditEvent) -> Iterator[Any]:
        subjects = walk(event.body, "subjects")
        for subject in subjects if is_list(subjects) else ():
            if walk(subject, "kind") == kind:
                name = json_text(walk(subject, "name"))
                yield f"{json_text(walk(subject, 'namespace')) or ''}:{name}" if with_namespace else name

    return lambda event, _arg: _texts(names(event))


def _rules(key: str) -> Extract:
    def values(event: AuditEvent, arg: str | None) -> Iterator[Any]:
        rules = walk(event.body, "rules")
        for rule in _at(rules, arg) if is_list(rules) else ():
            found = walk(rule, key)
            yield from found if is_list(found) else ()

    return lambda event, arg: _texts(values(event, arg))


def _volumes(values: Callable[[dict[str, Any]], Iterator[Any]]) -> Extract:
    def found(event: AuditEvent, arg: str | None) -> Iterator[Any]:
        volumes = walk(event.pod, "volumes")
        for volume in _at(volumes, arg) if is_list(volumes) else ():
            if is_object(volume):
                yield from values(volume)

    return lambda event, arg: _texts(found(event, arg))


def _has_host_path(event: AuditEvent, arg: str | None) -> Value:
    wanted = arg or ""
    volumes = walk(event.pod, "volumes")
    paths = [walk(volume, "hostPath", "path") for volume in volumes] if is_list(volumes) else []
    for path in filter(None, map(json_text, paths)):
        if path == wanted or (wanted.endswith("*") and path.startswith(wanted[:-1])):
            return "true"
    return "false"


def _uri_parameter(event: AuditEvent, arg: str | None) -> Value:
    uri = event.doc.get("requestURI")
    if not isinstance(uri, str):
        return None
    query = uri.partition("#")[0].partition("?")[2]
    return next((value for key, value in parse_qsl(query, keep_blank_values=True) if key == arg), None)


def _target_pod(event: AuditEvent, _arg: str | None) -> Value:
    target = event.doc.get("objectRef")
    if walk(target, "resource") != "pods" or walk(target, "subresource"):
        return None
    return json_text(walk(event.doc, "responseObject", "metadata", "name"))


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

    return lambda event, arg: _texts(found(event, arg))


def _image(_event: AuditEvent, container: Any) -> str | None:
    return json_text(walk(container, "image"))


def _repository(event: AuditEvent, container: Any) -> str | None:
    image = _image(event, container)
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


def _first_container(get: Callable[[AuditEvent, Any], str | None]) -> Extract:
    def extract(event: AuditEvent, _arg: str | None) -> Value:
        found = event.containers(CONTAINER_LISTS[0], "0")
        return get(event, found[0]) if found else None

    return extract


def _any_privileged(event: AuditEvent, _arg: str | None) -> Value:
    containers = event.containers(CONTAINER_LISTS[0], None)
    if containers is None:
        return None
    return "true" if any(walk(item, "securityContext", "privileged") is True for item in containers) else "false"


def _source_addresses(event: AuditEvent, arg: str | None) -> Value:
    addresses = event.doc.get("sourceIPs")
    return _texts(iter(_at(addresses, arg))) if event.fixed and is_list(addresses) else None


def _family(family: str) -> dict[str, Extract]:
    found: dict[str, Extract] = {
        "name": _every(family, lambda _event, container: json_text(walk(container, "name"))),
        "image": _every(family, _image),
        "image.repository": _every(family, _repository),
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


EXTRACTS: Final[dict[str, Extract]] = {
    "ka.auditid": _at_path("auditID"),
    "ka.stage": _at_path("stage"),
    "ka.verb": _at_path("verb"),
    "ka.uri": _at_path("requestURI"),
    "ka.uri.param": _uri_parameter,
    "ka.useragent": _at_path("userAgent"),
    "ka.auth.decision": _at_path("annotations", "authorization.k8s.io/decision"),
    "ka.auth.reason": _at_path("annotations", "authorization.k8s.io/reason"),
    "ka.auth.openshift.decision": _at_path("annotations", "authentication.openshift.io/decision"),
    "ka.auth.openshift.username": _at_path("annotations", "authentication.openshift.io/username"),
    "ka.validations.admission.policy.failure": _at_path(
        "annotations", "validation.policy.admission.k8s.io/validation_failure"
    ),
    "ka.security.pod.violations": _at_path("annotations", "pod-security.kubernetes.io/audit-violations"),
    "ka.cluster.name": _at_path("annotations", "cluster_name"),
    "ka.user.name": _at_path("user", "username"),
    "ka.user.groups": _list_of(lambda event: walk(event.doc, "user", "groups")),
    "ka.impuser.name": _at_path("impersonatedUser", "username"),
    "ka.target.name": _at_path("objectRef", "name"),
    "ka.target.namespace": _at_path("objectRef", "namespace"),
    "ka.target.resource": _at_path("objectRef", "resource"),
    "ka.target.subresource": _at_path("objectRef", "subresource"),
    "ka.target.pod.name": _target_pod,
    "ka.resp.name": _at_path("responseObject", "metadata", "name"),
    "ka.response.code": _at_path("responseStatus", "code"),
    "ka.response.reason": _at_path("responseStatus", "reason"),
    "ka.sourceips": _source_addresses,
    "ka.req.binding.subjects": _list_of(lambda event: walk(event.body, "subjects")),
    "ka.req.binding.subjects.user_names": _subjects("User"),
    "ka.req.binding.subjects.group_names": _subjects("Group"),
    "ka.req.binding.subjects.serviceaccount_names": _subjects("ServiceAccount"),
    "ka.req.binding.subjects.serviceaccount_ns_names": _subjects("ServiceAccount", with_namespace=True),
    "ka.req.binding.role": _in_body("roleRef", "name"),
    "ka.req.binding.subject.has_name": lambda _event, _arg: "true",
    "ka.req.configmap.name": _at_path("objectRef", "name"),
    "ka.req.configmap.obj": _in_body("data"),
    "ka.req.role.rules": _list_of(lambda event: walk(event.body, "rules")),
    "ka.req.role.rules.apiGroups": _rules("apiGroups"),
    "ka.req.role.rules.nonResourceURLs": _rules("nonResourceURLs"),
    "ka.req.role.rules.verbs": _rules("verbs"),
    "ka.req.role.rules.resources": _rules("resources"),
    "ka.req.service.type": _in_body("spec", "type"),
    "ka.req.service.ports": _list_of(lambda event: walk(event.body, "spec", "ports")),
    "ka.req.pod.host_ipc": _in_pod("hostIPC"),
    "ka.req.pod.host_network": _in_pod("hostNetwork"),
    "ka.req.pod.host_pid": _in_pod("hostPID"),
    "ka.req.pod.run_as_user": _in_pod("securityContext", "runAsUser"),
    "ka.req.pod.run_as_group": _in_pod("securityContext", "runAsGroup"),
    "ka.req.pod.fs_group": _in_pod("securityContext", "fsGroup"),
    "ka.req.pod.supplemental_groups": _list_of(lambda event: walk(event.pod, "securityContext", "supplementalGroups")),
    "ka.req.pod.volumes.hostpath": _volumes(lambda volume: iter((walk(volume, "hostPath", "path"),))),
    "ka.req.pod.volumes.flexvolume_driver": _volumes(lambda volume: iter((walk(volume, "flexVolume", "driver"),))),
    "ka.req.pod.volumes.volume_type": _volumes(lambda volume: (key for key in volume if key != "name")),
    "ka.req.volume.hostpath": _has_host_path,
    "ka.req.container.host_network": _in_pod("hostNetwork"),
    "ka.req.container.image": _first_container(_image),
    "ka.req.container.image.repository": _first_container(_repository),
    "ka.req.container.privileged": _any_privileged,
    **_family("containers"),
    **_family("initContainers"),
    **_family("ephemeralContainers"),
}
"""Every `ka.*` field; those of a document without `auditID` have no values at all."""
