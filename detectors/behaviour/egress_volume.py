"""Egress volume: a workload sends far more to the outside than it ever did, at once or little by little.

Each entity (`by`, a workload) has streams (`egress_volume_stream`): all that it sends outside, what goes to each
destination (`value`, a network), and what goes to destinations that are new, all together. A running hour is judged as
it grows, by itself, with the 23 before it, and with what was cumulated beyond the usual. New destinations have lower
floors. Half of what is stolen may go to a vendor that the workload knows: there only the volume tells.

Connections inside add nothing, but show that a workload lives: never to have sent anything outside is a habit, too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Final, NamedTuple, cast

import msgspec

from detectors.behaviour.definition import Definition
from detectors.behaviour.deviation import Deviation
from detectors.behaviour.egress_volume_stream import DAY_H, HOUR_NS, MB, Floors, Stream
from detectors.behaviour.fields import reader, scope_of
from detectors.behaviour.groups import Groups, count, named, owner_of
from detectors.behaviour.plain import Plain, days, shown
from detectors.engine import bounded_text
from vedette.schema.observation import Observation

STREAMS_MAX: Final = 25_000
"""Streams that all entities of all definitions may have together: about 40 MB."""
_DAYS_MIN: Final = 2
"""Whole days that must be known of a stream, however short the learning period is."""
_LOOK_AGAIN: Final = 1.2
"""A stream that was judged is judged again when its hour has grown by this."""
_AGAIN: Final = 4.0
"""Within a day, an entity is told of again only for so many times as much."""

Mb = Annotated[float, msgspec.Meta(gt=0)]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a definition may say. Floors are in megabytes (10^6 bytes): less is never told, however unusual."""

    learn_for_ns: int = 3 * DAY_H * HOUR_NS
    hour_mb_min: Mb = 250.0
    day_mb_min: Mb = 50.0
    slow_mb_min: Mb = 60.0
    new_share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.4
    """Of the floors, what counts for new destinations."""
    destinations_max: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 32
    """Destinations of one entity that are known apart; of one with more, the one not used for longest is forgotten."""

    @property
    def learn_h(self) -> int:
        """Return the learning period in hours, rounded up."""
        return -(-self.learn_for_ns // HOUR_NS)


class Sender(msgspec.Struct):
    """What one entity sends."""

    owner: str
    all: Stream
    new: Stream
    to: dict[str, Stream] = {}
    overflowing: bool = False
    """Whether it has more destinations than are kept, so that none can be called new."""
    told_hour: int = 0
    told_bytes: int = 0


class _Floored(NamedTuple):
    """The floors of a definition: for destinations that are known, and for new ones."""

    known: Floors
    new: Floors


class EgressVolume(Plain):
    """Learns volumes. Implements `detectors.behaviour.detector.Detector`."""

    type_name = "egress_volume"
    name = "behaviour_egress_volume"
    version = 1
    settings: type[msgspec.Struct] = Settings

    def __init__(self) -> None:
        """Begin without having seen anything."""
        super().__init__()
        self._senders: Groups[Sender] = Groups(Sender, STREAMS_MAX, lambda sender: 2 + len(sender.to))
        self.state = self._senders.state
        self._floors: dict[str, _Floored] = {}

    def use(self, definitions: Sequence[Definition]) -> None:
        """Put definitions in force."""
        self._reads = {found.content_hash: (reader(found.by), reader(found.value)) for found in definitions}
        self._floors = {found.content_hash: _floored(_settings(found)) for found in definitions}
        self._senders.keep(definitions)

    def rebuild(self) -> None:
        """Recompute weights."""
        self._senders.rebuild()

    def observe(self, definition: Definition, seen: Observation) -> Deviation | None:
        """Add what was sent outside, and say if it is too much."""
        key = self._senders.key(definition, seen.cluster, self._reads[definition.content_hash][0](seen))
        sender = self._senders.get(key)
        if sender is not None and (not seen.bytes_out or scope_of(seen.peer) != "outside"):
            return None
        hour = seen.time_ns // HOUR_NS
        if sender is None:
            sender = Sender(owner_of(seen), Stream(hour, hour, limit=math.inf), Stream(hour, hour, limit=math.inf))
            count(self.left_out, "evicted", definition, self._senders.add(key, sender))
            if not seen.bytes_out or scope_of(seen.peer) != "outside":
                return None
        self._senders.touch(key)
        return self._add(definition, key, sender, seen, hour)

    def _add(self, definition: Definition, key: str, sender: Sender, seen: Observation, hour: int) -> Deviation | None:
        """Add bytes to all streams that they belong to; judge those that pass their limits, the widest first."""
        settings, every, sent = _settings(definition), sender.all, seen.bytes_out
        known, new = self._floors[definition.content_hash]
        if hour > every.hour:
            _move(settings, every, hour, known)
        if not every.add(hour, sent):
            count(self.left_out, "late", definition)
        passed = [(every, known)] if every.now >= every.limit else []
        values = self._reads[definition.content_hash][1](seen)
        if values:
            name = bounded_text(" ".join(values))
            stream = sender.to.get(name) or self._begin(definition, key, sender, name, hour)
            if hour > stream.hour:
                _move(settings, stream, hour, known)
            stream.add(hour, sent)
            if hour - stream.since < settings.learn_h and stream.since >= every.since + DAY_H:
                passed += self._add_new(settings, sender, hour, sent, new)
            if stream.now >= stream.limit:
                passed.append((stream, known))
        return self._judge(definition, seen, sender, passed) if passed else None

    def _add_new(
        self, settings: Settings, sender: Sender, hour: int, sent: int, floors: Floors
    ) -> list[tuple[Stream, Floors]]:
        """Add what goes to a destination that was not known when the entity was."""
        if sender.overflowing:
            return []
        if hour > sender.new.hour:
            _move(settings, sender.new, hour, floors)
        sender.new.add(hour, sent)
        return [(sender.new, floors)] if sender.new.now >= sender.new.limit else []

    def _begin(self, definition: Definition, key: str, sender: Sender, name: str, hour: int) -> Stream:
        """Begin to know a destination; the one not used for longest gives way."""
        if len(sender.to) >= _settings(definition).destinations_max:
            del sender.to[min(sender.to, key=lambda known: (sender.to[known].hour, known))]
            sender.overflowing = True
            count(self.left_out, "overflowing", definition)
        stream = sender.to[name] = Stream(hour, hour, limit=math.inf)
        count(self.left_out, "evicted", definition, self._senders.weigh(key, sender))
        return stream

    def _judge(
        self, definition: Definition, seen: Observation, sender: Sender, passed: Sequence[tuple[Stream, Floors]]
    ) -> Deviation | None:
        """Tell what is too much, unless it was told within a day; either way it is not learned."""
        every = sender.all
        sent = every.now + every.rest
        every.odd = True
        reads = self._reads[definition.content_hash]
        told = _told(definition, seen, (reads[0](seen), reads[1](seen)), sender, passed[0])
        for stream, _ in passed:
            stream.odd, stream.excess = True, 0.0
            stream.limit = stream.now * _LOOK_AGAIN + MB
        if every.hour - sender.told_hour < DAY_H and sent < _AGAIN * sender.told_bytes:
            return None
        sender.told_hour, sender.told_bytes = every.hour, sent
        for stream in (every, sender.new, *sender.to.values()):
            stream.excess = 0.0
        return told


def _move(settings: Settings, stream: Stream, hour: int, floors: Floors) -> None:
    """Go on to a later hour; until enough is known of a stream, nothing is too much and nothing adds up."""
    stream.move(hour)
    if hour - stream.since >= settings.learn_h and len(stream.days) >= _DAYS_MIN:
        stream.limit = stream.judge_from(floors)
    else:
        stream.limit, stream.excess = math.inf, 0.0


def _told(
    definition: Definition,
    seen: Observation,
    found: tuple[tuple[str, ...], tuple[str, ...]],
    sender: Sender,
    passed: tuple[Stream, Floors],
) -> Deviation:
    (entity, destination), (stream, floors) = found, passed
    name = "outside"
    if stream is sender.new:
        name = f"to destinations that are new to it ({shown(destination)})"
    elif stream is not sender.all:
        name = f"to {shown(destination)}"
    usual, _ = stream.usual_day()
    amount, limit, span = stream.now, stream.hour_limit(floors.hour), "in this hour"
    if amount < limit:
        amount, limit, span = stream.now + stream.rest, stream.day_limit(floors.day), "in 24 hours"
    if amount < limit:
        amount, limit = int(stream.excess + stream.now - stream.allowance()), stream.slow_limit(floors.slow)
        span = "more than usual, hour by hour added up,"
    known = days((stream.hour - stream.since) * HOUR_NS)
    times = f"{amount / usual:,.1f} times a usual day's" if usual >= MB else "a usual day has next to nothing"
    return Deviation(
        definition,
        seen.cluster,
        named(definition.by, entity),
        normal=f"in {known} of history {shown(entity)} sends {_size(usual)} a day {name}, "
        f"{_size(stream.most())} at most",
        seen=f"{_size(amount)} {span} {name}, just now to {shown((seen.peer,))}",
        unusual=f"{_size(limit)} would be too much; {times}",
        last=seen.trace(),
        observation=seen,
        first_ns=seen.time_ns,
        evidence=(("bytes", amount), ("limit", int(limit)), ("usual day", int(usual)), ("this hour", stream.now)),
    )


def _size(volume: float) -> str:
    """Write bytes for people."""
    if volume >= 1000 * MB:
        return f"{volume / MB / 1000:,.1f} GB"
    return f"{volume / MB:,.0f} MB" if volume >= 10 * MB else f"{volume / MB:,.1f} MB"


def _floored(settings: Settings) -> _Floored:
    megabytes = (settings.hour_mb_min, settings.day_mb_min, settings.slow_mb_min)
    return _Floored(
        Floors(*(floor * MB for floor in megabytes)),
        Floors(*(floor * MB * settings.new_share for floor in megabytes)),
    )


def _settings(definition: Definition) -> Settings:
    return cast("Settings", definition.settings)
