"""Reading the intake log across its segments, beside a running writer and from any process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import apsw

from vedette.journal.sqlite import segment
from vedette.journal.sqlite.connection import open_reader, translated
from vedette.schema.errors import TransientError
from vedette.schema.limits import GROUP_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from vedette.journal.protocol import Chunk, IntakeCount
    from vedette.journal.sqlite.connection import Storage

T = TypeVar("T")

NAME_DIGITS: Final = 20
_SCAN_ITEMS: Final = 2_000


def segment_path(folder: Path, first_seq: int) -> Path:
    """Name the segment that begins with a sequence number."""
    return folder / f"{first_seq:0{NAME_DIGITS}d}.db"


def segment_paths(folder: Path) -> list[Path]:
    """List the segments, oldest first."""
    return sorted(path for path in folder.glob("*.db") if path.stem.isdigit() and len(path.stem) == NAME_DIGITS)


class SqliteIntakeReader:
    """Implements `journal.protocol.IntakeReader`. Not for several threads at once."""

    def __init__(self, folder: Path, storage: Storage | None = None) -> None:
        """Read the segments below a folder; files are opened as they are needed."""
        self._folder = folder
        self._storage = storage
        self._codec = segment.ChunkCodec()
        self._path: Path | None = None
        self._connection: apsw.Connection | None = None
        self._known: set[Path] = set()

    def segments(self, after_seq: int = 0) -> Iterator[tuple[Path, int]]:
        """Iterate over the segments that may hold records after `after_seq`, oldest first, each with its end.

        A segment ends before the first record of the next one that is begun. What its file holds beyond is left over
        from a commit whose sync failed. One that is not begun holds nothing and ends nothing: it may be left over from
        a crash long ago, if another one undid its deletion.
        """
        paths = segment_paths(self._folder)
        at = max((number for number, path in enumerate(paths) if int(path.stem) <= after_seq + 1), default=0)
        while at > 0 and not self._is_begun(paths[at]):
            at -= 1
        for number, path in enumerate(paths[at:], at + 1):
            if self._is_begun(path):
                yield path, next((int(later.stem) for later in paths[number:] if self._is_begun(later)), segment.NO_END)

    def read(self, after_seq: int, *, items_max: int, bytes_max: int = GROUP_BYTES_MAX) -> list[Chunk]:
        """Return committed chunks after `after_seq`, up to about `items_max` records or `bytes_max` bytes."""
        for path, end in self.segments(after_seq):
            chunks = self._read_segment(path, end, after_seq, items_max, bytes_max)
            if chunks:
                return chunks
        return []

    def scan(self, after_seq: int = 0) -> Iterator[Chunk]:
        """Iterate over all chunks after `after_seq`."""
        while chunks := self.read(after_seq, items_max=_SCAN_ITEMS):
            yield from chunks
            after_seq = chunks[-1].last_seq

    def blob(self, digest: str) -> bytes | None:
        """Return a stored rule set or configuration."""
        for path in reversed(segment_paths(self._folder)):
            content = self._blob_in(path, digest)
            if content is not None:
                return content
        return None

    def counts(self) -> dict[str, IntakeCount]:
        """Intake's side of the ledger."""
        return self._of_latest(segment.read_counts) or {}

    def positions(self) -> dict[str, dict[str, str]]:
        """Committed positions of all pull sources."""
        return self._of_latest(segment.read_positions) or {}

    def last_seq(self) -> int:
        """The last committed sequence number."""
        seq, _ = self._of_latest(segment.read_last) or (0, 0)
        return seq

    def close(self) -> None:
        """Release all files."""
        self.release()

    def release(self) -> None:
        """Release the segment that is open for reading."""
        if self._connection is not None:
            self._connection.close()
        self._path = self._connection = None

    def _read_segment(self, path: Path, end: int, after_seq: int, items_max: int, bytes_max: int) -> list[Chunk]:
        connection = self._begun(path)
        if connection is None:
            return []
        chunks: list[Chunk] = []
        size_bytes = 0
        with translated(path):
            for chunk in self._codec.select(connection, after_seq, before_seq=end, items_max=items_max):
                chunks.append(chunk)
                size_bytes += chunk.size_bytes
                if size_bytes >= bytes_max:
                    break
        return chunks

    def _blob_in(self, path: Path, digest: str) -> bytes | None:
        connection = self._begun(path)
        if connection is None:
            return None
        with translated(path):
            content = connection.execute("SELECT content FROM blob WHERE hash = ? LIMIT 1", (digest,)).get
            return None if content is None else bytes(content)

    def _of_latest(self, read: Callable[[apsw.Connection], T]) -> T | None:
        for path in reversed(segment_paths(self._folder)):
            connection = self._begun(path)
            if connection is not None:
                with translated(path):
                    return read(connection)
        return None

    def _is_begun(self, path: Path) -> bool:
        if path not in self._known and self._begun(path) is not None:
            self._known.add(path)
        return path in self._known

    def _begun(self, path: Path) -> apsw.Connection | None:
        """Open a segment; None where there is nothing to read: it is being made, a crash cut that short, or it is gone.

        The connection to a segment that is not begun is released, because the writer may replace the file.
        """
        try:
            with translated(path):
                connection = self._open(path)
                if is_begun(connection):
                    return connection
        except TransientError as error:
            # A crash while it was made may leave a journal that a reader must not roll back.
            if path.exists() and not isinstance(error.__cause__, apsw.ReadOnlyError):
                raise
        self.release()
        return None

    def _open(self, path: Path) -> apsw.Connection:
        if path != self._path or self._connection is None:
            self.release()
            self._connection, self._path = open_reader(path, self._storage), path
        return self._connection


def is_begun(connection: apsw.Connection) -> bool:
    """Say whether a segment's first transaction is there (a crash may have come between)."""
    return bool(connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'begin'").get)
