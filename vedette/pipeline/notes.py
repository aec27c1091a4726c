"""The notes of sinks, kept in the core log beside the cursors of their deliveries."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vedette.pipeline.core_thread import CoreThread
    from vedette.runtime.clock import Clock


class CoreNotes:
    """Implements `vedette.runtime.notes.Notes` for one delivery. Tries once: the sink, and so its delivery, retries."""

    def __init__(self, delivery: str, core: CoreThread, clock: Clock) -> None:
        """Keep the notes of the sink named `delivery`."""
        self._delivery = delivery
        self._core = core
        self._clock = clock

    async def read(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """Return what is noted under these keys. Raises TransientError: the core log can't be read now."""
        return await self._core.call(self._core.core.notes, self._delivery, keys)

    async def write(self, changes: Mapping[str, bytes | None]) -> None:
        """Note all of it in one transaction, durable on return. Raises TransientError: nothing was noted."""
        if changes:
            now_ns = self._clock.now_ns()
            await self._core.call(self._core.core.write_notes, self._delivery, dict(changes), now_ns=now_ns)
