"""How much goes one way: the hours of the last two days, and what is usual of an hour and of a day.

Volumes scatter by factors, so their logarithms are learned: of a day's total the median and the median absolute
deviation of up to two weeks, of an hour's the running mean and deviation by hour of the day. What is slow shows in a
cumulated sum (CUSUM, Page 1954): what each hour had beyond its share of a somewhat busy day, never below nothing.
"""

from __future__ import annotations

import math
import struct
from typing import Final, NamedTuple

import msgspec

from detectors.behaviour.statistics import median, robust_sigma
from vedette.schema.limits import SECOND_NS

MB: Final = 1_000_000
HOUR_NS: Final = 3_600 * SECOND_NS
DAY_H: Final = 24
_RING_H: Final = 48
"""Hours that are kept one by one: records may be that late, and a running day is summed up anew each hour."""
_DAYS_MAX: Final = 14
_HOURS: Final = struct.Struct(f"<{_RING_H}Q")
_HOUR: Final = struct.Struct("<Q")
_HABITS: Final = struct.Struct(f"<{2 * DAY_H}f")
_HABIT: Final = struct.Struct("<ff")
_HOUR_BYTES_MAX: Final = 2**62
_STEP: Final = 0.2
"""Weight of a new hour in the running mean of its hour of the day."""
_HOUR_SIGMA: Final = (0.35, 1.0)
"""Bounds of what the logarithm of an hour's volume scatters by: few samples look steadier, or wilder, than they are."""
_DAY_SIGMA: Final = 0.3
"""Scatter of a day's that is assumed, with the weight of `_ASSUMED` days."""
_DAY_SIGMA_MAX: Final = 0.5
_ASSUMED: Final = 4
_SIGMAS: Final = 5.0
"""How far beyond the usual is too far, in standard deviations of the logarithm."""
_TIMES_MIN: Final = 2.0
"""Less than this many usual days, or hours, are never too much."""
_SLOW_SIGMAS: Final = 8.0
_SLOW_SHARE: Final = 200
"""Of what is too much when cumulated, an hour must add one part in so many."""
_REGULAR_HOURS: Final = 3
"""Who is as busy in this many hours of the day may be so in any."""


class Floors(NamedTuple):
    """Bytes that are never too much: of an hour, of a day, and of what is cumulated."""

    hour: float
    day: float
    slow: float


