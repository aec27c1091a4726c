"""What a type of detector remembers, by definition and entity: bounded in weight, and evicted fairly.

Where all of it weighs too much, the owner (whoever made the entities: a namespace, a user, a network) with the most of
it loses its oldest group. So a flood of made-up names pushes out what it made itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, Generic, Protocol, TypeVar

import orjson

from detectors.behaviour.definition import Definition
from detectors.behaviour.fields import network_of
from detectors.correlation.crowd import Crowd
from detectors.engine import bounded_text
from vedette.schema.observation import Observation
from vedette.schema.operator import KeyedState

_HASH_CHARS: Final = 16
_KEYS_MAX: Final = 65_536
"""Keys remembered, so that they need not be written anew for each observation."""


class Group(Protocol):
    """What is remembered of an entity: a msgspec Struct with its owner."""

    owner: str


G = TypeVar("G", bound=Group)


class Groups(Generic[G]):
    """Groups of one type of detector. A changed group must be announced with `touch`, before it is changed."""

    def __init__(self, kind: type[G], weight_max: int, weight_of: Callable[[G], int]) -> None:
        """Hold groups that weigh `weight_max` together; a group's weight is at least 1."""
        self.state: KeyedState[G] = KeyedState(kind)  # type: ignore[type-var]  # a Group is a Struct
        self.get: Callable[[str], G | None] = self.state.get
        """Return a group, which must not be changed before `touch`."""
        self._weight_max = weight_max
        self._weight_of = weight_of
        self._crowd = Crowd()
        self._keys: dict[tuple[str, str, tuple[str, ...]], str] = {}

    def __len__(self) -> int:
        """Count the groups."""
        return len(self.state)

    @property
    def weight(self) -> int:
        """What all groups weigh together."""
        return self._crowd.weight

    def key(self, definition: Definition, cluster: str, values: tuple[str, ...]) -> str:
        """Name an entity of a definition; values of any length and with any characters differ where they do."""
        known = self._keys.get((definition.content_hash, cluster, values))
        return known or self._remember(definition.content_hash, cluster, values)

    def _remember(self, content_hash: str, cluster: str, values: tuple[str, ...]) -> str:
        if len(self._keys) >= _KEYS_MAX:
            self._keys.clear()
        texts = [bounded_text(value) for value in values]
        key = content_hash[:_HASH_CHARS] + orjson.dumps((cluster, texts)).decode()
        self._keys[content_hash, cluster, values] = key
        return key

    def of(self, definition: Definition) -> Iterator[tuple[str, G]]:
        """Iterate over the groups of a definition, the oldest first. Costs all groups: not for each observation."""
        prefix = definition.content_hash[:_HASH_CHARS]
        for key in list(self.state):
            group = self.state.get(key)
            if group is not None and key.startswith(prefix):
                yield key, group

    def add(self, key: str, group: G) -> int:
        """Insert a new group; return how many others had to go (never the new one)."""
        self.state.put(key, group)
        return self.weigh(key, group)

    def touch(self, key: str) -> None:
        """Announce that a group is about to change."""
        self.state.touch(key)

    def weigh(self, key: str, group: G) -> int:
        """Take note that a group weighs something else now; return how many others had to go.

        One that is gone weighs nothing: making room for another may have taken it from who holds it still.
        """
        if self.get(key) is None:
            return 0
        self._crowd.change(group.owner, key, max(1, self._weight_of(group)))
        evicted = 0
        while self._crowd.weight > self._weight_max and len(self.state) > 1:
            oldest = self._crowd.first_to_go()
            if oldest == key:  # its owner has nothing else: it is the largest of all, and bounded by its detector
                break
            self.forget(oldest)
            evicted += 1
        return evicted

    def forget(self, key: str) -> G:
        """Forget a group and return it."""
        group = self.state.pop(key)
        self._crowd.change(group.owner, key, 0)
        return group

    def keep(self, definitions: Sequence[Definition]) -> None:
        """Forget the groups of all other definitions."""
        wanted = {definition.content_hash[:_HASH_CHARS] for definition in definitions}
        for key in [key for key in self.state if key[:_HASH_CHARS] not in wanted]:
            self.forget(key)

    def rebuild(self) -> None:
        """Recompute weights after the state was restored."""
        self._crowd = Crowd()
        for key in self.state:
            group = self.state.get(key)
            assert group is not None, "iterated keys exist"
            self._crowd.change(group.owner, key, max(1, self._weight_of(group)))


def owner_of(seen: Observation) -> str:
    """Name who made an observation, as space is shared by: a namespace, else a user, else a network."""
    return bounded_text(seen.namespace or seen.actor or (network_of(seen.address) if seen.address else seen.node))


def count(left_out: dict[tuple[str, str], int], reason: str, definition: Definition, by: int = 1) -> None:
    """Count what was left out of a definition's model."""
    if by:
        key = (reason, definition.info.rule_id)
        left_out[key] = left_out.get(key, 0) + by


def named(names: Iterable[str], values: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Return fields with their values, bounded."""
    return tuple((name, bounded_text(value)) for name, value in zip(names, values, strict=True))
