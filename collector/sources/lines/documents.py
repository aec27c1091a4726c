"""Reads whole files for `vedette scan`: lines of any number, or one JSON document; plain, gzip or Zstandard.

Line files stream in bounded memory, whatever their size. One JSON document (an array, a pretty-printed event or
`EventList`) has to be held whole, so it is bounded by DOCUMENT_BYTES_MAX.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO, Final, Self

import orjson

from collector.sources.lines.cutting import SHORTENED, LineStream
from collector.sources.lines.unpacking import MAGIC_BYTES, Unpacker, packing_of
from vedette.schema.errors import ConfigError
from vedette.schema.limits import DEAD_LETTER_BYTES_MAX, ITEM_BYTES_MAX, KIB, MIB
from vedette.schema.record import Piece

if TYPE_CHECKING:
    from types import TracebackType

    from vedette.schema.event import Decoder

DOCUMENT_BYTES_MAX: Final = 1024 * MIB
"""One JSON document, decompressed. Beyond it one record a line is the only form that can be read in bounded memory."""
READ_BYTES: Final = MIB
PEEK_BYTES: Final = 64 * KIB
"""What a guess of the format needs: a long first line, or the beginning of a pretty-printed document."""

Progress = Callable[[int], None]
"""Told how many bytes of the file, as it is on disk, have been read so far."""


class Input:
    """One file (or `-`, standard input) as a stream of plain bytes that can be looked into first.

    `broken` says after the end why an archive could not be read whole; "" if it could.
    """

    def __init__(self, path: str | os.PathLike[str], progress: Progress | None = None) -> None:
        """Open the file.

        Raises:
            ConfigError: there is no such file, it is a directory, or it can't be opened.
        """
        self.path = os.fspath(path)
        self.broken = ""
        self._progress = progress
        self._file = _opened(self.path)
        self._chunks = self._plain()
        self._seen: list[bytes] = []

    def peek(self, size: int = PEEK_BYTES) -> bytes:
        """The first bytes (decompressed), without consuming them.

        Raises:
            ConfigError: the file can't be read.
        """
        held = sum(map(len, self._seen))
        while held < size and (chunk := next(self._chunks, None)) is not None:
            self._seen.append(chunk)
            held += len(chunk)
        return b"".join(self._seen)[:size]

    def chunks(self) -> Iterator[bytes]:
        """The bytes from the beginning, decompressed; can be gone through once.

        Raises:
            ConfigError: the file can't be read.
        """
        while self._seen:
            yield self._seen.pop(0)
        yield from self._chunks

    def close(self) -> None:
        """Release the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _plain(self) -> Iterator[bytes]:
        head = b""
        raw = self._raw()
        for chunk in raw:
            head += chunk
            if len(head) >= MAGIC_BYTES:
                break
        packing = packing_of(head)
        if packing is None:
            yield head.removeprefix(b"\xef\xbb\xbf")
            yield from raw
            return
        yield from self._unpacked(Unpacker(packing), chain([head], raw))

    def _unpacked(self, unpacker: Unpacker, raw: Iterable[bytes]) -> Iterator[bytes]:
        parts, held = list[bytes](), 0
        for chunk in raw:
            for at in range(0, len(chunk), unpacker.feed_bytes):
                parts.append(unpacker.feed(chunk[at : at + unpacker.feed_bytes]))
                held += len(parts[-1])
                if held >= READ_BYTES:
                    yield b"".join(parts)
                    parts, held = [], 0
        yield b"".join(parts)
        self.broken = unpacker.broken or ("" if unpacker.clean else "ends in the middle")

    def _raw(self) -> Iterator[bytes]:
        read = 0
        try:
            while chunk := self._file.read(READ_BYTES):
                read += len(chunk)
                yield chunk
                if self._progress:
                    self._progress(read)
        except OSError as error:
            raise ConfigError(f"cannot read {self.path}: {error.strerror}") from error


def _opened(path: str) -> BinaryIO:
    if path == "-":
        return os.fdopen(os.dup(sys.__stdin__.fileno() if sys.__stdin__ else 0), "rb", buffering=0)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise ConfigError(f"cannot read {path}: it is a directory; name the files in it")
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    return os.fdopen(descriptor, "rb", buffering=0)


