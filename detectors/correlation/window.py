"""What is measured in a window of events, and whether the condition holds for it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from math import floor, fsum
from operator import attrgetter
from statistics import median
from typing import Final, NamedTuple

import msgspec

from detectors.correlation.definition import Both, Correlation, Either, Expression, Kind, Seen
from vedette.schema.alert import Evidence
from vedette.schema.event import Facts

_HUNDRED: Final = 100


class Entry(msgspec.Struct, array_like=True):
    """A finding in a group: when, of which record and member; its value as text or number; samples of its events.

    `facts`: who, what and where, kept where nobody else will know when the window is over.
    """

    time_ns: int
    seq: int
    member: int
    text: str
    amount: int | float
    samples: list[Evidence]
    facts: Facts | None = None


class Verdict(NamedTuple):
    """What was measured, and whether the condition holds; `measured` is None where nothing can be measured."""

    measured: int | float | None
    holds: bool


time_of: Final = attrgetter("time_ns")
order_of: Final = attrgetter("time_ns", "member", "seq")
"""Where an entry stands in its group: members in their order where times are equal, since `t1 <= t2` is in order."""


def from_time(entries: Sequence[Entry], time_ns: int) -> int:
    """Return the position of the first entry at or after a time."""
    return bisect_left(entries, time_ns, key=time_of)


def after_time(entries: Sequence[Entry], time_ns: int) -> int:
    """Return the position of the first entry after a time."""
    return bisect_right(entries, time_ns, key=time_of)


def judge(correlation: Correlation, entries: Sequence[Entry], start: int, end: int) -> Verdict:
    """Hold the entries from `start` up to `end` against a correlation's condition."""
    if correlation.expression is not None:
        seen = {entries[at].member for at in range(start, end)}
        return Verdict(len(seen), _holds(correlation.expression, seen))
    measured = end - start if correlation.kind is Kind.EVENT_COUNT else _measure(correlation, entries[start:end])
    return Verdict(measured, measured is not None and all(bound.holds(measured) for bound in correlation.bounds))


def _holds(expression: Expression, seen: set[int]) -> bool:
    if isinstance(expression, Seen):
        return expression.member in seen
    if isinstance(expression, Both):
        return all(_holds(part, seen) for part in expression.parts)
    if isinstance(expression, Either):
        return any(_holds(part, seen) for part in expression.parts)
    return not _holds(expression.part, seen)


def _measure(correlation: Correlation, entries: Sequence[Entry]) -> int | float | None:
    kind = correlation.kind
    if kind is Kind.VALUE_COUNT:
        return len({entry.text for entry in entries})
    if kind is Kind.TEMPORAL:
        return len({entry.member for entry in entries})
    if kind is Kind.TEMPORAL_ORDERED:
        return _in_order(entries)
    amounts = [entry.amount for entry in entries]
    if kind is Kind.VALUE_SUM:
        return _total(amounts)
    if not amounts:
        return None
    if kind is Kind.VALUE_AVG:
        return _total(amounts) / len(amounts)
    return median(amounts) if kind is Kind.VALUE_MEDIAN else _percentile(sorted(amounts), correlation.percentile)


def _in_order(entries: Sequence[Entry]) -> int:
    """Count how many of the members matched in their order, from the first on."""
    count = 0
    for entry in entries:
        count += entry.member == count
    return count


def _total(amounts: list[int | float]) -> int | float:
    """Add without rounding on the way: the same events give the same sum in any order."""
    return fsum(amounts) if any(isinstance(amount, float) for amount in amounts) else sum(amounts)


def _percentile(amounts: list[int | float], percentile: int) -> int | float:
    """Interpolate between the closest ranks, as `PERCENTILE_CONT` of SQL:2003 does."""
    rank = (len(amounts) - 1) * percentile / _HUNDRED
    below = floor(rank)
    if below == rank:
        return amounts[below]
    return amounts[below] + (amounts[below + 1] - amounts[below]) * (rank - below)
