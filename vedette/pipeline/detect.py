"""The detect role: reads intake in order, commits what the detector made of it together with the cursor.

Restart = checkpoint + replay. Replay up to the committed cursor only rebuilds state; the digest of what it would have
emitted is compared with the committed one, and a difference is reported loudly and begins a new generation.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from prometheus_client import Counter

from vedette.pipeline.checkpointer import Checkpointer
from vedette.pipeline.detector import records_of
from vedette.pipeline.durations import DETECTION_BUSY, DETECTION_COMMIT
from vedette.pipeline.effects import Effects
from vedette.pipeline.stretch import tally_latency
from vedette.runtime.clock import SystemClock
from vedette.runtime.telemetry import OperationalEvent
from vedette.schema.errors import PermanentError, TransientError
from vedette.schema.limits import (
    BATCH_ITEMS_MAX,
    COMMIT_INTERVAL_S,
    GATHER_ITEMS_MAX,
    SECOND_NS,
    SLICE_NS,
    TICK_NS,
)
from vedette.schema.record import CONTROL_FORMAT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vedette.journal.protocol import CheckpointInfo, Chunk, Cursor, IntakeReader
    from vedette.pipeline.core_thread import CoreThread
    from vedette.pipeline.detector import Detector
    from vedette.pipeline.tail import Tail
    from vedette.runtime.clock import Clock

SLICE_ITEMS = 32
"""Records between two looks at the clock."""
READ_RETRY_S = 1.0
"""Pause before an intake log that could not be read is tried again."""
_CLOCK = SystemClock()
COMMIT_ALERTS_MAX = 1_000
"""Revisions in one commit, about: bounds the transaction of a batch where everything alerts."""


@dataclass(frozen=True, slots=True)
class ReplayDiverged(OperationalEvent):
    """Replay did not reproduce what had been committed: state or code differs. Alert versions begin anew."""

    component = "pipeline.detect"
    message = "replay did not reproduce what was committed; alerts continue in a new generation"
    level = logging.ERROR
    metric: ClassVar[Counter] = Counter(
        "vedette_replay_divergences_total", "Restarts that did not reproduce what had been committed."
    )
    checkpoint_seq: int
    cursor_seq: int
    generation: int


@dataclass(frozen=True, slots=True)
class OperatorReset(OperationalEvent):
    """The checkpoint of an operator comes from another version; it begins empty."""

    component = "pipeline.detect"
    message = "the saved state of an operator is of another version; it begins empty"
    level = logging.WARNING
    metric: ClassVar[Counter] = Counter(
        "vedette_operator_resets_total", "Parts of detection whose saved state was of another version.", ["operator"]
    )
    labels = ("operator",)
    operator: str
    found: int
    expected: int


@dataclass(frozen=True, slots=True)
class LogGap(OperationalEvent):
    """Records between the cursor and the oldest segment are gone."""

    component = "pipeline.detect"
    message = "records are missing from the intake log"
    level = logging.ERROR
    metric: ClassVar[Counter] = Counter("vedette_intake_gap_records_total", "Records missing from the intake log.")
    after_seq: int
    count: int


@dataclass(frozen=True, slots=True)
class IntakeUnreadable(OperationalEvent):
    """The intake log can't be read now."""

    component = "pipeline.detect"
    message = "the intake log can't be read now; detection waits"
    level = logging.ERROR
    metric: ClassVar[Counter] = Counter("vedette_intake_read_failures_total", "Reads of the intake log that failed.")
    error: str


