"""Tests of definitions: their events are observations, and a test passes if at least one deviates, or none does.

    event: {kind: call, actor: …, verb: list, resource: secrets, after: 200h}
    repeat: 20
    every: 1m

An event is an observation with the fields of `vedette.schema.observation.Observation`; `{n}` in its texts is the number
of the time. It happens `after` the beginning, else with the one before, and arrives when it happens. All events of a
test are ordered by their times. At the end time goes on for a day, as it would with nobody there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from detectors.behaviour.definition import Definition
from detectors.behaviour.deviation import Deviation
from detectors.behaviour.flow_view import FlowView
from detectors.behaviour.watch import Watch
from detectors.lengths import length_ns
from detectors.testing.case import RuleTest
from detectors.testing.running import START_NS, CaseError
from vedette.schema.limits import SECOND_NS
from vedette.schema.observation import Observation

_QUIET_NS: Final = 60 * SECOND_NS
_STEPS: Final = 24 * 60


def passes(definition: Definition, test: RuleTest) -> bool:
    """Say whether a test comes out as it should.

    Raises:
        CaseError: an event is no observation.
    """
    return bool(deviations(definition, test)) is test.match


def deviations(definition: Definition, test: RuleTest) -> list[Deviation]:
    """Run a definition over the events of a test; return what deviated.

    Raises:
        CaseError: an event is no observation.
    """
    watch, flows, found = Watch(), FlowView(), list[Deviation]()
    watch.use([definition])
    last_ns = START_NS
    for seq, seen in enumerate(observations(test), 1):
        last_ns = max(last_ns, seen.time_ns)
        seen.seq, seen.arrival_ns = seq, last_ns
        found += watch.advance(last_ns)
        connection = flows.take(seen)
        if connection is not None:
            found += watch.observe(connection)
    for step in range(1, _STEPS + 1):
        found += watch.advance(last_ns + step * _QUIET_NS)
    return found + watch.finish(last_ns + _STEPS * _QUIET_NS)


def observations(test: RuleTest) -> Iterable[Observation]:
    """Return the observations of a test in the order of their times.

    Raises:
        CaseError: an event is none.
    """
    return sorted(_each(test), key=lambda seen: seen.time_ns)


def _each(test: RuleTest) -> Iterator[Observation]:
    last_ns = START_NS
    for position, given in enumerate(test.events, 1):
        first_ns = last_ns
        for document, later_ns in given.each():
            seen, first_ns = _observation(document, position, first_ns)
            seen.time_ns = first_ns + later_ns
            last_ns = seen.time_ns
            yield seen


def _observation(document: dict[str, Any], position: int, last_ns: int) -> tuple[Observation, int]:
    plain = {name: value for name, value in document.items() if name != "after"}
    unknown = [name for name in plain if name not in Observation.__struct_fields__]
    if unknown:
        raise CaseError(f"event {position}: observations have no field {unknown[0]!r}")
    after: Any = document.get("after")
    length = length_ns(after)
    if after is not None and length is None:
        raise CaseError(f"event {position}: {after!r} is no length of time; write 90s, 5m, 2h or 3d")
    try:
        seen = msgspec.convert(plain, Observation)
    except msgspec.ValidationError as error:
        raise CaseError(f"event {position} is no observation: {error}") from error
    return seen, last_ns if length is None else START_NS + length
