"""Detectors of behaviour on a stream of records, without a journal: for tests and benches of what they find and miss.

    watch = BehaviourWatch(definitions)
    found = [deviation for record in simulation.records() for deviation in watch.feed(record)]

Records arrive when they happened, as in `vedette scan`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.decoders import DECODERS
from vedette.pipeline.observing import Observing
from vedette.schema.record import Record, Run
from vedette.testing.simulator import FLOW_FIELDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from detectors.behaviour.definition import Definition
    from vedette.pipeline.observing import Deviated
    from vedette.testing.simulator import SimulatedRecord

_CONTEXTS = {"vpc_flow": FLOW_FIELDS}


class BehaviourWatch:
    """Feeds records to definitions; each format is a source of its own."""

    def __init__(self, definitions: Sequence[Definition], cluster: str = "") -> None:
        """Begin without having seen anything."""
        self.observing = Observing(DECODERS)
        self.observing.use(definitions)
        self.seq = 0
        self.arrival_ns = 0
        self._cluster = cluster
        self._runs = {name: Run(name, name, 1, _CONTEXTS.get(name, "")) for name in DECODERS}

    def feed(self, record: SimulatedRecord) -> list[Deviated]:
        """Watch one record; return what deviates."""
        self.arrival_ns = max(self.arrival_ns, record.time_ns)
        found = self.observing.advance(self.arrival_ns)
        self.seq += 1
        one = Record(self.seq, self.arrival_ns, record.payload, self._runs[record.format], self.seq)
        return [*found, *self.observing.look(one, None, self._cluster)]

    def wait(self, arrival_ns: int) -> list[Deviated]:
        """Let time go on without records, a quarter of a second at a time at the finest."""
        self.arrival_ns = max(self.arrival_ns, arrival_ns)
        return self.observing.advance(self.arrival_ns)