class DetectRole:
    """Drives a detector along the intake log."""

    def __init__(
        self,
        reader: IntakeReader,
        core: CoreThread,
        tail: Tail,
        detector: Detector,
        *,
        checkpoint_interval_s: float,
        clock: Clock = _CLOCK,
    ) -> None:
        """Read from `reader` (or `tail`, where it has the same), commit to `core`; `clock` serves latencies alone."""
        self._clock = clock
        self._reader = reader
        self._core = core
        self._tail = tail
        self._detector = detector
        self._checkpointer = Checkpointer(core, detector.operators, checkpoint_interval_s)
        self._effects = Effects(b"", 1)
        self._stop_at: int | None = None
        self.seq = 0
        """Everything up to here is committed."""
        self.arrival_ns = 0
        self.committed = asyncio.Event()
        """Set after each commit; delivery clears it."""

    @property
    def checkpoint_seq(self) -> int:
        """Position of the complete checkpoint: later segments must stay."""
        return self._checkpointer.seq

    # --- start ------------------------------------------------------------------------------------------------------
    async def start(self) -> list[OperatorReset]:
        """Restore the checkpoint and replay to the cursor; return the operators that had to be reset.

        Raises:
            PermanentError: the intake log ends before the cursor.
        """
        core = self._core.core
        cursor, info = await self._core.call(core.cursor), await self._core.call(core.checkpoint)
        last_seq = await asyncio.to_thread(self._reader.last_seq)
        if last_seq < cursor.seq:
            message = (
                f"the intake log ends at record {last_seq}, but {cursor.seq} were detected on: segments were lost or"
                " restored from elsewhere. Restore the whole data folder, or begin with an empty one"
            )
            raise PermanentError(message)
        resets = await self._restore(info)
        await asyncio.to_thread(self._replay, info, cursor)
        generation = cursor.generation
        if self._effects.digest != cursor.digest or resets:
            generation = await self._core.insist(core.raise_generation)
        if self._effects.digest != cursor.digest and not resets:
            ReplayDiverged(info.seq, cursor.seq, generation).emit()
        self._effects = Effects(self._effects.digest, generation)
        self.seq, self.arrival_ns = cursor.seq, cursor.arrival_ns
        return resets

    async def _restore(self, info: CheckpointInfo) -> list[OperatorReset]:
        resets: list[OperatorReset] = []
        for operator in self._detector.operators:
            found = info.versions.get(operator.name)
            if found is not None and found != operator.version:
                resets.append(OperatorReset(operator.name, found, operator.version))
                resets[-1].emit()
                await self._core.insist(self._core.core.reset_operator, operator.name)
            operator.state.restore(await self._core.call(self._core.core.checkpoint_rows, operator.name))
        self._detector.restored()
        self._checkpointer.seq = info.seq
        return resets

    def _replay(self, info: CheckpointInfo, cursor: Cursor) -> None:
        """Rebuild state from the checkpoint to the cursor; runs in a thread before anything else does."""
        self._effects = Effects(info.digest, cursor.generation, rebuilding=True)
        for chunk in self._reader.scan(info.seq):
            if chunk.seq > cursor.seq:
                break
            self._detector.begin(chunk, self._effects)
            self._detector.feed(records_of(chunk), self._effects)
            self._effects.take(chunk.last_seq, chunk.arrival_ns)

    # --- the loop ---------------------------------------------------------------------------------------------------
    async def run(self) -> None:
        """Detect until `stop`, then to the end that it named, and write a final checkpoint."""
        while self._stop_at is None or self.seq < self._stop_at:
            chunks = await self._next()
            if chunks:
                began_s = time.monotonic()
                await self._process(chunks)
                if chunks[-1].last_seq - chunks[0].seq < GATHER_ITEMS_MAX:
                    await asyncio.sleep(max(0.0, began_s + COMMIT_INTERVAL_S - time.monotonic()))
            await self._checkpointer.step(self.seq, self._effects.digest, self.arrival_ns)
        await self._checkpointer.complete(self.seq, self._effects.digest)

    def stop(self, last_seq: int) -> None:
        """Let `run` return once everything up to `last_seq`, the end of the log, is committed."""
        self._stop_at = last_seq
        self._tail.rung.set()

    async def _next(self) -> Sequence[Chunk]:
        chunks = self._tail.read(self.seq, items_max=BATCH_ITEMS_MAX)
        if not chunks:
            self._tail.rung.clear()
            if not self._tail.ends_at(self.seq):
                chunks = await self._read()
        if not chunks and self._stop_at is None:
            try:
                async with asyncio.timeout(TICK_NS / SECOND_NS):
                    await self._tail.rung.wait()
            except TimeoutError:
                pass
        return chunks

    async def _read(self) -> list[Chunk]:
        try:
            return await asyncio.to_thread(self._reader.read, self.seq, items_max=BATCH_ITEMS_MAX)
        except TransientError as error:
            IntakeUnreadable(str(error)).emit()
            await asyncio.sleep(READ_RETRY_S)
            return []

    async def _process(self, chunks: Sequence[Chunk]) -> None:
        after_seq = self.seq
        for chunk in chunks:
            if chunk.seq != after_seq + 1:
                LogGap(after_seq, chunk.seq - after_seq - 1).emit()
            after_seq = chunk.last_seq
            await self._detect(chunk)
            self._tally_latency(chunk)
            if len(self._effects.alerts) >= COMMIT_ALERTS_MAX:
                await self._commit(chunk)
        if self.seq < chunks[-1].last_seq:
            await self._commit(chunks[-1])

    async def _detect(self, chunk: Chunk) -> None:
        wanted = self._detector.wanted(chunk)
        if wanted:
            await asyncio.to_thread(self._detector.prepare, wanted)
        self._detector.begin(chunk, self._effects)
        records = records_of(chunk)
        since = time.perf_counter_ns()
        for start in range(0, len(records), SLICE_ITEMS):
            self._detector.feed(records[start : start + SLICE_ITEMS], self._effects)
            busy_ns = time.perf_counter_ns() - since
            if busy_ns > SLICE_NS:
                DETECTION_BUSY.inc(busy_ns / SECOND_NS)
                await asyncio.sleep(0)
                since = time.perf_counter_ns()
        DETECTION_BUSY.inc((time.perf_counter_ns() - since) / SECOND_NS)

    def _tally_latency(self, chunk: Chunk) -> None:
        late_ns = self._clock.now_ns() - chunk.arrival_ns
        counts: dict[str, int] = {}
        for run in chunk.runs:
            if run.format != CONTROL_FORMAT:
                counts[run.source] = counts.get(run.source, 0) + run.count
        for source, count in counts.items():
            tally_latency(self._effects.tallies, "detection_latency", source, late_ns, count)

    async def _commit(self, chunk: Chunk) -> None:
        commit = self._effects.take(chunk.last_seq, chunk.arrival_ns)
        with DETECTION_COMMIT.time():
            await self._core.insist(self._core.core.commit_detect, commit)
        self.seq, self.arrival_ns = chunk.last_seq, chunk.arrival_ns
        if commit.alerts:
            self.committed.set()
