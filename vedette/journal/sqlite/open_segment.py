"""The segment that is being written, with what of it is kept in memory."""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING, Any

from vedette.journal.sqlite import segment
from vedette.journal.sqlite.connection import Storage, open_writer, transaction, translated
from vedette.journal.sqlite.intake_reader import is_begun, segment_path
from vedette.schema.errors import TransientError, VedetteError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import apsw

    from vedette.journal.sqlite.group import Group

    Carried = Mapping[str, Sequence[tuple[Any, ...]]]


class OpenSegment:
    """The newest segment: its connection, last record, positions and size."""

    def __init__(self, path: Path, connection: apsw.Connection) -> None:
        """Read what is kept in memory from an open segment."""
        self.path = path
        self.connection = connection
        start = segment.read_start(connection)
        self.first_seq, self.created_ns = start.first_seq, start.created_ns
        self.last_seq, self.arrival_ns = segment.read_last(connection)
        self.bytes_written = path.stat().st_size

    @classmethod
    def open(cls, path: Path, storage: Storage) -> OpenSegment | None:
        """Open a segment; None if its first transaction never happened."""
        connection = open_writer(path, storage)
        with translated(path):
            if not is_begun(connection):
                connection.close()
                return None
            return cls(path, connection)

    @classmethod
    def create(
        cls,
        folder: Path,
        storage: Storage,
        now_ns: int,
        previous: OpenSegment | None = None,
        carried: Carried | None = None,
    ) -> OpenSegment:
        """Make the segment that follows `previous`, beginning with the positions, counters and blobs carried over."""
        first_seq = previous.last_seq + 1 if previous else 1
        path = segment_path(folder, first_seq)
        remove_segment(path)
        connection = open_writer(path, storage)
        try:
            with transaction(connection, path):
                connection.execute(segment.SCHEMA)
                for table, rows in (carried or {}).items():
                    marks = ", ".join("?" * len(rows[0]))
                    connection.executemany(f"INSERT INTO {table} VALUES({marks})", rows)
                arrival_ns = previous.arrival_ns if previous else 0
                connection.execute("INSERT INTO begin VALUES(?, ?, ?)", (first_seq, now_ns, arrival_ns))
        except BaseException:
            with contextlib.suppress(VedetteError), translated(path):
                connection.close()
            raise
        return cls(path, connection)

    def carried(self) -> Carried:
        """Read what the next segment takes over, by table. Raises TransientError: the file can't be read."""
        with translated(self.path):
            tables = {table: list(self.connection.execute(query)) for table, query in segment.CARRIED.items()}
            return {table: rows for table, rows in tables.items() if rows}

    def write(self, group: Group, codec: segment.ChunkCodec, blobs: Mapping[str, bytes]) -> int:
        """Write a group inside a transaction; return the bytes it takes, about."""
        group.finish()
        if not self.created_ns:
            self.connection.execute("UPDATE begin SET created_ns = ?", (group.arrival_ns,))
        size = 0
        for number, (chunk, hashes) in enumerate(zip(group.chunks, group.hashes, strict=True)):
            size += codec.insert(self.connection, chunk, {} if number else group.counts, hashes)
        self.connection.executemany(
            "INSERT INTO counter VALUES(?, ?, ?, ?) ON CONFLICT(source) DO UPDATE SET received = received +"
            " excluded.received, duplicate = duplicate + excluded.duplicate, refused = refused + excluded.refused",
            [(source, count.received, count.duplicate, count.refused) for source, count in group.counts.items()],
        )
        for source, partition, value in group.positions:
            self.connection.execute("INSERT OR REPLACE INTO position VALUES(?, ?, ?)", (source, partition, value))
        if blobs:
            self.connection.executemany(
                "INSERT INTO blob(kind, hash, content) SELECT :kind, :hash, :content"
                " WHERE :hash IS NOT (SELECT hash FROM blob WHERE kind = :kind ORDER BY id DESC LIMIT 1)",
                [
                    {"kind": kind, "hash": hashlib.sha256(content).hexdigest(), "content": content}
                    for kind, content in blobs.items()
                ],
            )
        return size

    def committed(self, group: Group, size: int) -> None:
        """Take over what a committed group of `size` bytes changed."""
        self.bytes_written += size
        self.last_seq, self.arrival_ns = group.next_seq - 1, group.arrival_ns
        self.created_ns = self.created_ns or group.arrival_ns


def remove_segment(path: Path) -> None:
    """Unlink a segment with what SQLite keeps beside it. Raises TransientError."""
    for suffix in ("-wal", "-shm", "-journal", ""):
        try:
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        except OSError as error:
            message = f"cannot remove {path.name}{suffix}: {error.strerror}"
            raise TransientError(message) from error
