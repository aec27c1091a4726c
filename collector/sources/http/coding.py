"""Content codings of request bodies, undone within bounds. Pure; runs in a thread.

A bomb is recognised while it unfolds: no more than the bound and one block is ever held. gzip and deflate after
RFC 1952 and 1951 (deflate is zlib-wrapped by RFC 9110 §8.4.1.2, but some clients send it bare), zstd after RFC 8878.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

import zstandard

from vedette.schema.limits import BODY_FREE_BYTES, BODY_RATIO_MAX, KIB, MIB

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW_BYTES_MAX: Final = 8 * MIB
"""zstd window: what RFC 8878 §3.1.1.1.2 recommends decoders to support; a frame may ask for terabytes."""
MEMBERS_MAX: Final = 10_000
"""gzip members of one body; each costs a decompressor, and an empty one only 20 bytes of the client."""
BLOCKS_MAX: Final = 100_000
"""zstd blocks of one body; 64 MiB have 512 of full size, an empty one costs the client 3 bytes."""
_BLOCK: Final = 16 * KIB
_OUTPUT: Final = 256 * KIB
_GZIP: Final = 16 + zlib.MAX_WBITS
_SKIPPABLE: Final = range(0x184D2A50, 0x184D2A60)
_RAW, _RLE = 0, 1


class Expands(Exception):  # noqa: N818 - what it does, not what we did wrong
    """The body grows beyond its bound."""


class Corrupt(Exception):  # noqa: N818 - as above
    """The body is not of its coding, or is cut short."""


class _Output:
    """Collects what comes out, up to a bound."""

    def __init__(self, bytes_max: int) -> None:
        self.room = bytes_max
        self.parts: list[bytes] = []

    def add(self, part: bytes) -> None:
        self.room -= len(part)
        if self.room < 0:
            raise Expands
        if part:
            self.parts.append(part)


def expand(coding: str, body: bytes, bytes_max: int) -> bytes:
    """Undo the coding (a key of `CODINGS`) of a body.

    Raises:
        Expands: it would exceed `bytes_max`, or BODY_RATIO_MAX beyond BODY_FREE_BYTES.
        Corrupt: it is not of that coding, or is cut short.
    """
    output = _Output(min(bytes_max, BODY_FREE_BYTES + BODY_RATIO_MAX * len(body)))
    if body:
        CODINGS[coding](body, output)
    return b"".join(output.parts)


def _inflate(body: bytes, output: _Output) -> None:
    wrapped = body[0] & 0x0F == zlib.DEFLATED and int.from_bytes(body[:2], "big") % 31 == 0
    rest = _member(body, 0, zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS, output)
    if rest != len(body):
        raise Corrupt


def _gunzip(body: bytes, output: _Output) -> None:
    start = 0
    for _ in range(MEMBERS_MAX):
        start = _member(body, start, _GZIP, output)
        # Zero padding after a member is allowed by gzip(1).
        if start == len(body) or not (body[start] or body[start:].strip(b"\0")):
            return
    raise Expands


def _member(body: bytes, start: int, wbits: int, output: _Output) -> int:
    """Inflate one deflate stream that begins at `start`; return where it ended."""
    inflater = zlib.decompressobj(wbits)
    try:
        while start < len(body):
            piece = body[start : start + _BLOCK]
            start += len(piece)
            part = bytes(_OUTPUT)
            while not inflater.eof and (piece or len(part) == _OUTPUT):
                part = inflater.decompress(piece, _OUTPUT)
                output.add(part)
                piece = inflater.unconsumed_tail
            if inflater.eof:
                return start - len(inflater.unused_data)
    except zlib.error as error:
        raise Corrupt from error
    raise Corrupt


def _unzstd(body: bytes, output: _Output) -> None:
    try:
        if not _is_whole(body):
            raise Corrupt
        decompressor = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES_MAX)
        with decompressor.stream_reader(body, read_across_frames=True) as reader:
            while part := reader.read(_OUTPUT):
                output.add(part)
    except zstandard.ZstdError as error:
        raise Corrupt from error


def _is_whole(body: bytes) -> bool:
    """Whether zstd frames end where the body ends: the stream reader takes a truncated frame without a word.

    Raises:
        ZstdError: there is no frame header where one must be.
        Expands: so many blocks that counting them would take long.
    """
    offset, blocks = 0, 0
    while offset < len(body):
        if int.from_bytes(body[offset : offset + 4], "little") in _SKIPPABLE:
            offset += 8 + int.from_bytes(body[offset + 4 : offset + 8], "little")
            blocks += 1
        else:
            offset, blocks = _frame(body, offset, blocks)
        if blocks > BLOCKS_MAX:
            raise Expands
    return offset == len(body)


def _frame(body: bytes, offset: int, blocks: int) -> tuple[int, int]:
    """Walk over one frame (RFC 8878 §3.1.1); return its end and the number of blocks so far."""
    header = body[offset : offset + 18]
    offset += zstandard.frame_header_size(header)
    last = False
    while not last and offset < len(body) and blocks <= BLOCKS_MAX:
        word = int.from_bytes(body[offset : offset + 3], "little")
        last, kind, size = bool(word & 1), word >> 1 & 3, word >> 3
        offset += 3 + (1 if kind == _RLE else size)
        blocks += 1
    if not last:
        return len(body) + 1, blocks
    return offset + 4 * zstandard.get_frame_parameters(header).has_checksum, blocks


CODINGS: Final[dict[str, Callable[[bytes, _Output], None]]] = {
    "gzip": _gunzip,
    "x-gzip": _gunzip,
    "deflate": _inflate,
    "zstd": _unzstd,
}
"""The codings known, by their names in Content-Encoding."""
