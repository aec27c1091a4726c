"""Beacons: a workload calls somebody outside at steady intervals, whom it did not know before.

Each entity (`by`) has the destinations (`value`) outside that it talked to in `learn_for` after its first connection,
be that inside or outside: those are its vendors. Contacts with others are followed for each destination and address of
the entity: the intervals between them, with the bytes sent. What comes within `quiet` after another contact is one with
it.
Where there are enough, three things make a beacon, all of which must hold:

- RITA's score (`detectors.behaviour.beacon_score`), less what other entities say that have long talked to the same;
- a median absolute deviation of intervals below three tenths of the median;
- hardly any contact that comes early: a timer may be late or miss, but does not fire at half of its time. This is what
  tells it from people and from load, whose intervals scatter below the median as well.

Only observations of moments count: a source that aggregates over `window_max_s` or more has a clock of its own.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Annotated, Final, cast

import msgspec

from detectors.behaviour.beacon_score import BeaconScore, deviation_of, score
from detectors.behaviour.definition import Definition
from detectors.behaviour.deviation import Deviation
from detectors.behaviour.fields import reader, scope_of
from detectors.behaviour.groups import Groups, count, named, owner_of
from detectors.behaviour.plain import Plain, days, shown
from detectors.engine import bounded_text
from vedette.schema.limits import SECOND_NS
from vedette.schema.observation import Observation, Phase, Trace

DESTINATIONS_MAX: Final = 150_000
"""What all entities weigh together: a known destination 1, a followed one `_TRACK_WEIGHT`; about 40 MB (measured)."""
KEPT_MAX: Final = 48
"""Intervals and sizes kept of a destination: enough to tell a timer from chance."""
TRACES_MAX: Final = 5
_TRACK_WEIGHT: Final = 5
_HOUR_NS: Final = 3_600 * SECOND_NS
_MS_NS: Final = 1_000_000
_MS: Final = 1_000.0
_NUMBER_MAX: Final = 2**32 - 1
_NUMBER_BYTES: Final = 4
_SCATTER_MAX: Final = 0.3
"""Median absolute deviation in medians: intervals of ± 20 % have 0.1, those of chance 0.7."""
_EARLY: Final = 0.5
_EARLY_SHARE_MAX: Final = 0.05
_DISCOUNT: Final = 0.1
_DISCOUNT_MAX: Final = 0.4


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a definition may say."""

    learn_for_ns: int = 72 * _HOUR_NS
    forget_after_ns: int = 720 * _HOUR_NS
    intervals_min: Annotated[int, msgspec.Meta(ge=8, le=KEPT_MAX)] = 24
    """Intervals that must have been seen."""
    score_min: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.8
    quiet_ns: int = 5 * SECOND_NS
    window_max_s: Annotated[int, msgspec.Meta(ge=0)] = 30
    known_max: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1_000
    """Known destinations of one entity."""
    followed_max: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 128
    """Followed ones; where there are more, the one with the fewest contacts goes, of equals the one longest silent."""


class Known(msgspec.Struct, array_like=True, gc=False):
    """A destination that is normal: the hours (since the epoch) in which it was first and last talked to."""

    first_h: int
    last_h: int


class Track(msgspec.Struct):
    """Contacts with a destination: the last `KEPT_MAX` intervals (ms) and sizes (bytes), four bytes each.

    `last_ns` is the last contact, `hit_ns` the last one that counted. `told` is how many counted when it was told.
    """

    last_ns: int
    hit_ns: int
    hits: int = 1
    told: int = 0
    intervals: bytes = b""
    sizes: bytes = b""
    traces: list[Trace] = []


class Entity(msgspec.Struct):
    """Whom an entity talks to. `known` and `followed` have no destination in common."""

    owner: str
    since_ns: int
    known: dict[str, Known]
    followed: dict[str, Track]


