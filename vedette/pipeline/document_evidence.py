"""The samples of an alert as OCSF `evidences`: what happened in OCSF's own objects, and the record as received.

Objects are those of OCSF 1.5 (`objects/evidences.json` of ocsf/ocsf-schema). One thing differs: a `process` there has a
`pid` or `uid`, and most of our sources name neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from collector.enrichers.images import parse_image
from vedette.pipeline.document_subject import LIST_ITEMS_MAX
from vedette.schema.text import clip_text, clip_texts

if TYPE_CHECKING:
    from vedette.pipeline.document_subject import Subject
    from vedette.schema.alert import Evidence
    from vedette.schema.event import Facts

_USER: Final = {"type": "User", "type_id": 1}
_SYSTEM: Final = {"type": "System", "type_id": 3}
_SERVICE: Final = {"type": "Service Account", "type_id": 99}
_UNKNOWN: Final = {"type": "Unknown", "type_id": 0}
_DIRECTION_UNKNOWN: Final = 0


def evidences(samples: list[Evidence], subject: Subject) -> list[dict[str, Any]]:
    """Turn an alert's samples into OCSF `evidences`. The facts are the first one's: they stand with it alone."""
    found: list[dict[str, Any]] = [
        {"name": sample.format, "uid": sample.uid, "data": _data(sample)} for sample in samples
    ]
    if found:
        found[0].update(_happening(subject.facts, samples[0]))
    return found


def _data(sample: Evidence) -> dict[str, Any]:
    return {
        "seq": sample.seq,
        "uid": sample.uid,
        "event_ids": clip_texts(sample.event_ids, LIST_ITEMS_MAX),
        "time_ns": sample.time_ns,
        "arrival_ns": sample.arrival_ns,
        "source": sample.source,
        "format": sample.format,
        "origin": sample.origin,
        "record": sample.record,
        "raw": sample.raw,
        "cut": sample.cut,
    }


def _happening(facts: Facts, sample: Evidence) -> dict[str, Any]:
    parts: dict[str, Any] = {}
    if facts.actor:
        parts["actor"] = {"user": _user(facts)}
    if facts.action and facts.resource:
        parts["api"] = _api(facts, sample)
    if facts.process or facts.command:
        parts["process"] = _process(facts)
    if facts.container or facts.container_id:
        parts["container"] = _container(facts)
    if facts.sources:
        parts["src_endpoint"] = _source(facts)
    if facts.destinations:
        parts["dst_endpoint"] = _endpoint(facts.destinations[0], facts.destination_port)
    if facts.protocol:
        parts["connection_info"] = {"direction_id": _DIRECTION_UNKNOWN, "protocol_name": facts.protocol}
    return parts


def _user(facts: Facts) -> dict[str, Any]:
    user: dict[str, Any] = {"name": facts.actor, **_kind_of_user(facts.actor)}
    if facts.groups:
        user["groups"] = [{"name": group} for group in facts.groups]
    if facts.credential:
        user["credential_uid"] = facts.credential
    return user


def _kind_of_user(name: str) -> dict[str, Any]:
    """Kubernetes reserves `system:` for itself (RBAC, "Referring to subjects"); others are people, or can't be told."""
    if not name.startswith("system:"):
        return _USER
    if name.startswith("system:serviceaccount:"):
        return _SERVICE
    return _UNKNOWN if name == "system:anonymous" else _SYSTEM


def _api(facts: Facts, sample: Evidence) -> dict[str, Any]:
    api: dict[str, Any] = {"operation": facts.action}
    if facts.api_group:
        api["group"] = {"name": facts.api_group}
    if sample.event_ids:
        api["request"] = {"uid": clip_text(sample.event_ids[0])}
    if facts.status_code:
        api["response"] = {"code": facts.status_code}
    return api


def _process(facts: Facts) -> dict[str, Any]:
    process = {"name": facts.process, "cmd_line": facts.command}
    return {key: value for key, value in process.items() if value}


def _container(facts: Facts) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": facts.container or facts.container_id,
        "uid": facts.container_id or facts.container,
    }
    if len(facts.images) == 1:
        image = parse_image(facts.images[0])
        container["image"] = {"name": facts.images[0], "uid": image.digest or facts.images[0], "tag": image.tag}
    return container


def _source(facts: Facts) -> dict[str, Any]:
    """Name the peer that our sensor saw; what a client claims to have come through stands as intermediate."""
    endpoint = _endpoint(facts.sources[-1], facts.source_port)
    if len(facts.sources) > 1:
        endpoint["intermediate_ips"] = facts.sources[:-1]
    return endpoint


def _endpoint(address: str, port: int) -> dict[str, Any]:
    endpoint: dict[str, Any] = {"ip" if _is_address(address) else "hostname": address}
    if port:
        endpoint["port"] = port
    return endpoint


def _is_address(text: str) -> bool:
    return ":" in text or text.replace(".", "").isdigit()
