"""How far event time has come for each correlation: windows that end before its watermark get no more events.

A watermark stays CORRELATION_LATENESS_NS behind the newest event of its slowest source. A source without matches for
CORRELATION_IDLE_NS of arrival time no longer counts; where all are idle, event time goes on as arrival time does. It
never goes back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from vedette.schema.limits import CORRELATION_IDLE_NS, CORRELATION_LATENESS_NS
from vedette.schema.operator import KeyedState

_NOW: Final = "@now"


class Reading(msgspec.Struct, array_like=True):
    """The newest event of a source (event time, ns), and when the last one arrived (arrival time, ns)."""

    event_ns: int
    arrival_ns: int


class Clock(msgspec.Struct):
    """One correlation's event time: its watermark, and what it saw of each source (their names are configured)."""

    watermark_ns: int = 0
    sources: dict[str, Reading] = {}


class Watermarks:
    """The event time of correlations, by their key. Implements `vedette.schema.operator.Operator`."""

    name = "correlation_clocks"
    version = 1

    def __init__(self) -> None:
        """Begin without having seen anything."""
        self.state: KeyedState[Clock] = KeyedState(Clock)

    def rebuild(self) -> None:
        """Nothing is derived here."""

    def get(self, key: str) -> int:
        """Return a watermark, ns; 0 before the first event."""
        clock = self.state.get(key)
        return 0 if clock is None else clock.watermark_ns

    def see(self, key: str, source: str, event_ns: int, arrival_ns: int) -> None:
        """Take note of an event."""
        clock = self._touched(key)
        reading = clock.sources.get(source)
        if reading is None:
            clock.sources[source] = Reading(event_ns, arrival_ns)
            return
        reading.event_ns = max(reading.event_ns, event_ns)
        reading.arrival_ns = arrival_ns

    def advance(self, key: str, arrival_ns: int, others: Iterable[int]) -> int:
        """Let arrival time go on; return the watermark, which waits for `others`: those of correlations below."""
        clock = self.state.get(key)
        found = [] if clock is None else _reached(list(clock.sources.values()), arrival_ns)
        found += [watermark_ns for watermark_ns in others if watermark_ns]
        before_ns = self.get(key)
        if not found or min(found) <= before_ns:
            return before_ns
        self._touched(key).watermark_ns = min(found)
        return min(found)

    def newest(self) -> int:
        """Return the time of the newest event of all, ns."""
        return max((reading.event_ns for clock in self._clocks() for reading in clock.sources.values()), default=0)

    def lags_ns(self) -> dict[str, int]:
        """Return how far the event time of each source was behind when its last match arrived, ns."""
        lags: dict[str, int] = {}
        for clock in self._clocks():
            for source, seen in clock.sources.items():
                lags[source] = max(lags.get(source, 0), seen.arrival_ns - seen.event_ns)
        return lags

    def forget(self, kept: Iterable[str]) -> None:
        """Forget all but the correlations that are still there."""
        wanted = {_NOW, *kept}
        for key in [key for key in self.state if key not in wanted]:
            self.state.pop(key)

    # --- our own downtime ---------------------------------------------------------------------------------------------
    @property
    def last_arrival_ns(self) -> int:
        """When something arrived last, as far as `arrive` was told; 0 at the beginning."""
        return self.get(_NOW)

    def arrive(self, arrival_ns: int) -> None:
        """Remember when something arrived last, whatever it was."""
        self._touched(_NOW).watermark_ns = arrival_ns

    def resume(self, arrival_ns: int) -> int:
        """Begin again after a pause: the time since the last arrival, which is returned, makes no source idle."""
        pause_ns = max(0, arrival_ns - self.last_arrival_ns) if self.last_arrival_ns else 0
        for key in list(self.state) if pause_ns else ():
            for reading in self._touched(key).sources.values():
                reading.arrival_ns += pause_ns
        return pause_ns

    def _clocks(self) -> list[Clock]:
        return [clock for key in self.state if (clock := self.state.get(key)) is not None and key != _NOW]

    def _touched(self, key: str) -> Clock:
        clock = self.state.get(key)
        if clock is None:
            clock = Clock(0, {})
            self.state.put(key, clock)
        else:
            self.state.touch(key)
        return clock


def _reached(readings: Sequence[Reading], arrival_ns: int) -> list[int]:
    """Return how far each source that counts has come; nothing where none was seen."""
    active = [seen.event_ns for seen in readings if arrival_ns - seen.arrival_ns < CORRELATION_IDLE_NS]
    if not active and readings:
        active = [max(seen.event_ns + arrival_ns - seen.arrival_ns for seen in readings)]
    return [event_ns - CORRELATION_LATENESS_NS for event_ns in active]
