"""What every sink is: the seam between delivery and one destination."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from vedette.runtime.check import Check
from vedette.schema.alert import AlertRevision
from vedette.schema.errors import PermanentError, TransientError
from vedette.schema.event import Event

Outcome = PermanentError | TransientError | None
"""What became of one revision or event: None delivered, otherwise why not."""


class Sink(Protocol):
    """One configured destination. Delivery calls it with revisions in log order, one call at a time.

    A revision may come again after a crash or a time-out: sinks with an id and a version (store, OpenSearch, trackers)
    make that invisible, the others pass on the stable alert id and version. Any call may be cancelled at any await; the
    next one must find a sink that works.
    """

    name: str

    async def start(self) -> None:
        """Open what is needed.

        Raises:
            ConfigError: the settings can't work. TransientError: not reachable yet; delivery retries.
        """
        ...

    async def deliver(self, revisions: Sequence[AlertRevision]) -> Sequence[Outcome]:
        """Deliver, and say for each revision what became of it, in the same order.

        Raises:
            TransientError: none of them could be delivered now.
        """
        ...

    async def stop(self) -> None:
        """Release everything; idempotent."""
        ...

    async def probe(self) -> Sequence[Check]:
        """Try the destination as far as that leaves no trace there, and say what is wrong and what to do.

        For `vedette doctor`: called on a sink of its own that is never started, beside a running agent, and followed by
        `stop`. Raises nothing that a misconfigured or dead destination can cause; bounded in time (15 s).
        """
        ...


class ForwardedEvent(NamedTuple):
    """A record of the events log on its way to a sink: decoded, with what the operator says about its source.

    `event.record` has the bytes as received, `seq` and `arrival_ns`; `event.facts` and `event.uid` are computed when
    asked for.
    """

    event: Event
    cluster: str
    labels: Mapping[str, str]

    def document(self) -> dict[str, Any]:
        """Return the record as received, with where it came from, for sinks that have no form of their own.

        `uid` is the same whenever the record comes again, and no other record's.
        """
        event = self.event
        record = event.record
        return {
            "uid": f"{record.seq}-{event.uid}",
            "source": record.run.source,
            "cluster": self.cluster,
            "labels": dict(self.labels),
            "format": record.run.format,
            "origin": record.run.origin,
            "time_ns": event.time_ns,
            "arrival_ns": record.arrival_ns,
            "event_ids": event.event_ids,
            "original": record.payload.decode("utf-8", "replace"),
        }


@runtime_checkable
class EventSink(Sink, Protocol):
    """A sink that takes records of the events log, too. A delivery reads one log: a sink is called in one way only."""

    async def deliver_events(self, events: Sequence[ForwardedEvent]) -> Sequence[Outcome]:
        """Deliver records in log order, and say for each what became of it, in the same order.

        They may come again after a crash: `event.uid` with `event.record.seq` tells a repeat.

        Raises:
            TransientError: none of them could be delivered now.
        """
        ...


@runtime_checkable
class PreparingSink(EventSink, Protocol):
    """A sink that makes each event ready as soon as it is decoded, and then needs nothing else of it."""

    def prepare_event(self, forwarded: ForwardedEvent) -> Any:
        """Make an event ready; the same for the same record at any time."""
        ...

    async def deliver_prepared(self, prepared: Sequence[Any]) -> Sequence[Outcome]:
        """Do with events made ready what `deliver_events` does."""
        ...
