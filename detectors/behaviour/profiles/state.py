"""What a checkpoint keeps of profiles: a Struct for each entity and aspect, and some about workloads and clusters."""

from __future__ import annotations

from typing import Final

import msgspec

from vedette.schema.observation import Observation

ROW_WEIGHT: Final = 8
"""What a row costs beside what it holds: as much as so many values."""
SEPARATOR: Final = "\x1f"
"""Stands between the parts of a value."""
_ONCE_SHARE: Final = 10
_HOUR_BITS: Final = 22
_COUNT_BITS: Final = 20
_HOUR: Final = (1 << _HOUR_BITS) - 1
_COUNT: Final = (1 << _COUNT_BITS) - 1
HOUR_MAX: Final = _HOUR
"""The last hour that can be told, in the year 2448: with two of them and a count an integer has the 64 bits that
MessagePack gives it."""
STABLE_DAYS: Final = 5
UNSETTLED_DAYS: Final = 3
"""A profile with news on so many of the last `STABLE_DAYS` days never settles, and is left alone."""


class Times(msgspec.Struct, frozen=True):
    """When a value was seen: the first and the last hour since the epoch, and in how many hours."""

    first_h: int
    last_h: int
    hours: int


def first_time(hour: int) -> int:
    """Return the packed times of a value that was seen in one hour: one integer takes a third of a Struct's room."""
    return packed_of(Times(hour, hour, 1))


def seen_again(packed: int, hour: int) -> int:
    """Return packed times with another hour; an earlier one changes nothing."""
    times = unpacked(packed)
    if hour <= times.last_h:
        return packed
    return packed_of(Times(times.first_h, hour, times.hours + 1))


def unpacked(packed: int) -> Times:
    """Return what packed times say."""
    return Times(packed >> (_HOUR_BITS + _COUNT_BITS), packed >> _COUNT_BITS & _HOUR, packed & _COUNT)


def packed_of(times: Times) -> int:
    """Pack times."""
    first_h, last_h = (min(max(hour, 0), _HOUR) for hour in (times.first_h, times.last_h))
    return first_h << (_HOUR_BITS + _COUNT_BITS) | last_h << _COUNT_BITS | min(times.hours, _COUNT)


def is_fresh(packed: int, hour: int) -> bool:
    """Say whether a value was seen in this hour already, so that there is nothing to write. Hot."""
    return packed >> _COUNT_BITS & _HOUR >= hour


class Trial(msgspec.Struct, array_like=True):
    """A peer that came with a new image: by which end it was contacted, and when (the last few times)."""

    first_ns: int
    end: str
    times: list[int]


class Profile(msgspec.Struct, tag="profile"):
    """One aspect of one entity. `entity`: its kind, cluster, and names; values and times are packed, see `Times`."""

    owner: str
    entity: tuple[str, ...]
    aspect: str
    since_ns: int
    news_ns: int
    """When something new was last learned of it, while it learned."""
    settled_ns: int = 0
    """When learning ended; 0 while it lasts."""
    full: bool = False
    """Whether a start was seen, or there is none to see."""
    locked_ns: int = 0
    locked_by: str = ""
    values: dict[str, int] = {}
    startup: dict[str, int] = {}
    outside: dict[str, int] = {}
    """What deviated, and is not learned."""
    trials: dict[str, Trial] = {}
    wide: dict[str, int] = {}
    """Beginnings of values below which there is too much to tell apart: what follows is `*`."""
    news_days: int = 0
    """Bit n: on the day n before `news_day` something deviated."""
    news_day: int = 0
    overflowing: bool = False
    dropped: int = 0

    def varies(self) -> bool:
        """Say whether many values were seen in one hour only: as many again are to come (Good and Turing)."""
        once = sum(packed & _COUNT == 1 for packed in self.values.values())
        return once > max(1, len(self.values) // _ONCE_SHARE)

    def note_news(self, day: int) -> None:
        """Note that something new came on a day, after learning."""
        if day > self.news_day:
            self.news_days = (self.news_days << min(day - self.news_day, 32)) & 0xFFFF_FFFF
            self.news_day = day
        self.news_days |= 1 << min(max(self.news_day - day, 0), 31)

    def is_unstable(self, day: int) -> bool:
        """Say whether it has news on most days, those before a day counted."""
        if self.overflowing:
            return True
        bits = self.news_days << min(max(day - self.news_day, 0), 32)
        return (bits >> 1 & ((1 << STABLE_DAYS) - 1)).bit_count() >= UNSETTLED_DAYS


class Life(msgspec.Struct, tag="life"):
    """A workload's pods and images. `pods`: when each was first seen, negative if its start was not."""

    owner: str
    since_ns: int
    pods: dict[str, int] = {}
    versions: dict[str, int] = {}
    rollout_ns: int = 0
    """When its newest image was first seen beside older ones."""
    contacts: dict[str, int] = {}
    """Connections that it opened since, by the kind of peer, as far as they count."""
    full: bool = False
    """Whether the start of one of its pods was seen."""
    last_h: int = 0
    hours: int = 0
    """In how many hours anything was seen of it, and in which last."""


class Moments(msgspec.Struct, tag="moments"):
    """Names with times: pods bound but not seen yet; sessions in pods, and when they end; whom not to learn of."""

    owner: str
    times: dict[str, int] = {}


class Held(msgspec.Struct, tag="held"):
    """A deviation that waits for what may explain it: sources may be minutes apart."""

    owner: str
    content_hash: str
    due_ns: int
    """Arrival time at which it is told."""
    seen: Observation
    key: str
    value: str
    sentences: tuple[str, str, str]
    evidence: tuple[tuple[str, str], ...] = ()
    life: str = ""
    """Of a new peer: the life of the workload, whose release may explain it."""


Row = Profile | Life | Moments | Held


def weight_of(row: Row) -> int:
    """Say what a row weighs: as much as the values that take up its room."""
    if isinstance(row, Profile):
        return ROW_WEIGHT + len(row.values) + len(row.startup) + len(row.outside) + len(row.trials) + len(row.wide)
    if isinstance(row, Life):
        return ROW_WEIGHT + len(row.pods) + len(row.versions)
    return ROW_WEIGHT + len(row.times) if isinstance(row, Moments) else ROW_WEIGHT
