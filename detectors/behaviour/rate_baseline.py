"""What is known of how often an entity does something: a tally of its intervals, by hour of the week.

Counts of an interval are Gamma-Poisson. Their mean is learned by hour of the week; where there is little of that it
leans on the hour of the day, and that on the whole. Their scatter is learned by moments. All of it fades.
"""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from detectors.behaviour.statistics import count_tail
from vedette.schema.limits import SECOND_NS
from vedette.schema.observation import Trace

HOUR_NS: Final = 3_600 * SECOND_NS
WEEK_H: Final = 168
_DAY_H: Final = 24
_FADE: Final = 0.5 ** (1 / 4)
"""What a week ago counts, in terms of now: half is gone after four weeks."""
_LEAN: Final = 12.0
"""Intervals' worth of the wider baseline that a narrower one leans on."""
_SCATTER: Final = 1.0
"""Over-dispersion (1/shape) that is assumed of what was not seen to scatter, with the weight of one squared count."""
_SCATTER_MIN: Final = 0.02
"""Even what comes like clockwork comes twice at times."""
_PAIR: Final = 1.5
"""Shape of two slots over that of one: 1 if they rose and fell together, 2 if they knew nothing of each other."""
_RARE: Final = 0.3
"""Below that mean most intervals are empty anyway; above it whole empty hours are nights, of which nothing follows."""
_SUMS: Final = struct.Struct(f"<{WEEK_H}f")
_SUM: Final = struct.Struct("<f")
_SUM_MAX: Final = 1e37
"""A float of 32 bits ends there; what is older than that far into fading has no say anyway."""


class Tally(msgspec.Struct):
    """What one entity did, or all newcomers of a class. Slots are intervals since the epoch."""

    owner: str
    since: int
    """The slot of its first observation."""
    slot: int
    """The latest one with an observation; `count` is what it had, `before` what the one before it had."""
    kin: str = ""
    """The key of its class."""
    count: int = 0
    before: int = 0
    look_at: int = 1
    """The count at which the running interval is judged next."""
    learned: int = 0
    """The latest slot that was closed."""
    hour: int = -1
    """The hour since the epoch that `mean` and `shape` are expected in."""
    mean: float = 0.0
    shape: float = 1.0
    whole: float = 0.0
    """The mean over all hours, when `mean` was computed."""
    scatter: float = 0.0
    squares: float = 0.0
    sums: bytearray = bytearray()
    """What was counted in each hour of the week, as 32-bit floats, grown by `_FADE` for each week since the first.

    Empty while all of it is in one hour, which is `early`."""
    early: float = 0.0
    early_hour: int = -1
    most: int = 0
    """The highest count of an interval that was learned."""
    held: int = 0
    """The slot since which intervals deviate and are not learned; 0: none."""
    told: int = 0
    first_ns: int = 0
    """Event time of the first observation in `slot`."""
    last: Trace | None = None
    """The last observation of `slot` or the one before, once it is worth telling."""

    def counts(self, slot: int) -> tuple[int, int]:
        """Return the counts of a slot and of the one before it, as far as they are remembered."""
        if slot == self.slot:
            return self.count, self.before
        return (self.before, 0) if slot == self.slot - 1 else (0, 0)


