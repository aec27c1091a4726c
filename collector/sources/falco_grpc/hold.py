"""What was read and is not stored yet: bounded, so that who reads waits for who stores."""

from __future__ import annotations

import asyncio
from typing import Final

from vedette.schema.limits import MIB

RECORDS_MAX: Final = 1_000
"""Records held, those that are being stored included: what a crash loses, since Falco has forgotten them."""
RECORDS_BYTES_MAX: Final = 8 * MIB
"""Bytes of them, but for the last."""


class Hold:
    """Passes records from one who reads to one who stores."""

    def __init__(self) -> None:
        """Hold nothing."""
        self._waiting: list[bytes] = []
        self._taken: list[bytes] = []
        self._bytes = 0
        self._room = asyncio.Event()
        self._some = asyncio.Event()
        self._closed = False

    @property
    def waiting(self) -> int:
        """Records that nobody has taken."""
        return len(self._waiting)

    @property
    def held(self) -> int:
        """Records that are not known to be stored."""
        return len(self._waiting) + len(self._taken)

    async def add(self, record: bytes) -> None:
        """Wait for room, and hold a record."""
        while self.held >= RECORDS_MAX or self._bytes >= RECORDS_BYTES_MAX:
            self._room.clear()
            await self._room.wait()
        self._waiting.append(record)
        self._bytes += len(record)
        self._some.set()

    async def take(self) -> list[bytes]:
        """Wait for records and return all; they count as held until `stored`. Nothing once it is closed and empty."""
        while not self._waiting and not self._closed:
            self._some.clear()
            await self._some.wait()
        self._taken, self._waiting = self._waiting, []
        return self._taken

    def stored(self) -> None:
        """Make room: what was taken is stored."""
        self._bytes -= sum(map(len, self._taken))
        self._taken = []
        self._room.set()

    def close(self) -> None:
        """Let `take` return what is left, and then nothing."""
        self._closed = True
        self._some.set()
