"""What `vedette scan` writes: findings and alerts, as JSON lines for programs or as text for people.

The JSON of a finding is a contract with other programs; docs/cli.md describes it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import msgspec

from detectors.correlation.finding import Firing
from vedette.app.alert_text import clause_text
from vedette.app.terminal import put, put_json, time_text
from vedette.pipeline.document import encode_document
from vedette.pipeline.rollup import evidence_of
from vedette.schema.text import safe_text

if TYPE_CHECKING:
    from vedette.schema.alert import AlertDocument
    from vedette.schema.finding import Match


def put_finding(found: Match | Firing, *, as_json: bool) -> None:
    """Write one finding."""
    plain = finding(found)
    if as_json:
        put_json(plain)
        return
    last = plain["records"][-1]
    more = f" and {len(plain['records']) - 1} before" if len(plain["records"]) > 1 else ""
    where = f"{last['file']}:{last['record']}{more}"
    put(safe_text(f"{plain['time']}  {plain['level'].upper():<13}  {plain['rule']}  ({where})"))
    for clause in plain["explanation"]:
        put(f"    {clause_text(clause)}")


def put_alert(document: AlertDocument, *, as_json: bool) -> None:
    """Write one alert."""
    if as_json:
        sys.stdout.write(encode_document(document).decode() + "\n")
        return
    count = document["count"]
    times = f"{count} times" if count > 1 else "once"
    since = time_text(document["start_time"] * 1_000_000)
    put(safe_text(f"{since}  {document['severity'].upper():<13}  {document['message']}  ({times})"))


def finding(found: Match | Firing) -> dict[str, Any]:
    """Return a finding as plain data; that of a correlation names all events of its window, in time order."""
    if isinstance(found, Firing):
        rule, clauses, time_ns, events = found.correlation.info, found.clauses(), found.time_ns, found.events()
    else:
        rule, clauses, time_ns = found.rule, found.explain(), found.event.time_ns
        events = (evidence_of(found.event),)
    return {
        "rule_id": rule.rule_id,
        "rule": rule.title,
        "level": rule.level.value,
        "time": time_text(time_ns),
        "source": events[-1].format,
        "event_ids": [event_id for event in events for event_id in event.event_ids],
        "event_uids": [event.uid for event in events],
        "records": [{"file": event.origin, "record": event.record} for event in events],
        "explanation": [msgspec.structs.asdict(clause) for clause in clauses],
    }
