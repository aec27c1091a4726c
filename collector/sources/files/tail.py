"""Reads one file, block by block, from where it stopped; blocking, for use in a thread.

Nothing is held between reads but the last bytes before the offset: they are read again with the next block, so that a
file that was truncated and has grown past the offset since is noticed. The beginning of a line is read again when the
file has grown.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from collector.sources.files.events import FileReplaced
from collector.sources.files.marks import HEAD_BYTES_MAX, TAIL_BYTES_MAX, Mark, digest
from collector.sources.lines import Cut, LineTooLong, Place, cut, described
from vedette.schema.limits import ITEM_BYTES_MAX, MIB

if TYPE_CHECKING:
    from collector.sources.files.content import Content
    from vedette.schema.event import Decoder
    from vedette.schema.record import Run

BLOCK_BYTES: Final = MIB
FRESH_NS: Final = 50_000_000
"""A file changed this short a time ago may change again without its time of change moving: the clock of file systems
ticks every 1 to 10 ms. So it is looked into once more."""


class Stretch(NamedTuple):
    """Records read from one file, and the mark behind them. Without items only the mark is to be kept."""

    partition: str
    mark: Mark
    runs: list[Run]
    items: list[bytes]


class Tail:
    """One open file being read. `path` is where it was last seen, fit for display (always valid Unicode)."""

    def __init__(self, source: str, partition: str, path: str, descriptor: int, content: Content) -> None:
        """Begin at the beginning."""
        self.source = source
        self.partition = partition
        self.path = path
        self.opened_path = path
        self.content = content
        self.offset = 0
        self.place = Place()
        self.changed_s = 0.0
        self.drained = False
        self.gone = False
        self.former: Mark | None = None
        self._configured = ""
        self._tail = b""
        self._head, self._head_bytes = "", 0
        self._descriptor = descriptor
        self._signature: tuple[int, int] | None = None
        self._fresh = False
        self._unfinished_bytes = 0

    def begin(self, context: str, mark: Mark | None = None, tail: bytes = b"") -> None:
        """Stand at the beginning, or where a mark that matches says; `tail` are the bytes before it."""
        self._configured = context
        self.place = Place(context=context)
        self.offset, self._tail, self._head, self._head_bytes = 0, b"", "", 0
        if mark:
            kept = mark.context if mark.configured == context else context
            self.place = Place(mark.record, kept, mark.skipping)
            self.offset, self._tail, self._head, self._head_bytes = mark.offset, tail, mark.head, mark.head_bytes
            self.former = mark.former

    def skip_lines(self, decoder: Decoder) -> None:
        """Stand after the last line that is complete now, keeping count of the lines and the context of the first."""
        lines = after = offset = 0
        head = self.content.read_at(0, BLOCK_BYTES)
        context = cut(head[: head.find(b"\n") + 1], self.place, decoder).place.context
        while body := self.content.read_at(offset, BLOCK_BYTES):
            if found := body.count(b"\n"):
                lines, after = lines + found, offset + body.rfind(b"\n") + 1
            offset += len(body)
        self._learn_head(head[:after])
        self.offset, self.place = after, Place(1 + lines, context)
        before = min(after, TAIL_BYTES_MAX)
        self._tail = self.content.read_at(after - before, before)

    def changed(self, now_s: float) -> bool:
        """Whether there may be something new since the last time, at `now_s` of a monotonic clock. Raises OSError."""
        status = os.fstat(self._descriptor)
        signature = status.st_size, status.st_mtime_ns
        fresh = time.time_ns() - status.st_mtime_ns < FRESH_NS
        changed, self._fresh = signature != self._signature or self._fresh, fresh
        if signature != self._signature:
            self._signature, self.changed_s = signature, now_s
        return changed

    @property
    def moved(self) -> bool:
        """Whether it was renamed since it was opened."""
        return self.path != self.opened_path

    @property
    def signature(self) -> tuple[int, int] | None:
        """Size and time of the last change, as last looked at."""
        return self._signature

    def read(self, decoder: Decoder, *, final: bool) -> Stretch | None:
        """Read on; None when there is nothing (whole) to read now. `final`: take a last line without its end too.

        Raises:
            OSError: the file can't be read.
        """
        body = self._body(BLOCK_BYTES)
        taken = cut(body, self.place, decoder, final=final and len(body) < BLOCK_BYTES)
        if not taken.consumed and len(body) >= BLOCK_BYTES:
            body = self._body(ITEM_BYTES_MAX + 1)
            taken = cut(body, self.place, decoder, final=final and len(body) <= ITEM_BYTES_MAX)
        self._unfinished_bytes = len(body) - taken.consumed
        if not taken.consumed:
            self.drained = True
            return None
        self.drained = False
        if taken.overlong:
            LineTooLong(self.source, self.path, taken.overlong).emit()
        self._advance(body, taken)
        return Stretch(self.partition, self.mark(), *described(taken.pieces, self.source, decoder, self.path))

    def mark(self) -> Mark:
        """How far the file has been read."""
        size = self._signature[0] if self._signature else 0
        at_end = self.content.ended and not self._unfinished_bytes
        return Mark(
            path=self.path,
            offset=self.offset,
            record=self.place.record,
            context=self.place.context,
            configured=self._configured,
            skipping=self.place.skipping,
            head_bytes=self._head_bytes,
            head=self._head,
            tail_bytes=len(self._tail),
            tail=digest(self._tail),
            packed_bytes=size if at_end else 0,
            former=self.former,
        )

    def close(self) -> None:
        """Release the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _body(self, size: int) -> bytes:
        """The bytes at the offset; begins anew where the bytes before it are not those that were read."""
        seen = len(self._tail)
        data = self.content.read_at(self.offset - seen, seen + size)
        if data[:seen] == self._tail:
            return data[seen:]
        FileReplaced(self.source, self.path, self.offset, self._unfinished_bytes).emit()
        self.former = None
        self.former = self.mark()
        self.begin(self._configured)
        return self.content.read_at(0, size)

    def _advance(self, body: bytes, taken: Cut) -> None:
        if not self.offset:
            self._learn_head(body[: taken.consumed])
        self.offset += taken.consumed
        self._tail = (self._tail + body[max(0, taken.consumed - TAIL_BYTES_MAX) : taken.consumed])[-TAIL_BYTES_MAX:]
        self.place = taken.place

    def _learn_head(self, body: bytes) -> None:
        """Take the fingerprint of the first line (or what was read of it)."""
        head = body[: min(body.find(b"\n") + 1 or HEAD_BYTES_MAX, HEAD_BYTES_MAX)]
        self._head, self._head_bytes = digest(head), len(head)
