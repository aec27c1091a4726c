"""The intake role: parcels in, one durable group commit after another out.

While one commit is under way the next group collects, so that many requests share one sync. A parcel is settled only
after its commit. When the journal can't be written nothing is acknowledged: patient parcels wait, the others are told
to come back; an attempt each second notices when the disk is usable again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from prometheus_client import Counter

from vedette.pipeline.control_record import ControlRecord, encode_control
from vedette.pipeline.durations import INTAKE_COMMIT
from vedette.runtime.parcel import Parcel, Position, Receipt
from vedette.runtime.telemetry import OperationalEvent
from vedette.schema.errors import TransientError
from vedette.schema.limits import (
    COMMIT_INTERVAL_S,
    GATHER_ITEMS_MAX,
    GATHER_ITEMS_MIN,
    GATHER_SKIPS,
    GROUP_BYTES_MAX,
    IN_FLIGHT_BYTES_MAX,
    SECOND_NS,
    TICK_NS,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vedette.journal.protocol import Appended, IntakeLog
    from vedette.journal.sqlite.folder import DataFolder
    from vedette.pipeline.tail import Tail
    from vedette.runtime.clock import Clock

RETRY_AFTER_S = 1.0
"""What refused clients are told; also the pause between attempts on a journal that can't be written."""
RETIRE_INTERVAL_NS = 60 * SECOND_NS
"""How often segments beyond retention are looked for."""


@dataclass(frozen=True, slots=True)
class IntakeRefusing(OperationalEvent):
    """The journal can't be written: nothing is acknowledged until it can."""

    component = "pipeline.intake"
    message = "the journal can't be written; nothing is acknowledged until it can"
    level = logging.ERROR
    metric: ClassVar[Counter] = Counter("vedette_intake_write_failures_total", "Group commits that failed.")
    error: str


@dataclass(frozen=True, slots=True)
class IntakeRecovered(OperationalEvent):
    """The journal can be written again."""

    component = "pipeline.intake"
    message = "the journal can be written again"
    level = logging.WARNING
    metric: ClassVar[Counter] = Counter("vedette_intake_recoveries_total", "Times the journal became writable again.")


@dataclass(frozen=True, slots=True)
class DuplicatesForgotten(OperationalEvent):
    """More push records came than can be remembered: a repeat may be taken for new."""

    component = "pipeline.intake"
    message = "push records are remembered for less than the horizon; a client that repeats late is counted twice"
    level = logging.WARNING
    metric: ClassVar[Counter] = Counter(
        "vedette_dedup_shortened_total", "Times that repeated records were remembered for less than the horizon."
    )
    count: int


class _Control(NamedTuple):
    payload: bytes
    blobs: Mapping[str, bytes]
    done: asyncio.Future[None]
    patient: bool


