"""Tickets that were created a second time, because the first request seemed lost: it may be carried out after all.

So they are looked at for a while, whether or not more alerts come for them, and merged where there are two.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from sinks.rt.memory import Doubt
from sinks.rt.text import Reference
from vedette.schema.errors import TransientError
from vedette.schema.limits import SECOND_NS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from sinks.rt.memory import Memory
    from vedette.runtime.clock import Clock

DOUBT_NS: Final = 15 * 60 * SECOND_NS
"""How long a request may lie somewhere (a proxy, a server that stands still) before it is carried out."""


class Doubts:
    """All doubts of one sink. `run` looks at each after one, two, four, … times `pause_s`."""

    def __init__(self, memory: Memory, clock: Clock, pause_s: float) -> None:
        """Begin without doubts."""
        self._memory = memory
        self._clock = clock
        self._pause_ns = int(pause_s * SECOND_NS)
        self._doubts: dict[str, Doubt] = {}
        self._changed = asyncio.Event()

    async def load(self) -> None:
        """Take up the doubts that are noted.

        Raises:
            TransientError: the journal can't be read now.
        """
        self._doubts = await self._memory.doubts()

    def add(self, reference: Reference) -> Mapping[str, Doubt]:
        """Doubt a reference from now on; return all doubts, for the caller to note."""
        now_ns = self._clock.now_ns()
        self._doubts[reference.whole] = Doubt(reference.tag, now_ns, now_ns + self._pause_ns)
        self._changed.set()
        return self._doubts

    async def run(self, look: Callable[[Reference], Awaitable[object]]) -> None:
        """Have all doubts looked at when they are due, until cancelled."""
        while True:
            self._changed.clear()
            for whole, doubt in list(self._doubts.items()):
                if doubt.next_ns <= self._clock.now_ns():
                    await self._look(Reference(whole, doubt.tag), doubt, look)
            try:
                async with asyncio.timeout(self._rest_s()):
                    await self._changed.wait()
            except TimeoutError:
                pass

    async def _look(self, reference: Reference, doubt: Doubt, look: Callable[[Reference], Awaitable[object]]) -> None:
        now_ns = self._clock.now_ns()
        try:
            await look(reference)
        except TransientError:  # delivery tells of it; this one is tried again
            self._doubts[reference.whole] = Doubt(doubt.tag, doubt.since_ns, now_ns + self._pause_ns)
            return
        if self._doubts.get(reference.whole) is not doubt:
            return  # doubted anew meanwhile
        if now_ns - doubt.since_ns >= DOUBT_NS:
            del self._doubts[reference.whole]
        else:
            self._doubts[reference.whole] = Doubt(doubt.tag, doubt.since_ns, 2 * now_ns - doubt.since_ns)
        await self._note()

    async def _note(self) -> None:
        try:
            await self._memory.keep_doubts(self._doubts)
        except TransientError:  # what is noted is older, and looked at more often
            return

    def _rest_s(self) -> float | None:
        if not self._doubts:
            return None
        next_ns = min(doubt.next_ns for doubt in self._doubts.values())
        return max(self._pause_ns, next_ns - self._clock.now_ns()) / SECOND_NS
