"""Shows observations to the detectors that look at them: the one place where behaviour meets the stream.

Which definitions look at an observation depends on the few fields that their detections name, so it is remembered by
the values of those. That goes by definitions and observations alone: remembering it changes nothing but time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any, Final

from detectors.behaviour.definition import Definition
from detectors.behaviour.detector import Detector
from detectors.behaviour.deviation import Deviation
from detectors.behaviour.fields import FIELDS
from detectors.behaviour.profile import ProfileDeviations
from detectors.behaviour.types import make_detectors
from detectors.compiled import Check, compile_predicate
from detectors.predicate import fields as fields_of
from vedette.schema.observation import Kind, Observation
from vedette.schema.operator import Operator

_PLANS_MAX: Final = 65_536
"""Combinations of values remembered; user names and paths are input."""
_STEP_NS: Final = 250_000_000
"""Arrival time is told to detectors this often."""

_NONE: Final[list[Deviation]] = []
"""What is nearly always found; nobody changes it."""

_Step = tuple[Callable[[Definition, Observation], Deviation | None], Definition]
_Plan = tuple[_Step, ...]


class Watch:
    """All detectors of behaviour with their definitions. Their operators are there whether they are used or not."""

    def __init__(self) -> None:
        """Begin without definitions."""
        self.detectors: tuple[Detector, ...] = make_detectors()
        self.definitions: tuple[Definition, ...] = ()
        self._selections: dict[str, _Selection] = {}
        self._last_arrival_ns = 0
        self.profiles = next(found.profiles for found in self.detectors if isinstance(found, ProfileDeviations))
        """Learned from all observations, whatever definitions look at."""

    @property
    def operators(self) -> tuple[Operator, ...]:
        """The stateful parts, for checkpoints."""
        return tuple(self.detectors)

    @property
    def any(self) -> bool:
        """Whether there is anything to watch for."""
        return bool(self.definitions)

    def use(self, definitions: Sequence[Definition]) -> None:
        """Put definitions in force."""
        self.definitions = tuple(definitions)
        by_type = {detector.type_name: detector for detector in self.detectors}
        for detector in self.detectors:
            detector.use([definition for definition in definitions if definition.type == detector.type_name])
        self._selections = {
            kind: _Selection([found for found in definitions if found.kind in (kind, Kind.ANY)], by_type)
            for kind in Kind
            if kind not in (Kind.FLOW, Kind.ANY)
        }

    # --- the stream ---------------------------------------------------------------------------------------------------
    def observe(self, seen: Observation) -> list[Deviation]:
        """Show an observation to whoever looks at such; return what they found."""
        self.profiles.learn(seen)
        found: list[Deviation] = _NONE
        for observe, definition in self._selections[seen.kind].plan(seen):
            deviation = observe(definition, seen)
            if deviation is not None:
                found = [*found, deviation]
        return found

    def advance(self, arrival_ns: int) -> list[Deviation]:
        """Let arrival time go on."""
        if not self.definitions or arrival_ns // _STEP_NS == self._last_arrival_ns // _STEP_NS:
            return []
        self._last_arrival_ns = arrival_ns
        return [deviation for detector in self.detectors for deviation in detector.advance(arrival_ns)]

    def resume(self, arrival_ns: int) -> None:
        """Begin again after a pause in which nobody watched."""
        for detector in self.detectors:
            detector.resume(arrival_ns)

    def finish(self, arrival_ns: int) -> list[Deviation]:
        """Return what the end of the input leaves open."""
        return [deviation for detector in self.detectors for deviation in detector.finish(arrival_ns)]

    def take_left_out(self) -> Iterable[tuple[str, str, int]]:
        """Return what was left out since the last call: reason, rule id and count."""
        for detector in self.detectors:
            for (reason, rule_id), count in detector.left_out.items():
                yield reason, rule_id, count
            detector.left_out.clear()


class _Selection:
    """The definitions of one kind of observation, and which of them look at what."""

    def __init__(self, definitions: Sequence[Definition], by_type: dict[str, Detector]) -> None:
        self._names = sorted({name for found in definitions for name in fields_of(found.predicate) if name})
        self._read = _reader(self._names)
        self._steps: list[tuple[Check, _Step]] = [
            (compile_predicate(found.predicate), (by_type[found.type].observe, found)) for found in definitions
        ]
        self._plans: dict[Any, _Plan] = {}

    def plan(self, seen: Observation) -> _Plan:
        """Return who looks at an observation."""
        values = self._read(seen)
        known = self._plans.get(values)
        return self._learn(values) if known is None else known

    def _learn(self, values: Any) -> _Plan:
        told = (values,) if len(self._names) == 1 else values
        document = {name: value for name, value in zip(self._names, told, strict=True) if value != ""}
        if len(self._plans) >= _PLANS_MAX:
            self._plans.clear()
        plan = tuple(step for holds, step in self._steps if holds(document))
        self._plans[values] = plan
        return plan


def _reader(names: Sequence[str]) -> Callable[[Observation], Any]:
    """Return what reads the values of fields, as one that can be remembered."""
    if not names:
        return lambda _: ()
    if all(name in Observation.__struct_fields__ for name in names):
        return attrgetter(*names)
    reads = [FIELDS.get(name) or attrgetter(name) for name in names]
    if len(reads) == 1:
        return reads[0]
    return lambda seen: tuple([read(seen) for read in reads])
