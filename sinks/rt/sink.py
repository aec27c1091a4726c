"""The sink: hands revisions to the desk, in order for each ticket, several tickets at a time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sinks.rt.client import RestClient
from sinks.rt.desk import Desk
from sinks.rt.doubts import Doubts
from sinks.rt.memory import Memory
from sinks.rt.probe import probe
from sinks.rt.text import reference_of
from sinks.rt.tracker import Tracker
from vedette.schema.errors import PermanentError, TransientError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sinks.rt.settings import RtSettings
    from vedette.runtime.check import Check
    from vedette.runtime.sink import Outcome
    from vedette.runtime.sink_context import SinkContext
    from vedette.schema.alert import AlertRevision

FAILURES_MAX: Final = 3
"""Failures in a row after which a delivery is broken off: the server is at fault, not an alert."""


@dataclass(slots=True)
class _Run:
    """How one delivery goes."""

    failures: int = 0
    error: TransientError | None = None

    @property
    def broken(self) -> TransientError | None:
        """Why nothing more is tried, if so."""
        return self.error if self.failures >= FAILURES_MAX else None


class RtSink:
    """Implements `vedette.runtime.sink.Sink`. What was done is noted as it is done, so a repeat costs little."""

    def __init__(self, name: str, settings: RtSettings, context: SinkContext) -> None:
        """Take the settings; Request Tracker is asked from `start` on."""
        self.name = name
        self._settings = settings
        self._clock = context.clock
        self._memory = Memory(context.notes)
        self._desk: Desk | None = None
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Log in and look at the queue.

        Raises:
            ConfigError: `ca_file` can't be used. TransientError: not reachable, no such account or queue, or a right is
                lacking.
        """
        await self.stop()
        tracker = Tracker(RestClient(self._settings, self._settings.timeout_s), self._settings)
        doubts = Doubts(self._memory, self._clock, self._settings.timeout_s)
        desk = Desk(self.name, self._settings, tracker, self._memory, doubts, self._clock)
        desk.has_field = (await tracker.queue()).has_field
        await doubts.load()
        self._desk = desk
        self._watch = asyncio.create_task(doubts.run(desk.unite), name=f"sink {self.name} doubts")

    async def deliver(self, revisions: Sequence[AlertRevision]) -> Sequence[Outcome]:
        """Bring each revision into its ticket: those of one ticket in order, tickets side by side."""
        assert self._desk is not None, "the sink was started"
        assert self._watch is not None, "so it has a watch"
        if self._watch.done():
            self._watch.result()  # a bug: let it be loud
        outcomes: list[Outcome] = [None] * len(revisions)
        lanes: dict[str, list[int]] = {}
        for index, revision in enumerate(revisions):
            lanes.setdefault(reference_of(revision).whole, []).append(index)
        run, places = _Run(), asyncio.Semaphore(self._settings.concurrency)
        async with asyncio.TaskGroup() as tasks:
            for lane in lanes.values():
                tasks.create_task(self._lane(self._desk, revisions, lane, outcomes, run, places))
        return outcomes

    async def stop(self) -> None:
        """Let go; idempotent."""
        self._desk = None
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
            self._watch = None

    async def probe(self) -> Sequence[Check]:
        """Log in, look at the queue, the custom field and the rights, and write nothing."""
        return await probe(self._settings)

    async def _lane(
        self,
        desk: Desk,
        revisions: Sequence[AlertRevision],
        lane: Sequence[int],
        outcomes: list[Outcome],
        run: _Run,
        places: asyncio.Semaphore,
    ) -> None:
        async with places:
            failed: Outcome = None
            for index in lane:
                failed = failed or run.broken
                outcomes[index] = failed or await self._settle(desk, revisions[index], run)
                if isinstance(outcomes[index], TransientError):
                    failed = outcomes[index]

    async def _settle(self, desk: Desk, revision: AlertRevision, run: _Run) -> Outcome:
        try:
            await desk.settle(revision)
        except PermanentError as error:
            return error
        except TransientError as error:
            run.failures, run.error = run.failures + 1, error
            return error
        run.failures = 0
        return None
