"""Distinct counts: somebody touched more different things within a while than anybody should, or than they ever do.

Each entity (`by`) has the values that it showed and when it last did. The count at a moment is exact: how many
different values were seen in the `within` before it, up to `values_max`. It deviates when it reaches `at_least`, and,
with a `usual_factor`, also so many times what the entity showed at most before. Told once in each `within`; with a
factor what was told is usual after a while, so that a change that stays is told and then taken for normal.

Source: Panther's secret enumeration (15 distinct secrets in 30 minutes); Sigma's `value_count`, which knows no usual.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, NamedTuple, cast

import msgspec

from detectors.behaviour.definition import Definition
from detectors.behaviour.deviation import Deviation
from detectors.behaviour.first_seen_texts import GROUP_WEIGHT, Reader, Reading, plain_text
from detectors.behaviour.groups import Groups, count, named, owner_of
from detectors.behaviour.plain import Plain, days, shown
from vedette.schema.limits import SECOND_NS
from vedette.schema.observation import Observation

VALUES_MAX: Final = 100_000
"""What all entities of all definitions may weigh together (a value weighs 1, an entity 8 more): about 30 MB."""
LATE_NS: Final = 10 * 60 * SECOND_NS
"""Observations that are later than this behind the newest of their entity may be missed in a count."""
_MINUTE_NS: Final = 60 * SECOND_NS
_DAY_NS: Final = 86_400 * SECOND_NS
_PRUNED_FROM: Final = 16
_SHOWN: Final = 10


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a definition may say."""

    at_least: Annotated[int, msgspec.Meta(ge=2)]
    """Different values that deviate; fewer never do."""
    within_ns: int = 30 * _MINUTE_NS
    usual_factor: Annotated[int, msgspec.Meta(ge=0, le=1_000)] = 0
    """So many times the most that the entity showed within the length of the window; 0: the usual does not matter."""
    learn_for_ns: int = 7 * _DAY_NS
    """With a `usual_factor`: how long an entity is only learned. What is usual is forgotten after twice as long."""
    values_max: Annotated[int, msgspec.Meta(ge=2, le=10_000)] = 1_000
    """Values counted of one entity; of more it is only known that there are more."""

    def __post_init__(self) -> None:
        """Check what goes together.

        Raises:
            ValueError: the count could never be reached.
        """
        if self.at_least > self.values_max:
            raise ValueError(
                f"at_least is {self.at_least}, and no more than values_max = {self.values_max} are counted"
            )


class Counted(msgspec.Struct):
    """The values of an entity with the time (ns) at which each was last seen, and the most that it usually shows."""

    owner: str
    since_ns: int
    values: dict[str, int] = {}
    newest_ns: int = 0
    told_ns: int = 0
    full_until_ns: int = 0
    """There is no room for other values before that."""
    usual: int = 0
    """The most within a window that had ended, since `period_ns`."""
    usual_before: int = 0
    """The most in the period before that."""
    period_ns: int = 0
    step: int = 0
    """Number of the stretch of time, as long as a window, that the newest value fell into."""
    most: int = 0
    """The most in that stretch."""
    most_before: int = 0
    """The most in the stretch before: a burst that goes on may have begun in it, so it is not yet what is usual."""


class _Window(NamedTuple):
    """The fullest window that a new value is in: when it begins, and what it holds."""

    begin_ns: int
    distinct: int


