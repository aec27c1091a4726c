"""A stretch of a log on its way to a sink: what is still to deliver, and what became of the rest."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

import msgspec

from vedette.journal.protocol import DeadDelivery, DeliveryCommit, LogName, Tallies
from vedette.schema.limits import SECOND_NS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vedette.runtime.sink import Outcome, Sink
    from vedette.schema.errors import PermanentError

C = TypeVar("C")

LATENCY_BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600)
"""Upper bounds, in seconds, of the buckets in which latencies are counted; beyond them is `+Inf`."""
_MS_NS: Final = 1_000_000


def tally_latency(tallies: Tallies, metric: str, name: str, late_ns: int, count: int) -> None:
    """Count how late `count` things of a source or sink were; clocks that were set back count as no delay."""
    late_ns = max(0, late_ns)
    bucket = bisect_left(LATENCY_BUCKETS_S, late_ns / SECOND_NS)
    bound = f"{LATENCY_BUCKETS_S[bucket]:g}" if bucket < len(LATENCY_BUCKETS_S) else "+Inf"
    for key, added in (
        ((f"{metric}_bucket", name, bound), count),
        ((f"{metric}_ms_sum", name), count * (late_ns // _MS_NS)),
    ):
        tallies[key] = tallies.get(key, 0) + added


class Item(msgspec.Struct, Generic[C], frozen=True):
    """One thing to deliver. `arrival_ns` is that of the record that made it: its delay counts from there."""

    position: int
    arrival_ns: int
    content: C


@dataclass(slots=True)
class Stretch(Generic[C]):
    """Everything after a delivery's position up to `end`. `more`: whether the log goes on behind it right now."""

    end: int
    waiting: list[Item[C]]
    suppressed: int = 0
    superseded: int = 0
    expired: int = 0
    more: bool = True
    delivered: int = 0
    refused: list[DeadDelivery] = field(default_factory=list[DeadDelivery])
    tallies: Tallies = field(default_factory=Tallies)

    def deliver(self, delivery: str, items: Sequence[Item[C]], now_ns: int) -> None:
        """Count items that the sink of a delivery took, and how long that took since they arrived."""
        self.delivered += len(items)
        # Records that came together have one arrival time.
        for arrival_ns, count in Counter([item.arrival_ns for item in items]).items():
            tally_latency(self.tallies, "delivery_latency", delivery, now_ns - arrival_ns, count)

    def commit(self, delivery: str) -> DeliveryCommit:
        """Say what the ledger is told."""
        return DeliveryCommit(
            delivery,
            self.end,
            self.delivered,
            self.superseded,
            self.expired,
            self.suppressed,
            self.refused,
            tallies=self.tallies,
        )


class Feed(Protocol[C]):
    """One log, read and filtered for one sink."""

    log: LogName
    idle_s: float
    """The log is looked at again at least this often."""

    @property
    def sink(self) -> Sink:
        """What is fed."""
        ...

    async def open(self) -> int:
        """Return the position where delivery goes on."""
        ...

    async def read(self, after: int) -> Stretch[C] | None:
        """Return what follows a position; None if there is nothing now."""
        ...

    async def send(self, items: Sequence[Item[C]]) -> Sequence[Outcome]:
        """Hand items to the sink. Raises what it raises."""
        ...

    async def overdue(self, after: int, bytes_max: int) -> int:
        """Return up to where a backlog of `bytes_max` behind `after` is exceeded; `after` if it is not."""
        ...

    def dead(self, item: Item[C], reason: str) -> DeadDelivery:
        """Make a dead delivery of an item that the sink refused."""
        ...

    async def recall(self, dead: Sequence[DeadDelivery]) -> list[Item[C] | PermanentError]:
        """Return items for dead deliveries, in the same order; an error for what can't be delivered again."""
        ...

    async def close(self) -> None:
        """Release what reading the log took."""
        ...
