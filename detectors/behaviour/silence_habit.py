"""How long somebody is used to be silent: pauses by their length, weighed by the time they take.

Weighing by time keeps both ends honest: the hourly word of a quiet night counts as much as the busy day before it, and
a restart of two minutes once a week does not. Integers only: the same everywhere.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from typing import Final

from vedette.schema.limits import SECOND_NS

_LONGEST_S: Final = 30 * 86_400
_FORGET_S: Final = 28 * 86_400
"""Time watched at which the past counts half from then on."""


def _edges() -> tuple[int, ...]:
    found = [1]
    while found[-1] < _LONGEST_S:
        found.append(found[-1] * 5 // 4 + 1)
    return tuple(found)


EDGES_S: Final = _edges()
"""Bounds of the classes of pauses, a quarter apart."""


def learn(habit: dict[int, int], pause_ns: int) -> None:
    """Add a pause to what one is used to: seconds spent, by the class of pauses."""
    pause_s = pause_ns // SECOND_NS
    number = min(len(EDGES_S) - 1, max(1, bisect_right(EDGES_S, pause_s)))
    habit[number] = habit.get(number, 0) + pause_s
    if sum(habit.values()) > _FORGET_S:
        for known in list(habit):
            habit[known] //= 2
            if not habit[known]:
                del habit[known]


def watched_s(habit: Mapping[int, int]) -> int:
    """Return the time that went into a habit."""
    return sum(habit.values())


def usual_s(habit: Mapping[int, int], rare_per_mille: int) -> tuple[int, int]:
    """Return the class (from, to) of the longest pauses, but for those in which that share of the time was spent."""
    allowed = watched_s(habit) * rare_per_mille // 1000
    for number in sorted(habit, reverse=True):
        allowed -= habit[number]
        if allowed < 0:
            return EDGES_S[number - 1], EDGES_S[number]
    return 0, 0
