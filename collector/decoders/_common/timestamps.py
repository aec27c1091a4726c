"""RFC 3339 timestamps to whole nanoseconds: no floats, no exceptions, and fast for what machines write.

Lines of a log share their second, so its nanoseconds are remembered and only the fraction is computed.
"""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache
from typing import Final

from vedette.schema.limits import SECOND_NS

TIME_NS_MAX: Final = 2**63 - 1
"""The last nanosecond that a signed 64-bit integer holds (year 2262); later times count as this one."""

_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_FORM: Final = re.compile(
    r"(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:)(\d\d)(?:[.,](\d+))?(?:[Zz]|([+-])(\d\d):?(\d\d))?",
    re.ASCII,
)
_FRACTION_NS: Final = {len("2026-11-21T10:11:12.123456Z"): 1_000, len("2026-11-21T10:11:12.123456789Z"): 1}
"""What the last digit is worth in the forms of Kubernetes and of Falco, by their length."""
_CHARS_MAX: Final = 64
_YEAR_MAX: Final = "2261"
"""The last year in which every nanosecond is at most TIME_NS_MAX."""


def rfc3339_ns(value: object) -> int:
    """Nanoseconds since the epoch of an RFC 3339 string, 0 for anything that is none or lies before 1970.

    Any number of fractional digits is read (beyond nine they are cut off); without an offset it is UTC. A leap second
    is the first second of the next minute. Years after 2262 give TIME_NS_MAX.
    """
    if not isinstance(value, str):
        return 0
    digit_ns = _FRACTION_NS.get(len(value))
    if digit_ns is not None:
        second_ns, digits = _second_ns(value[:20]), value[20:-1]
        if second_ns is not None and value[-1] == "Z" and digits.isascii() and digits.isdigit():
            return second_ns + int(digits) * digit_ns
    return _any_form_ns(value)


def _any_form_ns(value: str) -> int:
    match = _FORM.fullmatch(value) if len(value) <= _CHARS_MAX else None
    if match is None:
        return 0
    minute, seconds, fraction, sign, hours, minutes = match.groups()
    minute_ns = _minute_ns(minute)
    if minute_ns is None:
        return 0
    offset_s = (int(hours) * 3600 + int(minutes) * 60) * (-1 if sign == "-" else 1) if sign else 0
    fraction_ns = int(fraction[:9].ljust(9, "0")) if fraction else 0
    return _clamped(minute_ns + (int(seconds) - offset_s) * SECOND_NS + fraction_ns)


def _clamped(time_ns: int) -> int:
    return max(0, min(time_ns, TIME_NS_MAX))


@lru_cache(maxsize=1024)
def _second_ns(prefix: str) -> int | None:
    """Nanoseconds at `YYYY-MM-DDTHH:MM:SS.` from 1970 to 2261; None for any other text."""
    minute_ns = _minute_ns(prefix[:17])
    if minute_ns is None or minute_ns < 0 or prefix[19] != "." or prefix[:4] > _YEAR_MAX:
        return None
    seconds = prefix[17:19]
    return minute_ns + int(seconds) * SECOND_NS if seconds.isascii() and seconds.isdigit() else None


@lru_cache(maxsize=1024)
def _minute_ns(prefix: str) -> int | None:
    """Nanoseconds at `YYYY-MM-DDTHH:MM:`, negative before 1970; None where there is no such minute."""
    if not _FORM.fullmatch(prefix + "00"):
        return None
    try:
        day = date(int(prefix[:4]), int(prefix[5:7]), int(prefix[8:10])).toordinal() - _EPOCH_DAY
    except ValueError:  # month 13, 30 February, year 0
        return None
    hour, minute = int(prefix[11:13]), int(prefix[14:16])
    return ((day * 24 + hour) * 60 + minute) * 60 * SECOND_NS if hour < 24 and minute < 60 else None  # noqa: PLR2004
