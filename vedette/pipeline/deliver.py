"""The deliver role: one delivery reads the alerts log with its own cursor, filters, and feeds one sink.

A dead sink holds up nobody but itself. What it can't take for now is retried; what it can never take goes to the dead
letters; a backlog beyond its limits expires, counted. The cursor moves only when everything before it is settled.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from prometheus_client import Counter

from vedette.journal.protocol import DeadDelivery, DeliveryCommit, LoggedAlert
from vedette.runtime.backoff import Backoff
from vedette.runtime.telemetry import OperationalEvent
from vedette.schema.errors import PermanentError, TransientError
from vedette.schema.level import Level
from vedette.schema.limits import SECOND_NS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vedette.pipeline.core_thread import CoreThread
    from vedette.runtime.clock import Clock
    from vedette.runtime.sink import Sink

BATCH_REVISIONS_MAX = 500
"""Revisions handed to a sink at once."""
IDLE_S = 1.0
"""A delivery looks for new alerts at least this often, whether the bell rang or not."""


@dataclass(frozen=True, slots=True)
class DeliveryFailing(OperationalEvent):
    """A sink can't take alerts now; they wait."""

    component = "pipeline.deliver"
    message = "a sink can't take alerts now; they wait"
    level = logging.WARNING
    metric: ClassVar[Counter] = Counter("vedette_delivery_failures_total", "Deliveries that failed for now", ["sink"])
    labels = ("sink",)
    sink: str
    error: str
    retry_s: float


@dataclass(frozen=True, slots=True)
class DeliveryRefused(OperationalEvent):
    """A sink will never take these alerts; they went to the dead letters."""

    component = "pipeline.deliver"
    message = "a sink refused alerts for good; they are in the dead letters"
    level = logging.ERROR
    metric: ClassVar[Counter] = Counter("vedette_delivery_refused_total", "Revisions refused for good", ["sink"])
    labels = ("sink",)
    sink: str
    count: int
    error: str


@dataclass(frozen=True, slots=True)
class DeliveryExpired(OperationalEvent):
    """A backlog grew beyond its limits; the oldest alerts were given up for this sink."""

    component = "pipeline.deliver"
    message = "the backlog of a sink is over its limit; the oldest alerts expired"
    level = logging.ERROR
    metric: ClassVar[Counter] = Counter("vedette_delivery_expired_total", "Revisions expired", ["sink"])
    labels = ("sink",)
    sink: str
    count: int


@dataclass(frozen=True, slots=True)
class DeliveryPolicy:
    """What a delivery passes on, and how much may wait. Facts that a filter reads never change between revisions."""

    min_level: Level = Level.INFORMATIONAL
    backlog_age_s_max: float = 7 * 24 * 3600.0
    backlog_bytes_max: int = 1 << 30

    def wants(self, logged: LoggedAlert) -> bool:
        """Whether an alert passes the filter."""
        return Level(logged.revision.level).rank >= self.min_level.rank


@dataclass(slots=True)
class _Batch:
    """A stretch of the alerts log on its way: what is still to deliver, and what became of the rest."""

    end: int
    waiting: list[LoggedAlert]
    suppressed: int
    superseded: int
    delivered: int = 0
    expired: int = 0
    refused: list[tuple[LoggedAlert, str]] = field(default_factory=list[tuple[LoggedAlert, str]])

    def commit(self, delivery: str) -> DeliveryCommit:
        """What the ledger is told."""
        refused = [
            DeadDelivery(delivery, "alerts", logged.position, reason, logged.revision)
            for logged, reason in self.refused
        ]
        return DeliveryCommit(
            delivery, self.end, self.delivered, self.superseded, self.expired, self.suppressed, refused
        )


