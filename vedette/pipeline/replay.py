"""Dead letters, tried once more, after what refused them was mended: a decoder, a rule, a destination's mapping.

A record goes into intake again, as a new record of its source: the one that failed stays counted as dead-lettered. It
is marked first, so a crash in between never doubles it. A delivery is queued, and its sink's loop tries it again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import msgspec

from vedette.pipeline.event_feed import find_record
from vedette.runtime.parcel import Parcel, Receipt
from vedette.schema.errors import TransientError
from vedette.schema.limits import CHUNK_BYTES_MAX, DEAD_LETTER_BYTES_MAX
from vedette.schema.record import CONTROL_SOURCE, Run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vedette.journal.protocol import DeadLetter, EventReader
    from vedette.pipeline.core_thread import CoreThread
    from vedette.pipeline.deliver import DeliverRole
    from vedette.runtime.clock import Clock
    from vedette.runtime.parcel import Intake

REPLAY_ITEMS_MAX: Final = 100
"""Dead letters of one request."""
_PATIENCE_S: Final = 5.0
"""How long intake may hold records while the journal can't be written."""


_Ids = Annotated[list[Annotated[int, msgspec.Meta(ge=1, le=(1 << 63) - 1)]], msgspec.Meta(max_length=REPLAY_ITEMS_MAX)]


class ReplayRequest(msgspec.Struct):
    """What is asked of the agent: ids of dead letters of records and of deliveries."""

    records: _Ids = []
    deliveries: _Ids = []
    again: bool = False


class Replayed(NamedTuple):
    """What became of a request, in dead letters."""

    records: int
    """Taken in again."""
    deliveries: int
    """Queued for their sinks."""
    not_found: int
    before: int
    """Records that were taken in again before, and so were left alone."""
    cut: int
    """Records whose segment is gone and of which only the beginning was kept."""


class _Fate(Enum):
    TAKEN = 0
    NOT_FOUND = 1
    BEFORE = 2
    CUT = 3


class _Found(NamedTuple):
    key: int
    payload: bytes
    run: Run


class Replay:
    """Tries dead letters again; one request after the other."""

    def __init__(
        self, core: CoreThread, reader: EventReader, intake: Intake, deliver: DeliverRole, clock: Clock
    ) -> None:
        """Look records up in `core` and `reader`, which is its own, and hand them to `intake` and `deliver`."""
        self._core = core
        self._reader = reader
        self._intake = intake
        self._deliver = deliver
        self._clock = clock
        self._turn = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="replay")

    async def replay(self, records: Sequence[int], deliveries: Sequence[int], *, again: bool = False) -> Replayed:
        """Try dead letters of records and of deliveries again; `again`: also records that were replayed before.

        Raises:
            TransientError: the journal can't be read or written now. What it says was done was done.
        """
        async with self._turn:
            queued = await self._core.call(self._core.core.queue_deliveries, deliveries) if deliveries else 0
            if queued:
                self._deliver.deliver_again()
            fates = Counter[_Fate]()
            found: list[_Found] = []
            for key in records:
                looked_up = await self._find(key, again=again)
                if isinstance(looked_up, _Found):
                    found.append(looked_up)
                else:
                    fates[looked_up] += 1
                if key == records[-1] or sum(len(record.payload) for record in found) >= CHUNK_BYTES_MAX:
                    await self._submit(found, fates, again=again)
                    found = []
        missing = fates[_Fate.NOT_FOUND] + len(deliveries) - queued
        return Replayed(fates[_Fate.TAKEN], queued, missing, fates[_Fate.BEFORE], fates[_Fate.CUT])

    async def close(self) -> None:
        """Release the reader, once the request under way is done."""
        async with self._turn:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._reader.close)
        self._thread.shutdown()

    # --- records ------------------------------------------------------------------------------------------------------
    async def _find(self, key: int, *, again: bool) -> _Found | _Fate:
        letters = await self._core.call(self._core.core.dead_letters, after_id=key - 1, limit=1)
        if not letters or letters[0][0] != key or letters[0][1].source == CONTROL_SOURCE:
            return _Fate.NOT_FOUND
        letter = letters[0][1]
        if letter.replayed_ns and not again:
            return _Fate.BEFORE
        found = await asyncio.get_running_loop().run_in_executor(self._thread, self._look_up, key, letter)
        return found or _Fate.CUT

    def _look_up(self, key: int, letter: DeadLetter) -> _Found | None:
        record = find_record(self._reader, letter.seq)
        if record is not None:
            run = record.run
            return _Found(key, record.payload, Run(run.source, run.format, 1, run.context, run.origin, record.record))
        if len(letter.payload) >= DEAD_LETTER_BYTES_MAX:
            return None
        run = Run(letter.source, letter.format, 1, context=letter.context, origin=letter.origin, record=letter.record)
        return _Found(key, letter.payload, run)

    async def _submit(self, found: Sequence[_Found], fates: Counter[_Fate], *, again: bool) -> None:
        """Mark records and take them in, source by source."""
        for source in dict.fromkeys(record.run.source for record in found):
            records = {record.key: record for record in found if record.run.source == source}
            core, now_ns = self._core.core, self._clock.now_ns()
            marked = await self._core.call(core.mark_replayed, list(records), now_ns=now_ns, again=again)
            if not marked:
                continue
            outcome = await self._offer([records[key] for key in marked])
            if not isinstance(outcome, Receipt):
                with contextlib.suppress(TransientError):  # then they stay marked, and `again` replays them
                    await self._core.call(core.unmark_replayed, marked)
                message = f"{outcome}. {fates[_Fate.TAKEN]} records were taken in again before that"
                raise TransientError(message, retry_after_s=outcome.retry_after_s)
            fates[_Fate.TAKEN] += len(marked)
            fates[_Fate.BEFORE] += len(records) - len(marked)

    async def _offer(self, records: Sequence[_Found]) -> Receipt | TransientError:
        done: asyncio.Future[Receipt | TransientError] = asyncio.get_running_loop().create_future()
        items = [record.payload for record in records]
        runs = [record.run for record in records]
        source, size_bytes = runs[0].source, sum(map(len, items))
        self._intake.offer(Parcel(source, runs, items, done.set_result, size_bytes, patience_s=_PATIENCE_S))
        return await done
