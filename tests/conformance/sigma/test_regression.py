"""SigmaHQ's regression data: each rule must find its recorded Windows events."""

import json
from collections.abc import Iterator
from typing import Any, Final

from detectors.sigma.matching import Matcher
from tests.conformance.report import Record, judge, rows, vectors

from .asking import ask

SET: Final = "sigma/regression"
PINNED: dict[str, str] = {}
Json = dict[str, Any]


def documents(text: str) -> Iterator[Json]:
    """Read JSON documents that stand one after another."""
    decoder = json.JSONDecoder()
    at = len(text) - len(text.lstrip())
    while at < len(text):
        document, end = decoder.raw_decode(text, at)
        yield from document if isinstance(document, list) else [document]
        at = end + len(text[end:]) - len(text[end:].lstrip())


def flattened(document: Json) -> Json:
    """Put the fields of a Windows event side by side, as Sigma's taxonomy has them (names without spaces)."""
    event = document.get("Event", document)
    fields: Json = {}
    for section in ("System", "EventData", "UserData"):
        fields |= side_by_side(event.get(section))
    return fields


def side_by_side(section: Any) -> Json:
    """Flatten a section; `<Provider Name="x">` becomes Provider_Name."""
    fields: Json = {}
    for name, value in section.items() if isinstance(section, dict) else ():
        if not isinstance(value, dict):
            fields[name.replace(" ", "")] = value
            fields |= named(value)
            continue
        fields |= {f"{name}_{key}": inner for key, inner in value.get("#attributes", {}).items()}
        fields |= side_by_side({key: inner for key, inner in value.items() if not key.startswith("#")})
        if "#text" in value:
            fields[name] = value["#text"]
    return fields


def named(values: Any) -> Json:
    """Return what `<Data Name="x">y</Data>` says, from a list of such elements."""
    elements = [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []
    pairs = [(element.get("#attributes", {}).get("Name"), element.get("#text")) for element in elements]
    return {name: text for name, text in pairs if name}


def events(path: str) -> list[Json]:
    """Read a file of events: JSON documents, or lines of text."""
    text = vectors(f"{SET}/{path}").read_text(encoding="utf-8-sig", errors="replace")
    if path.endswith(".json"):
        return [flattened(document) for document in documents(text)]
    return [{"message": line} for line in text.splitlines()]


def run(row: Json) -> str:
    """Count the events that the rule finds."""
    matcher = Matcher([vectors(f"{SET}/{row['rule']}").read_text(encoding="utf-8")], lenient=False)
    if matcher.errors:
        return f"refused: {matcher.errors[0]}"
    hits = sum(bool(ask(matcher, event)) for event in events(row["event"]))
    return "" if hits >= row["expect_min_matches"] else f"{hits} hits of {row['expect_min_matches']}"


def test_regression_data(record_property: Record) -> None:
    judge(SET, {row["id"]: run(row) for row in rows(f"{SET}/cases.jsonl")}, PINNED, record_property)