class Clock(msgspec.Struct, frozen=True):
    """The length of a definition's intervals; an hour is a whole number of them."""

    interval_ns: int

    @property
    def per_hour(self) -> int:
        """Intervals in an hour."""
        return HOUR_NS // self.interval_ns

    def slot_of(self, time_ns: int) -> int:
        """Return the slot of a time."""
        return time_ns // self.interval_ns

    def expect(self, tally: Tally, slot: int) -> tuple[float, float]:
        """Return mean and shape of the count of a slot, as far as is known."""
        hour = slot // self.per_hour
        if hour != tally.hour:
            return self._expected(tally, hour)[:2]
        return tally.mean, tally.shape

    def refresh(self, tally: Tally) -> None:
        """Remember what is expected in the hour of the latest slot; `touch` first."""
        hour = tally.slot // self.per_hour
        if hour != tally.hour:
            tally.mean, tally.shape, tally.whole = self._expected(tally, hour)
            tally.hour = hour

    def chance(self, tally: Tally, slot: int, base: Tally) -> float:
        """Return how likely a count as high as a tally's of a slot is, alone or with the slot before, by a baseline.

        Two looks at one thing: the chance is doubled. What makes one slot busy is taken to last into the next by half.
        """
        count, before = tally.counts(slot)
        mean, shape = self.expect(base, slot)
        alone = count_tail(count, mean, shape)
        if not before:
            return alone
        mean_before, _ = self.expect(base, slot - 1)
        return min(1.0, 2.0 * min(alone, count_tail(count + before, mean + mean_before, _PAIR * shape)))

    def learn(self, tally: Tally, slot: int, count: int, *, seen: bool = True) -> None:
        """Close a slot with its count (not `seen`: with what was expected in place of what deviated); `touch` first.

        The scatter is that of method of moments: of counts with mean m the expectation of (x - m)² - m is m²/shape.
        """
        hour = slot // self.per_hour
        mean, _ = self.expect(tally, slot)
        if seen:
            last = tally.learned or slot - 1
            silent = min(slot - last - 1, slot % self.per_hour)
            fading = _FADE ** ((hour - last // self.per_hour) / WEEK_H)
            tally.scatter = tally.scatter * fading + (count - mean) ** 2 - mean + silent * (mean * mean - mean)
            tally.squares = tally.squares * fading + (1 + silent) * mean * mean
            if tally.whole < _RARE:  # hours without anything tell how the rest scatters
                tally.scatter -= (slot - last - 1 - silent) * (tally.whole - tally.whole**2)
            tally.most = max(tally.most, count)
        self._add(tally, hour, count if seen else mean)
        tally.learned = slot

    # --- the hours ----------------------------------------------------------------------------------------------------
    def _add(self, tally: Tally, hour: int, count: float) -> None:
        if not tally.sums:
            if tally.early_hour in (-1, hour):
                tally.early_hour, tally.early = hour, tally.early + count
                return
            tally.sums = bytearray(_SUMS.size)
            self._put(tally, tally.early_hour, tally.early)
        self._put(tally, hour, count)

    def _put(self, tally: Tally, hour: int, count: float) -> None:
        at = hour % WEEK_H * _SUM.size
        week = (hour - tally.since // self.per_hour) // WEEK_H
        grown = _SUM.unpack_from(tally.sums, at)[0] + count * _FADE**-week
        _SUM.pack_into(tally.sums, at, min(grown, _SUM_MAX))

    def _expected(self, tally: Tally, hour: int) -> tuple[float, float, float]:
        first = tally.since // self.per_hour
        weeks, rest = divmod(max(0, hour - first), WEEK_H)
        sums = self._sums(tally, weeks)
        now, today = hour % WEEK_H, hour % _DAY_H
        past = (1.0 - _FADE**weeks) / (1.0 - _FADE) * _FADE  # of each hour of the week, in weeks of now
        closed = min(max(0, tally.learned + 1 - hour * self.per_hour), self.per_hour)  # intervals of this very hour
        day_hours = range(today, WEEK_H, _DAY_H)
        recent = sum((other - first) % WEEK_H < rest for other in day_hours)
        whole = (sum(sums) + 0.5) / (self.per_hour * (past * WEEK_H + rest) + closed + 1.0)
        by_day = _leaning(sum(sums[other] for other in day_hours), self.per_hour * (past * 7 + recent) + closed, whole)
        seen = self.per_hour * past + closed
        mean = _leaning(sums[now], seen, by_day)
        wide = max(_SCATTER_MIN, (tally.scatter + _SCATTER) / (tally.squares + 1.0))
        unsure = (1.0 / mean + wide) / (seen + _LEAN)
        return mean, 1.0 / (wide + unsure), whole

    def _sums(self, tally: Tally, weeks: int) -> list[float]:
        if tally.sums:
            shrunk = _FADE**weeks
            return [grown * shrunk for grown in _SUMS.unpack(tally.sums)]
        sums = [0.0] * WEEK_H
        if tally.early_hour >= 0:
            sums[tally.early_hour % WEEK_H] = tally.early * _FADE**weeks
        return sums


def _leaning(count: float, intervals: float, wider: float) -> float:
    """Return a rate out of what was counted, leaning on that of a wider baseline."""
    return (count + _LEAN * wider) / (intervals + _LEAN)
