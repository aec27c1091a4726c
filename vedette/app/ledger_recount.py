"""Counts intake's side of the ledger again, from the raw rows of the intake log.

Each segment begins with the counters of its predecessor, and every chunk row says what was counted with it. So the
counters at the end of a segment must be those at the end of the one before, plus its chunks. Of segments that were
retired only the counters are left; they are taken as given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from vedette.journal.protocol import IntakeCount
from vedette.journal.sqlite import segment
from vedette.journal.sqlite.connection import open_reader, translated
from vedette.journal.sqlite.intake_reader import SqliteIntakeReader, is_begun

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from vedette.journal.sqlite import DataFolder

Counts = dict[str, IntakeCount]


class Difference(NamedTuple):
    """A counter that is not the sum of its rows."""

    segment: str
    source: str
    counter: str
    counted: int
    recounted: int


class Recount(NamedTuple):
    """The result: how many segments were counted, from which record on, and what differs."""

    segments: int
    first_seq: int
    differences: list[Difference]


def recount(folder: DataFolder) -> Recount:
    """Count again.

    Raises:
        TransientError: a segment can't be read now (perhaps it has just been retired). PermanentError: it is damaged.
    """
    before: Counts | None = None
    first_seq, segments = 0, 0
    differences: list[Difference] = []
    reader = SqliteIntakeReader(folder.intake)
    found = list(reader.segments())
    reader.close()
    for path, end_seq in found:
        read = _read(path, end_seq)
        if read is None:
            continue
        start_seq, counted, added = read
        if before is None:
            first_seq = start_seq
            before = {} if start_seq == 1 else _sum(counted, added, -1)
        recounted = _sum(before, added, 1)
        differences += _compare(path.name, counted, recounted)
        before = counted
        segments += 1
    return Recount(segments, first_seq, differences)


def _read(path: Path, end_seq: int) -> tuple[int, Counts, Counts] | None:
    """A segment's first record, its counters and the sum of its chunks, all of one moment; None if it is just begun."""
    connection = open_reader(path)
    try:
        with translated(path):
            connection.execute("BEGIN")
            if not is_begun(connection):
                return None
            added = _total(segment.chunk_counts(connection, before_seq=end_seq))
            everything = _total(segment.chunk_counts(connection))
            # What lies beyond the segment's end was left by a commit whose sync failed: it does not count.
            counted = _sum(_sum(segment.read_counts(connection), everything, -1), added, 1)
            return segment.read_start(connection).first_seq, counted, added
    finally:
        connection.close()


def _total(chunks: Iterable[Counts]) -> Counts:
    total: Counts = {}
    for counts in chunks:
        total = _sum(total, counts, 1)
    return total


def _sum(counts: Counts, others: Counts, sign: int) -> Counts:
    total = dict(counts)
    for source, other in others.items():
        count = total.get(source, IntakeCount())
        total[source] = IntakeCount(
            count.received + sign * other.received,
            count.duplicate + sign * other.duplicate,
            count.refused + sign * other.refused,
        )
    return total


def _compare(name: str, counted: Counts, recounted: Counts) -> list[Difference]:
    nothing = IntakeCount()
    return [
        Difference(name, source, counter, ours, theirs)
        for source in sorted({*counted, *recounted})
        for counter in ("received", "duplicate", "refused")
        if (ours := getattr(counted.get(source, nothing), counter))
        != (theirs := getattr(recounted.get(source, nothing), counter))
    ]
