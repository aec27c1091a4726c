"""Unpacks gzip (RFC 1952) and Zstandard (RFC 8878) streams piece by piece, with bounded memory.

Compression is told by the first bytes, never by the name. Concatenated members and frames follow each other seamlessly,
as `gzip -d` and `zstd -d` have it; an archive that ends in the middle, or is damaged, yields what could be read.
"""

from __future__ import annotations

import zlib
from typing import Final, Literal, Protocol

import zstandard

from vedette.schema.limits import KIB

Packing = Literal["gzip", "zstd"]

MAGIC_BYTES: Final = 4
"""What `packing_of` must see to decide."""
FEED_BYTES: Final[dict[Packing, int]] = {"gzip": 16 * KIB, "zstd": 2 * KIB}
"""Compressed bytes to feed at a time. Deflate expands 1032 times at most, Zstandard (run-length blocks) 32768 times, so
that one feed never yields more than 64 MiB."""
WINDOW_BYTES_MAX: Final = 128 * KIB * KIB
"""Memory that a Zstandard frame may ask for: the largest window of `zstd --ultra -22`."""

PORTION_BYTES: Final = 16 * KIB
"""Bytes to unpack in one call; so much at most is lost before a damaged place."""

_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_SKIPPABLE: Final = b"\x2a\x4d\x18"


class _Member(Protocol):
    """One gzip member or Zstandard frame being unpacked; `unused` is what was fed after its end."""

    ended: bool
    unused: bytes

    def feed(self, data: bytes, parts: list[bytes]) -> None:
        """Add what the data unpack to, also if it then raises zlib.error or ZstdError."""
        ...


class _GzipMember:
    def __init__(self) -> None:
        self.ended = False
        self.unused = b""
        self._state = zlib.decompressobj(wbits=31)

    def feed(self, data: bytes, parts: list[bytes]) -> None:
        # In small portions: what a failing call has unpacked is lost.
        while data and not self._state.eof:
            parts.append(self._state.decompress(data, PORTION_BYTES))
            data = self._state.unconsumed_tail
        self.ended, self.unused = self._state.eof, self._state.unused_data


class _ZstdFrame:
    def __init__(self) -> None:
        self.ended = False
        self.unused = b""
        self._state = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES_MAX).decompressobj()

    def feed(self, data: bytes, parts: list[bytes]) -> None:
        parts.append(self._state.decompress(data))
        self.ended, self.unused = self._state.eof, bytes(self._state.unused_data)


def packing_of(head: bytes) -> Packing | None:
    """Tell from the first MAGIC_BYTES how a file is compressed; None: it is not."""
    if head.startswith(_GZIP):
        return "gzip"
    if head.startswith(_ZSTD) or (head[1:4] == _SKIPPABLE and head[0] & 0xF0 == 0x50):  # noqa: PLR2004 (RFC 8878, 3.1.2)
        return "zstd"
    return None


class Unpacker:
    """Turns the compressed bytes of one file into plain ones.

    `clean` tells whether all that was fed ended at the end of a member; `broken` why no more can be unpacked, if so.
    """

    def __init__(self, packing: Packing) -> None:
        """Begin at the start of a file."""
        self.clean = False
        self.broken = ""
        self.feed_bytes = FEED_BYTES[packing]
        self._packing = packing
        self._member: _Member | None = None
        self._begin: bytes = b""

    def feed(self, data: bytes) -> bytes:
        """Unpack the next (at most `feed_bytes`) compressed bytes. Never raises: see `broken`."""
        assert len(data) <= self.feed_bytes, "more than the bound of the expansion allows for"
        parts: list[bytes] = []
        while data and not self.broken:
            if self._member is None:
                data = self._next_member(data)
            if self._member is not None and data:
                data = self._unpack(self._member, data, parts)
        return b"".join(parts)

    def _unpack(self, member: _Member, data: bytes, parts: list[bytes]) -> bytes:
        self.clean = False
        try:
            member.feed(data, parts)
        except (zlib.error, zstandard.ZstdError) as error:
            self.broken = f"damaged: {error}"
            return b""
        if not member.ended:
            return b""
        self.clean, self._member = True, None
        return member.unused

    def _next_member(self, data: bytes) -> bytes:
        """Open the next member if its magic is there; zero bytes between members are padding (tape, block devices)."""
        data = self._begin + data
        if self.clean and not self._begin:
            data = data.lstrip(b"\0")
        if len(data) < MAGIC_BYTES:
            self._begin, self.clean = data, self.clean and not data
            return b""
        self._begin = b""
        if packing_of(data) != self._packing:
            self.broken = "followed by bytes that are no part of it"
            return b""
        self._member = _GzipMember() if self._packing == "gzip" else _ZstdFrame()
        return data
