"""What goes into a correlation, a rule's match or another correlation's firing, and what comes out of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from detectors.correlation.definition import Comparison, Correlation, Fields
from detectors.correlation.window import Entry
from detectors.engine import bounded_text, dedup_text
from detectors.fields import Getter, getter
from vedette.schema.alert import Evidence
from vedette.schema.event import Event, Facts
from vedette.schema.finding import Clause
from vedette.schema.limits import CORRELATION_REFERENCES_MAX, EVIDENCE_ITEMS_MAX
from vedette.schema.rule import RuleInfo

_IDS_MAX: Final = 20
"""Ids of events that one clause names; the alert's evidence and `vedette scan` have more of them."""
_WORDS: Final = {
    Comparison.LT: "fewer than",
    Comparison.LTE: "at most",
    Comparison.GT: "more than",
    Comparison.GTE: "at least",
    Comparison.EQ: "exactly",
    Comparison.NEQ: "other than",
}


class Finding(Protocol):
    """One finding of a rule or correlation that others refer to."""

    @property
    def time_ns(self) -> int:
        """Event time, ns."""
        ...

    @property
    def seq(self) -> int:
        """Sequence number of its (last) record."""
        ...

    @property
    def arrival_ns(self) -> int:
        """Arrival time, ns."""
        ...

    @property
    def source(self) -> str:
        """Configured name of the source of its (last) record."""
        ...

    @property
    def cluster(self) -> str:
        """Where it happened: events of different clusters never share a group."""
        ...

    def values(self, fields: Fields) -> tuple[Any, ...]:
        """Return the values of the first of the fields that has any but null."""
        ...

    def samples(self) -> list[Evidence]:
        """Return samples of its events."""
        ...

    def facts(self) -> Facts:
        """Return who, what and where of its last event."""
        ...


class EventFinding:
    """The finding of a rule that matched an event."""

    def __init__(self, event: Event, cluster: str, sample: Callable[[Event], Evidence]) -> None:
        """Look at `event` of `cluster`, of which `sample` takes a sample."""
        self._event = event
        self._sample = sample
        self._taken: Evidence | None = None
        self.time_ns: int = event.time_ns
        self.seq = event.record.seq
        self.arrival_ns = event.record.arrival_ns
        self.source = event.record.run.source
        self.cluster = cluster

    def values(self, fields: Fields) -> tuple[Any, ...]:
        """Return the values of the first of the fields that has any but null."""
        for name in fields:
            found = _getter(name)(self._event.doc)
            if any(value is not None for value in found):
                return found
        return ()

    def samples(self) -> list[Evidence]:
        """Return a sample of the event."""
        if self._taken is None:
            self._taken = self._sample(self._event)
        return [self._taken]

    def facts(self) -> Facts:
        """Return who, what and where."""
        return self._event.facts


@lru_cache(maxsize=1024)
def _getter(name: str) -> Getter:
    return getter(name)


class Firing(NamedTuple):
    """A window in which a correlation's condition held. Times in ns.

    `entries`: what was in the window, in time order; of an empty one what came last before it. `time_ns`: the event
    that made the condition true, or the end of the window. `facts`, `seq` and `source` are those of the last event.
    """

    correlation: Correlation
    group: tuple[str, ...]
    cluster: str
    entries: tuple[Entry, ...]
    measured: float | None
    is_empty: bool
    time_ns: int
    seq: int
    arrival_ns: int
    source: str
    facts_found: Callable[[], Facts]

    @property
    def info(self) -> RuleInfo:
        """What the correlation says about itself."""
        return self.correlation.info

    def values(self, fields: Fields) -> tuple[Any, ...]:
        """Return the value of a key that it is grouped by; the first of the fields that is one."""
        known = dict(zip(self.correlation.group_by, self.group, strict=True))
        return next(((known[name],) for name in fields if name in known), ())

    def samples(self) -> list[Evidence]:
        """Return samples of the newest of its events, without their raw bytes but for the last ones."""
        return list(self.events()[-CORRELATION_REFERENCES_MAX:])

    def facts(self) -> Facts:
        """Return who, what and where of the last event."""
        return self.facts_found()

    def events(self) -> tuple[Evidence, ...]:
        """Return samples of all events, each once, in time order."""
        found = {sample.seq: sample for entry in self.entries for sample in entry.samples}
        return tuple(sorted(found.values(), key=lambda sample: (sample.time_ns, sample.seq)))

    def span(self) -> tuple[int, int]:
        """Return the times of the first and the last event, ns."""
        events = self.events()
        return events[0].time_ns, events[-1].time_ns

    def evidence(self) -> list[Evidence]:
        """Return the samples that an alert carries: the one that `facts` tell of, then the others, newest first.

        Of each member there is the newest, as far as there is room.
        """
        newest = {entry.member: entry.samples[-1].seq for entry in self.entries}
        events = {sample.seq: sample for sample in reversed(self.events())}
        order = dict.fromkeys([self.seq, *reversed(newest.values()), *events])
        first, *rest = list(order)[:EVIDENCE_ITEMS_MAX]
        wanted = {first, *rest}
        return [events[first], *(sample for seq, sample in events.items() if seq in wanted and seq != first)]

    def clauses(self) -> tuple[Clause, ...]:
        """Explain: what was measured, in which group, and the events of each member by their ids."""
        return tuple(self._clauses())

    def _clauses(self) -> Iterator[Clause]:
        correlation = self.correlation
        yield Clause("condition", " and ".join(correlation.value), _condition(correlation), value=self.measured)
        for name, value in zip(correlation.group_by, self.group, strict=True):
            yield Clause("group-by", name, "is the same in all events", value=value)
        for position, member in enumerate(correlation.members):
            found = [entry for entry in self.entries if entry.member == position and not self.is_empty]
            ids = [(sample.event_ids or (sample.uid,))[0] for entry in found for sample in entry.samples]
            more = f", the last {_IDS_MAX} of which are" if len(ids) > _IDS_MAX else ""
            times = "never" if not found else "once" if len(found) == 1 else f"{len(found)} times"
            test = f"matched {times} within {correlation.within}{more}"
            yield Clause("rules", member.title, test, value=ids[-_IDS_MAX:] or None)


def _condition(correlation: Correlation) -> str:
    """Say the condition as a person reads it: `event_count is at least 3 within 5m`."""
    if correlation.expression is not None:
        return f"{correlation.kind}: the combination of rules holds within {correlation.within}"
    bounds = " and ".join(f"{_WORDS[bound.comparison]} {bound.count}" for bound in correlation.bounds)
    of = f" of {len(correlation.members)} rules" if correlation.kind.is_temporal else ""
    return f"{correlation.kind} is {bounds}{of} within {correlation.within}"


def group_text(values: tuple[Any, ...]) -> str:
    """Return a key's value as bounded text; "" where there is none."""
    return dedup_text(values)


def owner_of(facts: Facts) -> str:
    """Name whose events these are, as space is shared by: the authenticated user, or the peer, or the place."""
    name = facts.actor_real or facts.actor or (facts.sources[-1] if facts.sources else "")
    return bounded_text(name or facts.pod or facts.namespace or facts.node)


def tuple_text(found: list[tuple[Any, ...]]) -> str:
    """Return the values of fields as one bounded text that differs where they do, whatever characters they have."""
    texts = [dedup_text(values) for values in found]
    return texts[0] if len(texts) == 1 else bounded_text(msgspec.json.encode(texts).decode())
