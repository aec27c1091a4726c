"""Correlations over decoded documents: rules and steps in, firings out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from detectors.correlation.correlator import Correlator
from detectors.correlation.finding import EventFinding
from detectors.engine import Engine
from detectors.rule import RuleText
from detectors.sigma import load_rules
from vedette.pipeline.rollup import evidence_of
from vedette.schema.event import Event, Facts
from vedette.schema.limits import SECOND_NS
from vedette.schema.record import Record, Run

if TYPE_CHECKING:
    from collections.abc import Iterable

    from detectors.correlation.finding import Firing
    from vedette.schema.event import Decoder, LogSource

START_S = 1_700_000_000


class Documents:
    """As much of a decoder as is needed: documents come decoded, and their actor is under `actor`."""

    name = "documents"
    dedup_by: tuple[str, ...] = ()
    head_fields: frozenset[str] | None = None

    def __init__(self, logsources: Iterable[LogSource]) -> None:
        self.logsources = tuple(logsources)

    def event_ids(self, head: dict[str, Any]) -> tuple[str, ...]:
        return (str(head["id"]),) if "id" in head else ()

    def uid(self, payload: bytes, doc: dict[str, Any]) -> str:
        return payload.decode()

    def facts(self, doc: dict[str, Any]) -> Facts:
        return Facts(actor=str(doc.get("actor", "")))


class Correlating:
    """A set of rules with its correlations, fed event by event; times in seconds since START_S."""

    def __init__(self, text: str) -> None:
        loaded = load_rules([RuleText("rules.yml", text, "")], ours=False)
        assert [str(error) for error in loaded.errors] == []
        decoder = Documents(dict.fromkeys(rule.logsource for rule in loaded.rules))
        self.decoder = cast("Decoder", decoder)
        self.engine = Engine(loaded.rules, {"documents": self.decoder}, loaded.correlations)
        self.correlator = Correlator()
        self.correlator.use(loaded.correlations)
        self.matched = 0
        self._seq = 0
        self._arrival_s = 0.0

    def feed(
        self, document: dict[str, Any], at_s: float, *, arrival_s: float | None = None, source: str = "a"
    ) -> list[Firing]:
        """Take an event; it arrives when it happened, or with the one before, unless said otherwise."""
        self._arrival_s = max(self._arrival_s, at_s if arrival_s is None else arrival_s)
        firings = self.correlator.advance(_ns(self._arrival_s))
        self._seq += 1
        record = Record(self._seq, _ns(self._arrival_s), str(self._seq).encode(), Run(source, "documents", 1), 1)
        event = Event(record, self.decoder, document)
        event.__dict__["time_ns"] = _ns(at_s)
        matches = self.engine.match(event)
        self.matched = len(matches)
        for match in matches:
            firings += self.correlator.observe(match.rule.rule_id, EventFinding(event, "", evidence_of))
        return firings

    def wait(self, arrival_s: float) -> list[Firing]:
        """Let arrival time go on."""
        self._arrival_s = max(self._arrival_s, arrival_s)
        return self.correlator.advance(_ns(self._arrival_s))


def _ns(at_s: float) -> int:
    return round((START_S + at_s) * SECOND_NS)


def seconds(firing: Firing) -> float:
    """Return when a firing's condition held, in seconds since START_S."""
    return firing.time_ns / SECOND_NS - START_S


def rules(correlation: str, *names: str) -> str:
    """Return rules `a`, `b` … that match events by `kind`, and a correlation with the id `over`."""
    base = "\n---\n".join(
        f"title: Rule {name}\nid: {name}\nlogsource: {{category: test}}\n"
        f"detection: {{selection: {{kind: {name}}}, condition: selection}}"
        for name in names or ("a",)
    )
    return f"{base}\n---\ntitle: Correlation\nid: over\ncorrelation: {correlation}\n"
