"""One alert as text for people: what happened, who, where, why the rule matched, and sample events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from vedette.app.terminal import put, put_fields, time_text
from vedette.schema.text import safe_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vedette.schema.alert import AlertDocument

_LISTS: Final = ("groups", "images", "sources", "destinations", "incomplete")
"""Facts with several values."""


def put_alert_text(document: AlertDocument) -> None:
    """Write an alert on standard output."""
    details: dict[str, Any] = document["unmapped"]
    rule: dict[str, Any] = details["rule"]
    put(safe_text(document["message"]))
    put("")
    put_fields((name, value) for name, value in _fields(document, details, rule) if value)
    put("")
    put("Why the rule matched:")
    for clause in details["explanation"]:
        put(f"  {clause_text(clause)}")
    for other in details.get("rules", ()):
        if (other["id"], other["level"]) != (rule["id"], rule["level"]):
            put("")
            put(safe_text(f"Also {other['title']} ({other['level']}, count {other['count']}): {other['what']}"))
            for clause in other["explanation"]:
                put(f"  {clause_text(clause)}")
    put("")
    put("Sample events:")
    for evidence in document["evidences"]:
        sample: dict[str, Any] = evidence["data"]
        ids = ", ".join(sample["event_ids"]) or sample["uid"]
        put(safe_text(f"  {time_text(sample['time_ns'])}  {sample['source']}  {ids}"))


def clause_text(clause: Mapping[str, Any]) -> str:
    """Render a clause of an explanation as one harmless line."""
    value = clause["value"]
    found = "" if value is None else f"  (it is {value!r})"
    return safe_text(f"{clause['where']}: {clause['path'] or clause['field']} {clause['test']}{found}")


def _fields(
    document: AlertDocument, details: Mapping[str, Any], rule: Mapping[str, Any]
) -> Iterator[tuple[str, object]]:
    yield "id", details["alert_id"]
    yield "level", rule["level"]
    yield "count", document["count"]
    yield "status", document["status"]
    verdict: Mapping[str, Any] = details.get("verdict", {})
    yield "verdict", verdict.get("judgement", "").replace("_", " ")
    yield "reason", verdict.get("reason", "")
    yield "closed by", verdict.get("analyst", "")
    yield "first seen", time_text(details["first_seen_ns"])
    yield "last seen", time_text(details["last_seen_ns"])
    yield "cluster", details["cluster"]
    for name, value in details["facts"].items():
        yield name.replace("_", " "), ", ".join(map(str, value)) if name in _LISTS else value
    yield "rule", f"{rule['title']} ({rule['id']}, {rule['pack']})"
    yield "ATT&CK", ", ".join(rule["attack"])
    yield "controls", ", ".join(rule["controls"])
    yield "false positives", "; ".join(rule["falsepositives"])
    yield "about", document["finding_info"]["desc"]
