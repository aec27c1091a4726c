"""Letting records go that none of some rules matches, so that only what is left has to be detected on in log order.

Whether a record matches depends on the record and the rules alone, so stretches of the log can be sifted in any number
of processes at once. A record that matches nothing moves no alert: leaving it out changes nothing but time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from vedette.journal.protocol import Chunk
from vedette.pipeline.examiner import Examiner
from vedette.schema.record import CONTROL_FORMAT, Record, Run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from detectors.engine import Engine
    from vedette.schema.event import Decoder


class Sifted(NamedTuple):
    """What is left of a chunk: `head` is the chunk with its control records alone, `records` are all that is left."""

    head: Chunk
    records: list[Record]


class Sieve:
    """Sifts chunks; stateless between them."""

    def __init__(self, engine: Engine, decoders: Mapping[str, Decoder], source: str | None = None) -> None:
        """Keep what a rule of `engine` matches, of one configured source alone or (None) of all."""
        self._examiner = Examiner(engine, decoders)
        self._source = source

    def sift(self, chunk: Chunk) -> Sifted:
        """Return what is left of a chunk: control records, what a rule matches, and what can't be used."""
        head = Chunk(chunk.seq, chunk.arrival_ns, [], [], 0)
        records: list[Record] = []
        at = 0
        for run in chunk.runs:
            items, at = chunk.items[at : at + run.count], at + run.count
            seq = chunk.seq + at - run.count
            if run.format == CONTROL_FORMAT:
                head.runs.append(run)
                head.items.extend(items)
                records += [
                    Record(seq + number, chunk.arrival_ns, item, run, run.record) for number, item in enumerate(items)
                ]
            elif self._source in (None, run.source):
                self._sift_run(run, items, seq, chunk.arrival_ns, records)
        return Sifted(head, records)

    def _sift_run(self, run: Run, items: list[bytes], seq: int, arrival_ns: int, kept: list[Record]) -> None:
        screen, step = self._examiner.screen(run), 1 if run.origin else 0
        for number, item in enumerate(items):
            possible = None if screen is None else screen(item)
            if possible != 0:
                record = Record(seq + number, arrival_ns, item, run, run.record + step * number)
                if self._matters(record, possible):
                    kept.append(record)

    def _matters(self, record: Record, possible: int | None) -> bool:
        try:
            examined = self._examiner.look(record, possible)
        except Exception:  # noqa: BLE001 - the detector meets it again, and knows what to do
            return True
        return bool(examined.matches) or (examined.event is not None and examined.event.broken is not None)
