"""Rate anomaly: somebody does far more of something in an interval than they, or newcomers of their kind, ever do.

Each entity (`by`) has a tally of its intervals (`rate_baseline`). An interval that runs is judged as it grows, by a
very strict bound: a flood is told within minutes. A closed one is judged together with those of all other entities, so
that of what is told at most a small share is chance (Benjamini and Hochberg), however many entities there are. What
deviates is not learned, for a bounded time.

Who is known for less than `learn_for` has no habits yet. They are judged by what newcomers of their class (`value`) do,
all together: a class in which nobody new was ever refused anything is not used to thirty refusals.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Final, cast

import msgspec

from detectors.behaviour.definition import Definition
from detectors.behaviour.deviation import Deviation
from detectors.behaviour.fields import reader
from detectors.behaviour.groups import Groups, count, owner_of
from detectors.behaviour.plain import Plain
from detectors.behaviour.rate_baseline import HOUR_NS, Clock, Tally
from detectors.behaviour.rate_words import Judged, told
from detectors.behaviour.statistics import discoveries
from vedette.schema.limits import SECOND_NS
from vedette.schema.observation import Observation

WEIGHT_MAX: Final = 50_000
"""What all tallies may weigh: 1 for one of an hour or less, 2 for one with hours of the week; about 50 MB."""
_SEASONED: Final = 2
_DAY_NS: Final = 86_400 * SECOND_NS
_LATE_NS: Final = 120 * SECOND_NS
"""How long after its end an interval is closed: sources are minutes apart."""
_AGAIN_NS: Final = HOUR_NS
"""What goes on is told again this much later."""
_HOLD_NS: Final = _DAY_NS
"""How long what deviates is not learned; after that it is the new normal."""
_DOUBT: Final = 1e-4
"""What is less likely than this is not learned either: it may be the edge of something."""
_GROWTH: Final = 1.1
"""A running interval is judged again when its count has grown by this."""
_CLASS: Final = ("\0class",)
_WATCHED: Final = ("\0watched",)


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a definition may say."""

    count_min: Annotated[int, msgspec.Meta(ge=2, le=1_000_000)]
    """Fewer in an interval are never told, however unusual."""
    interval_ns: int = 600 * SECOND_NS
    learn_for_ns: int = 3 * _DAY_NS
    false_share: Annotated[float, msgspec.Meta(gt=0.0, le=0.1)] = 1e-5
    """Of what is told when intervals close, at most this share is chance."""
    at_once: Annotated[float, msgspec.Meta(gt=0.0, le=0.1)] = 1e-10
    """The chance below which a running interval is told at once."""

    def __post_init__(self) -> None:
        """Refuse intervals that hours are not made of."""
        if HOUR_NS % self.interval_ns or self.interval_ns < 2 * _LATE_NS:
            raise ValueError(
                "interval must be 5m, 6m, 10m, 12m, 15m, 20m, 30m or 1h: an hour is a whole number of them"
            )


