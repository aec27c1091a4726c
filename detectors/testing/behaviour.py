"""Detectors of behaviour on the workbench: how they are written, what their tests say, and mutants of them."""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from detectors.behaviour.definition import Definition
from detectors.behaviour.fields import FIELDS
from detectors.behaviour.flow_view import FlowView
from detectors.behaviour.testing import deviations, observations
from detectors.predicate import fields
from detectors.testing.case import RuleTest
from detectors.testing.mutants import Change, mutants
from detectors.testing.trace import Part, decisive, trace
from vedette.schema.limits import SECOND_NS
from vedette.schema.observation import Kind, Observation

_NS: Final = "_ns"
_UNITS_NS: Final = (("d", 86_400 * SECOND_NS), ("h", 3600 * SECOND_NS), ("m", 60 * SECOND_NS), ("s", SECOND_NS))


def described(definition: Definition) -> dict[str, Any]:
    """Return what a definition learns, as it is written, with the settings that it leaves to its type."""
    return {
        "type": definition.type,
        "kind": str(definition.kind),
        "by": list(definition.by),
        "value": list(definition.value),
        "settings": dict(_settings(definition.settings)),
    }


def _settings(settings: msgspec.Struct) -> Iterator[tuple[str, Any]]:
    for name in settings.__struct_fields__:
        value = getattr(settings, name)
        yield name.removesuffix(_NS), length_text(value) if name.endswith(_NS) else _plain(value)


def _plain(value: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))


def length_text(length_ns: int) -> str:
    """Write a length of time as definitions have it: `30s`, `5m`, `1h`, `7d`."""
    name, unit_ns = next((unit for unit in _UNITS_NS if length_ns and not length_ns % unit[1]), _UNITS_NS[-1])
    return f"{length_ns / unit_ns:g}{name}"


def failure(definition: Definition, test: RuleTest) -> tuple[str, int, tuple[Part, ...]]:
    """Run a test; return the problem, "" if it passes, with the number of the event that shows it and its clauses.

    Raises:
        CaseError: an event is no observation.
    """
    found = deviations(definition, test)
    if bool(found) is test.match:
        return "", 0, ()
    if found:
        return f"should not deviate, and does: {found[0].seen}", found[0].last.seq, ()
    traced = [(number, trace(definition.predicate, document)) for number, document in _documents(definition, test)]
    looked_at = sum(part.held for _, part in traced)
    problem = f"should deviate, and does not: it looked at {looked_at} of {len(traced)} such observations"
    if looked_at or not traced:
        return problem, 0, ()
    number, part = min(traced, key=lambda one: sum(1 for _ in decisive(one[1])))
    return problem, number, tuple(decisive(part))


def definition_mutants(definition: Definition) -> Iterator[tuple[Change, Definition]]:
    """Yield mutants: what a definition looks at is changed, not how it learns."""
    for change, predicate in mutants(definition.predicate, lambda _: True):
        yield change, replace(definition, predicate=predicate)


def _documents(definition: Definition, test: RuleTest) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the observations of a definition's kind, numbered from 1 in order of time, as its detection sees them."""
    flows = FlowView()
    names = [name for name in dict.fromkeys(fields(definition.predicate)) if name]
    for number, given in enumerate(observations(test), 1):
        given.seq, given.arrival_ns = number, given.time_ns
        seen = flows.take(given)
        if seen is not None and definition.kind in (seen.kind, Kind.ANY):
            values = {name: _value(seen, name) for name in names}
            yield number, {name: value for name, value in values.items() if value != ""}


def _value(seen: Observation, name: str) -> Any:
    return attrgetter(name)(seen) if name in seen.__struct_fields__ else FIELDS[name](seen)
