"""Whatever breaks off, wherever: one ticket for each key, one text for each revision that was delivered, none lost."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import example, given, settings
from hypothesis import strategies as st

from sinks.rt import RtSink
from vedette.runtime.notes import MemoryNotes
from vedette.runtime.sink_context import SinkContext
from vedette.schema.errors import PermanentError
from vedette.schema.limits import SECOND_NS
from vedette.testing.sinks import StandingClock, sample_revision

from .rt_bench import contents_of, marks_of, settings_for
from .rt_stub import Fault, Request, RtStub, StubTicket

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vedette.schema.alert import AlertRevision

KEYS = 3
ALERTS_PER_KEY = 2
CRASH = "crash"
CRASH_DONE = "crash, when it is done"

Happening = Fault | str | None


@dataclass
class World:
    """A tracker, a journal and the agents that come and go between them."""

    stub: RtStub
    notes: MemoryNotes = field(default_factory=MemoryNotes)
    clock: StandingClock = field(default_factory=StandingClock)
    revisions: Counter[int] = field(default_factory=Counter[int])
    """The newest revision of each alert, and those that wait for delivery."""
    waiting: dict[int, AlertRevision] = field(default_factory=dict)
    delivered: list[AlertRevision] = field(default_factory=list)
    plan: list[Happening] = field(default_factory=list)
    """What happens to the next requests that write."""
    reading: list[Happening] = field(default_factory=list)
    """What happens to the next requests that read."""
    crash: asyncio.Event = field(default_factory=asyncio.Event)

    def happen(self, request: Request) -> Fault | None:
        plan = self.plan if request.writes else self.reading
        happening = plan.pop(0) if plan else None
        if isinstance(happening, str):
            self.crash.set()
            return Fault.DROP if happening == CRASH else Fault.LOSE
        if happening is Fault.LATE and not request.creates:
            return Fault.LOSE
        return happening

    def detect(self, alerts: Sequence[int]) -> None:
        for alert in alerts:
            self.revisions[alert] += 1
            revision = sample_revision(alert, revision=self.revisions[alert])
            self.waiting.pop(alert, None)
            self.waiting[alert] = revision._replace(ticket_key=f"key {alert % KEYS}")

    async def attempt(self, plan: Sequence[Happening] = (), reading: Sequence[Happening] = ()) -> None:
        """Start an agent, and let it run until it has tried once or is killed."""
        self.plan, self.reading, self.crash = list(plan), list(reading), asyncio.Event()
        self.clock.time_ns += 60 * SECOND_NS  # more than a request may take, and few enough for doubts to last
        sink = RtSink("rt", settings_for(self.stub), SinkContext(Path(), self.clock, self.notes))
        life = asyncio.ensure_future(self._live(sink))
        death = asyncio.ensure_future(self.crash.wait())
        await asyncio.wait({life, death}, return_when=asyncio.FIRST_COMPLETED)
        life.cancel()
        death.cancel()
        await asyncio.gather(life, death, return_exceptions=True)
        self.plan, self.reading = [], []
        await sink.stop()

    async def _live(self, sink: RtSink) -> None:
        await sink.start()
        batch = list(self.waiting.items())
        outcomes = await sink.deliver([revision for _, revision in batch])
        for (alert, revision), outcome in zip(batch, outcomes, strict=True):
            assert not isinstance(outcome, PermanentError)
            if outcome is None:
                del self.waiting[alert]
                self.delivered.append(revision)

    async def calm(self) -> None:
        """Nothing breaks any more: what waits is delivered, what came late is found."""
        self.stub.release()
        while self.waiting:
            await self.attempt()
        sink = RtSink("rt", settings_for(self.stub), SinkContext(Path(), self.clock, self.notes))
        self.clock.time_ns += 3600 * SECOND_NS
        await sink.start()
        while await doubts_of(sink):  # noqa: ASYNC110 - nothing tells when there are none left
            await asyncio.sleep(0)
        await sink.stop()


async def doubts_of(sink: RtSink) -> bool:
    return bool(await sink._memory.doubts())


def texts(ticket: StubTicket) -> Counter[tuple[str, int]]:
    return Counter((mark.alert_id, mark.version) for mark in marks_of(contents_of(ticket)))


Step = tuple[list[int], list[Happening], list[Happening], bool]
"""Which alerts get a new revision, what happens to writes and reads, whether what was held back is done then."""

HAPPENINGS = [None, CRASH, CRASH_DONE, *(fault for fault in Fault if fault is not Fault.HANG)]
alerts = st.lists(st.integers(0, KEYS * ALERTS_PER_KEY - 1), max_size=4, unique=True)
writing = st.lists(st.sampled_from(HAPPENINGS), min_size=1, max_size=4)
nothing: st.SearchStrategy[list[Happening]] = st.just([])
reading = nothing | st.integers(0, 8).flatmap(
    lambda index: st.sampled_from(HAPPENINGS).map(lambda happening: [*[None] * index, happening])
)
steps = st.lists(st.tuples(alerts, writing, reading, st.booleans()), min_size=1, max_size=6)


async def play(steps: Sequence[Step]) -> None:
    async with RtStub() as stub:
        world = World(stub)
        stub.fault = world.happen
        for found, writes, reads, release in steps:
            world.detect(found)
            await world.attempt(writes, reads)
            if release:
                stub.release()
        await world.calm()

        told = {ticket.reference: texts(ticket) for ticket in stub.open_tickets()}
        assert len(told) == len(stub.open_tickets()) == len({revision.ticket_key for revision in world.delivered})
        counts = sum(told.values(), Counter[tuple[str, int]]())
        newest = {(f"{alert:032x}", revision) for alert, revision in world.revisions.items()}
        assert newest <= set(counts)
        assert {(revision.alert_id, revision.version) for revision in world.delivered} <= set(counts)
        opened_twice = sum(1 for ticket in stub.tickets.values() if ticket.kept)
        assert sum(counts.values()) - len(counts) <= opened_twice


@settings(max_examples=80)
@given(steps)
@example([([0], [Fault.LATE], [], False), ([], [], [], True)]).via("a create that is done after the second one")
@example([([0], [], [], False), ([0], [Fault.LOSE], [], False)]).via("a comment whose answer is lost")
@example([([0, 3], [Fault.LOSE], [], False), ([3], [], [], False)]).via("a create whose alert is not the next to come")
def test_one_ticket_for_each_key_and_one_text_for_each_revision(steps: list[Step]) -> None:
    asyncio.run(play(steps))