class DistinctCount(Plain):
    """Counts different values. Implements `detectors.behaviour.detector.Detector`."""

    type_name = "distinct_count"
    name = "behaviour_distinct_count"
    version = 1
    settings: type[msgspec.Struct] = Settings

    def __init__(self) -> None:
        """Begin without having seen anything."""
        super().__init__()
        self.counted: Groups[Counted] = Groups(Counted, VALUES_MAX, lambda group: GROUP_WEIGHT + len(group.values))
        self.state = self.counted.state
        self._readers: dict[str, Reader] = {}

    def use(self, definitions: Sequence[Definition]) -> None:
        """Put definitions in force."""
        self._readers = {found.content_hash: Reader(found, self.counted) for found in definitions}
        self.counted.keep(definitions)

    def rebuild(self) -> None:
        """Recompute weights."""
        self.counted.rebuild()

    def observe(self, definition: Definition, seen: Observation) -> Deviation | None:
        """Count what an entity shows, and say if that is much."""
        reading = self._readers[definition.content_hash].read(seen)
        key, value, now_ns = reading.key, reading.value, seen.time_ns
        if not key or not value:
            return None
        group = self.counted.get(key)
        if group is None:
            group = Counted(owner_of(seen), now_ns, {}, period_ns=now_ns)
            count(self.left_out, "evicted", definition, self.counted.add(key, group))
        settings = cast("Settings", definition.settings)
        last_ns = group.values.get(value)
        if last_ns is None and now_ns < group.full_until_ns:
            count(self.left_out, "overflowing", definition)
            return None
        self.counted.touch(key)
        if last_ns is not None and abs(now_ns - last_ns) < settings.within_ns:
            group.values[value] = max(last_ns, now_ns)
            group.newest_ns = max(group.newest_ns, now_ns)
            return None
        return self._count(definition, seen, reading)

    def _count(self, definition: Definition, seen: Observation, reading: Reading) -> Deviation | None:
        """Take a value that is new within the window: only such a one makes a count greater than it was."""
        (key, value, entity, _), settings = reading, cast("Settings", definition.settings)
        group = self.counted.get(key)
        assert group is not None, "it was just found or made"
        group.values[value] = max(seen.time_ns, group.values.get(value, 0))
        group.newest_ns = max(group.newest_ns, seen.time_ns)
        group.since_ns = min(group.since_ns, seen.time_ns)
        self._make_room(definition, settings, group)
        count(self.left_out, "evicted", definition, self.counted.weigh(key, group))
        if not settings.usual_factor and len(group.values) < settings.at_least:
            return None
        window = _fullest(group, seen.time_ns, settings.within_ns)
        return self._judge(definition, seen, group, window, entity)

    def _make_room(self, definition: Definition, settings: Settings, group: Counted) -> None:
        size = len(group.values)
        full = size >= settings.values_max
        if not full and (size < _PRUNED_FROM or size & (size - 1)):
            return
        old_ns = group.newest_ns - settings.within_ns - LATE_NS
        for value in [value for value, last_ns in group.values.items() if last_ns <= old_ns]:
            del group.values[value]
        if len(group.values) >= settings.values_max:
            count(self.left_out, "overflowing", definition)
            group.full_until_ns = min(group.values.values()) + settings.within_ns + LATE_NS

    def _judge(
        self, definition: Definition, seen: Observation, group: Counted, window: _Window, entity: tuple[str, ...]
    ) -> Deviation | None:
        settings, now_ns = cast("Settings", definition.settings), seen.time_ns
        usual, limit = 0, settings.at_least
        if settings.usual_factor:
            usual = _usual(group, settings, now_ns)
            limit = min(max(limit, settings.usual_factor * usual), settings.values_max)
            group.most = max(group.most, window.distinct)
            if now_ns - group.since_ns < settings.learn_for_ns:
                return None
        if window.distinct < limit or (group.told_ns and abs(now_ns - group.told_ns) < settings.within_ns):
            return None
        group.told_ns = now_ns
        return _deviation(definition, seen, group, window, (entity, usual, limit))


def _usual(group: Counted, settings: Settings, now_ns: int) -> int:
    """Return the most that an entity showed in windows that had ended, and let the time go on for which it counts."""
    step = now_ns // settings.within_ns
    if step > group.step:
        ended = max(group.most_before, group.most) if step > group.step + 1 else group.most_before
        group.usual = max(group.usual, ended)
        group.most_before, group.most = (0 if step > group.step + 1 else group.most), 0
        group.step = step
    if now_ns - group.period_ns >= settings.learn_for_ns:
        recent = now_ns - group.period_ns < 2 * settings.learn_for_ns
        group.usual_before, group.usual = group.usual if recent else 0, 0
        group.period_ns = now_ns
    return max(group.usual, group.usual_before)


def _fullest(group: Counted, now_ns: int, within_ns: int) -> _Window:
    """Find the window of one length, around a time, in which most values were last seen."""
    if now_ns >= group.newest_ns:
        begin_ns = now_ns - within_ns
        return _Window(begin_ns, sum(last_ns > begin_ns for last_ns in group.values.values()))
    times = sorted(last_ns for last_ns in group.values.values() if abs(last_ns - now_ns) < within_ns)
    best, first = _Window(now_ns - within_ns, 0), 0
    for end, last_ns in enumerate(times):
        while times[first] <= last_ns - within_ns:
            first += 1
        if times[first] <= now_ns <= last_ns and end - first + 1 > best.distinct:
            best = _Window(last_ns - within_ns, end - first + 1)
    return best


def _deviation(
    definition: Definition,
    seen: Observation,
    group: Counted,
    window: _Window,
    known: tuple[tuple[str, ...], int, int],
) -> Deviation:
    settings, (entity, usual, limit) = cast("Settings", definition.settings), known
    fields, length, who = ", ".join(definition.value), days(settings.within_ns), shown(entity)
    end_ns = window.begin_ns + settings.within_ns
    held = [(last_ns, value) for value, last_ns in group.values.items() if window.begin_ns < last_ns <= end_ns]
    sample = "; ".join(plain_text(value) for _, value in sorted(held)[-_SHOWN:])
    normal = f"fewer than {limit} different {fields} within {length}"
    if settings.usual_factor:
        normal = f"{who} showed at most {usual} different {fields} within {length}; it is told from {limit}"
    more = " or more" if window.distinct >= settings.values_max else ""
    return Deviation(
        definition,
        seen.cluster,
        named(definition.by, entity),
        normal=normal,
        seen=f"{window.distinct}{more} different {fields} of {who} within {length}, the last: {sample}",
        unusual=f"{window.distinct / usual:.1f} times the most it showed before"
        if usual
        else f"{window.distinct} of {limit}",
        last=seen.trace(),
        observation=seen,
        first_ns=min(last_ns for last_ns, _ in held),
        evidence=(("distinct values", window.distinct), ("limit", limit), ("usual", usual)),
    )
