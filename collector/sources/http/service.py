"""What all connections of one port share: its settings, its budget of bytes, its counts, and the door to the intake.

All of it is touched from the event loop alone. Time here is coarse (the sweep sets it): timeouts are seconds, and
asking the clock for each request would cost more than they are worth.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from typing import TYPE_CHECKING, Final, Protocol

from collector.sources.http.answers import DRAINING, NO_ROOM, NO_ROOM_WAITED, TOO_LARGE, Answer
from collector.sources.http.events import Answered, Refused
from vedette.schema.limits import KIB

if TYPE_CHECKING:
    from collections.abc import Mapping
    from concurrent.futures import Executor

    from collector.sources.http.request import Request
    from collector.sources.http.routes import Route
    from collector.sources.http.settings import HttpSettings
    from vedette.runtime.parcel import Intake

SMALL_BYTES: Final = 64 * KIB
"""A body is reserved in such steps, as it arrives: who only announces much takes no room from others. Smaller ones
(Falco's) are read whatever else is being read; `connections_max` bounds them."""
_GOOD: Final = frozenset({"accepted", "health"})


class Peer(Protocol):
    """A connection as the service sees it."""

    def expire(self) -> None:
        """Look at the clock, and end what has taken too long."""
        ...

    def drain(self) -> None:
        """The port is closing: end what is idle."""
        ...

    def cut(self) -> None:
        """End at once, whatever is going on."""
        ...


class Service:
    """The shared half of a port.

    The source sets when it starts: `now`, the loop's time at the last sweep; `token`, what clients must bear;
    `failure`, which hears of bugs.
    """

    __slots__ = (
        "_admitting",
        "_gone",
        "connections",
        "draining",
        "failure",
        "held",
        "intake",
        "name",
        "now",
        "pool",
        "reading",
        "routes",
        "settings",
        "sweep_s",
        "tally",
        "token",
        "unanswered",
    )

    def __init__(
        self,
        name: str,
        settings: HttpSettings,
        intake: Intake,
        routes: Mapping[bytes, Route],
        pool: Executor,
        sweep_s: float,
    ) -> None:
        """Share these."""
        self.name = name
        self.settings = settings
        self.intake = intake
        self.routes = routes
        self.pool = pool
        self.sweep_s = sweep_s
        self.token: bytes | None = None
        self.failure: asyncio.Future[None]
        self.now = 0.0
        self.draining = False
        self.reading = 0
        self.unanswered = 0
        self.connections: set[Peer] = set()
        self.held: deque[Request] = deque()
        self.tally: Counter[str] = Counter()
        self._gone = asyncio.Event()
        self._admitting = False

    def weigh(self, route: Route, size: int, reserved: int = 0) -> Answer | None:
        """Say why a body of `size` bytes can't be read now, if so; `reserved` of them are reserved already."""
        if size > self.settings.body_bytes_max:
            return TOO_LARGE
        reading = self.reading + size - reserved
        if size > SMALL_BYTES and reading > self.settings.reading_bytes_max:
            return NO_ROOM_WAITED if route.waits else NO_ROOM
        if not route.waits and reading > self.intake.room_bytes():
            return NO_ROOM
        return None

    def reserve(self, size: int) -> None:
        """Set bytes aside for a body that is being read; negative: give them back."""
        self.reading += size
        assert self.reading >= 0, "only what was reserved is released"

    def count(self, answer: Answer) -> None:
        """Count an answer; reported with the next sweep."""
        self.tally[answer.label] += 1

    def fail(self, bug: BaseException) -> None:
        """Hand a bug of ours to who waits for the source, which ends the process."""
        if not self.failure.done():
            self.failure.set_exception(bug)

    def leave(self, peer: Peer) -> None:
        """A connection is gone."""
        self.connections.discard(peer)
        if self.draining and not self.connections:
            self._gone.set()

    async def empty(self, timeout_s: float) -> None:
        """Wait until no connection is left, for a bounded time; meant for a port that is draining."""
        if self.connections:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._gone.wait(), timeout_s)

    def sweep(self, now: float) -> None:
        """Set the time, end what took too long, take in what was held, report what was counted."""
        self.now = now
        for peer in tuple(self.connections):
            peer.expire()
        self.admit_held()
        self.report()

    def admit_held(self) -> None:
        """Offer held requests, oldest first, as far as there is room again. A settlement may lead back here."""
        if self._admitting:
            return
        self._admitting = True
        while self.held and self.held[0].fits():
            self.held.popleft().offer()
        self._admitting = False

    def give_up_held(self) -> None:
        """Refuse what is still held: the port is closed."""
        while self.held:
            self.held.popleft().refuse(DRAINING)

    def report(self) -> None:
        """Emit what was counted since the last time."""
        tally, self.tally = self.tally, Counter()
        for outcome, count in tally.items():
            event = Answered if outcome in _GOOD else Refused
            event(self.name, outcome, count).emit()
