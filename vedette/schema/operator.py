"""Stateful stages and their state: what checkpoints save and the law is tested on.

    run(log) == restore(checkpoint(log[:k])) + log[k:]      byte for byte

An `Operator` is a deterministic function of the records it is fed and of their arrival times. It keeps what it
remembers in a `KeyedState`, whose changed keys a checkpoint writes in small slices while the operator goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, Protocol, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

V = TypeVar("V", bound=msgspec.Struct)
_DELETED: Final = b""


class Saved(NamedTuple):
    """One key of a checkpoint: `value` empty means that the key is gone."""

    key: str
    order: int
    value: bytes


class KeyedState(Generic[V]):
    """An insertion-ordered mapping of strings to msgspec Structs that can be checkpointed incrementally.

    The owner calls `put` for a new key, `touch` *before* it changes a value in place, `pop` to forget a key. `freeze`
    fixes a position; `drain` then yields the changed keys as they were at that position, also when the owner has gone
    on changing them meanwhile (they are encoded first). Values are encoded as MessagePack: floats keep their bits.
    """

    def __init__(self, kind: type[V]) -> None:
        """Hold values of one Struct type."""
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(kind).decode
        self._values: dict[str, V] = {}
        self.get: Callable[[str], V | None] = self._values.get
        """Return the value of a key, which must not be changed before `touch`. The dictionary's own method: it is
        asked several times for each record."""
        self._orders: dict[str, int] = {}
        self._next_order = 0
        self._dirty: dict[str, None] = {}
        self._frozen: dict[str, None] = {}
        self._early: list[Saved] = []

    def __len__(self) -> int:
        """Count the keys."""
        return len(self._values)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the keys in the order of their insertion."""
        return iter(self._values)

    def put(self, key: str, value: V) -> None:
        """Insert a new key at the end."""
        assert key not in self._values, "put is for new keys; touch and change the value in place"
        self.touch(key)
        self._values[key] = value
        self._orders[key] = self._next_order
        self._next_order += 1

    def touch(self, key: str) -> None:
        """Announce that the value of a key is about to change."""
        if key in self._frozen:
            self._early.append(self._save(key))
            del self._frozen[key]
        self._dirty[key] = None

    def pop(self, key: str) -> V:
        """Forget a key and return its value."""
        self.touch(key)
        del self._orders[key]
        return self._values.pop(key)

    def freeze(self) -> None:
        """Fix the present as the position of the next checkpoint; the last one must have been drained."""
        assert not self._frozen, "the last checkpoint was not drained"
        assert not self._early, "the last checkpoint was not drained"
        self._frozen, self._dirty = self._dirty, {}

    def drain(self, keys_max: int) -> list[Saved]:
        """Return up to `keys_max` changed keys as of the freeze (more, if the owner changed some since); [] ends it."""
        saved, self._early = self._early, []
        for key in list(_first(self._frozen, keys_max)):
            saved.append(self._save(key))
            del self._frozen[key]
        return saved

    def restore(self, saved: Iterable[Saved]) -> None:
        """Replace all content by that of a checkpoint; later entries of one key win."""
        latest = {entry.key: entry for entry in saved}
        entries = sorted((entry for entry in latest.values() if entry.value != _DELETED), key=lambda entry: entry.order)
        self._values.clear()
        self._values.update((entry.key, self._decode(entry.value)) for entry in entries)
        self._orders = {entry.key: entry.order for entry in entries}
        self._next_order = max((entry.order for entry in latest.values()), default=-1) + 1
        self._dirty, self._frozen, self._early = {}, {}, []

    def _save(self, key: str) -> Saved:
        value = self._values.get(key)
        if value is None:
            return Saved(key, self._next_order - 1, _DELETED)
        return Saved(key, self._orders[key], self._encode(value))


def _first(keys: dict[str, None], count: int) -> Iterator[str]:
    for number, key in enumerate(keys):
        if number == count:
            return
        yield key


class Operator(Protocol):
    """A stateful stage of detection. Registered in one place, tested by `vedette.testing.law`.

    It reads no clock, no random number and no `hash()`: only its inputs, in log order, and their arrival times.
    """

    name: str
    """Namespaces its state in checkpoints."""
    version: int
    """Raised with every change of what its state means."""
    state: KeyedState[Any]

    def rebuild(self) -> None:
        """Recompute what it derives from `state` (timers, indexes), after `state` was restored."""
        ...
