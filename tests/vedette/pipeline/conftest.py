"""What the tests of deliveries share: a core log with alerts, a clock that is set by hand, a sink that does as told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from vedette.journal.protocol import DeliveryCount, DetectCommit
from vedette.journal.sqlite import DataFolder, SqliteCoreLog, SqliteCoreReader
from vedette.pipeline.alert_feed import AlertFeed
from vedette.pipeline.core_thread import CoreThread
from vedette.pipeline.delivery import Delivery, DeliveryPolicy
from vedette.runtime.backoff import Backoff
from vedette.runtime.check import Check
from vedette.runtime.sink import ForwardedEvent, Outcome
from vedette.schema.alert import AlertRevision

SECOND = 1_000_000_000


@dataclass
class Clock:
    """Shows what it was set to."""

    time_ns: int = 1000 * SECOND

    def now_ns(self) -> int:
        return self.time_ns


@dataclass
class ScriptedSink:
    """Takes what it is given, but where the next step of its script is an error, or outcomes."""

    name: str = "siem"
    starts: list[Exception | None] = field(default_factory=list[Exception | None])
    script: list[Exception | Callable[[int], Sequence[Outcome]]] = field(default_factory=list)
    taken: list[AlertRevision | ForwardedEvent] = field(default_factory=list[AlertRevision | ForwardedEvent])
    calls: int = 0
    started: int = 0
    stopped: int = 0
    hanging: asyncio.Event | None = None

    async def start(self) -> None:
        self.started += 1
        error = self.starts.pop(0) if self.starts else None
        if error is not None:
            raise error

    async def deliver(self, revisions: Sequence[AlertRevision]) -> Sequence[Outcome]:
        return await self._deliver(revisions)

    async def deliver_events(self, events: Sequence[ForwardedEvent]) -> Sequence[Outcome]:
        return await self._deliver(events)

    async def _deliver(self, batch: Sequence[AlertRevision | ForwardedEvent]) -> Sequence[Outcome]:
        self.calls += 1
        if self.hanging is not None:
            await self.hanging.wait()
        step = self.script.pop(0) if self.script else None
        if isinstance(step, Exception):
            raise step
        outcomes = step(len(batch)) if step else [None] * len(batch)
        self.taken += [each for each, outcome in zip(batch, outcomes, strict=True) if outcome is None]
        return outcomes

    async def stop(self) -> None:
        self.stopped += 1

    async def probe(self) -> Sequence[Check]:
        return []


class Bench:
    """A core log, and deliveries of it that hurry."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = Clock()
        self.thread = CoreThread(SqliteCoreLog(folder / "core.db"), DataFolder(folder))
        self.core = SqliteCoreReader(folder / "core.db")
        """For the tests to look: the other one belongs to its thread."""
        self.seq = 0
        self.running: list[asyncio.Task[None]] = []

    async def log(self, *alerts: AlertRevision) -> None:
        self.seq += 1
        commit = DetectCommit(self.seq, self.clock.time_ns, b"", list(alerts))
        await self.thread.call(self.thread.core.commit_detect, commit)

    async def queue(self) -> None:
        """Queue all dead deliveries."""
        keys = [key for key, _ in self.core.dead_deliveries()]
        await self.thread.call(self.thread.core.queue_deliveries, keys)

    def delivery(self, sink: ScriptedSink, policy: DeliveryPolicy | None = None) -> Delivery:
        policy = policy or DeliveryPolicy()
        feed = AlertFeed(sink, policy.filter, self.thread)
        feed.idle_s = 0.005
        made = Delivery(feed, policy, self.thread, self.clock)
        made._backoff, made._queue_backoff = Backoff(0.001, 0.002), Backoff(0.001, 0.002)
        return made

    async def drained(self, sink: ScriptedSink, policy: DeliveryPolicy | None = None) -> Delivery:
        """Deliver all that is in the log."""
        made = self.delivery(sink, policy)
        made.drain()
        await made.run()
        return made

    def run(self, delivery: Delivery) -> asyncio.Task[None]:
        self.running.append(asyncio.create_task(delivery.run()))
        return self.running[-1]

    def count(self, name: str = "siem") -> DeliveryCount:
        return self.core.delivery_counts()[name]

    async def until(self, condition: Callable[[], object]) -> None:
        while not condition():
            for task in self.running:
                if task.done():
                    task.result()
            await asyncio.sleep(0.001)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path)
    with contextlib.closing(made.core):
        yield made
        for task in made.running:
            task.cancel()
        await asyncio.gather(*made.running, return_exceptions=True)
        await made.thread.close()


def alert(number: int, revision: int = 1, *, level: str = "high", document: bytes = b"{}") -> AlertRevision:
    return AlertRevision(f"a{number}", 1, revision, number, level, "rule", document, source="audit")
