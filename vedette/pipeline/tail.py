"""The freshest chunks of the intake log in memory, so that detection need not read back what was just written.

Only an optimisation: what is not here is read from the log. Also the bell that tells detection of new records.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from vedette.schema.limits import TAIL_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vedette.journal.protocol import Chunk


class Tail:
    """A bounded window on the end of the log; used from the event loop alone."""

    def __init__(self, bytes_max: int = TAIL_BYTES_MAX) -> None:
        """Start empty."""
        self._bytes_max = bytes_max
        self._chunks: deque[Chunk] = deque()
        self._bytes = 0
        self._end: int | None = None
        self.rung = asyncio.Event()
        """Set whenever records were committed; detection clears it."""

    def push(self, chunks: Sequence[Chunk]) -> None:
        """Take committed chunks, in log order."""
        for chunk in chunks:
            if self._chunks and chunk.seq != self._chunks[-1].last_seq + 1:
                self._clear()  # what is missing in between is read from the log
            self._chunks.append(chunk)
            self._bytes += chunk.size_bytes
            self._end = chunk.last_seq
        while self._bytes > self._bytes_max:
            self._bytes -= self._chunks.popleft().size_bytes
        self.rung.set()

    def ends_at(self, seq: int) -> bool:
        """Whether a record is known to be the log's last one: then there is nothing to read behind it."""
        return self._end == seq

    def _clear(self) -> None:
        self._chunks.clear()
        self._bytes = 0

    def read(self, after_seq: int, *, items_max: int) -> list[Chunk]:
        """Return the chunks that follow `after_seq` without a gap; [] if the first of them is not here any more."""
        chunks = self._chunks
        while chunks and chunks[0].last_seq <= after_seq:
            self._bytes -= chunks.popleft().size_bytes
        if not chunks or chunks[0].seq != after_seq + 1:
            return []
        taken: list[Chunk] = []
        items = 0
        for chunk in chunks:
            if items >= items_max:
                break
            taken.append(chunk)
            items += len(chunk.items)
        return taken
