"""One delivery: takes what follows its position from a log, filtered, and feeds one sink with it.

What the sink can't take for now is retried; what it can never take goes to the dead letters; a backlog beyond its
limits expires, counted. The position moves only when everything before it is settled.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from vedette.journal.protocol import DeliveryCommit
from vedette.pipeline.delivery_events import DeliveryExpired, DeliveryFailing, DeliveryRefused, DeliveryUnusable
from vedette.pipeline.durations import DELIVERY_SEND
from vedette.pipeline.routing import Filter
from vedette.runtime.backoff import Backoff
from vedette.schema.errors import ConfigError, PermanentError, TransientError
from vedette.schema.limits import BATCH_REVISIONS_MAX, RETRY_ADVICE_S_MAX, SECOND_NS
from vedette.schema.text import clip_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vedette.pipeline.core_thread import CoreThread
    from vedette.pipeline.stretch import Feed, Item, Stretch
    from vedette.runtime.clock import Clock
    from vedette.runtime.sink import Outcome

UNUSABLE_RETRY_S: Final = 30.0
"""Pause before a sink that can't work as it is configured is tried again: somebody has to mend it first."""
_NO_ADVICE_S: Final = TransientError("").retry_after_s
"""What an error says whose author said nothing: no reason to make the first retry wait."""


@dataclass(frozen=True, slots=True)
class DeliveryPolicy:
    """What a delivery passes on, and how much may wait."""

    filter: Filter = field(default_factory=Filter)
    backlog_age_s_max: float = 7 * 24 * 3600.0
    backlog_bytes_max: int = 1 << 30


class _UnusableError(TransientError):
    """The sink can't work as it is. Nothing is lost by waiting, so it is tried again as if it were away."""


