"""The one place where the pipeline reads the time, so that tests can hand it another one."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Wall-clock time for arrival times; waiting goes through the event loop."""

    def now_ns(self) -> int:
        """Nanoseconds since the epoch."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_ns(self) -> int:
        """Nanoseconds since the epoch."""
        return time.time_ns()
