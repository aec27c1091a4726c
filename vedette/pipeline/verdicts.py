"""Verdicts in documents and revisions: an alert that an analyst closed says so, and whoever has it is told.

While findings can still join an alert, the roll-up has it, and says its verdict with every revision. Of an alert that
roll-up has forgotten, the control record brings the last document along.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from vedette.schema.alert import GENERATION_FACTOR, Activity, AlertDocument, AlertRevision, Origin
from vedette.schema.errors import DecodeError
from vedette.schema.verdict import Judgement

if TYPE_CHECKING:
    from vedette.schema.verdict import Verdict

STATUS_RESOLVED: Final = 4
"""OCSF 1.5 `status_id` of findings."""
_VERDICTS: Final = {
    Judgement.FALSE_POSITIVE: (1, "False Positive"),
    Judgement.TRUE_POSITIVE: (2, "True Positive"),
    Judgement.BENIGN: (5, "Benign"),
}
"""OCSF 1.5 `verdict_id` of evidence artifacts, with its caption."""
_MS_NS: Final = 1_000_000


def put_verdict(document: AlertDocument, verdict: Verdict) -> None:
    """Let a document say what was decided, in place of what it said before."""
    verdict_id, caption = _VERDICTS[verdict.judgement]
    document["status_id"], document["status"] = STATUS_RESOLVED, "Resolved"
    document.pop("comment", None)
    if verdict.reason:
        document["comment"] = verdict.reason
    for sample in document["evidences"]:
        sample["verdict_id"], sample["verdict"] = verdict_id, caption
    document["unmapped"]["verdict"] = {
        "judgement": verdict.judgement.value,
        "analyst": verdict.analyst,
        "reason": verdict.reason,
        "time_ns": verdict.time_ns,
    }


def revise_closed(content: str, verdict: Verdict, generation: int) -> AlertRevision:
    """Return the revision that tells the verdict on an alert of which `content` is the last document.

    Raises:
        DecodeError: `content` is no alert document.
    """
    try:
        document: AlertDocument = orjson.loads(content)
        return _revision(document, verdict, generation)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise DecodeError("broken control record", f"no alert document: {error!r}") from error


def _revision(document: AlertDocument, verdict: Verdict, generation: int) -> AlertRevision:
    details: dict[str, Any] = document["unmapped"]
    alert_id, revision = details["alert_id"], details["revision"] + 1
    details |= {
        "generation": generation,
        "revision": revision,
        "version": generation * GENERATION_FACTOR + revision,
        "time_ns": verdict.time_ns,
    }
    caption = Activity.CLOSE.name.capitalize()
    document |= {
        "activity_id": Activity.CLOSE.value,
        "activity_name": caption,
        "type_uid": document["class_uid"] * 100 + Activity.CLOSE.value,
        "type_name": f"{document['class_name']}: {caption}",
        "time": verdict.time_ns // _MS_NS,
    }
    document["metadata"]["uid"] = f"{alert_id}-{generation}-{revision}"
    document["finding_info"]["modified_time"] = verdict.time_ns // _MS_NS
    put_verdict(document, verdict)
    rule: dict[str, Any] = details["rule"]
    leading, *joined = _origins(document)
    return AlertRevision(
        alert_id,
        generation,
        revision,
        details["opened_ns"],
        rule["level"],
        rule["id"],
        orjson.dumps(document),
        leading.source,
        details["cluster"],
        leading.tags,
        document["metadata"]["correlation_uid"],
        tuple(joined),
    )


def _origins(document: AlertDocument) -> list[Origin]:
    """What deliveries may ask of the rules, the one that leads first, as `sharing.origins_of` has it."""
    details: dict[str, Any] = document["unmapped"]
    rule: dict[str, Any] = details["rule"]
    if "rules" not in details:
        return [Origin(rule["id"], document["evidences"][0]["data"]["source"], tuple(rule["tags"]))]
    leading = (rule["id"], rule["level"])
    ordered = sorted(details["rules"], key=lambda one: (one["id"], one["level"]) != leading)
    return [Origin(one["id"], one["source"], tuple(one["tags"])) for one in ordered]
