"""What each entity showed, and how many of the cluster's entities showed the same.

What many others do is no news for one more: an account that reads its configuration for the first time because it was
rolled out for the first time. These counts follow from the groups alone, so they are recomputed and never saved.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec
import orjson

from detectors.behaviour.definition import Definition
from detectors.behaviour.first_seen_texts import GROUP_WEIGHT
from detectors.behaviour.groups import Groups

_HASH_CHARS: Final = 16
_Fleet = tuple[str, str]


class Known(msgspec.Struct):
    """What an entity has shown: each value with the hour (since the epoch) in which it was last seen, oldest first.

    `since_ns`: since when it is known to exist; `acted`: whether it was seen to act itself. `began_ns` and `last_ns`:
    the beginning and end of its last stretch of activity, kept where the definition asks for it.
    """

    owner: str
    since_ns: int
    values: dict[str, int] = {}
    overflowing: bool = False
    acted: bool = False
    began_ns: int = 0
    last_ns: int = 0


class Fleet(Groups[Known]):
    """Groups that count, for the definitions that ask for it, how many entities of a cluster have a value."""

    def __init__(self, weight_max: int) -> None:
        """Hold groups that weigh so much together: as many values, and for each group some more."""
        super().__init__(Known, weight_max, lambda known: GROUP_WEIGHT + len(known.values))
        self._sizes: dict[_Fleet, int] = {}
        self._counts: dict[_Fleet, dict[str, int]] = {}
        self._counted: frozenset[str] = frozenset()

    def rebuild(self) -> None:
        """Recompute weights; values that several entities have are one text again, as before the restart."""
        texts: dict[str, str] = {}
        for key in self.state:
            known = self.get(key)
            assert known is not None, "iterated keys exist"
            known.values = {texts.setdefault(value, value): hour for value, hour in known.values.items()}
        super().rebuild()

    def count_for(self, definitions: Iterable[Definition]) -> None:
        """Count for these definitions from now on, beginning with what there is."""
        self._counted = frozenset(found.content_hash[:_HASH_CHARS] for found in definitions)
        self._sizes, self._counts = {}, {}
        for key in self.state:
            known = self.get(key)
            assert known is not None, "iterated keys exist"
            self._count(key, known, 1)

    def shares(self, key: str, value: str) -> tuple[int, int]:
        """Return how many entities of the same definition and cluster have a value, and how many there are."""
        fleet = _fleet_of(key)
        return self._counts.get(fleet, {}).get(value, 0), self._sizes.get(fleet, 0)

    def add(self, key: str, group: Known) -> int:
        """Insert a new group; return how many others had to go."""
        self._count(key, group, 1)
        return super().add(key, group)

    def forget(self, key: str) -> Known:
        """Forget a group and return it."""
        group = super().forget(key)
        self._count(key, group, -1)
        return group

    def learn(self, key: str, known: Known, value: str, hour: int) -> None:
        """Set when a value was last seen; it becomes the youngest. The group was touched."""
        last = known.values.pop(value, None)
        known.values[value] = hour if last is None else max(last, hour)
        if last is None and key[:_HASH_CHARS] in self._counted:
            self._change(_fleet_of(key), value, 1)

    def unlearn(self, key: str, known: Known) -> None:
        """Forget the oldest value of a group that was touched."""
        oldest = next(iter(known.values))
        del known.values[oldest]
        if key[:_HASH_CHARS] in self._counted:
            self._change(_fleet_of(key), oldest, -1)

    def _count(self, key: str, known: Known, step: int) -> None:
        if key[:_HASH_CHARS] not in self._counted:
            return
        fleet = _fleet_of(key)
        self._sizes[fleet] = self._sizes.get(fleet, 0) + step
        for value in known.values:
            self._change(fleet, value, step)

    def _change(self, fleet: _Fleet, value: str, step: int) -> None:
        counts = self._counts.setdefault(fleet, {})
        counts[value] = counts.get(value, 0) + step
        if not counts[value]:
            del counts[value]


def _fleet_of(key: str) -> _Fleet:
    """Return the definition and the cluster of a group (see `Groups.key`)."""
    cluster: str = orjson.loads(key[_HASH_CHARS:])[0]
    return key[:_HASH_CHARS], cluster