class Beacon(Plain):
    """Follows new destinations. Implements `detectors.behaviour.detector.Detector`."""

    type_name = "beacon"
    name = "behaviour_beacon"
    version = 1
    settings: type[msgspec.Struct] = Settings

    def __init__(self) -> None:
        """Begin without having seen anything."""
        super().__init__()
        self._entities: Groups[Entity] = Groups(
            Entity, DESTINATIONS_MAX, lambda entity: len(entity.known) + _TRACK_WEIGHT * len(entity.followed)
        )
        self.state = self._entities.state

    def use(self, definitions: Sequence[Definition]) -> None:
        """Put definitions in force."""
        self._reads = {found.content_hash: (reader(found.by), reader(found.value)) for found in definitions}
        self._entities.keep(definitions)

    def rebuild(self) -> None:
        """Recompute weights."""
        self._entities.rebuild()

    def observe(self, definition: Definition, seen: Observation) -> Deviation | None:
        """Learn whom an entity talks to, and say if it is called home from."""
        read_entity, read_destination = self._reads[definition.content_hash]
        values = read_entity(seen)
        key = self._entities.key(definition, seen.cluster, values)
        entity = self._entities.get(key)
        if entity is None:
            entity = Entity(owner_of(seen), seen.time_ns, {}, {})
            count(self.left_out, "evicted", definition, self._entities.add(key, entity))
        if scope_of(seen.peer) != "outside" or scope_of(seen.address) == "outside":
            return None
        destination = bounded_text(" ".join(read_destination(seen)))
        known, hour = entity.known.get(destination), seen.time_ns // _HOUR_NS
        if known is not None and known.last_h >= hour:
            return None
        self._entities.touch(key)
        found = self._take(definition, entity, destination, seen)
        count(self.left_out, "evicted", definition, self._entities.weigh(key, entity))
        return None if found is None else self._tell(definition, key, entity, found, seen)

    def _take(self, definition: Definition, entity: Entity, destination: str, seen: Observation) -> Track | None:
        """Take a contact with somebody outside; return what is followed of it if that may be a beacon."""
        settings = cast("Settings", definition.settings)
        known, hour = entity.known.get(destination), seen.time_ns // _HOUR_NS
        if known is not None and (hour - known.last_h) * _HOUR_NS <= settings.forget_after_ns:
            known.last_h = hour
            return None
        if seen.time_ns - entity.since_ns < settings.learn_for_ns:
            self._learn(definition, entity, destination, hour)
            return None
        entity.known.pop(destination, None)
        if seen.window_s > settings.window_max_s:
            return None
        return self._follow(definition, entity, f"{bounded_text(seen.address)} {destination}", seen)

    def _learn(self, definition: Definition, entity: Entity, destination: str, hour: int) -> None:
        settings = cast("Settings", definition.settings)
        entity.known[destination] = Known(hour, hour)
        if len(entity.known) > settings.known_max:
            del entity.known[min(entity.known, key=lambda name: (entity.known[name].last_h, name))]
            count(self.left_out, "overflowing", definition)

    def _follow(self, definition: Definition, entity: Entity, name: str, seen: Observation) -> Track | None:
        settings, track = cast("Settings", definition.settings), entity.followed.get(name)
        if track is None:
            if seen.phase is Phase.COUNTED:
                return None
            track = entity.followed[name] = Track(seen.time_ns, seen.time_ns)
            if len(entity.followed) > settings.followed_max:
                self._drop(definition, entity, name)
            hit = True
        else:
            hit = seen.phase is Phase.OPENED and _hit(track, seen.time_ns, settings.quiet_ns)
        if seen.bytes_out:
            track.sizes = _appended(track.sizes, seen.bytes_out)
        if not hit:
            return None
        track.traces = [*track.traces[-TRACES_MAX:], seen.trace()]
        enough = track.hits > max(settings.intervals_min, 2 * track.told)
        return track if enough else None

    def _drop(self, definition: Definition, entity: Entity, but: str) -> None:
        others = ((track.hits, track.last_ns, name) for name, track in entity.followed.items() if name != but)
        del entity.followed[min(others)[2]]
        count(self.left_out, "overflowing", definition)

    def _tell(
        self, definition: Definition, key: str, entity: Entity, track: Track, seen: Observation
    ) -> Deviation | None:
        settings = cast("Settings", definition.settings)
        intervals_s = [interval / _MS for interval in _numbers(track.intervals)]
        middle_s, scatter_s = deviation_of(intervals_s)
        early = sum(interval < _EARLY * middle_s for interval in intervals_s)
        if scatter_s > _SCATTER_MAX * middle_s or early > _EARLY_SHARE_MAX * len(intervals_s):
            return None
        found = score(intervals_s, _numbers(track.sizes))
        if found.total < settings.score_min:
            return None
        read_entity, read_destination = self._reads[definition.content_hash]
        destination = read_destination(seen)
        others = sum(1 for _ in self._others(definition, key, bounded_text(" ".join(destination)), seen.time_ns))
        if found.total - min(_DISCOUNT_MAX, _DISCOUNT * others) < settings.score_min:
            return None
        track.told = track.hits
        return _deviation(definition, entity, track, seen, (read_entity(seen), destination, found, others))

    def _others(self, definition: Definition, key: str, destination: str, now_ns: int) -> Iterator[str]:
        """Iterate over the other entities that have talked to a destination for longer than one learns."""
        before_h = (now_ns - cast("Settings", definition.settings).learn_for_ns) // _HOUR_NS
        for other, entity in self._entities.of(definition):
            known = entity.known.get(destination)
            if known is not None and known.first_h <= before_h and other != key:
                yield other


