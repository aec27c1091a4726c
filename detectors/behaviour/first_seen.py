"""First-seen tuples: somebody does what nobody has seen them do since they were first seen.

Each entity (`by`) has a set of the values that it showed. For `learn_for` after its first observation, or until it has
shown `learn_count` values, everything is normal and learned. After that a value that is not in the set deviates, once:
it is learned, too. What was not seen for `forget_after` is new again.

Source: Elastic's `new_terms`, Datadog's `new_value` (their settings; ours is bounded in memory, and says what it knew).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, cast

import msgspec

from detectors.behaviour.definition import Definition
from detectors.behaviour.deviation import Deviation
from detectors.behaviour.fields import reader
from detectors.behaviour.groups import Groups, count, named, owner_of
from detectors.behaviour.plain import Plain, days, shown
from detectors.engine import bounded_text
from vedette.schema.limits import SECOND_NS
from vedette.schema.observation import Observation

TUPLES_MAX: Final = 400_000
"""Values that all entities of all definitions may have together: about 80 MB."""
_DAY_NS: Final = 86_400 * SECOND_NS
_HOUR_NS: Final = 3_600 * SECOND_NS
_SHOWN: Final = 5


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a definition may say."""

    learn_for_ns: int = 7 * _DAY_NS
    learn_count: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Values after which an entity has shown what it does, however little time has passed; 0: time alone counts."""
    forget_after_ns: int = 30 * _DAY_NS
    values_max: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1_000
    """Values of one entity; one that has more does something else each time, and is left alone."""


class Known(msgspec.Struct):
    """What an entity has shown: each value with the hour (since the epoch) in which it was last seen."""

    owner: str
    since_ns: int
    values: dict[str, int] = {}
    overflowing: bool = False


class FirstSeen(Plain):
    """Learns sets of values. Implements `detectors.behaviour.detector.Detector`."""

    type_name = "first_seen"
    name = "behaviour_first_seen"
    version = 1
    settings: type[msgspec.Struct] = Settings

    def __init__(self) -> None:
        """Begin without having seen anything."""
        super().__init__()
        self._known: Groups[Known] = Groups(Known, TUPLES_MAX, lambda known: len(known.values))
        self.state = self._known.state

    def use(self, definitions: Sequence[Definition]) -> None:
        """Put definitions in force."""
        self._reads = {found.content_hash: (reader(found.by), reader(found.value)) for found in definitions}
        self._known.keep(definitions)

    def rebuild(self) -> None:
        """Recompute weights."""
        self._known.rebuild()

    def observe(self, definition: Definition, seen: Observation) -> Deviation | None:
        """Learn what an entity shows, and say if it is news."""
        read_entity, read_value = self._reads[definition.content_hash]
        entity, parts = read_entity(seen), read_value(seen)
        key = self._known.key(definition, seen.cluster, entity)
        known = self._known.get(key)
        hour = seen.time_ns // _HOUR_NS
        value = bounded_text(" ".join(parts))
        if known is not None and known.values.get(value, -1) >= hour:
            return None
        return self._learn(definition, seen, key, value, (entity, parts))

    def _learn(
        self, definition: Definition, seen: Observation, key: str, value: str, found: tuple[tuple[str, ...], ...]
    ) -> Deviation | None:
        settings, hour = cast("Settings", definition.settings), seen.time_ns // _HOUR_NS
        known = self._known.get(key)
        if known is None:
            known = Known(owner_of(seen), seen.time_ns, {})
            known.values[value] = hour
            count(self.left_out, "evicted", definition, self._known.add(key, known))
            return None
        self._known.touch(key)
        last = known.values.get(value)
        is_known = last is not None and (hour - last) * _HOUR_NS <= settings.forget_after_ns
        told = None if is_known or self._learns(settings, known, seen) else self._tell(definition, seen, known, found)
        self._put(definition, key, known, value, hour)
        return told

    def _learns(self, settings: Settings, known: Known, seen: Observation) -> bool:
        enough = settings.learn_count and len(known.values) >= settings.learn_count
        return known.overflowing or (not enough and seen.time_ns - known.since_ns < settings.learn_for_ns)

    def _put(self, definition: Definition, key: str, known: Known, value: str, hour: int) -> None:
        settings = cast("Settings", definition.settings)
        if value not in known.values and len(known.values) >= settings.values_max:
            oldest = min(known.values, key=known.values.__getitem__)
            del known.values[oldest]
            known.overflowing = True
            count(self.left_out, "overflowing", definition)
        known.values[value] = max(hour, known.values.get(value, 0))
        count(self.left_out, "evicted", definition, self._known.weigh(key, known))

    def _tell(
        self, definition: Definition, seen: Observation, known: Known, found: tuple[tuple[str, ...], ...]
    ) -> Deviation:
        entity, parts = found
        group = (*named(definition.by, entity), *named(definition.value, parts))
        usual = sorted(known.values, key=lambda value: (-known.values[value], value))[:_SHOWN]
        what = ", ".join(definition.value)
        return Deviation(
            definition,
            seen.cluster,
            group,
            normal=f"in {days(seen.time_ns - known.since_ns)} {shown(entity)} showed {len(known.values)} values of "
            f"{what}, lately: {'; '.join(usual)}",
            seen=f"{what} = {shown(parts)}",
            unusual=f"never seen of it in {days(seen.time_ns - known.since_ns)}",
            last=seen.trace(),
            observation=seen,
            first_ns=seen.time_ns,
            evidence=(("values known", len(known.values)),),
        )
