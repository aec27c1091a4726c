"""Behaviour on the stream: records become observations, deviations become findings that roll up like all others."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from collector.enrichers.workload import likely_owner
from detectors.behaviour.flow_view import FlowView
from detectors.behaviour.watch import Watch
from vedette.pipeline.rollup import evidence_of
from vedette.schema.alert import Evidence
from vedette.schema.errors import DecodeError
from vedette.schema.event import Event, Facts
from vedette.schema.limits import EVIDENCE_ITEMS_MAX, FUTURE_NS_MAX
from vedette.schema.observation import Kind, Observation, Observer, Trace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from detectors.behaviour.definition import Definition
    from detectors.behaviour.deviation import Deviation
    from vedette.schema.event import Decoder, Document
    from vedette.schema.finding import Clause
    from vedette.schema.operator import Operator
    from vedette.schema.record import Record
    from vedette.schema.rule import RuleInfo

_OWNERS: Final = lru_cache(maxsize=65_536)(likely_owner)


class Observing:
    """Watches behaviour on the records of a log."""

    def __init__(self, decoders: Mapping[str, Decoder]) -> None:
        """Begin without definitions; formats whose decoders can't observe show that their source lives, no more."""
        self.watch = Watch()
        self._flows = FlowView()
        self._decoders = decoders
        self._observe = {name: found.observe for name, found in decoders.items() if isinstance(found, Observer)}

    @property
    def operators(self) -> tuple[Operator, ...]:
        """The stateful parts, for checkpoints."""
        return (*self._flows.operators, *self.watch.operators)

    @property
    def any(self) -> bool:
        """Whether there is anything to watch for."""
        return self.watch.any

    def use(self, definitions: Sequence[Definition]) -> None:
        """Put definitions in force."""
        self.watch.use(definitions)

    def look(self, record: Record, head: Document | None, cluster: str) -> list[Deviated]:
        """Watch a record, decoded or not; return what deviates."""
        seen = self.show(record, head, cluster)
        return [] if seen is None else [self._deviated(deviation, record) for deviation in self.watch.observe(seen)]

    def hear(self, record: Record, cluster: str) -> list[Deviated]:
        """Take note that the source of a record speaks; return what deviates."""
        seen = self._placed(Observation(Kind.LIFE), record, cluster)
        return [self._deviated(deviation, record) for deviation in self.watch.observe(seen)]

    def show(self, record: Record, head: Document | None, cluster: str) -> Observation | None:
        """Return what detectors are shown of a record; None if it adds nothing to those before it."""
        return self._flows.take(self._observed(record, head, cluster))

    def _deviated(self, deviation: Deviation, record: Record) -> Deviated:
        return Deviated(deviation, record if deviation.last.seq == record.seq else None, self._decoders)

    def _observed(self, record: Record, head: Document | None, cluster: str) -> Observation:
        run = record.run
        observe = self._observe.get(run.format)
        seen = None if observe is None else observe(record.payload, run.context, head)
        seen = self._placed(Observation(Kind.LIFE) if seen is None else seen, record, cluster)
        if seen.pod and not seen.workload:
            owner = _OWNERS(seen.pod, seen.node)
            seen.workload_kind, seen.workload = (owner.kind, owner.name) if owner else ("Pod", seen.pod)
        return seen

    def _placed(self, seen: Observation, record: Record, cluster: str) -> Observation:
        """Say of an observation which record showed it."""
        run, arrival_ns = record.run, record.arrival_ns
        seen.time_ns = min(seen.time_ns or arrival_ns, arrival_ns + FUTURE_NS_MAX)
        seen.source, seen.format, seen.cluster = run.source, run.format, cluster
        seen.seq, seen.arrival_ns = record.seq, arrival_ns
        return seen

    def advance(self, arrival_ns: int) -> list[Deviated]:
        """Let arrival time go on."""
        return [Deviated(deviation, None, self._decoders) for deviation in self.watch.advance(arrival_ns)]


class Deviated:
    """A deviation as the pipeline rolls it up (`vedette.pipeline.rollup.Finding`)."""

    def __init__(self, deviation: Deviation, record: Record | None, decoders: Mapping[str, Decoder]) -> None:
        """`record` is the one that showed it, where it is at hand."""
        self.deviation = deviation
        self.info: RuleInfo = deviation.info
        self.group = tuple(value for _, value in deviation.group)
        self.seq = deviation.last.seq
        self.arrival_ns = deviation.last.arrival_ns if record is None else record.arrival_ns
        self.time_ns = deviation.last.time_ns
        self.source = deviation.last.source
        self._event = None if record is None else _event_of(record, decoders)

    def facts(self) -> Facts:
        """Return who, what and where: the record's, else what the deviation is about."""
        return self._event.facts if self._event is not None else _facts_of(self.deviation)

    def clauses(self) -> tuple[Clause, ...]:
        """Explain."""
        return self.deviation.clauses()

    def evidence(self) -> list[Evidence]:
        """Return samples: the record that showed it, and by their numbers those before it."""
        last = _bare(self.deviation.last) if self._event is None else evidence_of(self._event)
        return [last, *map(_bare, self.deviation.traces[-(EVIDENCE_ITEMS_MAX - 1) :])]

    def span(self) -> tuple[int, int]:
        """Return the event times of the first and the last record, ns."""
        return self.deviation.first_ns or self.time_ns, self.time_ns


def _event_of(record: Record, decoders: Mapping[str, Decoder]) -> Event | None:
    decoder = decoders[record.run.format]
    try:
        return Event(record, decoder, decoder.decode(record.payload, record.run.context))
    except DecodeError:
        return None


def _bare(trace: Trace) -> Evidence:
    """Name a record without its bytes: they stand in the intake log under its number."""
    return Evidence(trace.seq, trace.time_ns, trace.arrival_ns, trace.source, trace.format, "", cut=True)


def _facts_of(deviation: Deviation) -> Facts:
    seen, facts = deviation.observation, Facts()
    known = dict(deviation.group)
    for name in _FACTS:
        setattr(facts, name, known.get(name, "") if seen is None else getattr(seen, name))
    if seen is None:
        return facts
    facts.sources = (seen.address,) if seen.address else ()
    facts.destinations = (seen.peer,) if seen.peer else ()
    facts.destination_port, facts.protocol = seen.port, seen.protocol
    return facts


_FACTS: Final = ("actor", "namespace", "workload_kind", "workload", "container", "pod", "node", "process", "user_agent")
"""Fields that facts and observations have in common."""
