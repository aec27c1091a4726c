"""Detection over records that are at hand, without a journal: what `vedette scan` and tests of rules run on.

The same examiner and roll-up as in the running agent; arrival time is event time, and windows close at the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vedette.pipeline.document import build_document
from vedette.pipeline.examiner import Examiner
from vedette.pipeline.rollup import RollUp
from vedette.schema.alert import Activity, AlertDocument, AlertState
from vedette.schema.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from detectors.engine import Engine
    from vedette.schema.event import Decoder
    from vedette.schema.finding import Match
    from vedette.schema.settings import DetectionSettings

_END_NS = 1 << 62


class Scanner:
    """Matches records, and rolls the matches up if asked to."""

    def __init__(self, engine: Engine, decoders: Mapping[str, Decoder], settings: DetectionSettings) -> None:
        """Use the rules of `engine` under `settings`."""
        self._examiner = Examiner(engine, decoders)
        self._settings = settings
        self._rollup = RollUp(settings.rollup)
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

    def add(self, matches: Iterable[Match]) -> list[AlertDocument]:
        """Roll matches up, in event-time order; return the alerts whose window is over."""
        for match in matches:
            self._arrival_ns = max(self._arrival_ns, match.event.time_ns)
            self._rollup.advance(self._arrival_ns)
            match.event.record = match.event.record._replace(arrival_ns=self._arrival_ns)
            self._rollup.add(match, self._settings.of(match.event.record.run.source))
        return self._take()

    def finish(self) -> list[AlertDocument]:
        """Close all windows and return the alerts left."""
        self._rollup.advance(_END_NS)
        return self._take()

    def _take(self) -> list[AlertDocument]:
        documents = [
            build_document(alert, generation=1, activity=Activity.CREATE, now_ns=self._arrival_ns)
            for alert in self._closed
        ]
        self._closed.clear()
        return documents
