"""What an alert is about: its facts in bounds, the resources concerned, the workload behind a pod."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from collector.enrichers.images import parse_image
from collector.enrichers.workload import Workload, workload_of
from vedette.schema.event import Facts
from vedette.schema.limits import TEXT_CHARS_MAX
from vedette.schema.text import clip_text, clip_texts

if TYPE_CHECKING:
    from vedette.schema.alert import AlertState

LIST_ITEMS_MAX: Final = 32
"""Entries of one list of facts (groups, addresses, images) that a document carries; a pod may have some ten images."""


class Subject(NamedTuple):
    """The facts of the opening finding as a document may carry them, and what follows from them.

    `cut`: names of the facts that were shortened.
    """

    facts: Facts
    plain: dict[str, Any]
    cut: list[str]
    workload: Workload | None


def subject_of(state: AlertState) -> Subject:
    """Bound the facts of an alert's opening finding, and name the workload."""
    facts, plain, cut = _bounded(state.facts)
    return Subject(facts, plain, cut, workload_of(facts))


def resources(subject: Subject, cluster: str) -> list[dict[str, Any]]:
    """List what was the target, the nearest first, as OCSF `resource_details`: object, pod, container, …, cluster."""
    facts = subject.facts
    found: list[dict[str, Any]] = []
    if facts.name or facts.resource:
        found.append(_resource(facts.resource or "object", facts.name or facts.resource, facts.namespace))
        if facts.api_group:
            found[0]["group"] = {"name": facts.api_group}
    if facts.pod:
        found.append(_resource("pod", facts.pod, facts.namespace))
    if facts.container or facts.container_id:
        container = _resource("container", facts.container or facts.container_id, "")
        if facts.container_id:
            container["uid"] = facts.container_id
        found.append(container)
    found += [_image(reference) for reference in facts.images]
    if subject.workload:
        workload = _resource(subject.workload.kind or "workload", subject.workload.name, facts.namespace)
        workload["data"] = {"inferred": subject.workload.inferred}
        found.append(workload)
    names = (("namespace", facts.namespace), ("node", facts.node), ("cluster", cluster))
    return found + [{"type": kind, "name": name} for kind, name in names if name]


def _resource(kind: str, name: str, namespace: str) -> dict[str, Any]:
    if namespace:
        return {"type": kind, "name": name, "namespace": namespace}
    return {"type": kind, "name": name}


def _image(reference: str) -> dict[str, Any]:
    image = parse_image(reference)
    data = {"registry": image.registry, "repository": image.repository, "tag": image.tag, "digest": image.digest}
    found: dict[str, Any] = {"type": "image", "name": reference, "data": data}
    if image.digest:
        found["uid"] = image.digest
    if image.tag:
        found["version"] = image.tag
    return found


def _bounded(facts: Facts) -> tuple[Facts, dict[str, Any], list[str]]:
    plain: dict[str, Any] = msgspec.to_builtins(facts)
    cut = [name for name, value in plain.items() if _too_long(value)]
    if not cut:
        return facts, plain, cut
    for name in cut:
        plain[name] = _shortened(plain[name])
    return Facts(**plain), plain, cut


def _too_long(value: str | int | tuple[str, ...]) -> bool:
    if isinstance(value, str):
        return len(value) > TEXT_CHARS_MAX
    if isinstance(value, tuple):
        return len(value) > LIST_ITEMS_MAX or any(len(part) > TEXT_CHARS_MAX for part in value)
    return False


def _shortened(value: str | tuple[str, ...]) -> str | tuple[str, ...]:
    if isinstance(value, str):
        return clip_text(value)
    return tuple(clip_texts(value, LIST_ITEMS_MAX))
