"""Runs tests of rules on the engine and the correlator that the stream runs on.

Events come in the order in which a test has them, each arriving when it happened (as in `vedette scan`), and windows
close at the end. Where an event has no time of its own, it has that of the one before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from detectors.correlation.correlator import Correlator
from detectors.correlation.definition import Correlation
from detectors.correlation.finding import EventFinding, Firing
from detectors.engine import Engine
from detectors.rule import LoadedRules, Rule
from detectors.testing.case import GivenEvent, RuleTest
from detectors.testing.related import Related, asks
from vedette.schema.alert import Evidence
from vedette.schema.errors import DecodeError
from vedette.schema.event import Decoder, Event, Nature
from vedette.schema.limits import SECOND_NS
from vedette.schema.record import Record, Run

START_NS: Final = 1_767_225_600 * SECOND_NS
"""When the events of a test happen that have no time of their own: the beginning of 2026."""


class CaseError(Exception):
    """A test can't be run; the message says why."""


class Course(NamedTuple):
    """What came of events: what fired, how often rules matched, what correlations could not use, by reason."""

    firings: list[Firing]
    matched: dict[str, int]
    left_out: dict[str, int]


class Bench:
    """Runs tests of a set of rules. Pure; nothing is kept from one test to the next."""

    def __init__(self, loaded: LoadedRules, decoders: Mapping[str, Decoder]) -> None:
        """Compile the rules; events are decoded by `decoders`."""
        self._decoders = decoders
        self._engine = Engine(loaded.rules, decoders)
        self._related = Related(loaded)

    def passes(self, rule: Rule | Correlation, test: RuleTest) -> bool:
        """Say whether a test comes out as it should.

        Raises:
            CaseError: an event can't be used.
        """
        events = self.events(rule, test)
        if isinstance(rule, Correlation):
            return bool(self.course(rule, events).firings) is test.match
        return self.matches(rule, events) is test.match

    def matches(self, rule: Rule, events: Iterable[Event]) -> bool:
        """Say whether a rule matches at least one of several events."""
        return any(match.rule.rule_id == rule.info.rule_id for event in events for match in self._engine.match(event))

    def course(self, correlation: Correlation, events: Iterable[Event]) -> Course:
        """Run a correlation, and those that it looks at, over events until the end."""
        correlator = Correlator()
        correlator.use(self._related.chain(correlation))
        course = Course([], {}, {})
        for found in self._firings(correlator, events, course.matched):
            if found.correlation.info.rule_id == correlation.info.rule_id:
                course.firings.append(found)
        course.left_out.update({reason: count for (reason, _), count in correlator.left_out.items()})
        return course

    def asked(self, rule: Rule, event: Event) -> list[Rule]:
        """Return what pipelines made of a rule for the log sources of an event."""
        return [one for one in self._related.below(rule) if asks(one, event)]

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
        names = (given.format,) if given.format else self._related.formats(rule, self._decoders)
        if len(names) == 1 and names[0] in self._decoders:
            return self._decoders[names[0]]
        if given.format:
            raise CaseError(f"there is no format {given.format!r}; use one of {', '.join(self._decoders)}")
        if names:
            raise CaseError(f"the rule looks at {', '.join(names)}: say with `format` which of them the event is")
        idle = rule.idle if isinstance(rule, Rule) else ""
        raise CaseError(f"nothing can be an event of the rule: {idle or 'no source provides its log source'}")

    def _firings(self, correlator: Correlator, events: Iterable[Event], matched: dict[str, int]) -> Iterator[Firing]:
        arrival_ns = 0
        for event in events:
            for match in self._engine.match(event):
                arrival_ns, rule_id = event.record.arrival_ns, match.rule.rule_id
                matched[rule_id] = matched.get(rule_id, 0) + 1
                yield from correlator.advance(arrival_ns)
                yield from correlator.observe(rule_id, EventFinding(event, "", _sample))
        yield from correlator.finish(arrival_ns)


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
