"""First-seen tuples: somebody does what nobody has seen them do for as long as they are known.

Each entity (`by`) has a set of the values that it showed. For `learn_for` after its first observation, or until it has
shown `learn_count` values, everything is normal and learned. After that a value that is not in the set deviates, once:
it is learned, too. What was not seen for `forget_after` is new again, and what many others show is not news at all.

An observation may say no more than that an entity is there: one whose first field of `value` is empty, and one that
names it in the fields of `exists_by`. So one that was silent for days has learned that it is silent.

Source: Elastic's `new_terms`, Datadog's `new_value` (their settings; ours is bounded in memory, and says what it knew).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Final, NamedTuple, cast

import msgspec

from detectors.behaviour.definition import Definition
from detectors.behaviour.deviation import Deviation
from detectors.behaviour.fields import FIELDS, reader
from detectors.behaviour.first_seen_fleet import Fleet, Known
from detectors.behaviour.first_seen_texts import Reader, Reading, plain_text
from detectors.behaviour.groups import count, named, owner_of
from detectors.behaviour.plain import Plain, days, shown
from vedette.schema.limits import SECOND_NS
from vedette.schema.observation import Observation

TUPLES_MAX: Final = 500_000
"""What all entities of all definitions may weigh together (a value weighs 1, an entity 8 more): about 100 MB."""
_DAY_NS: Final = 86_400 * SECOND_NS
_HOUR_NS: Final = 3_600 * SECOND_NS
_SHOWN: Final = 5
_PERCENT: Final = 100
_Values = tuple[str, ...]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a definition may say."""

    learn_for_ns: int = 7 * _DAY_NS
    learn_count: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Values after which an entity has shown what it does, however little time has passed; 0: time alone counts."""
    forget_after_ns: int = 30 * _DAY_NS
    values_max: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1_000
    """Values of one entity; one that has more does something else each time, and is left alone."""
    exists_by: tuple[str, ...] = ()
    """As many fields as `by`: an observation in which all of them have a value shows that the entity they name exists,
    and nothing else."""
    common_from: Annotated[int, msgspec.Meta(ge=0)] = 0
    """So many other entities of the cluster make a value common, and no news; 0: others do not matter."""
    common_percent: Annotated[int, msgspec.Meta(ge=0, le=100)] = 10
    """And so many percent of all that are known."""
    straight_within_ns: int = 0
    """Told is only what comes so soon after the entity began to act; 0: at any time."""
    pause_ns: int = _HOUR_NS // 2
    """Without acts for so long it begins anew."""

    def __post_init__(self) -> None:
        """Check what the loader does not know to be fields.

        Raises:
            ValueError: `exists_by` names something else.
        """
        unknown = [name for name in self.exists_by if name not in FIELDS]
        if unknown:
            raise ValueError(f"there is no field {unknown[0]!r} for exists_by")


class _Plan(NamedTuple):
    """How a definition reads an observation, and who else may be named in it."""

    reader: Reader
    exists: Callable[[Observation], _Values] | None


class FirstSeen(Plain):
    """Learns sets of values. Implements `detectors.behaviour.detector.Detector`."""

    type_name = "first_seen"
    name = "behaviour_first_seen"
    version = 1
    settings: type[msgspec.Struct] = Settings

    def __init__(self) -> None:
        """Begin without having seen anything."""
        super().__init__()
        self.known = Fleet(TUPLES_MAX)
        self.state = self.known.state
        self._plans: dict[str, _Plan] = {}

    def use(self, definitions: Sequence[Definition]) -> None:
        """Put definitions in force."""
        self._plans = {found.content_hash: self._plan(found) for found in definitions}
        self.known.keep(definitions)
        self.known.count_for(found for found in definitions if cast("Settings", found.settings).common_from)

    def _plan(self, definition: Definition) -> _Plan:
        exists_by = cast("Settings", definition.settings).exists_by
        read = Reader(definition, self.known, shown_by_first=True)
        return _Plan(read, reader(exists_by) if exists_by else None)

    def rebuild(self) -> None:
        """Recompute weights."""
        self.known.rebuild()

    def observe(self, definition: Definition, seen: Observation) -> Deviation | None:
        """Learn what an entity shows, and say if it is news."""
        plan = self._plans[definition.content_hash]
        other = None if plan.exists is None else plan.exists(seen)
        acts = other is None or not all(other)
        reading = plan.reader.read(seen) if other is None or acts else plan.reader.named(seen.cluster, other)
        if not reading.key:
            return None
        known = self.known.get(reading.key)
        settings = cast("Settings", definition.settings)
        if known is not None and not settings.straight_within_ns:
            if not reading.value and (known.acted or not acts):
                return None
            if known.values.get(reading.value, -1) >= seen.time_ns // _HOUR_NS:
                return None
        return self._learn(definition, seen, reading, acts=acts)

    def _learn(self, definition: Definition, seen: Observation, reading: Reading, *, acts: bool) -> Deviation | None:
        settings, known = cast("Settings", definition.settings), self.known.get(reading.key)
        if known is None:
            known = Known(owner_of(seen), seen.time_ns, {})
            count(self.left_out, "evicted", definition, self.known.add(reading.key, known))
        self.known.touch(reading.key)
        known.since_ns = min(known.since_ns, seen.time_ns)
        if settings.straight_within_ns and acts:
            _go_on(known, seen.time_ns, settings)
        told = self._told(definition, seen, reading) if reading.value else None
        known.acted = known.acted or acts
        if reading.value:
            self._put(definition, reading.key, reading.value, seen.time_ns // _HOUR_NS)
        return told

    def _told(self, definition: Definition, seen: Observation, reading: Reading) -> Deviation | None:
        key, value = reading.key, reading.value
        settings, known = cast("Settings", definition.settings), self.known.get(key)
        assert known is not None, "it was just found or made"
        last = known.values.get(value)
        if last is not None and (seen.time_ns // _HOUR_NS - last) * _HOUR_NS <= settings.forget_after_ns:
            return None
        if _learns(settings, known, seen.time_ns):
            return None
        others, entities = self.known.shares(key, value)
        is_common = others >= settings.common_from and others * _PERCENT >= settings.common_percent * entities
        if settings.common_from and is_common:
            return None
        return _deviation(definition, seen, known, reading, (others, entities))

    def _put(self, definition: Definition, key: str, value: str, hour: int) -> None:
        settings, known = cast("Settings", definition.settings), self.known.get(key)
        assert known is not None, "it was just found or made"
        if value not in known.values and len(known.values) >= settings.values_max:
            self.known.unlearn(key, known)
            known.overflowing = True
            count(self.left_out, "overflowing", definition)
        self.known.learn(key, known, value, hour)
        count(self.left_out, "evicted", definition, self.known.weigh(key, known))


def _learns(settings: Settings, known: Known, now_ns: int) -> bool:
    if known.overflowing or (settings.straight_within_ns and now_ns - known.began_ns > settings.straight_within_ns):
        return True
    enough = settings.learn_count and len(known.values) >= settings.learn_count
    return not enough and now_ns - known.since_ns < settings.learn_for_ns


def _go_on(known: Known, now_ns: int, settings: Settings) -> None:
    if now_ns - known.last_ns > settings.pause_ns:
        known.began_ns = now_ns
    known.last_ns = max(known.last_ns, now_ns)


def _deviation(
    definition: Definition, seen: Observation, known: Known, what: Reading, shares: tuple[int, int]
) -> Deviation:
    length, who, fields = days(seen.time_ns - known.since_ns), shown(what.entity), ", ".join(definition.value)
    usual = [plain_text(value) for value in list(known.values)[: -_SHOWN - 1 : -1]]
    did = f"showed {len(known.values)} values of {fields}, lately: {'; '.join(usual)}"
    if not usual:
        did = f"showed no {fields}" if known.acted else "was known to exist and never seen to do anything"
    last = known.values.get(what.value)
    unusual = f"never seen of it in {length}"
    if last is not None:
        unusual = f"not seen of it for {days(seen.time_ns - last * _HOUR_NS)}"
    others = f"; {shares[0]} of {shares[1]} that are known here have shown it" if shares[1] else ""
    return Deviation(
        definition,
        seen.cluster,
        named(definition.by, what.entity),
        normal=f"in {length} {who} {did}",
        seen=f"{fields} = {shown(what.parts)}",
        unusual=unusual + others,
        last=seen.trace(),
        observation=seen,
        first_ns=seen.time_ns,
        evidence=(*named(definition.value, what.parts), ("values known", len(known.values))),
    )