class Delivery:
    """Feeds one sink from one log, in a task of its own: it waits for nobody but its sink.

    A sink whose `start` (or any call) says that it can't work as it is, by a ConfigError or a PermanentError, ends
    nothing: a wrong password, found at run time, must not stop intake and the other sinks. What it should get waits, it
    is tried again every `UNUSABLE_RETRY_S`, and each try is told loudly (`DeliveryUnusable`).
    """

    def __init__(self, feed: Feed[Any], policy: DeliveryPolicy, core: CoreThread, clock: Clock) -> None:
        """Deliver what `feed` reads, under its sink's name."""
        self._feed = feed
        self.sink = feed.sink
        self.log = feed.log
        self._policy = policy
        self._core = core
        self._clock = clock
        self._backoff = Backoff()
        self._sending = DELIVERY_SEND.labels(self.sink.name)
        self._started = False
        self._draining = False
        self._queued = True
        """Whether dead deliveries may be queued, to be delivered again."""
        self._queue_backoff = Backoff()
        self._queue_at_s = 0.0
        """When they are tried next, by the event loop's clock: what fails among them keeps nothing newer waiting."""
        self._position = 0
        self._overdue = 0
        """Everything up to here is more than may wait."""
        self._bell = asyncio.Event()
        self._hurry = asyncio.Event()
        self.failure: str | None = None
        """Why the last try failed; None if it did not."""

    # --- what others tell it ------------------------------------------------------------------------------------------
    def wake(self) -> None:
        """Look at the log now: it grew."""
        self._bell.set()

    def drain(self) -> None:
        """Let `run` return when the log is delivered; a sink that failed is tried once more at once."""
        self._draining = True
        self._hurried()

    def deliver_again(self) -> None:
        """Deliver the dead deliveries that were queued."""
        self._queued = True
        self._hurried()

    def _hurried(self) -> None:
        self._backoff.reset()
        self._queue_at_s = 0.0
        self._hurry.set()
        self._bell.set()

    # --- the loop -----------------------------------------------------------------------------------------------------
    async def run(self) -> None:
        """Deliver until `drain`, then what is in the log, and return; cancelling it is safe at any time."""
        self._position = await self._feed.open()
        while True:
            self._bell.clear()
            draining = self._draining
            stretch = await self._feed.read(self._position)
            if stretch is not None:
                await self._settle(stretch)
            if stretch is not None and stretch.more:
                continue
            if self._queued and asyncio.get_running_loop().time() >= self._queue_at_s:
                await self._deliver_queued()
            elif draining and stretch is None:
                return
            elif not draining:
                await _wait(self._bell, self._feed.idle_s)

    async def stop(self) -> None:
        """Release the sink and the log, whether `run` ever ran or not."""
        try:
            await self.sink.stop()
        finally:
            await self._feed.close()

    async def _settle(self, stretch: Stretch[Any]) -> None:
        while stretch.waiting:
            if self.failure is not None:
                await self._expire(stretch)
            if stretch.waiting:
                await self._try(stretch)
        await self._core.insist(self._core.core.commit_delivery, stretch.commit(self.sink.name))
        self._position = stretch.end

    async def _try(self, stretch: Stretch[Any]) -> None:
        items, failure = stretch.waiting, None
        delivered: list[Item[Any]] = []
        waiting: list[Item[Any]] = []
        refused: list[tuple[Item[Any], str]] = []
        outcomes, now_ns = await self._send(items), self._clock.now_ns()
        for item, outcome in zip(items, outcomes, strict=True):
            if outcome is None:
                delivered.append(item)
            elif isinstance(outcome, PermanentError):
                refused.append((item, clip_text(str(outcome))))
            else:
                waiting.append(item)
                failure = outcome
        stretch.deliver(self.sink.name, delivered, now_ns)
        if refused:
            DeliveryRefused(self.sink.name, len(refused), refused[0][1]).emit()
            stretch.refused += [self._feed.dead(item, reason) for item, reason in refused]
        stretch.waiting = waiting
        await self._rest(failure)

    async def _send(self, items: Sequence[Item[Any]]) -> Sequence[Outcome]:
        """Return what became of each item; a failure of the call is one of each of them."""
        failure: TransientError
        try:
            if not self._started:
                await self.sink.start()
                self._started = True
            with self._sending.time():
                return await self._feed.send(items)
        except TransientError as error:
            failure = error
        except (ConfigError, PermanentError) as error:
            failure = _UnusableError(str(error), retry_after_s=UNUSABLE_RETRY_S)
        return [failure] * len(items)

    async def _rest(self, failure: TransientError | None) -> None:
        """Pause after a failure; None was none."""
        self.failure = None if failure is None else clip_text(str(failure))
        if failure is None:
            self._backoff.reset()
            return
        await _wait(self._hurry, self._tell(failure, self._backoff))
        self._hurry.clear()

    def _tell(self, failure: TransientError, backoff: Backoff) -> float:
        """Tell of a failure; return the seconds to pause."""
        advice_s = min(failure.retry_after_s, RETRY_ADVICE_S_MAX)
        pause_s = backoff.next_s(advice_s if backoff.tries or advice_s > _NO_ADVICE_S else 0.0)
        event = DeliveryUnusable if isinstance(failure, _UnusableError) else DeliveryFailing
        event(self.sink.name, clip_text(str(failure)), round(pause_s, 3)).emit()
        return pause_s

    async def _expire(self, stretch: Stretch[Any]) -> None:
        """Give up what has waited too long; and the oldest, where too much waits."""
        oldest_ns = self._clock.now_ns() - int(self._policy.backlog_age_s_max * SECOND_NS)
        if self._overdue < stretch.end:
            self._overdue = await self._feed.overdue(self._position, self._policy.backlog_bytes_max)
        kept = [item for item in stretch.waiting if item.position > self._overdue and item.arrival_ns >= oldest_ns]
        expired = len(stretch.waiting) - len(kept)
        if expired:
            DeliveryExpired(self.sink.name, expired).emit()
            stretch.expired += expired
            stretch.waiting = kept

    # --- dead deliveries, once more -----------------------------------------------------------------------------------
    async def _deliver_queued(self) -> None:
        """Try some dead deliveries that are queued; what the sink can't take for now stays queued."""
        name, core = self.sink.name, self._core.core
        queued = await self._core.insist(core.queued_deliveries, name, limit=BATCH_REVISIONS_MAX)
        self._queued = bool(queued)
        if not queued:
            return
        recalled = await self._feed.recall([dead for _, dead in queued])
        outcomes = dict(zip([key for key, _ in queued], await self._send_recalled(recalled), strict=True))
        redelivered = [key for key, outcome in outcomes.items() if outcome is None]
        refused = {key: clip_text(str(error)) for key, error in outcomes.items() if isinstance(error, PermanentError)}
        if refused:
            DeliveryRefused(name, len(refused), next(iter(refused.values()))).emit()
        if redelivered or refused:
            commit = DeliveryCommit(name, self._position, redelivered=redelivered, refused_again=refused)
            await self._core.insist(core.commit_delivery, commit)
        failure = next((outcome for outcome in outcomes.values() if isinstance(outcome, TransientError)), None)
        if failure is None:
            self._queue_backoff.reset()
        elif self._draining:
            self._queued = False  # the next start goes on with it
        else:
            self._queue_at_s = asyncio.get_running_loop().time() + self._tell(failure, self._queue_backoff)

    async def _send_recalled(self, recalled: Sequence[Item[Any] | PermanentError]) -> list[Outcome]:
        items = [found for found in recalled if not isinstance(found, PermanentError)]
        outcomes = iter(await self._send(items) if items else ())
        return [found if isinstance(found, PermanentError) else next(outcomes) for found in recalled]


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
