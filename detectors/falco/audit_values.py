"""The fields `ka.*` of a Kubernetes audit event, and how each is read.

Source: falcosecurity/plugins, plugins/k8saudit/pkg/k8saudit/{fields,extract}.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import parse_qsl

from detectors.falco.audit_containers import any_privileged, family_of, first_container, image_of, repository_of
from detectors.falco.audit_event import AuditEvent, Extract, Value, elements, json_text, texts, walk
from detectors.values import is_list, is_object, kind_of


def _at_path(first: str, *keys: str) -> Extract:
    def extract(event: AuditEvent, _arg: str | None) -> Value:
        value: Any = event.head.get(first)
        for key in keys:
            value = value.get(key) if kind_of(value) is dict else None
        return value if kind_of(value) is str or value is None else json_text(value)

    return extract


def _in_body(*keys: str) -> Extract:
    return lambda event, _arg: json_text(walk(event.body, *keys))


def _in_pod(*keys: str) -> Extract:
    return lambda event, _arg: json_text(walk(event.pod, *keys))


def _list_of(get: Callable[[AuditEvent], Any]) -> Extract:
    def extract(event: AuditEvent, arg: str | None) -> Value:
        found = get(event)
        return texts(iter(elements(found, arg))) if is_list(found) else None

    return extract


def _subjects(kind: str, *, with_namespace: bool = False) -> Extract:
    def names(event: AuditEvent) -> Iterator[Any]:
        subjects = walk(event.body, "subjects")
        for subject in subjects if is_list(subjects) else ():
            if walk(subject, "kind") == kind:
                name = json_text(walk(subject, "name"))
                yield f"{json_text(walk(subject, 'namespace')) or ''}:{name}" if with_namespace else name

    return lambda event, _arg: texts(names(event))


def _rules(key: str) -> Extract:
    def values(event: AuditEvent, arg: str | None) -> Iterator[Any]:
        rules = walk(event.body, "rules")
        for rule in elements(rules, arg) if is_list(rules) else ():
            found = walk(rule, key)
            yield from found if is_list(found) else ()

    return lambda event, arg: texts(values(event, arg))


def _volumes(values: Callable[[dict[str, Any]], Iterator[Any]]) -> Extract:
    def found(event: AuditEvent, arg: str | None) -> Iterator[Any]:
        volumes = walk(event.pod, "volumes")
        for volume in elements(volumes, arg) if is_list(volumes) else ():
            if is_object(volume):
                yield from values(volume)

    return lambda event, arg: texts(found(event, arg))


def _has_host_path(event: AuditEvent, arg: str | None) -> Value:
    wanted = arg or ""
    volumes = walk(event.pod, "volumes")
    paths = [walk(volume, "hostPath", "path") for volume in volumes] if is_list(volumes) else []
    for path in filter(None, map(json_text, paths)):
        if path == wanted or (wanted.endswith("*") and path.startswith(wanted[:-1])):
            return "true"
    return "false"


def _uri_parameter(event: AuditEvent, arg: str | None) -> Value:
    uri = event.head.get("requestURI")
    if not isinstance(uri, str):
        return None
    query = uri.partition("#")[0].partition("?")[2]
    return next((value for key, value in parse_qsl(query, keep_blank_values=True) if key == arg), None)


def _target_pod(event: AuditEvent, _arg: str | None) -> Value:
    target = event.head.get("objectRef")
    if walk(target, "resource") != "pods" or walk(target, "subresource"):
        return None
    return json_text(walk(event.body_of("responseObject"), "metadata", "name"))


def _source_addresses(event: AuditEvent, arg: str | None) -> Value:
    addresses = event.head.get("sourceIPs")
    return texts(iter(elements(addresses, arg))) if event.fixed and is_list(addresses) else None


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
    "ka.user.groups": _list_of(lambda event: walk(event.head, "user", "groups")),
    "ka.impuser.name": _at_path("impersonatedUser", "username"),
    "ka.target.name": _at_path("objectRef", "name"),
    "ka.target.namespace": _at_path("objectRef", "namespace"),
    "ka.target.resource": _at_path("objectRef", "resource"),
    "ka.target.subresource": _at_path("objectRef", "subresource"),
    "ka.target.pod.name": _target_pod,
    "ka.resp.name": lambda event, _arg: json_text(walk(event.body_of("responseObject"), "metadata", "name")),
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
    "ka.req.container.image": first_container(image_of),
    "ka.req.container.image.repository": first_container(repository_of),
    "ka.req.container.privileged": any_privileged,
    **family_of("containers"),
    **family_of("initContainers"),
    **family_of("ephemeralContainers"),
}
"""Every `ka.*` field; those of a document without `auditID` have no values at all."""
