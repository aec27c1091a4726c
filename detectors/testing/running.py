"""Runs tests of rules on the engine and the correlator that the stream runs on.

Events come in the order in which a test has them, each arriving when it happened (as in `vedette scan`), and windows
close at the end. Where an event has no time of its own, it has that of the one before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from detectors.correlation.correlator import Correlator
from detectors.correlation.definition import Correlation
from detectors.correlation.finding import EventFinding
from detectors.engine import Engine
from detectors.rule import LoadedRules, Rule
from detectors.sigma.logsource import contains
from detectors.testing.case import GivenEvent, RuleTest
from vedette.schema.alert import Evidence
from vedette.schema.errors import DecodeError
from vedette.schema.event import Decoder, Event, Nature
from vedette.schema.limits import SECOND_NS
from vedette.schema.record import Record, Run

START_NS: Final = 1_767_225_600 * SECOND_NS
"""When the events of a test happen that have no time of their own: the beginning of 2026."""


class CaseError(Exception):
    """A test can't be run; the message says why."""


class Bench:
    """Runs tests of a set of rules. Pure; nothing is kept from one test to the next."""

    def __init__(self, loaded: LoadedRules, decoders: Mapping[str, Decoder]) -> None:
        """Compile the rules; events are decoded by `decoders`."""
        self._loaded = loaded
        self._decoders = decoders
        self._engine = Engine(loaded.rules, decoders)
        self._correlations = {over.info.rule_id: over for over in loaded.correlations}

    def matches(self, rule: Rule | Correlation, test: RuleTest) -> bool:
        """Say whether a rule matches at least one of a test's events, or whether a correlation fires.

        Raises:
            CaseError: an event can't be used.
        """
        events = self.events(rule, test)
        if isinstance(rule, Correlation):
            return self._fires(rule, events)
        return any(match.rule.rule_id == rule.info.rule_id for event in events for match in self._engine.match(event))

    def events(self, rule: Rule | Correlation, test: RuleTest) -> list[Event]:
        """Return a test's events, decoded.

        Raises:
            CaseError: one of them can't be used.
        """
        found: list[Event] = []
        last_ns = START_NS
        for position, given in enumerate(test.events):
            decoder = self._decoder(rule, given)
            first_ns = 0
            for document, later_ns in given.each():
                event = _event(decoder, document, position, len(found))
                first_ns = first_ns or decoder.time_ns(event.head) or last_ns
                last_ns = max(last_ns, first_ns + later_ns)
                event.record = event.record._replace(arrival_ns=last_ns)
                vars(event)["time_ns"] = first_ns + later_ns  # it is computed when asked for, of the first one's time
                found.append(event)
        return found

    def _decoder(self, rule: Rule | Correlation, given: GivenEvent) -> Decoder:
        names = (given.format,) if given.format else self.formats(rule)
        if len(names) == 1 and names[0] in self._decoders:
            return self._decoders[names[0]]
        if given.format:
            raise CaseError(f"there is no format {given.format!r}; use one of {', '.join(self._decoders)}")
        if names:
            raise CaseError(f"the rule looks at {', '.join(names)}: say with `format` which of them the event is")
        raise CaseError("no source provides the rule's log source, so nothing can be an event of it")

    def formats(self, rule: Rule | Correlation) -> tuple[str, ...]:
        """Return the names of the formats whose events a rule looks at, or the rules of a correlation."""
        wanted = {found.logsource for found in self.below(rule)}
        return tuple(
            name
            for name, decoder in self._decoders.items()
            if any(contains(want, source) for want in wanted for source in decoder.logsources)
        )

    def below(self, rule: Rule | Correlation) -> tuple[Rule, ...]:
        """Return the rules that a correlation looks at, also by way of others; or what pipelines made of a rule."""
        ids = {member for over in self.chain(rule) for member in _members(over)} | {rule.info.rule_id}
        return tuple(found for found in self._loaded.rules if found.info.rule_id in ids)

    def chain(self, rule: Rule | Correlation) -> tuple[Correlation, ...]:
        """Return a correlation and those that it looks at, which come before it; of a rule there are none."""
        if not isinstance(rule, Correlation):
            return ()
        below = [self._correlations[name] for name in _members(rule) if name in self._correlations]
        found = {one.info.rule_id: one for over in below for one in self.chain(over)}
        return (*found.values(), rule)

    def _fires(self, correlation: Correlation, events: Sequence[Event]) -> bool:
        correlator = Correlator()
        correlator.use(self.chain(correlation))
        return any(found == correlation.info.rule_id for found in self._fired(correlator, events))

    def _fired(self, correlator: Correlator, events: Sequence[Event]) -> Iterator[str]:
        arrival_ns = 0
        for event in events:
            for match in self._engine.match(event):
                arrival_ns = event.record.arrival_ns
                firings = correlator.advance(arrival_ns)
                firings += correlator.observe(match.rule.rule_id, EventFinding(event, "", _sample))
                yield from (firing.correlation.info.rule_id for firing in firings)
        yield from (firing.correlation.info.rule_id for firing in correlator.finish(arrival_ns))


def _members(rule: Rule | Correlation) -> tuple[str, ...]:
    return tuple(member.rule_id for member in rule.members) if isinstance(rule, Correlation) else ()


def _event(decoder: Decoder, document: dict[str, Any], position: int, seq: int) -> Event:
    try:
        payload = msgspec.json.encode(document)
        head = decoder.decode(payload, "")
        event = Event(Record(seq, 0, payload, Run(decoder.name, decoder.name, 1), position + 1), decoder, head)
        if not decoder.plain and decoder.nature(head) is not Nature.EVENT:
            raise CaseError(f"event {position + 1} is none that rules look at")
        _ = event.doc
    except DecodeError as error:
        raise CaseError(f"event {position + 1} is none of the format {decoder.name}: {error}") from error
    if event.broken is not None:
        raise CaseError(f"event {position + 1} is none of the format {decoder.name}: {event.broken}")
    return event


def _sample(event: Event) -> Evidence:
    record = event.record
    return Evidence(record.seq, event.time_ns, record.arrival_ns, record.run.source, record.run.format, str(record.seq))
