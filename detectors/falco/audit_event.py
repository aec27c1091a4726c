"""A Kubernetes audit event, as Falco's k8saudit plugin reads it or as it should.

Source: falcosecurity/plugins, plugins/k8saudit/pkg/k8saudit/extract.go. COMPAT sees what that plugin does, its faults
included: the bodies of pods alone, no PATCH, no source address, an image cut at the port of its registry, and
`eff_run_as_user` from where Kubernetes never puts it. FIXED sees what the request asks for: the pod templates of
workloads, what a PATCH led to, init and ephemeral containers among `containers`, each capability by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Any

import msgspec

from detectors.falco.audit_fields import CONTAINER_LISTS
from detectors.values import is_list, is_object, kind_of, text

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
        value = value.get(key) if kind_of(value) is dict else None
    return value


class AuditEvent:
    """One audit event, and what several of its fields are read from.

    `head` has all keys of the event but `requestObject` and `responseObject`; those are read from what `whole` returns.
    """

    def __init__(self, head: dict[str, Any], mode: Mode, whole: Callable[[], dict[str, Any]]) -> None:
        self.head = head
        self.fixed = mode is Mode.FIXED
        self._whole = whole

    def body_of(self, key: str) -> Any:
        """Return `requestObject` or `responseObject`; None if the event has none."""
        return self._whole().get(key)

    @property
    def body(self) -> Any:
        """The object that the request speaks of; FIXED takes a PATCH's result, if the log has it."""
        if self.fixed and self.head.get("verb") == "patch":
            result = self.body_of("responseObject")
            if is_object(result) and result.get("kind") != "Status":
                return result
        return self.body_of("requestObject")

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
        return elements([item for items in found for item in items], index)


def elements(items: list[Any], index: str | None) -> list[Any]:
    """Return the element of an index, or without one all."""
    if index is None:
        return items
    at = int(index)
    return items[at : at + 1]


def texts(values: Iterator[Any]) -> Value:
    """Return values as texts, without null; None if none is left."""
    return [found for found in map(json_text, values) if found is not None] or None
