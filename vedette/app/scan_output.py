"""What `vedette scan` writes: findings and alerts, as JSON lines for programs or as text for people.

The JSON of a finding is a contract with other programs; docs/cli.md describes it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import msgspec

from vedette.app.alert_text import clause_text
from vedette.app.terminal import put, put_json, time_text
from vedette.pipeline.document import encode_document
from vedette.schema.text import safe_text

if TYPE_CHECKING:
    from vedette.schema.alert import AlertDocument
    from vedette.schema.finding import Match


def put_finding(match: Match, *, as_json: bool) -> None:
    """Write one finding."""
    if as_json:
        put_json(finding(match))
        return
    event, rule = match.event, match.rule
    where = f"{event.record.run.origin}:{event.record.record}"
    put(safe_text(f"{time_text(event.time_ns)}  {rule.level.upper():<13}  {rule.title}  ({where})"))
    for clause in match.explain():
        put(f"    {clause_text(msgspec.structs.asdict(clause))}")


def put_alert(document: AlertDocument, *, as_json: bool) -> None:
    """Write one alert."""
    if as_json:
        sys.stdout.write(encode_document(document).decode() + "\n")
        return
    count = document["count"]
    times = f"{count} times" if count > 1 else "once"
    since = time_text(document["start_time"] * 1_000_000)
    put(safe_text(f"{since}  {document['severity'].upper():<13}  {document['message']}  ({times})"))


def finding(match: Match) -> dict[str, Any]:
    """Return a finding as plain data."""
    event, rule = match.event, match.rule
    return {
        "rule_id": rule.rule_id,
        "rule": rule.title,
        "level": rule.level.value,
        "time": time_text(event.time_ns),
        "source": event.record.run.format,
        "event_ids": list(event.event_ids),
        "event_uids": [event.uid],
        "records": [{"file": event.record.run.origin, "record": event.record.record}],
        "explanation": [msgspec.structs.asdict(clause) for clause in match.explain()],
    }