def _hit(track: Track, time_ns: int, quiet_ns: int) -> bool:
    """Take note of a contact; say if it counts. One that comes late, behind others, does not."""
    if time_ns <= track.last_ns:
        return False
    quiet, track.last_ns = time_ns - track.last_ns, time_ns
    if quiet < quiet_ns:
        return False
    track.intervals = _appended(track.intervals, (time_ns - track.hit_ns) // _MS_NS)
    track.hit_ns = time_ns
    track.hits += 1
    return True


def _appended(numbers: bytes, number: int) -> bytes:
    return (numbers + struct.pack("<I", min(number, _NUMBER_MAX)))[-_NUMBER_BYTES * KEPT_MAX :]


def _numbers(packed: bytes) -> list[int]:
    return [number for (number,) in struct.iter_unpack("<I", packed)]


def _deviation(
    definition: Definition,
    entity: Entity,
    track: Track,
    seen: Observation,
    found: tuple[tuple[str, ...], tuple[str, ...], BeaconScore, int],
) -> Deviation:
    values, destination, parts, others = found
    middle_s, scatter_s = deviation_of([interval / _MS for interval in _numbers(track.intervals)])
    whose = named(("namespace", "workload"), (seen.namespace, seen.workload)) if seen.workload else ()
    known = len(entity.known)
    first_ns = seen.time_ns - sum(_numbers(track.intervals)) * _MS_NS
    sizes = "not known" if parts.sizes is None else f"{parts.sizes:.2f}"
    return Deviation(
        definition,
        seen.cluster,
        (*(whose or named(definition.by, values)), *named(definition.value, destination)),
        normal=f"in its first {days(cast('Settings', definition.settings).learn_for_ns)} {shown(values)} talked to "
        f"{known} destinations outside, and not to this one",
        seen=f"{track.hits} contacts with {shown(destination)}, every {middle_s:.0f} seconds give or take "
        f"{scatter_s:.1f} (median, median deviation), lately for {days(seen.time_ns - first_ns)}",
        unusual=f"score {parts.total:.2f} of 1: intervals {parts.intervals:.2f}, sizes {sizes}, "
        f"spread {parts.spread:.2f}, coverage {parts.coverage:.2f}; {others} others have long talked to it",
        last=seen.trace(),
        observation=seen,
        first_ns=first_ns,
        traces=tuple(track.traces[:-1]),
        evidence=(
            ("address", bounded_text(seen.address)),
            ("port", seen.port),
            ("contacts", track.hits),
            ("median interval in seconds", round(middle_s, 1)),
            ("score", round(parts.total, 3)),
        ),
    )
