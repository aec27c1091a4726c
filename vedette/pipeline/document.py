"""The alert document: an OCSF 1.5 Detection Finding (class_uid 2004) as plain dicts, and its bytes.

Pure and deterministic: equal state gives equal bytes. What OCSF has no place for stands under `unmapped`, where each
key has one type for good, so that indexes can map it. Strings of the event are bounded but otherwise faithful;
`message` alone is made for terminals. docs/alerts.md describes every field.
"""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import orjson

from vedette.pipeline.document_attack import attacks
from vedette.pipeline.document_evidence import evidences
from vedette.pipeline.document_message import message
from vedette.pipeline.document_subject import LIST_ITEMS_MAX, Subject, resources, subject_of
from vedette.pipeline.verdicts import put_verdict
from vedette.schema.alert import GENERATION_FACTOR, Activity, AlertDocument, AlertState, Contribution
from vedette.schema.limits import TEXT_CHARS_MAX
from vedette.schema.text import clip_text, clip_texts, whole_text

if TYPE_CHECKING:
    from vedette.schema.finding import Clause
    from vedette.schema.rule import RuleInfo

OCSF_VERSION: Final = "1.5.0"
CLASS_UID: Final = 2004
CATEGORY_UID: Final = 2
STATUS_NEW: Final = 1
ANALYTIC_RULE: Final = 1
PRODUCT: Final = {"name": "Vedette", "vendor_name": "Vedette", "version": version("vedette")}
CLAUSES_MAX: Final = 64
"""Clauses of an explanation that a document carries; a rule has some ten, a generated one may have thousands."""
SHARED_CLAUSES_MAX: Final = 16
"""Clauses of each rule of a shared alert; those of the most severe one stand in `explanation` as well."""
DESCRIPTION_CHARS_MAX: Final = 8 * TEXT_CHARS_MAX
"""A rule's description is written for people, and may be a page."""
INT64_MAX: Final = (1 << 63) - 1
_MS_NS: Final = 1_000_000


def build_document(state: AlertState, *, generation: int, activity: Activity, now_ns: int) -> AlertDocument:
    """Say an alert as it stands, as of arrival time `now_ns` (ns since the epoch). The caller owns the result."""
    subject = subject_of(state)
    rule = state.rule
    caption = activity.name.capitalize()
    document: AlertDocument = {
        "activity_id": activity.value,
        "activity_name": caption,
        "category_uid": CATEGORY_UID,
        "category_name": "Findings",
        "class_uid": CLASS_UID,
        "class_name": "Detection Finding",
        "type_uid": CLASS_UID * 100 + activity.value,
        "type_name": f"Detection Finding: {caption}",
        "time": now_ns // _MS_NS,
        "start_time": state.first_seen_ns // _MS_NS,
        "end_time": state.last_seen_ns // _MS_NS,
        "duration": (state.last_seen_ns - state.first_seen_ns) // _MS_NS,
        "count": state.count,
        "severity_id": rule.level.ocsf_severity_id,
        "severity": rule.level.name.capitalize(),
        "status_id": STATUS_NEW,
        "status": "New",
        "message": message(state, subject.facts),
        "metadata": _metadata(state, generation),
        "finding_info": _finding_info(state, now_ns),
        "resources": resources(subject, state.cluster),
        "evidences": evidences(state.evidence, subject),
        "unmapped": _unmapped(state, subject, generation, now_ns),
    }
    if state.verdict is not None:
        put_verdict(document, state.verdict)
    cloud = _cloud(state.labels)
    if cloud:
        document["cloud"] = cloud
        document["metadata"]["profiles"] = ["cloud"]
    return document


def encode_document(document: AlertDocument) -> bytes:
    """Encode as JSON (UTF-8, no line breaks): equal documents give equal bytes.

    What JSON can't carry is replaced: lone surrogates by U+FFFD, integers beyond 64 bits by their digits.
    """
    try:
        return orjson.dumps(document)
    except orjson.JSONEncodeError:
        return orjson.dumps(_mended(document))


def _metadata(state: AlertState, generation: int) -> dict[str, Any]:
    labels = [f"{key}:{value}" for key, value in sorted(state.labels.items())]
    return {
        "uid": f"{state.alert_id}-{generation}-{state.revision}",
        "correlation_uid": _correlation(state),
        "product": PRODUCT.copy(),
        "version": OCSF_VERSION,
        "profiles": [],
        "labels": [f"cluster:{state.cluster}", *labels] if state.cluster else labels,
    }


def _correlation(state: AlertState) -> str:
    """Hash the dedup key: alerts on the same thing share it from one roll-up window to the next."""
    values = state.dedup_values
    key = (
        (state.dedup_as, state.cluster, values, "shared")
        if state.dedup_as
        else (state.rule.rule_id, state.cluster, values)
    )
    try:
        content = orjson.dumps(key)
    except orjson.JSONEncodeError:
        content = orjson.dumps(_mended(key))
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _finding_info(state: AlertState, now_ns: int) -> dict[str, Any]:
    rule = state.rule
    title = clip_text(rule.title)
    info: dict[str, Any] = {
        "uid": state.alert_id,
        "title": title,
        "desc": clip_text(rule.description, DESCRIPTION_CHARS_MAX),
        "created_time": state.opened_ns // _MS_NS,
        "modified_time": now_ns // _MS_NS,
        "first_seen_time": state.first_seen_ns // _MS_NS,
        "last_seen_time": state.last_seen_ns // _MS_NS,
        "analytic": _analytic(rule),
        "attacks": attacks(clip_texts(rule.attack, LIST_ITEMS_MAX)),
        "data_sources": list(dict.fromkeys(sample.format for sample in state.evidence)),
    }
    others = [one.rule for one in state.contributions if one.rule.rule_id != rule.rule_id]
    if others:
        info["related_analytics"] = [_analytic(other) for other in others]
        known = info["attacks"]
        for other in others:
            known += [found for found in attacks(clip_texts(other.attack, LIST_ITEMS_MAX)) if found not in known]
    return info


