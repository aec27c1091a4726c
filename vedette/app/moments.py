"""Moments as people write them on a command line."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from vedette.schema.errors import ConfigError
from vedette.schema.limits import SECOND_NS

_AGO: Final = re.compile(r"(\d{1,9})([smhd])")
_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_US_NS: Final = 1_000


def parse_moment(text: str, *, now_ns: int) -> int:
    """Return ns since the epoch for `30m`, `2h`, `7d` (ago), a date, or a date and time (UTC unless it says otherwise).

    Raises:
        ConfigError: it is none of these.
    """
    ago = _AGO.fullmatch(text)
    if ago:
        return max(0, now_ns - int(ago[1]) * _UNITS_S[ago[2]] * SECOND_NS)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"`{text}` is no time; write 30m, 2h, 7d (ago), 2026-03-01 or 2026-03-01T12:00:00Z") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    since_epoch = moment - datetime.fromtimestamp(0, UTC)
    return (since_epoch.days * 86_400 + since_epoch.seconds) * SECOND_NS + since_epoch.microseconds * _US_NS