def read_records(
    path: str | os.PathLike[str] | Input, decoder: Decoder, context: str = "", *, progress: Progress | None = None
) -> Iterator[Piece]:
    """Read all records of a file, or of standard input (`-`).

    Records are numbered by line in line files, by item in a JSON array or `EventList` that is the whole file. A line
    over ITEM_BYTES_MAX is handed on shortened and ends with `[Truncated...]`, so that its decoder refuses it. An
    archive that is cut off or damaged yields what could be read: open an `Input` and look at its `broken` afterwards.
    `progress` belongs to a path; an `Input` has its own.

    Raises:
        ConfigError: the file can't be read, or it is one JSON document over DOCUMENT_BYTES_MAX.
    """
    if isinstance(path, Input):
        yield from _records(path, decoder, context)
        return
    with Input(path, progress) as opened:
        yield from _records(opened, decoder, context)


def _records(source: Input, decoder: Decoder, context: str) -> Iterator[Piece]:
    chunks = source.chunks()
    head = _until(chunks, b"", _begun)
    stream = LineStream(decoder, context)
    if head.lstrip()[:1] in (b"{", b"["):
        head = _until(chunks, head, _two_lines_begun)
        first, second = _two_lines(head)
        if len(first) > ITEM_BYTES_MAX:
            # Longer than a record may be: an EventList or array that was never broken into lines.
            if not second:
                head = _until(chunks, head, _line_ended, source.path)
            line, _, head = head.lstrip().partition(b"\n")
            yield from _pieces(decoder.split(line, context, 1))
            stream = LineStream(decoder, context, 2)
        elif _is_document(first, second):
            yield from _pieces(decoder.split(_until(chunks, head, _never, source.path), context, 1))
            return
    for chunk in chain([head], chunks):
        for taken in stream.feed(chunk):
            yield from taken.pieces
    for taken in stream.feed(b"", final=True):
        yield from taken.pieces


def _pieces(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """What a document was split into; an item that is too long for a record is shortened as a line would be."""
    for piece in pieces:
        if any(len(item) > ITEM_BYTES_MAX for item in piece.items):
            yield piece._replace(items=[_bounded(item) for item in piece.items])
        elif piece.items:
            yield piece


def _bounded(item: bytes) -> bytes:
    return item if len(item) <= ITEM_BYTES_MAX else item[: DEAD_LETTER_BYTES_MAX - len(SHORTENED)] + SHORTENED


Enough = Callable[[bytearray, bytes], bool]
"""Whether what has been read, whose newest part is the second argument, is enough to go on with."""


def _until(chunks: Iterator[bytes], head: bytes, enough: Enough, path: str = "") -> bytes:
    """Read on until there is enough, or all."""
    body, fresh = bytearray(head), head
    while not enough(body, fresh):
        chunk = next(chunks, None)
        if chunk is None:
            break
        body += chunk
        fresh = chunk
        if len(body) > DOCUMENT_BYTES_MAX:
            raise ConfigError(
                f"{path} is one JSON document of more than {DOCUMENT_BYTES_MAX // MIB} MiB; "
                "give it one record a line instead, e.g. with: jq -c '.items[]?'"
            )
    return bytes(body)


def _begun(body: bytearray, _: bytes) -> bool:
    return bool(body.strip()) or len(body) > ITEM_BYTES_MAX


def _two_lines_begun(body: bytearray, _: bytes) -> bool:
    return len(body) > ITEM_BYTES_MAX or bool(_two_lines(bytes(body))[1])


def _line_ended(_: bytearray, fresh: bytes) -> bool:
    return b"\n" in fresh


def _never(_: bytearray, __: bytes) -> bool:
    return False


def _two_lines(body: bytes) -> tuple[bytes, bytes]:
    """The first line that is not blank, and the first byte of the next one."""
    first, _, rest = body.lstrip().partition(b"\n")
    return first, rest.lstrip(b"\r\n")[:1]


def _is_document(first: bytes, second: bytes) -> bool:
    """Whether a file that begins like JSON is one document rather than lines.

    Its first line is no JSON by itself, and (objects) the next line does not begin another object at the margin: so a
    damaged first line does not make one record of a whole line file.
    """
    with contextlib.suppress(orjson.JSONDecodeError):
        orjson.loads(first)
        return not second
    return first.startswith(b"[") or second != b"{"
