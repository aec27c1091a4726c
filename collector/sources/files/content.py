"""The bytes of one open file, plain or unpacked, addressed by offset; blocking, for use in a thread.

Both kinds answer `read_at` alike, so that reading, verifying and resuming know nothing of compression. A compressed
file is unpacked from its beginning once more only when an offset before the last one is asked for.
"""

from __future__ import annotations

import os
from typing import Protocol

from collector.sources.lines import Unpacker, packing_of
from collector.sources.lines.unpacking import MAGIC_BYTES, Packing


class Content(Protocol):
    """What a file holds, as far as it is there now."""

    packed: bool

    def read_at(self, offset: int, size: int) -> bytes:
        """Bytes from `offset`; fewer than `size` only where the content ends for now. Raises OSError."""
        ...

    @property
    def ended(self) -> bool:
        """A compressed file was read to the clean end of its last member; plain files never end."""
        ...

    @property
    def broken(self) -> str:
        """Why the rest of a compressed file can't be unpacked; "" otherwise."""
        ...


class PlainContent:
    """An uncompressed file."""

    packed = False
    ended = False
    broken = ""

    def __init__(self, descriptor: int) -> None:
        """Read through a descriptor that the caller closes."""
        self._descriptor = descriptor

    def read_at(self, offset: int, size: int) -> bytes:
        """Bytes from `offset`."""
        parts: list[bytes] = []
        while size > 0 and (part := os.pread(self._descriptor, size, offset)):
            parts.append(part)
            offset += len(part)
            size -= len(part)
        return b"".join(parts)


class PackedContent:
    """A gzip or Zstandard file; holds what was unpacked after the last offset asked for."""

    packed = True

    def __init__(self, descriptor: int, packing: Packing) -> None:
        """Read through a descriptor that the caller closes."""
        self._descriptor = descriptor
        self._packing: Packing = packing
        self._restart()

    def read_at(self, offset: int, size: int) -> bytes:
        """Bytes of the unpacked content from `offset`."""
        if offset < self._start:
            self._restart()
        self._drop_before(offset)
        while self._start + len(self._held) < offset + size and self._pull():
            self._drop_before(offset)
        return bytes(self._held[:size]) if self._start == offset else b""

    @property
    def ended(self) -> bool:
        """All bytes of the file were unpacked, up to the clean end of a member."""
        return self._at_end and self._unpacker.clean

    @property
    def broken(self) -> str:
        """Why no more can be unpacked."""
        return self._unpacker.broken

    def _restart(self) -> None:
        self._unpacker = Unpacker(self._packing)
        self._raw_offset = 0
        self._start = 0
        self._held = bytearray()
        self._at_end = False

    def _drop_before(self, offset: int) -> None:
        drop = min(max(offset - self._start, 0), len(self._held))
        del self._held[:drop]
        self._start += drop

    def _pull(self) -> bool:
        """Unpack some more; whether there was any."""
        raw = b"" if self.broken else os.pread(self._descriptor, self._unpacker.feed_bytes, self._raw_offset)
        self._raw_offset += len(raw)
        self._at_end = not raw
        self._held += self._unpacker.feed(raw)
        return bool(raw)


def open_content(descriptor: int, path: str) -> Content | None:
    """Tell by its first bytes what the file is; None if it is named as an archive and has too few bytes to tell yet."""
    head = os.pread(descriptor, MAGIC_BYTES, 0)
    packing = packing_of(head)
    if packing is not None:
        return PackedContent(descriptor, packing)
    if len(head) < MAGIC_BYTES and path.endswith((".gz", ".zst")):
        return None
    return PlainContent(descriptor)
