"""Who takes up how much of a bounded space, and who has to give way: the one that takes up most, its oldest first."""

from __future__ import annotations

import heapq
from typing import Final

_SLACK: Final = 1024
"""Outdated entries that the heap may hold beside as many as there are owners."""


class Crowd:
    """Keys with weights, by owner. What it says depends on its content alone, not on how it came about."""

    def __init__(self) -> None:
        """Begin empty."""
        self.weight = 0
        self._keys: dict[str, dict[str, int]] = {}
        self._weights: dict[str, int] = {}
        self._heaviest: list[tuple[int, str]] = []

    def change(self, owner: str, key: str, weight: int) -> None:
        """Set the weight of a key, new ones being the youngest of their owner; 0 removes it."""
        keys = self._keys.setdefault(owner, {})
        gained = weight - keys.get(key, 0)
        if weight:
            keys[key] = weight
        else:
            del keys[key]
        if not keys:
            del self._keys[owner]
        if gained:
            self.weight += gained
            self._weigh(owner, self._weights.get(owner, 0) + gained)

    def first_to_go(self) -> str:
        """Return the oldest key of the owner with the greatest weight (the first by name among equals)."""
        while True:
            weight, owner = self._heaviest[0]
            if self._weights.get(owner) == -weight:
                return next(iter(self._keys[owner]))
            heapq.heappop(self._heaviest)

    def _weigh(self, owner: str, weight: int) -> None:
        if not weight:
            del self._weights[owner]
            return
        self._weights[owner] = weight
        heapq.heappush(self._heaviest, (-weight, owner))
        if len(self._heaviest) > 2 * len(self._weights) + _SLACK:
            self._heaviest = [(-weight, owner) for owner, weight in self._weights.items()]
            heapq.heapify(self._heaviest)
