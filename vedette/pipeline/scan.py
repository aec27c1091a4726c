"""Detection over records that are at hand, without a journal: what `vedette scan` and tests of rules run on.

The same examiner and roll-up as in the running agent; arrival time is event time, and windows close at the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from detectors.correlation.correlator import Correlator
from detectors.correlation.finding import EventFinding, Firing
from vedette.pipeline.document import build_document
from vedette.pipeline.examiner import Examiner
from vedette.pipeline.rollup import RollUp, evidence_of
from vedette.schema.alert import Activity, AlertDocument, AlertState
from vedette.schema.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from detectors.engine import Engine
    from vedette.schema.event import Decoder
    from vedette.schema.finding import Match
    from vedette.schema.rule import RuleInfo
    from vedette.schema.settings import DetectionSettings

_END_NS = 1 << 62


class Scanner:
    """Matches records, and rolls the matches up if asked to."""

    def __init__(self, engine: Engine, decoders: Mapping[str, Decoder], settings: DetectionSettings) -> None:
        """Use the rules of `engine` under `settings`."""
        self._examiner = Examiner(engine, decoders)
        self._settings = settings
        self._rollup = RollUp(settings.rollup)
        self._correlator = Correlator()
        self._correlator.use(engine.correlations)
        self._closed: list[AlertState] = []
        self._rollup.on_close = self._closed.append
        self._arrival_ns = 0

    def matches(self, record: Record) -> Sequence[Match]:
        """Decode and match one record.

        Raises:
            DecodeError: the record is not what its format says (also where only its body is).
        """
        examined = self._examiner.examine(record)
        if examined.event is not None and not examined.matches and examined.event.broken is not None:
            raise examined.event.broken
        return examined.matches

    def correlate(self, matches: Iterable[Match]) -> list[Match | Firing]:
        """Take the matches of one record, in event-time order; return what is found now, correlations after them."""
        found: list[Match | Firing] = []
        for match in matches:
            self._arrive(match)
            rule_id, source = match.rule.rule_id, match.event.record.run.source
            found += self._correlator.advance(self._arrival_ns)
            found.append(match)
            if self._correlator.refers_to(rule_id):
                finding = EventFinding(match.event, self._settings.of(source).cluster, evidence_of)
                found += self._correlator.observe(rule_id, finding)
        return self._heard(found)

    def close(self) -> list[Match | Firing]:
        """Return what the end of the input tells: windows that wait for it are judged."""
        return self._heard(self._correlator.finish(self._arrival_ns))

    @property
    def left_out(self) -> dict[str, int]:
        """How many matches correlations could not use, by reason."""
        counts: dict[str, int] = {}
        for (reason, _), count in self._correlator.left_out.items():
            counts[reason] = counts.get(reason, 0) + count
        return counts

    def add(self, found: Iterable[Match | Firing]) -> list[AlertDocument]:
        """Roll findings up, in event-time order; return the alerts whose window is over."""
        for finding in found:
            if isinstance(finding, Firing):
                self._arrival_ns = max(self._arrival_ns, finding.arrival_ns)
                source, arrived = finding.source, finding._replace(arrival_ns=self._arrival_ns)
                self._rollup.advance(self._arrival_ns)
                self._rollup.add_firing(arrived, self._settings.of(source))
            else:
                self._arrive(finding)
                self._rollup.advance(self._arrival_ns)
                self._rollup.add(finding, self._settings.of(finding.event.record.run.source))
        return self._take()

    def finish(self) -> list[AlertDocument]:
        """Close all windows and return the alerts left."""
        self._rollup.advance(_END_NS)
        return self._take()

    def _arrive(self, match: Match) -> None:
        """Let a match arrive when it happened, or with the one before."""
        self._arrival_ns = max(self._arrival_ns, match.event.time_ns)
        match.event.record = match.event.record._replace(arrival_ns=self._arrival_ns)

    def _heard(self, found: Iterable[Match | Firing]) -> list[Match | Firing]:
        """Leave out what does not alert on its own."""
        silent = self._correlator.silent
        return [finding for finding in found if rule_of(finding).rule_id not in silent]

    def _take(self) -> list[AlertDocument]:
        documents = [
            build_document(alert, generation=1, activity=Activity.CREATE, now_ns=self._arrival_ns)
            for alert in self._closed
        ]
        self._closed.clear()
        return documents


def rule_of(finding: Match | Firing) -> RuleInfo:
    """Return what the rule or correlation says about itself."""
    return finding.correlation.info if isinstance(finding, Firing) else finding.rule
