"""Simulated time: where it begins, how busy its hours are, and how formats write it.

Times are nanoseconds since the epoch. The first day is a Monday; all hours are UTC.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from vedette.schema.limits import SECOND_NS

START_NS: Final = 1_772_409_600 * SECOND_NS
"""2026-03-02T00:00:00Z, a Monday."""
MINUTE_NS: Final = 60 * SECOND_NS
HOUR_NS: Final = 60 * MINUTE_NS
DAY_NS: Final = 24 * HOUR_NS
_WEEKEND_FROM: Final = 5
_PEAK_H: Final = 14.0
"""The busiest hour of a day."""


def day_of(time_ns: int) -> int:
    """Days since the start, the first is 0."""
    return (time_ns - START_NS) // DAY_NS


def hour_of(time_ns: int) -> float:
    """Return the hour of the day, with its fraction."""
    return (time_ns - START_NS) % DAY_NS / HOUR_NS


def is_weekend(time_ns: int) -> bool:
    """Whether it is Saturday or Sunday."""
    return day_of(time_ns) % 7 >= _WEEKEND_FROM


def load(time_ns: int, swing: float, weekend: float) -> float:
    """Return the load of users at a time, mean 1 over a weekday.

    `swing`: 0 none, 1 down to nothing at night. `weekend`: factor on Saturdays and Sundays.
    """
    daily = 1.0 + swing * math.cos((hour_of(time_ns) - _PEAK_H) * math.pi / 12.0)
    return daily * weekend if is_weekend(time_ns) else daily


def audit_text(time_ns: int) -> str:
    """Write a time as audit events do: RFC 3339 with six digits."""
    second, rest = divmod(time_ns, SECOND_NS)
    return f"{_second_text(second)}.{rest // 1000:06d}Z"


def falco_text(time_ns: int) -> str:
    """Write a time as Falco does: RFC 3339 with nine digits."""
    second, rest = divmod(time_ns, SECOND_NS)
    return f"{_second_text(second)}.{rest:09d}Z"


@lru_cache(maxsize=4096)
def _second_text(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