class Stream(msgspec.Struct):
    """What one workload sends one way. Hours and days are counted from the epoch."""

    since: int
    """The first hour."""
    hour: int
    now: int = 0
    """Bytes in `hour` so far."""
    rest: int = 0
    """Bytes in the 23 hours before it."""
    today: int = 0
    limit: float = 0.0
    """Bytes in `now` from which on it is judged."""
    excess: float = 0.0
    """What was cumulated before this hour."""
    odd: bool = False
    """Whether something was told of today, so that it is not learned."""
    odd_days: int = 0
    ring: bytearray = bytearray()
    habits: bytearray = bytearray()
    """For each hour of the day mean and deviation of the logarithm, as 32-bit floats."""
    days: list[float] = []
    """Logarithms of the totals of days, the latest last."""

    # --- what is usual ------------------------------------------------------------------------------------------------
    def usual_day(self) -> tuple[float, float]:
        """Return the bytes of a usual day, and the standard deviation of their logarithm."""
        if not self.days:
            return 0.0, _DAY_SIGMA
        count, spread = len(self.days), robust_sigma(self.days)
        sigma = math.sqrt((count * spread * spread + _ASSUMED * _DAY_SIGMA * _DAY_SIGMA) / (count + _ASSUMED))
        return _bytes(median(self.days)), min(sigma, _DAY_SIGMA_MAX)

    def most(self) -> float:
        """Return the bytes of the busiest day that was learned."""
        return _bytes(max(self.days, default=0.0))

    def hour_limit(self, floor: float) -> float:
        """Return the bytes that are too many for the present hour of the day, or one next to it."""
        if not self.habits:
            return floor
        values = _HABITS.unpack(self.habits)
        limits = [
            _bytes(mean + max(_SIGMAS * min(max(sigma, _HOUR_SIGMA[0]), _HOUR_SIGMA[1]), math.log(_TIMES_MIN)))
            if mean
            else 0.0
            for mean, sigma in zip(values[::2], values[1::2], strict=True)
        ]
        at = self.hour % DAY_H
        near = max(limits[at - 1], limits[at], limits[(at + 1) % DAY_H])
        return max(floor, near, sorted(limits)[-_REGULAR_HOURS])

    def day_limit(self, floor: float) -> float:
        """Return the bytes that are too many for any 24 hours."""
        usual, sigma = self.usual_day()
        return max(floor, _TIMES_MIN * usual, _bytes(_log(usual) + _SIGMAS * sigma))

    def slow_limit(self, floor: float) -> float:
        """Return the cumulated bytes that are too many."""
        usual, sigma = self.usual_day()
        return max(floor, usual * max(_TIMES_MIN, _SLOW_SIGMAS * sigma))

    def allowance(self) -> float:
        """Return an hour's share of a somewhat busy day."""
        usual, sigma = self.usual_day()
        return _bytes(_log(usual) + sigma) / DAY_H

    def judge_from(self, floors: Floors) -> float:
        """Return the bytes in this hour from which on any limit is passed.

        The hour must have its share of what is too much: what ended hours ago is not told now.
        """
        day, slow, allowed = self.day_limit(floors.day), self.slow_limit(floors.slow), self.allowance()
        return min(
            self.hour_limit(floors.hour),
            max(day - self.rest, day / DAY_H),
            max(slow - self.excess, slow / _SLOW_SHARE) + allowed,
        )

    # --- what comes ---------------------------------------------------------------------------------------------------
    def add(self, hour: int, sent: int) -> bool:
        """Count bytes of an hour, which is the present one or lies before it; False if it is too long ago."""
        if hour == self.hour:
            self.now = min(self.now + sent, _HOUR_BYTES_MAX)
        elif self.hour - hour < _RING_H and self.ring:
            at = hour % _RING_H * _HOUR.size
            _HOUR.pack_into(self.ring, at, min(_HOUR.unpack_from(self.ring, at)[0] + sent, _HOUR_BYTES_MAX))
            self.excess += sent
            if self.hour - hour < DAY_H:
                self.rest += sent
                self.limit -= sent
        else:
            return False
        self.today += sent if hour // DAY_H == self.hour // DAY_H else 0
        return True

    def move(self, hour: int) -> None:
        """Go on to a later hour: learn the one that ends, and the day if it ends, too."""
        if self.now and not self.ring:
            self.ring, self.habits = bytearray(_HOURS.size), bytearray(_HABITS.size)
        self.excess = max(0.0, self.excess + self.now - self.allowance())
        self.excess = max(0.0, self.excess - (hour - self.hour - 1) * self.allowance())
        if self.now and not self.odd:
            self._learn_hour()
        if self.ring:
            _HOUR.pack_into(self.ring, self.hour % _RING_H * _HOUR.size, self.now)
            for empty in range(max(self.hour + 1, hour - _RING_H), hour + 1):
                _HOUR.pack_into(self.ring, empty % _RING_H * _HOUR.size, 0)
            hours = _HOURS.unpack(self.ring)
            self.rest = sum(hours[before % _RING_H] for before in range(hour - DAY_H + 1, hour))
        if hour // DAY_H > self.hour // DAY_H:
            self._learn_days(hour // DAY_H - self.hour // DAY_H)
        self.hour, self.now = hour, 0

    def _learn_hour(self) -> None:
        at = self.hour % DAY_H * _HABIT.size
        mean, sigma = _HABIT.unpack_from(self.habits, at)
        value = _log(float(self.now))
        if mean:
            sigma += _STEP * (abs(value - mean) - sigma)
            mean += _STEP * (value - mean)
        else:
            mean, sigma = value, _HOUR_SIGMA[0]
        _HABIT.pack_into(self.habits, at, mean, sigma)

    def _learn_days(self, passed: int) -> None:
        """Learn today and the empty days after it; the first is not whole, and an odd one only if all are of late."""
        self.odd_days = self.odd_days + 1 if self.odd else 0
        is_whole = self.hour // DAY_H > self.since // DAY_H or self.since % DAY_H == 0
        if is_whole and (not self.odd or self.odd_days > _ODD_DAYS_MAX):
            self.days.append(_log(float(self.today)))
        self.days.extend([0.0] * min(passed - 1, _DAYS_MAX))
        del self.days[:-_DAYS_MAX]
        self.today, self.odd = 0, False


_ODD_DAYS_MAX: Final = 3
"""What goes on for longer than this is the new normal."""


def _log(volume: float) -> float:
    """Return the logarithm of a volume, with a megabyte for nothing: below that, factors mean little."""
    return math.log1p(volume / MB)


def _bytes(logarithm: float) -> float:
    return math.expm1(logarithm) * MB
