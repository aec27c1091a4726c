"""The writer of the intake log: group commit, push duplicates, rotation, retention.

A group of submissions becomes one transaction of the current segment. After a failed sync nobody knows what the end of
the file holds. The connection still knows what it held before, so it stays open until the next segment took over from
there; readers take nothing from a segment that lies beyond the beginning of the next, so what failed can't come back.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

import apsw

from vedette.journal.protocol import Appended, IntakeCount
from vedette.journal.sqlite import segment
from vedette.journal.sqlite.connection import Storage, transaction, translated
from vedette.journal.sqlite.duplicates import DIGEST_BYTES, DuplicateTable
from vedette.journal.sqlite.group import Group, stretches
from vedette.journal.sqlite.intake_reader import SqliteIntakeReader, segment_paths
from vedette.journal.sqlite.open_segment import OpenSegment, remove_segment
from vedette.schema.errors import VedetteError
from vedette.schema.limits import DEDUP_HORIZON_NS, MIB, SECOND_NS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from vedette.journal.protocol import Submission
    from vedette.schema.record import Run


class Retention(NamedTuple):
    """When segments end and when they go. Whatever detection still needs stays regardless."""

    segment_bytes_max: int = 256 * MIB
    segment_age_ns_max: int = 3600 * SECOND_NS
    keep_age_ns: int = 7 * 24 * 3600 * SECOND_NS
    keep_bytes: int = 10 * 1024 * MIB
    dedup_horizon_ns: int = DEDUP_HORIZON_NS


class SqliteIntakeLog(SqliteIntakeReader):
    """Implements `journal.protocol.IntakeLog`. All calls come from one thread."""

    def __init__(self, folder: Path, storage: Storage | None = None, retention: Retention | None = None) -> None:
        """Open the log for writing, making its first segment if there is none.

        Raises:
            TransientError: the disk is full or can't be written.
        """
        super().__init__(folder, storage)
        self._writer_storage = storage or Storage()
        self.retention = retention or Retention()
        self._segment: OpenSegment | None = None
        self._damaged_tail = False
        self._duplicates: dict[str, DuplicateTable] = {}
        self._reopen(now_ns=0)

    def append(
        self, submissions: Sequence[Submission], *, now_ns: int, refused: Mapping[str, int] | None = None
    ) -> Appended:
        """Make a group durable. Raises TransientError: nothing was stored."""
        current = self._ready(now_ns)
        group = _group(current, now_ns)
        try:
            for alike in stretches(submissions):
                group.add_alike(alike, self._table(alike[0].source))
            for source, count in (refused or {}).items():
                group.count(source).refused += count
            self._commit(current, group, {})
        except BaseException:
            group.forget(self._duplicates)
            raise
        return Appended(group.receipts, group.chunks)

    def append_control(self, payload: bytes, *, now_ns: int, blobs: Mapping[str, bytes] | None = None) -> Appended:
        """Make a control record and its blobs durable. Raises TransientError: nothing was stored."""
        current = self._ready(now_ns)
        group = _group(current, now_ns)
        group.control(payload)
        self._commit(current, group, blobs or {})
        return Appended(group.receipts, group.chunks)

    def positions(self) -> dict[str, dict[str, str]]:
        """Committed positions of all pull sources."""
        return segment.read_positions(self._ready(0).connection)

    def counts(self) -> dict[str, IntakeCount]:
        """Intake's side of the ledger."""
        return segment.read_counts(self._ready(0).connection)

    def last_seq(self) -> int:
        """The last committed sequence number."""
        return self._ready(0).last_seq

    @property
    def shortened(self) -> int:
        """How often load made a duplicate table forget before its horizon."""
        return sum(table.shortened for table in self._duplicates.values())

    def retire(self, *, keep_after_seq: int, now_ns: int) -> int:
        """Unlink segments beyond retention whose records are all at or before `keep_after_seq`."""
        segments = list(self.segments())
        sizes = [path.stat().st_size for path, _ in segments]
        excess = sum(sizes) - self.retention.keep_bytes
        retired = 0
        for (path, end), size in zip(segments, sizes, strict=True):
            aged = path.stat().st_mtime_ns < now_ns - self.retention.keep_age_ns
            if end - 1 > keep_after_seq or not (aged or excess > 0):
                break
            if path == self._path:
                self.release()
            remove_segment(path)
            excess -= size
            retired += 1
        return retired

    def close(self) -> None:
        """Release all files."""
        self.release()
        if self._segment is not None:
            with contextlib.suppress(VedetteError), translated(self._segment.path):
                self._segment.connection.close()
            self._segment = None

    # --- one group ------------------------------------------------------------------------------------------------
    def _commit(self, current: OpenSegment, group: Group, blobs: Mapping[str, bytes]) -> None:
        try:
            with transaction(current.connection, current.path):
                size = current.write(group, self._codec, blobs)
        except BaseException as error:
            self._damaged_tail |= isinstance(error.__cause__, apsw.IOError)
            if current.connection.in_transaction:
                self._abandon()
            raise
        current.committed(group, size)

    def _table(self, source: str) -> DuplicateTable:
        table = self._duplicates.get(source)
        if table is None:
            table = self._duplicates[source] = DuplicateTable(self.retention.dedup_horizon_ns)
        return table

    # --- segments ---------------------------------------------------------------------------------------------------
    def _ready(self, now_ns: int) -> OpenSegment:
        current = self._segment or self._reopen(now_ns)
        limits = self.retention
        if (
            current.bytes_written >= limits.segment_bytes_max
            or self._damaged_tail
            or (current.last_seq >= current.first_seq and now_ns - current.created_ns > limits.segment_age_ns_max > 0)
        ):
            current = self._rotate(current, max(now_ns, current.arrival_ns))
        return current

    def _rotate(self, current: OpenSegment, now_ns: int) -> OpenSegment:
        if current.last_seq < current.first_seq:
            return current
        try:
            carried = current.carried()
        except VedetteError:
            self._abandon()  # not even readable: only opening it again may help
            raise
        self._damaged_tail = True  # until it worked: nothing more may go where the next segment's name says it ends
        fresh = OpenSegment.create(self._folder, self._writer_storage, now_ns, current, carried)
        with contextlib.suppress(VedetteError), translated(current.path):
            current.connection.close()
        self._segment, self._damaged_tail = fresh, False
        return fresh

    def _reopen(self, now_ns: int) -> OpenSegment:
        """Open the newest complete segment and read everything back that is kept in memory."""
        for path in reversed(segment_paths(self._folder)):
            opened = OpenSegment.open(path, self._writer_storage)
            if opened is not None:
                break
            remove_segment(path)  # a crash came before its first transaction
        else:
            opened = OpenSegment.create(self._folder, self._writer_storage, now_ns)
        self._restore_duplicates(opened.arrival_ns - self.retention.dedup_horizon_ns)
        self._segment = opened
        return opened

    def _abandon(self) -> None:
        if self._segment is not None:
            with contextlib.suppress(VedetteError), translated(self._segment.path):
                self._segment.connection.close()
            self._segment = None

    def _restore_duplicates(self, since_ns: int) -> None:
        self._duplicates = {}
        for path, end in self.segments():
            with translated(path):
                connection = self._open(path)
                for arrival_ns, runs, hashes in segment.recent_hashes(connection, since_ns, before_seq=end):
                    self._remember(arrival_ns, runs, hashes)
        self.release()

    def _remember(self, arrival_ns: int, runs: list[Run], hashes: bytes) -> None:
        start = 0
        for run in runs:
            if run.hashed:
                end = start + run.count * DIGEST_BYTES
                table = self._table(run.source)
                for at in range(start, end, DIGEST_BYTES):
                    table.add(hashes[at : at + DIGEST_BYTES], arrival_ns)
                start = end


def _group(current: OpenSegment, now_ns: int) -> Group:
    """Begin a group behind what a segment holds; arrival never goes back."""
    return Group(after_seq=current.last_seq, arrival_ns=max(current.arrival_ns, now_ns))
