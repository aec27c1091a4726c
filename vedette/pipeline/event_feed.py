"""The events log, read for one sink: records as received, decoded, with what the operator says about their source.

A thread of its own reads. Decoding and what the sink makes of an event follow each other on the event loop, event by
event: a decoded event that waits for its whole batch has left the processor's caches by then, and a second thread that
computes takes turns with the event loop at each of its callbacks; both together cost more than decoding. What is no
event, can't be decoded (detection has it among the dead letters) or is not wanted counts as suppressed.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from vedette.journal.protocol import DeadDelivery, LogName
from vedette.pipeline.delivery_events import EventsGone, EventsUnreadable
from vedette.pipeline.routing import Filter, Routes, encode_filter
from vedette.pipeline.stretch import Item, Stretch
from vedette.runtime.sink import EventSink, ForwardedEvent, PreparingSink
from vedette.schema.alert import AlertRevision
from vedette.schema.errors import DecodeError, PermanentError, TransientError
from vedette.schema.event import Event, Nature
from vedette.schema.limits import (
    BATCH_REVISIONS_MAX,
    DEAD_LETTER_BYTES_MAX,
    FORWARD_BYTES_MAX,
    FORWARD_ITEMS_MAX,
    KIB,
)
from vedette.schema.record import CONTROL_FORMAT, Record, Run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from vedette.journal.protocol import Chunk, EventReader
    from vedette.pipeline.core_thread import CoreThread
    from vedette.runtime.sink import Outcome
    from vedette.schema.event import Decoder
    from vedette.schema.settings import DetectionSettings, SourceLabels

T = TypeVar("T")

IDLE_S = 0.25
"""The log is looked at this often while it yields less than a batch: a commit for each record would cost too much."""
READ_RETRY_S = 1.0
"""Pause before an intake log that could not be read is tried again."""
TURN_BYTES = 128 * KIB
"""Bytes of records decoded, and made ready for the sink, between turns of the event loop: one or two milliseconds."""
RECORD_BYTES = 512
"""What a record weighs beside its bytes: small ones take time, too."""


class Taken(msgspec.Struct, frozen=True, gc=False):
    """A record that goes to the sink: as received, and as the sink takes it."""

    record: Record
    ready: Any


class EventFeed:
    """Implements `vedette.pipeline.stretch.Feed` for records."""

    log: LogName = "events"

    def __init__(
        self,
        sink: EventSink,
        passing: Filter,
        core: CoreThread,
        reader: EventReader,
        *,
        decoders: Mapping[str, Decoder],
        settings: DetectionSettings,
    ) -> None:
        """Read for `sink` from a reader of its own; a new delivery, and a new filter, begin where the log ends now."""
        self.sink: EventSink = sink
        self.idle_s = IDLE_S
        self._filter = passing
        self._core = core
        self._reader = reader
        self._decoders = decoders
        self._settings = settings
        self._end_seq, self._end_ns = reader.end()
        self._routes = Routes([(0, encode_filter(passing))])
        self._wanted: dict[tuple[int, str, str], bool] = {}
        self._labels: dict[str, SourceLabels] = {}
        self._turn_bytes = 0
        self._closed = False
        self._prepare: Callable[[ForwardedEvent], Any] = _as_it_is
        self._deliver: Callable[[Sequence[Any]], Awaitable[Sequence[Outcome]]] = sink.deliver_events
        if isinstance(sink, PreparingSink):
            self._prepare, self._deliver = sink.prepare_event, sink.deliver_prepared
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"events-{sink.name}")

    async def open(self) -> int:
        """Return where delivery stands; a new one begins with what arrives from now on."""
        core, name = self._core.core, self.sink.name
        count = await self._core.insist(core.open_event_delivery, name, after_seq=self._end_seq)
        text = encode_filter(self._filter)
        history = await self._core.insist(core.set_delivery_filter, name, text, after_ns=self._end_ns)
        self._routes = Routes(history)
        return count.position

    async def read(self, after: int) -> Stretch[Taken] | None:
        """Return the events that follow. What can't be read now is tried again by the next call."""
        try:
            stretch = await self._read(after)
        except (TransientError, PermanentError) as error:
            EventsUnreadable(self.sink.name, str(error)).emit()
            await asyncio.sleep(READ_RETRY_S)
            return None
        if stretch is not None and stretch.expired:
            EventsGone(self.sink.name, after, stretch.expired).emit()
        return stretch

    async def send(self, items: Sequence[Item[Taken]]) -> Sequence[Outcome]:
        """Hand events to the sink."""
        return await self._deliver([item.content.ready for item in items])

    async def overdue(self, after: int, bytes_max: int) -> int:
        """Weigh what waits as it lies on disk, compressed."""
        try:
            return await self._in_thread(lambda: self._reader.kept_after(after, bytes_max=bytes_max))
        except (TransientError, PermanentError) as error:
            EventsUnreadable(self.sink.name, str(error)).emit()
            return after

    def dead(self, item: Item[Taken], reason: str) -> DeadDelivery:
        """Keep the beginning of the record; the whole stands in the intake log as long as that is kept."""
        record = item.content.record
        start, source = record.payload[:DEAD_LETTER_BYTES_MAX], record.run.source
        cluster = self._labels_of(source).cluster
        revision = AlertRevision("", 0, 0, item.arrival_ns, "", "", start, source, cluster)
        return DeadDelivery(self.sink.name, self.log, item.position, reason, revision)

    async def recall(self, dead: Sequence[DeadDelivery]) -> list[Item[Taken] | PermanentError]:
        """Read the records again."""
        records = await self._in_thread(lambda: [self._find(each.position) for each in dead])
        return [self._recalled(found) if isinstance(found, Record) else found for found in records]

    async def close(self) -> None:
        """Close the reader; idempotent."""
        if not self._closed:
            self._closed = True
            await self._in_thread(self._reader.close)
            self._thread.shutdown(wait=False)

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    # --- a stretch ----------------------------------------------------------------------------------------------------
    async def _read(self, after: int) -> Stretch[Taken] | None:
        stretch: Stretch[Taken] = Stretch(after, [])
        room_bytes = FORWARD_BYTES_MAX
        while room_bytes > 0 and len(stretch.waiting) < BATCH_REVISIONS_MAX and stretch.end - after < FORWARD_ITEMS_MAX:
            items_max = BATCH_REVISIONS_MAX - len(stretch.waiting)
            read = partial(self._reader.read, stretch.end, items_max=items_max, bytes_max=room_bytes)
            chunks = await self._in_thread(read)
            for chunk in chunks:
                room_bytes -= chunk.size_bytes
                await self._take(chunk, stretch)
            if not chunks:
                stretch.more = False
                break
        return stretch if stretch.end > after else None

    async def _take(self, chunk: Chunk, stretch: Stretch[Taken]) -> None:
        """Let a stretch go on over a chunk, as far as a batch goes."""
        gone = max(0, chunk.seq - 1 - stretch.end)
        stretch.expired += gone
        stretch.end += gone
        next_seq = chunk.seq
        for run in chunk.runs:
            run_seq, next_seq = next_seq, next_seq + run.count
            if not self._wants(run, chunk.arrival_ns):
                stretch.suppressed += max(0, next_seq - 1 - stretch.end)
                stretch.end = max(stretch.end, next_seq - 1)
                continue
            for seq in range(max(run_seq, stretch.end + 1), next_seq):
                if len(stretch.waiting) == BATCH_REVISIONS_MAX:
                    return
                record = _record(chunk, run, seq, run_seq)
                self._turn_bytes += len(record.payload) + RECORD_BYTES
                if self._turn_bytes > TURN_BYTES:
                    self._turn_bytes = 0
                    await asyncio.sleep(0)
                self._add(record, stretch)

    def _add(self, record: Record, stretch: Stretch[Taken]) -> None:
        stretch.end = record.seq
        try:
            stretch.waiting.append(self._item(record))
        except DecodeError:
            stretch.suppressed += 1

    def _wants(self, run: Run, arrival_ns: int) -> bool:
        held = self._routes.at(arrival_ns)
        key = (id(held), run.source, run.format)
        wanted = self._wanted.get(key)
        if wanted is None:
            cluster = self._labels_of(run.source).cluster
            wanted = run.format != CONTROL_FORMAT and held.wants_event(run.source, cluster, run.format)
            self._wanted[key] = wanted
        return wanted

    def _item(self, record: Record) -> Item[Taken]:
        """Decode a record, and make it ready.

        Raises:
            DecodeError: it can't be, or it is no event.
        """
        run = record.run
        decoder = self._decoders.get(run.format)
        if decoder is None:
            raise DecodeError("unknown format", run.format)
        try:
            head = decoder.decode(record.payload, run.context)
            nature = Nature.EVENT if decoder.plain else decoder.nature(head)
        except DecodeError:
            raise
        except Exception as error:  # a poisonous record: detection reports it, and has it among the dead letters
            raise DecodeError("decoding failed", type(error).__name__) from error
        if nature is not Nature.EVENT:
            raise DecodeError("not an event")
        labels = self._labels_of(run.source)
        forwarded = ForwardedEvent(Event(record, decoder, head), labels.cluster, labels.labels)
        return Item(record.seq, record.arrival_ns, Taken(record, self._prepare(forwarded)))

    def _labels_of(self, source: str) -> SourceLabels:
        labels = self._labels.get(source)
        if labels is None:
            labels = self._labels[source] = self._settings.of(source)
        return labels

    # --- dead deliveries ----------------------------------------------------------------------------------------------
    def _find(self, seq: int) -> Record | PermanentError:
        record = find_record(self._reader, seq)
        gone = f"record {seq} is not in the intake log any more: its retention is over"
        return PermanentError(gone) if record is None else record

    def _recalled(self, record: Record) -> Item[Taken] | PermanentError:
        try:
            return self._item(record)
        except DecodeError as error:
            return PermanentError(str(error))


def _as_it_is(forwarded: ForwardedEvent) -> ForwardedEvent:
    return forwarded


def find_record(reader: EventReader, seq: int) -> Record | None:
    """Read one record of the intake log; None if it is not there any more."""
    for chunk in reader.read(seq - 1, items_max=1, bytes_max=1):
        run_seq = chunk.seq
        for run in chunk.runs:
            if run_seq <= seq < run_seq + run.count:
                return _record(chunk, run, seq, run_seq)
            run_seq += run.count
    return None


def _record(chunk: Chunk, run: Run, seq: int, run_seq: int) -> Record:
    """Make the record `seq` of a chunk; it is one of `run`, which begins with `run_seq`."""
    number = run.record + (seq - run_seq if run.origin else 0)
    return Record(seq, chunk.arrival_ns, chunk.items[seq - chunk.seq], run, number)
