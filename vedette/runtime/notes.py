"""A sink's own durable notes: what it must know again after a crash, such as the ticket that it was about to create."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Notes(Protocol):
    """Small values by key, kept in the journal; each sink has its own, under its configured name.

    They are kept for 90 days after they were written last, and are gone when the sink is no longer configured.
    """

    async def read(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """Return what is noted under these keys, as far as there is something.

        Raises:
            TransientError: the journal can't be read now.
        """
        ...

    async def write(self, changes: Mapping[str, bytes | None]) -> None:
        """Note all of it in one transaction, durable on return; None removes a key. Costs a commit, about 3 ms.

        Raises:
            TransientError: nothing was noted.
        """
        ...


class MemoryNotes:
    """Notes that live as long as the object: for commands that deliver nothing, and for tests."""

    def __init__(self) -> None:
        """Start empty."""
        self._values: dict[str, bytes] = {}

    async def read(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """Return what is noted."""
        return {key: self._values[key] for key in keys if key in self._values}

    async def write(self, changes: Mapping[str, bytes | None]) -> None:
        """Note all of it."""
        for key, value in changes.items():
            if value is None:
                self._values.pop(key, None)
            else:
                self._values[key] = value
