"""Letting records go that none of some rules matches, so that only what is left has to be detected on in log order.

Whether a record matches depends on the record and the rules alone, so stretches of the log can be sifted in any number
of processes at once. A record that matches nothing moves no alert: leaving it out changes nothing but time. Detectors
of behaviour learn from every record: for them nothing is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from detectors.engine import Engine
from vedette.journal.protocol import Chunk
from vedette.pipeline.examiner import Examiner
from vedette.schema.event import Nature
from vedette.schema.record import CONTROL_FORMAT, Record, Run

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from detectors.rule import Rule
    from vedette.pipeline.backtest.recall import Found
    from vedette.schema.event import Decoder


class Sifted(NamedTuple):
    """What is left of a chunk: `head` is the chunk with its control records alone, `records` are all that is left.

    `found`: by sequence number, which rules match a record, where that is known.
    """

    head: Chunk
    records: list[Record]
    found: dict[int, Found]


class Sieve:
    """Sifts chunks; stateless between them."""

    def __init__(
        self,
        rules: Iterable[Rule],
        decoders: Mapping[str, Decoder],
        source: str | None = None,
        *,
        keeps_all: bool = False,
    ) -> None:
        """Keep what one of the rules matches, or all; of one configured source alone or (None) of all."""
        # What pipelines made of a rule has one `info`; here each has its own, by which a match tells it.
        own = [msgspec.structs.replace(rule, info=msgspec.structs.replace(rule.info)) for rule in rules]
        self._hashes = {id(rule.info): rule.content_hash for rule in own}
        self._engine = Engine(own, decoders)
        self._examiner = Examiner(self._engine, decoders)
        self._source = source
        self._keeps_all = keeps_all

    def sift(self, chunk: Chunk) -> Sifted:
        """Return what is left of a chunk: control records, what a rule matches, and what can't be used."""
        left = Sifted(Chunk(chunk.seq, chunk.arrival_ns, [], [], 0), [], {})
        at = 0
        for run in chunk.runs:
            items, at = chunk.items[at : at + run.count], at + run.count
            seq = chunk.seq + at - run.count
            if run.format == CONTROL_FORMAT:
                left.head.runs.append(run)
                left.head.items.extend(items)
                step = 0
            elif self._source not in (None, run.source):
                continue
            elif not self._keeps_all:
                self._sift_run(run, items, seq, left)
                continue
            else:
                step = 1 if run.origin else 0
            left.records.extend(
                Record(seq + number, chunk.arrival_ns, item, run, run.record + step * number)
                for number, item in enumerate(items)
            )
        return left

    def _sift_run(self, run: Run, items: list[bytes], seq: int, left: Sifted) -> None:
        screen, step = self._examiner.screen(run), 1 if run.origin else 0
        for number, item in enumerate(items):
            possible = None if screen is None else screen.possible(item)
            if possible != 0:
                record = Record(seq + number, left.head.arrival_ns, item, run, run.record + step * number)
                self._look(record, possible, left)

    def _look(self, record: Record, possible: int | None, left: Sifted) -> None:
        try:
            examined = self._examiner.look(record, possible)
        except Exception:  # noqa: BLE001 - the detector meets it again, and knows what to do
            left.records.append(record)
            return
        if examined.nature is not Nature.EVENT or examined.event is None:
            return
        if examined.event.broken is not None:
            left.records.append(record)
        elif examined.matches:
            left.records.append(record)
            # What the record itself reports is none of the rules.
            hashes = (self._hashes.get(id(match.rule)) for match in examined.matches)
            left.found[record.seq] = tuple(found for found in hashes if found is not None)