class Delivery:
    """Feeds one sink from the alerts log."""

    def __init__(self, sink: Sink, policy: DeliveryPolicy, core: CoreThread, clock: Clock) -> None:
        """Deliver to `sink` under its own name."""
        self.sink = sink
        self._policy = policy
        self._core = core
        self._clock = clock
        self._backoff = Backoff()
        self._started = False
        self._draining = False
        self._position = 0
        self.bell = asyncio.Event()
        """Set when the alerts log grew; `DeliverRole` rings it."""

    async def run(self) -> None:
        """Deliver until `drain`, then what is in the log, and return; cancelling it is safe at any time."""
        name = self.sink.name
        self._position = (await self._core.insist(self._core.core.open_delivery, name, from_start=True)).position
        while True:
            self.bell.clear()
            draining = self._draining
            logged = await self._core.insist(self._core.core.alerts, self._position, limit=BATCH_REVISIONS_MAX)
            if logged:
                await self._settle(self._batch(logged))
            elif draining:
                return
            else:
                await self._idle()

    def drain(self) -> None:
        """Let `run` return when the log is delivered."""
        self._draining = True
        self.bell.set()

    async def _idle(self) -> None:
        try:
            async with asyncio.timeout(IDLE_S):
                await self.bell.wait()
        except TimeoutError:
            pass

    def _batch(self, logged: Sequence[LoggedAlert]) -> _Batch:
        wanted = [entry for entry in logged if self._policy.wants(entry)]
        latest = {entry.revision.alert_id: entry for entry in wanted}
        waiting = [entry for entry in wanted if latest[entry.revision.alert_id] is entry]
        return _Batch(logged[-1].position, waiting, len(logged) - len(wanted), len(wanted) - len(waiting))

    async def _settle(self, batch: _Batch) -> None:
        while batch.waiting:
            await self._try(batch)
        await self._core.insist(self._core.core.commit_delivery, batch.commit(self.sink.name))
        self._position = batch.end

    async def _try(self, batch: _Batch) -> None:
        failure: TransientError | None = None
        try:
            if not self._started:
                await self.sink.start()
                self._started = True
            outcomes = await self.sink.deliver([entry.revision for entry in batch.waiting])
        except TransientError as error:
            failure = error
        else:
            failure = self._sort(batch, outcomes)
        if failure is None:
            self._backoff.reset()
            return
        pause_s = self._backoff.next_s(failure.retry_after_s if self._backoff.tries else 0.0)
        DeliveryFailing(self.sink.name, str(failure), round(pause_s, 3)).emit()
        await asyncio.sleep(pause_s)
        await self._expire(batch)

    def _sort(self, batch: _Batch, outcomes: Sequence[PermanentError | TransientError | None]) -> TransientError | None:
        failure: TransientError | None = None
        waiting: list[LoggedAlert] = []
        refused: list[tuple[LoggedAlert, str]] = []
        for entry, outcome in zip(batch.waiting, outcomes, strict=True):
            if outcome is None:
                batch.delivered += 1
            elif isinstance(outcome, PermanentError):
                refused.append((entry, str(outcome)))
            else:
                waiting.append(entry)
                failure = outcome
        if refused:
            DeliveryRefused(self.sink.name, len(refused), refused[0][1]).emit()
        batch.refused += refused
        batch.waiting = waiting
        return failure

    async def _expire(self, batch: _Batch) -> None:
        """Give up what has waited too long; and the oldest, where too much waits."""
        oldest_ns = self._clock.now_ns() - int(self._policy.backlog_age_s_max * SECOND_NS)
        backlog = await self._core.call(self._core.core.backlog_bytes, self._position)
        too_much = backlog > self._policy.backlog_bytes_max
        kept = [] if too_much else [entry for entry in batch.waiting if entry.logged_ns >= oldest_ns]
        expired = len(batch.waiting) - len(kept)
        if expired:
            DeliveryExpired(self.sink.name, expired).emit()
            batch.expired += expired
            batch.waiting = kept


class DeliverRole:
    """All deliveries of the agent."""

    def __init__(self, deliveries: Sequence[Delivery], committed: asyncio.Event) -> None:
        """Run `deliveries`, woken by `committed`."""
        self.deliveries = deliveries
        self._committed = committed

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for delivery in self.deliveries:
                tasks.create_task(delivery.run(), name=f"deliver {delivery.sink.name}")
            bell = tasks.create_task(self._ring(), name="deliver bell")
            self._bell = bell

    async def _ring(self) -> None:
        while True:
            await self._committed.wait()
            self._committed.clear()
            for delivery in self.deliveries:
                delivery.bell.set()

    def drain(self) -> None:
        """Let `run` return when every delivery has delivered the log."""
        for delivery in self.deliveries:
            delivery.drain()
        self._bell.cancel()
