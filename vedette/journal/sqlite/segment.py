"""One segment of the intake log: a SQLite file of compressed chunks that stands on its own.

It begins with everything a reader or writer needs from before it: source positions, counters and the blobs in force. So
older segments can be unlinked at any time, and what is left is still a complete log from there on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
import zstandard

from vedette.journal.protocol import Chunk, IntakeCount
from vedette.schema.record import Run

if TYPE_CHECKING:
    from collections.abc import Iterator

    import apsw

SCHEMA: Final = """
CREATE TABLE chunk(
    seq INTEGER PRIMARY KEY,    -- of the first record
    count INTEGER NOT NULL,     -- of records
    arrival_ns INTEGER NOT NULL,
    meta BLOB NOT NULL,         -- MessagePack, see ChunkMeta
    body BLOB NOT NULL,         -- zstd of the records, one after another
    hashes BLOB NOT NULL        -- 16 bytes for each record of a hashed run
);
CREATE TABLE position(source TEXT, partition TEXT, value TEXT NOT NULL, PRIMARY KEY(source, partition)) WITHOUT ROWID;
CREATE TABLE counter(source TEXT PRIMARY KEY, received INTEGER, duplicate INTEGER, refused INTEGER) WITHOUT ROWID;
CREATE TABLE blob(id INTEGER PRIMARY KEY, kind TEXT NOT NULL, hash TEXT NOT NULL, content BLOB NOT NULL);
CREATE TABLE begin(first_seq INTEGER NOT NULL, created_ns INTEGER NOT NULL, arrival_ns INTEGER NOT NULL);
"""

NO_END: Final = 1 << 62
"""The sequence number before which the newest segment ends."""
ZSTD_LEVEL: Final = 1
"""21 : 1 on audit logs for 1.7 µs an event; higher levels cost more CPU than the disk space is worth."""


class ChunkMeta(msgspec.Struct, array_like=True, frozen=True):
    """What a chunk row says about its records: runs, byte lengths, and what intake counted with it by source."""

    runs: list[Run]
    lengths: list[int]
    counts: dict[str, IntakeCount]


CARRIED: Final = {
    "position": "SELECT * FROM position",
    "counter": "SELECT * FROM counter",
    "blob": "SELECT * FROM blob WHERE id IN (SELECT max(id) FROM blob GROUP BY kind)",
}
"""What a new segment takes over from its predecessor, by table."""


class SegmentStart(NamedTuple):
    """What a segment begins with. `created_ns` is 0 until the first group of a new log."""

    first_seq: int
    created_ns: int
    arrival_ns: int


_encode_meta = msgspec.msgpack.Encoder().encode
_decode_meta = msgspec.msgpack.Decoder(ChunkMeta).decode


class ChunkCodec:
    """Compresses and decompresses chunk bodies; one for each thread."""

    def __init__(self) -> None:
        """Make the compression contexts once."""
        self._compress = zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=True).compress
        self._decompress = zstandard.ZstdDecompressor().decompress

    def insert(
        self, connection: apsw.Connection, chunk: Chunk, counts: dict[str, IntakeCount], hashes: list[bytes]
    ) -> int:
        """Write a chunk row; return the bytes it takes, about."""
        meta = _encode_meta(ChunkMeta(chunk.runs, [len(item) for item in chunk.items], counts))
        body = self._compress(b"".join(chunk.items))
        connection.execute(
            "INSERT INTO chunk VALUES(?, ?, ?, ?, ?, ?)",
            (chunk.seq, len(chunk.items), chunk.arrival_ns, meta, body, b"".join(hashes)),
        )
        return len(meta) + len(body) + sum(map(len, hashes))

    def select(
        self, connection: apsw.Connection, after_seq: int, *, before_seq: int, items_max: int
    ) -> Iterator[Chunk]:
        """Read the chunks with records after `after_seq` that begin before `before_seq`, up to `items_max` records."""
        rows = connection.execute(
            "SELECT seq, arrival_ns, meta, body FROM chunk WHERE"
            " seq >= coalesce((SELECT max(seq) FROM chunk WHERE seq <= ?), 0) AND seq + count > ? AND seq < ?"
            " ORDER BY seq",
            (after_seq + 1, after_seq + 1, before_seq),
        )
        read = 0
        for seq, arrival_ns, meta, body in rows:
            if read >= items_max:
                rows.close()
                return
            described = _decode_meta(meta)
            joined = self._decompress(body)
            yield Chunk(seq, arrival_ns, described.runs, _cut(joined, described.lengths), len(joined))
            read += len(described.lengths)


def _cut(body: bytes, lengths: list[int]) -> list[bytes]:
    items: list[bytes] = []
    start = 0
    for length in lengths:
        end = start + length
        items.append(body[start:end])
        start = end
    assert start == len(body), "a chunk's lengths add up to its body"
    return items


def chunk_counts(connection: apsw.Connection, *, before_seq: int = NO_END) -> Iterator[dict[str, IntakeCount]]:
    """Read what intake counted with each chunk (to recompute the ledger from raw rows)."""
    for (meta,) in connection.execute("SELECT meta FROM chunk WHERE seq < ? ORDER BY seq", (before_seq,)):
        yield _decode_meta(meta).counts


def recent_hashes(
    connection: apsw.Connection, since_ns: int, *, before_seq: int
) -> Iterator[tuple[int, list[Run], bytes]]:
    """Read arrival, runs and digests of the chunks since a time, in order."""
    rows = connection.execute(
        "SELECT arrival_ns, meta, hashes FROM chunk WHERE seq < ? AND arrival_ns >= ? AND length(hashes) > 0"
        " ORDER BY seq",
        (before_seq, since_ns),
    )
    for arrival_ns, meta, hashes in rows:
        yield arrival_ns, _decode_meta(meta).runs, hashes


def read_start(connection: apsw.Connection) -> SegmentStart:
    """Read what the segment begins with."""
    return SegmentStart(*connection.execute("SELECT first_seq, created_ns, arrival_ns FROM begin").get)


def read_counts(connection: apsw.Connection) -> dict[str, IntakeCount]:
    """Read the counters as of the segment's last commit."""
    rows = connection.execute("SELECT source, received, duplicate, refused FROM counter")
    return {source: IntakeCount(received, duplicate, refused) for source, received, duplicate, refused in rows}


def read_positions(connection: apsw.Connection) -> dict[str, dict[str, str]]:
    """Read the source positions as of the segment's last commit, by source and partition."""
    positions: dict[str, dict[str, str]] = {}
    for source, partition, value in connection.execute("SELECT source, partition, value FROM position"):
        positions.setdefault(source, {})[partition] = value
    return positions


def read_last(connection: apsw.Connection) -> tuple[int, int]:
    """Read the last sequence number and the last arrival time."""
    row: tuple[int, int] | None = connection.execute(
        "SELECT seq + count - 1, arrival_ns FROM chunk ORDER BY seq DESC LIMIT 1"
    ).get
    if row is not None:
        return row
    start = read_start(connection)
    return start.first_seq - 1, start.arrival_ns