def _analytic(rule: RuleInfo) -> dict[str, Any]:
    return {
        "uid": clip_text(rule.rule_id),
        "name": clip_text(rule.title),
        "type": "Rule",
        "type_id": ANALYTIC_RULE,
    }


def _unmapped(state: AlertState, subject: Subject, generation: int, now_ns: int) -> dict[str, Any]:
    facts = subject.facts
    unmapped: dict[str, Any] = {
        "alert_id": state.alert_id,
        "generation": generation,
        "revision": state.revision,
        "version": generation * GENERATION_FACTOR + state.revision,
        "time_ns": now_ns,
        "opened_ns": state.opened_ns,
        "closes_ns": state.closes_ns,
        "first_seen_ns": state.first_seen_ns,
        "last_seen_ns": state.last_seen_ns,
        "seq": state.seq,
        "cluster": state.cluster,
        "labels": dict(sorted(state.labels.items())),
        "rule": _rule(state.rule),
        "dedup_values": clip_texts(state.dedup_values, LIST_ITEMS_MAX),
        "facts": subject.plain,
        "workload": _workload(subject),
        "explanation": [_clause(clause) for clause in state.clauses[:CLAUSES_MAX]],
        "incomplete": facts.incomplete,
        "cut": subject.cut,
    }
    if state.dedup_as:
        unmapped["rules"] = [_contribution(one) for one in state.contributions]
        unmapped["unlisted"] = state.unlisted
    return unmapped


def _contribution(one: Contribution) -> dict[str, Any]:
    return {
        "id": clip_text(one.rule.rule_id),
        "title": clip_text(one.rule.title),
        "level": one.rule.level.value,
        "pack": clip_text(one.rule.pack),
        "attack": clip_texts(one.rule.attack, LIST_ITEMS_MAX),
        "controls": clip_texts(one.rule.controls, LIST_ITEMS_MAX),
        "tags": clip_texts(one.rule.tags, LIST_ITEMS_MAX),
        "count": one.count,
        "first_seen_ns": one.first_seen_ns,
        "last_seen_ns": one.last_seen_ns,
        "seq": one.seq,
        "source": one.source,
        "what": one.what,
        "explanation": [_clause(clause) for clause in one.clauses[:SHARED_CLAUSES_MAX]],
    }


def _workload(subject: Subject) -> dict[str, Any]:
    workload = subject.workload
    if workload is None:
        return {"kind": "", "name": "", "namespace": "", "inferred": False}
    namespace = subject.facts.namespace
    return {"kind": workload.kind, "name": workload.name, "namespace": namespace, "inferred": workload.inferred}


def _rule(rule: RuleInfo) -> dict[str, Any]:
    return {
        "id": clip_text(rule.rule_id),
        "title": clip_text(rule.title),
        "level": rule.level.value,
        "status": clip_text(rule.status),
        "author": clip_text(rule.author),
        "pack": clip_text(rule.pack),
        "attack": clip_texts(rule.attack, LIST_ITEMS_MAX),
        "controls": clip_texts(rule.controls, LIST_ITEMS_MAX),
        "tags": clip_texts(rule.tags, LIST_ITEMS_MAX),
        "references": clip_texts(rule.references, LIST_ITEMS_MAX),
        "falsepositives": clip_texts(rule.falsepositives, LIST_ITEMS_MAX),
        "dedup_by": clip_texts(rule.dedup_by, LIST_ITEMS_MAX),
        "dedup_as": clip_text(rule.dedup_as),
    }


def _clause(clause: Clause) -> dict[str, Any]:
    return {
        "where": clip_text(clause.where),
        "field": clip_text(clause.field),
        "test": clip_text(clause.test),
        "path": clip_text(clause.path),
        "value": None if clause.value is None else clip_text(_text_of(clause.value)),
        "negated": clause.negated,
    }


def _text_of(value: Any) -> str:
    """Say a value as text, so that `value` has one type for indexes: strings as they are, others as JSON."""
    return value if isinstance(value, str) else encode_document(value).decode()


def _cloud(labels: dict[str, str]) -> dict[str, Any] | None:
    """Read the labels that are named as OpenTelemetry names cloud resources (semantic conventions, `cloud.*`)."""
    provider = labels.get("cloud.provider")
    if not provider:
        return None
    cloud: dict[str, Any] = {"provider": provider}
    region, zone = labels.get("cloud.region"), labels.get("cloud.availability_zone")
    if region:
        cloud["region"] = region
    if zone:
        cloud["zone"] = zone
    account = labels.get("cloud.account.id")
    if account:
        kind, kind_id = _ACCOUNTS.get(provider, ("Other", 99))
        cloud["account"] = {"uid": account, "name": account, "type": kind, "type_id": kind_id}
    return cloud


_ACCOUNTS: Final = {"aws": ("AWS Account", 10), "gcp": ("GCP Account", 5)}


def _mended(value: Any) -> Any:
    """Take the long way round through JSON text, where every string can be mended at once."""
    return json.loads(whole_text(json.dumps(value, ensure_ascii=False)), parse_int=_integer)


def _integer(digits: str) -> int | str:
    value = int(digits)
    return value if -INT64_MAX <= value <= INT64_MAX else digits