class Rate(Plain):
    """Learns how often. Implements `detectors.behaviour.detector.Detector`."""

    type_name = "rate"
    name = "behaviour_rate"
    version = 1
    settings: type[msgspec.Struct] = Settings

    def __init__(self) -> None:
        """Begin without having seen anything."""
        super().__init__()
        self._tallies: Groups[Tally] = Groups(Tally, WEIGHT_MAX, lambda tally: _SEASONED if tally.sums else 1)
        self.state = self._tallies.state
        self._definitions: dict[str, Definition] = {}
        self._clocks: dict[str, Clock] = {}
        self._open: dict[str, dict[int, dict[str, None]]] = {}
        """By definition and slot: the tallies that have something in it. Derived from the state."""

    def use(self, definitions: Sequence[Definition]) -> None:
        """Put definitions in force."""
        self._definitions = {found.content_hash: found for found in definitions}
        self._reads = {found.content_hash: (reader(found.by), reader(found.value)) for found in definitions}
        self._clocks = {found.content_hash: Clock(_settings(found).interval_ns) for found in definitions}
        self._tallies.keep(definitions)
        self.rebuild()

    def rebuild(self) -> None:
        """Recompute weights, and which intervals are open."""
        self._tallies.rebuild()
        self._open = {content_hash: {} for content_hash in self._definitions}
        for content_hash, definition in self._definitions.items():
            for key, tally in self._tallies.of(definition):
                if tally.kin and tally.slot > tally.learned:
                    self._open[content_hash].setdefault(tally.slot, {})[key] = None
                if tally.before and tally.slot - 1 > tally.learned:
                    self._open[content_hash].setdefault(tally.slot - 1, {})[key] = None

    # --- observations -------------------------------------------------------------------------------------------------
    def observe(self, definition: Definition, seen: Observation) -> Deviation | None:
        """Count, and judge the running interval if it is time to."""
        key = self._tallies.key(definition, seen.cluster, self._reads[definition.content_hash][0](seen))
        tally = self._tallies.get(key)
        slot = seen.time_ns // self._clocks[definition.content_hash].interval_ns
        if tally is None or tally.slot != slot:
            tally = self._at(definition, key, tally, seen, slot)
            if tally is None:
                return None
        self._tallies.touch(key)
        if slot == tally.slot:
            tally.count += 1
        else:
            tally.before += 1
        if tally.count + tally.before < tally.look_at:
            return None
        tally.last = seen.trace()
        tally.look_at = int((tally.count + tally.before) * _GROWTH) + 1
        return self._judge(definition, key, tally, seen)

    def _at(self, definition: Definition, key: str, tally: Tally | None, seen: Observation, slot: int) -> Tally | None:
        """Return the tally of an entity, its running interval set right; None for what is too late."""
        if tally is not None and slot == tally.slot - 1 and slot > tally.learned:
            self._opened(definition, key, slot)
            return tally
        if tally is not None and slot < tally.slot:
            count(self.left_out, "late", definition)
            return None
        if tally is None:
            kin = self._tallies.key(definition, seen.cluster, _CLASS + self._reads[definition.content_hash][1](seen))
            tally = Tally(owner_of(seen), slot, slot, kin)
            count(self.left_out, "evicted", definition, self._tallies.add(key, tally))
        self._tallies.touch(key)
        follows = slot == tally.slot + 1
        tally.before, tally.last = (tally.count, tally.last) if follows else (0, None)
        tally.slot, tally.count, tally.first_ns = slot, 0, seen.time_ns
        tally.look_at = max(_settings(definition).count_min, tally.before + 1)
        self._clocks[definition.content_hash].refresh(tally)
        self._opened(definition, key, slot)
        return tally

    def _opened(self, definition: Definition, key: str, slot: int) -> None:
        self._open[definition.content_hash].setdefault(slot, {})[key] = None

    def _judge(self, definition: Definition, key: str, tally: Tally, seen: Observation) -> Deviation | None:
        judged = self._chance(definition, tally, tally.slot)
        if judged is None or judged.chance > _settings(definition).at_once:
            return None
        return self._tell(definition, key, tally, tally.slot, judged, seen)

    def _chance(self, definition: Definition, tally: Tally, slot: int) -> Judged | None:
        """Return how likely a slot is, by the entity's habits or else its class's; None if neither is known."""
        settings, clock = _settings(definition), self._clocks[definition.content_hash]
        if sum(tally.counts(slot)) < settings.count_min:
            return None
        if (slot - tally.since) * settings.interval_ns >= settings.learn_for_ns:
            return Judged(clock.chance(tally, slot, tally), tally, own=True)
        watched = self._watched(definition)
        if watched is None or (tally.since - watched.since) * settings.interval_ns < settings.learn_for_ns:
            return None  # it was there while everybody was new
        base = self._tallies.get(tally.kin) or Tally(_CLASS[0], watched.since, slot)
        return Judged(clock.chance(tally, slot, base), base, own=False)

    def _watched(self, definition: Definition) -> Tally | None:
        """Return since when, and up to which slot, a definition was watched for."""
        return self._tallies.get(self._tallies.key(definition, "", _WATCHED))

    # --- time ---------------------------------------------------------------------------------------------------------
    def advance(self, arrival_ns: int) -> list[Deviation]:
        """Close the intervals that are over."""
        return [
            deviation
            for definition in self._definitions.values()
            for deviation in self._close_until(definition, arrival_ns // SECOND_NS * SECOND_NS - _LATE_NS)
        ]

    def finish(self, arrival_ns: int) -> list[Deviation]:
        """Close the intervals that run."""
        return self.advance(arrival_ns + HOUR_NS + 2 * _LATE_NS)

    def _close_until(self, definition: Definition, time_ns: int) -> Iterator[Deviation]:
        due = self._clocks[definition.content_hash].slot_of(time_ns) - 1
        watched = self._watched(definition)
        if watched is None:
            key = self._tallies.key(definition, "", _WATCHED)
            self._tallies.add(key, Tally(_WATCHED[0], due + 1, due + 1, learned=due))
        elif due > watched.learned:
            self._tallies.touch(self._tallies.key(definition, "", _WATCHED))
            watched.learned = due
            slots = self._open[definition.content_hash]
            for slot in sorted(slot for slot in slots if slot <= due):
                yield from self._close(definition, slot, sorted(slots.pop(slot)))

    def _close(self, definition: Definition, slot: int, keys: Sequence[str]) -> Iterator[Deviation]:
        """Judge all entities of an interval together, then learn it."""
        present: list[str] = []
        judged: list[tuple[Judged, str]] = []
        for key in keys:
            tally = self._tallies.get(key)
            if tally is not None and slot > tally.learned and tally.counts(slot)[0]:
                present.append(key)
                found = self._chance(definition, tally, slot)
                judged += [] if found is None else [(found, key)]
        judged.sort(key=lambda pair: (pair[0].chance, pair[1]))
        chances = [found.chance for found, _ in judged]
        first = judged[: discoveries(chances, len(present), _settings(definition).false_share)]
        for found, key in first:
            tally = self._tallies.get(key)
            assert tally is not None, "it was just judged"
            deviation = self._tell(definition, key, tally, slot, found, None)
            if deviation is not None:
                yield deviation
        doubted = {key for found, key in judged if found.chance < _DOUBT}
        self._learn(definition, slot, present, doubted | {key for _, key in first})

    def _learn(self, definition: Definition, slot: int, keys: Sequence[str], deviating: set[str]) -> None:
        settings, clock = _settings(definition), self._clocks[definition.content_hash]
        watched = self._watched(definition)
        learning = watched is None or (slot - watched.since) * settings.interval_ns < settings.learn_for_ns
        newcomers: dict[str, int] = {}
        for key in keys:
            tally = self._tallies.get(key)
            if tally is None:  # making room for one of those before it
                continue
            self._tallies.touch(key)
            count_seen, _ = tally.counts(slot)
            held = key in deviating or tally.told == slot
            goes_on = tally.held and slot - tally.learned <= clock.per_hour
            tally.held = (tally.held if goes_on else slot) if held else 0
            normal = not held or (slot - tally.held) * settings.interval_ns >= _HOLD_NS
            clock.learn(tally, slot, count_seen, seen=normal)
            count(self.left_out, "evicted", definition, self._tallies.weigh(key, tally))
            is_new = (
                slot == tally.since if learning else (slot - tally.since) * settings.interval_ns < settings.learn_for_ns
            )
            if is_new and normal:
                newcomers[tally.kin] = newcomers.get(tally.kin, 0) + count_seen
        for kin in sorted(newcomers):
            self._learn_class(definition, kin, slot, newcomers[kin])

    def _learn_class(self, definition: Definition, kin: str, slot: int, total: int) -> None:
        watched = self._watched(definition)
        known = self._tallies.get(kin)
        if known is None:
            known = Tally(_CLASS[0], slot if watched is None else watched.since, slot)
            count(self.left_out, "evicted", definition, self._tallies.add(kin, known))
        if slot > known.learned:
            self._tallies.touch(kin)
            self._clocks[definition.content_hash].learn(known, slot, total)
            count(self.left_out, "evicted", definition, self._tallies.weigh(kin, known))

    def _tell(
        self, definition: Definition, key: str, tally: Tally, slot: int, judged: Judged, seen: Observation | None
    ) -> Deviation | None:
        """Tell of an interval; None if that was told lately."""
        interval_ns = _settings(definition).interval_ns
        is_told = tally.told and (slot - tally.told) * interval_ns < _AGAIN_NS
        if is_told or tally.last is None:
            return None
        self._tallies.touch(key)
        tally.told = slot
        return told(definition, self._clocks[definition.content_hash], key, tally, slot, judged)._replace(
            observation=seen
        )


def _settings(definition: Definition) -> Settings:
    return cast("Settings", definition.settings)
