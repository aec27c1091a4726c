"""Falco alerts out of documentation and of Falco's own test of its output: each decodes, and says what it says."""

import json
from typing import Any, Final

from collector.decoders import DECODERS
from tests.conformance.report import Record, judge, rows, vectors
from vedette.schema.errors import DecodeError
from vedette.schema.event import Nature

FALCO: Final = DECODERS["falco"]
SET: Final = "falco/alerts"
PINNED: dict[str, str] = {}


def wrong(alert: dict[str, Any]) -> str:
    """Decode an alert, alone and as a line that an agent wrapped; "" if both are what it says."""
    payload = json.dumps(alert).encode()
    try:
        docs = [FALCO.decode(each, "") for each in (payload, json.dumps({"log": payload.decode()}).encode())]
    except DecodeError as refused:
        return str(refused)
    doc = docs[0]
    if docs[1] != doc or not doc.items() >= alert.items():
        return "the document is not the alert"
    if "time" in alert and FALCO.time_ns(doc) == 0:
        return "no time"
    internal = alert["rule"].startswith("Falco internal")
    if (FALCO.nature(doc) is Nature.HEALTH) != internal:
        return "health or not"
    finding = FALCO.finding(doc)
    title = "" if finding is None else finding.title
    return "" if title == ("" if internal else alert["rule"]) else f"the rule {title!r}"


def test_alerts(record_property: Record) -> None:
    results = {row["id"]: wrong(row["event"]) for row in rows(f"{SET}/docs_samples.jsonl")}
    for path in vectors(SET).glob("*.json"):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            results[f"{path.stem}#{number}"] = wrong(json.loads(line))
    judge(SET, results, PINNED, record_property)
