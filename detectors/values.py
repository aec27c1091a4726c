"""What an event's values mean to a test: their text, number, address and point in time.

Sigma takes all values as case-insensitive strings (specification 2.1, "General"), and events often carry numbers as
text, so a test never asks for a JSON type: it asks for one of the readings below and fails where there is none. None of
these functions raises, whatever an attacker put into an event.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from math import isfinite
from typing import Any, Final, TypeGuard

NUMBER_CHARS_MAX: Final = 64
"""A longer string is no number: Python's own parsers take time that grows faster than the length."""
ADDRESS_CHARS_MAX: Final = 64
"""The longest IPv6 text has 45 characters, an interface zone (`%eth0`) some more."""
INTEGER_BITS_MAX: Final = 1024
"""Beyond it an integer has no text: writing it out in decimal takes quadratic time, and Python refuses 4,300 digits."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_UNITS: Final = ((10**11, 1), (10**14, 10**3), (10**17, 10**6), (10**20, 10**9))


kind_of: Final[Callable[[Any], object]] = type
"""The type of a JSON value, to be compared by `is`: `isinstance` costs more and leaves types half known."""


def is_list(value: Any) -> TypeGuard[list[Any]]:
    """Say whether a JSON value is a list."""
    return isinstance(value, list)


def is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    """Say whether a JSON value is an object."""
    return isinstance(value, dict)


def text(value: Any) -> str | None:
    """Return a scalar as text: `true`, `403`, `0.5`; whole floats without their point; None for null and containers."""
    if isinstance(value, str):
        return value
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, int):
        return str(value) if value.bit_length() <= INTEGER_BITS_MAX else None
    return repr(value) if isinstance(value, float) else None


def fold(string: str) -> str:
    """Remove case, the one meaning of "case-insensitive" here: full Unicode case folding (`str.casefold`).

    It works character by character, so folding keeps prefixes, suffixes and substrings (`lower` does not: its final
    sigma depends on the neighbours). The few characters that fold to several (`ß` to `ss`) count as those several.
    """
    return string.casefold()


def number(value: Any) -> int | float | None:
    """Return a number, or the one that a string spells out in decimal; booleans, `nan` and infinities are none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, str) and len(value) <= NUMBER_CHARS_MAX and "_" not in value:
        return _spelled(value)
    return None


def _spelled(string: str) -> int | float | None:
    try:
        return int(string)
    except ValueError:
        pass
    try:
        parsed = float(string)
    except ValueError:
        return None
    return parsed if isfinite(parsed) else None


def address(value: Any) -> IPv4Address | IPv6Address | None:
    """Return the IP address that a string spells out; an IPv4-mapped IPv6 address (RFC 4291 §2.5.5.2) as IPv4."""
    if not isinstance(value, str) or len(value) > ADDRESS_CHARS_MAX:
        return None
    return _address(value)


@lru_cache(maxsize=1024)
def _address(string: str) -> IPv4Address | IPv6Address | None:
    try:
        parsed = ip_address(string)
    except ValueError:
        return None
    return getattr(parsed, "ipv4_mapped", None) or parsed


def instant(value: Any) -> datetime | None:
    """Return a point in time in UTC: of an ISO 8601 text (UTC where it names no zone) or of an epoch number.

    An epoch number is taken as s, ms, µs or ns by its size, which is right for the years 1973 to 5138.
    """
    if isinstance(value, str) and not (value.isdecimal() and len(value) > len("YYYYMMDD")):
        return _iso8601(value)
    epoch = number(value)
    if epoch is None:
        return None
    unit = next((unit for bound, unit in _EPOCH_UNITS if abs(epoch) < bound), None)
    try:
        return None if unit is None else _EPOCH + timedelta(seconds=epoch / unit)
    except OverflowError:
        return None


def _iso8601(string: str) -> datetime | None:
    if len(string) > NUMBER_CHARS_MAX:
        return None
    try:
        parsed = datetime.fromisoformat(string)
        return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