class IntakeRole:
    """Implements `vedette.runtime.parcel.Intake` on an intake log that it alone writes."""

    def __init__(
        self, log: IntakeLog, folder: DataFolder, tail: Tail, clock: Clock, *, keep_after_seq: Callable[[], int]
    ) -> None:
        """Write to `log`; `keep_after_seq` says what detection still needs."""
        self._log = log
        self._folder = folder
        self._tail = tail
        self._clock = clock
        self._keep_after_seq = keep_after_seq
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="intake")
        self._waiting: deque[Parcel] = deque()
        self._deadlines: dict[int, float] = {}
        """Until when parcels that saw a commit fail may wait, by identity (a clock reading for each would cost)."""
        self._controls: deque[_Control] = deque()
        self._refused: dict[str, int] = {}
        self._bytes = 0
        self._wake = asyncio.Event()
        self._stopping = False
        self._last_retire_ns = 0
        self._positions = log.positions()
        self._shortened = 0
        self._last_parcels = 0
        self._gathered = asyncio.Event()
        self._enough = 0
        """Parcels that are worth a commit at once; meanwhile a commit that is due waits for them."""
        self._committing_s = 0.0
        """When the last commit began, in the event loop's time."""
        self._skips = 0
        self.failure: TransientError | None = None
        """Why the journal can't be written now; None while it can."""

    # --- the door ---------------------------------------------------------------------------------------------------
    @property
    def in_flight_bytes(self) -> int:
        """Bytes taken in and not committed yet, of at most `IN_FLIGHT_BYTES_MAX`."""
        return self._bytes

    def room_bytes(self) -> int:
        """Bytes that may be taken in now."""
        return 0 if self.failure is not None or self._stopping else max(0, IN_FLIGHT_BYTES_MAX - self._bytes)

    def offer(self, parcel: Parcel) -> None:
        """Take a parcel; it is settled once durable or refused."""
        full = self._bytes + parcel.size_bytes > IN_FLIGHT_BYTES_MAX and self._bytes > 0
        if self._stopping or full:
            reason = "Vedette is stopping" if self._stopping else "too much is waiting to be stored"
            parcel.settle(TransientError(f"{reason}; try again", retry_after_s=RETRY_AFTER_S))
            return
        if self.failure is not None and parcel.patience_s <= 0:
            parcel.settle(self.failure)
            return
        self._bytes += parcel.size_bytes
        self._waiting.append(parcel)
        self._wake.set()
        if len(self._waiting) >= self._enough:
            self._gathered.set()

    async def put(self, parcel: Parcel) -> Receipt:
        """Wait for room, offer, wait for the receipt; retries a journal that can't be written until it can."""
        told = parcel.settle
        loop = asyncio.get_running_loop()
        while True:
            done: asyncio.Future[Receipt | TransientError] = loop.create_future()
            parcel.settle = partial(_resolve, done)
            self.offer(parcel)
            outcome = await done
            if isinstance(outcome, Receipt):
                told(outcome)
                return outcome
            await asyncio.sleep(outcome.retry_after_s)

    def refused(self, source: str, records: int) -> None:
        """Count records refused or lost before receipt."""
        self._refused[source] = self._refused.get(source, 0) + records

    def positions(self, source: str) -> Mapping[str, str]:
        """Committed positions of a pull source, by partition."""
        return self._positions.get(source, {})

    async def control(
        self, record: ControlRecord, blobs: Mapping[str, bytes] | None = None, *, patient: bool = False
    ) -> None:
        """Append a control record with the blobs it names; returns once it is durable.

        Raises:
            TransientError: the journal can't be written now. Patience waits until it can, or until `stop`.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._controls.append(_Control(encode_control(record), blobs or {}, done, patient))
        self._wake.set()
        self._gathered.set()
        await done

    # --- the loop ---------------------------------------------------------------------------------------------------
    async def run(self) -> None:
        """Commit groups until `stop`; then commit what is waiting and return."""
        while not self._stopping or self._waiting or self._controls:
            if not self._waiting and not self._controls:
                await self._idle()
            await self._gather()
            await self._commit_once()
        self._thread.shutdown()

    def stop(self) -> None:
        """Take nothing more; `run` returns when everything taken is settled."""
        self._stopping = True
        self._wake.set()
        self._gathered.set()

    async def _idle(self) -> None:
        self._wake.clear()
        try:
            async with asyncio.timeout(TICK_NS / SECOND_NS):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _gather(self) -> None:
        """Let parcels that come often share a commit: wait until as many are here as last time, or for the interval."""
        loop = asyncio.get_running_loop()
        rest_s = self._committing_s + COMMIT_INTERVAL_S - loop.time()
        before = len(self._waiting)
        self._enough = min(max(GATHER_ITEMS_MIN, self._last_parcels), GATHER_ITEMS_MAX)
        if self._skips:
            self._skips -= 1
        elif rest_s > 0 and before < self._enough and not self._controls and not self._stopping:
            self._gathered.clear()
            timer = loop.call_later(rest_s, self._gathered.set)
            await self._gathered.wait()
            timer.cancel()
            if len(self._waiting) == before:
                self._skips = GATHER_SKIPS
        self._committing_s = loop.time()

    async def _commit_once(self) -> None:
        """Make one transaction, so that none is half done: a control record, if one waits, else a group."""
        try:
            if self._controls:
                await self._commit_control(self._controls[0])
            else:
                await self._commit_group()
        except TransientError as error:
            await self._failed(error)
            return
        if self.failure is not None:
            self.failure = None
            IntakeRecovered().emit()

    async def _commit_control(self, control: _Control) -> None:
        appended = await self._in_thread(partial(self._append_control, control))
        self._tail.push(appended.chunks)
        self._controls.popleft()
        if not control.done.done():
            control.done.set_result(None)

    async def _commit_group(self) -> None:
        group = self._take_group()
        self._last_parcels = len(group)
        refused, self._refused = self._refused, {}
        try:
            appended = await self._in_thread(partial(self._append_group, group, refused))
        except TransientError:
            for source, count in refused.items():
                self.refused(source, count)
            self._waiting.extendleft(reversed(group))
            raise
        self._tail.push(appended.chunks)
        self._deadlines.clear()
        told = Receipt(0, 0)
        for parcel, receipt in zip(group, appended.receipts, strict=True):
            if receipt != told:  # requests of one record each get the same, most of them
                told = Receipt(*receipt)
            self._bytes -= parcel.size_bytes
            if parcel.position is not None:
                self._moved(parcel.source, parcel.position)
            parcel.settle(told)
        if self._log.shortened > self._shortened:
            DuplicatesForgotten(self._log.shortened - self._shortened).emit()
            self._shortened = self._log.shortened

    async def _in_thread(self, append: Callable[[], Appended]) -> Appended:
        return await asyncio.get_running_loop().run_in_executor(self._thread, append)

    def _moved(self, source: str, position: Position) -> None:
        partition, value = position
        self._positions.setdefault(source, {})[partition] = value

    def _take_group(self) -> list[Parcel]:
        group: list[Parcel] = []
        size = 0
        while self._waiting and size < GROUP_BYTES_MAX:
            parcel = self._waiting.popleft()
            group.append(parcel)
            size += parcel.size_bytes
        return group

    # --- in the writer's thread ---------------------------------------------------------------------------------------
    @INTAKE_COMMIT.time()
    def _append_control(self, control: _Control) -> Appended:
        return self._log.append_control(control.payload, now_ns=self._clock.now_ns(), blobs=control.blobs)

    @INTAKE_COMMIT.time()
    def _append_group(self, group: list[Parcel], refused: Mapping[str, int]) -> Appended:
        now_ns = self._clock.now_ns()
        if not self._folder.take_ballast():
            message = f"the disk of {self._folder.path} is full; free some space"
            raise TransientError(message, retry_after_s=RETRY_AFTER_S)
        appended = self._log.append(group, now_ns=now_ns, refused=refused)
        if now_ns - self._last_retire_ns >= RETIRE_INTERVAL_NS:
            self._last_retire_ns = now_ns
            with contextlib.suppress(TransientError):  # what can't be removed now goes next time
                self._log.retire(keep_after_seq=self._keep_after_seq(), now_ns=now_ns)
        return appended

    # --- failure ------------------------------------------------------------------------------------------------------
    async def _failed(self, error: TransientError) -> None:
        """Refuse what can't wait, and pause."""
        if self.failure is None:
            IntakeRefusing(str(error)).emit()
        error.retry_after_s = RETRY_AFTER_S
        self.failure = error
        now = asyncio.get_running_loop().time()
        waiting, self._waiting = self._waiting, deque()
        impatient: list[Parcel] = []
        for parcel in waiting:
            deadline = self._deadlines.setdefault(id(parcel), now + parcel.patience_s)
            (impatient if self._stopping or deadline <= now else self._waiting).append(parcel)
        for parcel in impatient:
            self._bytes -= parcel.size_bytes
            del self._deadlines[id(parcel)]
            parcel.settle(error)
        self._fail_controls(error)
        await asyncio.sleep(RETRY_AFTER_S / 4 if self._waiting else RETRY_AFTER_S)

    def _fail_controls(self, error: TransientError) -> None:
        controls, self._controls = self._controls, deque()
        for control in controls:
            if control.patient and not self._stopping:
                self._controls.append(control)
            elif not control.done.done():
                control.done.set_exception(error)


def _resolve(done: asyncio.Future[Receipt | TransientError], outcome: Receipt | TransientError) -> None:
    if not done.done():
        done.set_result(outcome)
