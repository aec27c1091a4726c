"""Segments: where one ends and the next begins, what it takes over, when it goes, and what a crash may leave of it."""

import os
from collections.abc import Callable
from pathlib import Path
from random import Random

import apsw
import pytest

from vedette.journal.protocol import IntakeCount
from vedette.journal.sqlite import Retention, SqliteIntakeLog, SqliteIntakeReader
from vedette.journal.sqlite.connection import open_reader
from vedette.journal.sqlite.intake_reader import segment_path, segment_paths
from vedette.runtime.parcel import Parcel
from vedette.schema.errors import PermanentError, TransientError
from vedette.schema.limits import SECOND_NS
from vedette.schema.record import Position
from vedette.testing.faults import INJECTED, Fault, FaultDisk, Loss, Operation

MakeParcel = Callable[..., Parcel]

pytestmark = pytest.mark.filterwarnings(f"ignore:[\\s\\S]*{INJECTED}:pytest.PytestUnraisableExceptionWarning")

NOW = 1_700_000_000_000_000_000
EACH_ITS_OWN = Retention(segment_bytes_max=1)


def items_of(reader: SqliteIntakeReader) -> list[bytes]:
    return [item for chunk in reader.scan() for item in chunk.items]


def fill(log: SqliteIntakeLog, parcel: MakeParcel, count: int) -> list[bytes]:
    items = [b"%d" % number for number in range(count)]
    for number, item in enumerate(items):
        log.append([parcel(item, position=Position("0", str(number)))], now_ns=NOW + number)
    return items


# --- rotation ---------------------------------------------------------------------------------------------------------
def test_a_segment_ends_when_it_is_big_enough(segments: Path, parcel: MakeParcel) -> None:
    log = SqliteIntakeLog(segments, retention=Retention(segment_bytes_max=200_000))
    noise = Random(1)
    for _ in range(30):
        log.append([parcel(noise.randbytes(20_000))], now_ns=NOW)
    sizes = [path.stat().st_size for path in segment_paths(segments)][:-1]
    assert len(sizes) >= 2
    assert all(100_000 < size < 400_000 for size in sizes)
    log.close()


def test_a_segment_ends_when_it_is_old_enough(segments: Path, parcel: MakeParcel) -> None:
    log = SqliteIntakeLog(segments, retention=Retention(segment_age_ns_max=60 * SECOND_NS))
    for second in range(0, 300, 10):
        log.append([parcel(b"x")], now_ns=NOW + second * SECOND_NS)
    firsts = [int(path.stem) for path in segment_paths(segments)]
    assert firsts == [1, 8, 15, 22, 29]
    log.close()


def test_opening_again_does_not_make_a_segment_young(segments: Path, parcel: MakeParcel) -> None:
    retention = Retention(segment_age_ns_max=60 * SECOND_NS)
    for second in range(0, 300, 10):
        log = SqliteIntakeLog(segments, retention=retention)
        log.append([parcel(b"x")], now_ns=NOW + second * SECOND_NS)
        log.close()
    assert [int(path.stem) for path in segment_paths(segments)] == [1, 8, 15, 22, 29]


def test_a_segment_begins_with_positions_and_counters(segments: Path, parcel: MakeParcel) -> None:
    log = SqliteIntakeLog(segments, retention=EACH_ITS_OWN)
    log.append([parcel(b"a", source="file", position=Position("/a", "7"))], now_ns=NOW)
    log.append([parcel(b"b", source="file", position=Position("/b", "9"))], now_ns=NOW, refused={"push": 4})
    log.append([parcel(b"c", b"c", source="push", hashed=True)], now_ns=NOW)
    assert len(segment_paths(segments)) == 3
    for path in segment_paths(segments)[:-1]:
        path.unlink()
    log.close()
    log = SqliteIntakeLog(segments)
    assert log.positions() == {"file": {"/a": "7", "/b": "9"}}
    assert log.counts() == {"file": IntakeCount(2), "push": IntakeCount(2, 1, 4)}
    assert log.last_seq() == 3
    assert items_of(log) == [b"c"]
    log.close()


# --- retention --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("keep_after_seq", range(8))
def test_what_detection_needs_is_never_retired(segments: Path, parcel: MakeParcel, keep_after_seq: int) -> None:
    log = SqliteIntakeLog(segments, retention=EACH_ITS_OWN._replace(keep_bytes=0))
    items = fill(log, parcel, 6)
    assert log.retire(keep_after_seq=keep_after_seq, now_ns=NOW) == min(keep_after_seq, 5)
    assert items_of(log) == items[min(keep_after_seq, 5) :]
    assert log.positions() == {"push": {"0": "5"}}
    log.close()


def test_segments_are_retired_by_bytes_oldest_first(segments: Path, parcel: MakeParcel) -> None:
    log = SqliteIntakeLog(segments, retention=EACH_ITS_OWN)
    items = fill(log, parcel, 6)
    sizes = [path.stat().st_size for path in segment_paths(segments)]
    log.retention = EACH_ITS_OWN._replace(keep_bytes=sum(sizes[2:]))
    assert log.retire(keep_after_seq=6, now_ns=NOW) == 2
    assert log.retire(keep_after_seq=6, now_ns=NOW) == 0
    assert items_of(log) == items[2:]
    log.close()


def test_segments_are_retired_by_age(segments: Path, parcel: MakeParcel) -> None:
    log = SqliteIntakeLog(segments, retention=EACH_ITS_OWN._replace(keep_age_ns=1_000 * SECOND_NS))
    items = fill(log, parcel, 6)
    for number, path in enumerate(segment_paths(segments)):
        os.utime(path, ns=(0, NOW - (1_004 - number) * SECOND_NS))
    assert log.retire(keep_after_seq=6, now_ns=NOW) == 4
    assert items_of(log) == items[4:]
    assert sorted(path.suffix for path in segments.iterdir() if path.stem < segment_path(segments, 5).stem) == []
    log.close()


def test_the_log_goes_on_after_retirement_and_restart(segments: Path, parcel: MakeParcel) -> None:
    log = SqliteIntakeLog(segments, retention=EACH_ITS_OWN._replace(keep_bytes=0))
    fill(log, parcel, 3)
    log.retire(keep_after_seq=3, now_ns=NOW)
    log.close()
    log = SqliteIntakeLog(segments)
    log.append([parcel(b"more")], now_ns=NOW)
    assert [(chunk.seq, chunk.items) for chunk in log.scan()] == [(3, [b"2"]), (4, [b"more"])]
    log.close()


# --- crashes ----------------------------------------------------------------------------------------------------------
def half_made(folder: Path, first_seq: int) -> Path:
    """A segment as a crash leaves it before its first transaction."""
    path = segment_path(folder, first_seq)
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA journal_mode=WAL")
    connection.close()
    return path


@pytest.mark.parametrize("leftover", ["a header", "nothing"])
@pytest.mark.parametrize("count", [0, 3])
def test_a_crash_between_a_segment_and_its_first_transaction(
    segments: Path, parcel: MakeParcel, count: int, leftover: str
) -> None:
    log = SqliteIntakeLog(segments)
    items = fill(log, parcel, count)
    log.close()
    if count == 0:
        segment_path(segments, 1).unlink()
    path = half_made(segments, count + 1)
    if leftover == "nothing":
        path.write_bytes(b"")
    reader = SqliteIntakeReader(segments)
    assert (reader.last_seq(), items_of(reader)) == (count, items)
    log = SqliteIntakeLog(segments)
    log.append([parcel(b"on")], now_ns=NOW)
    for one in (log, reader):
        assert items_of(one) == [*items, b"on"]
        assert one.last_seq() == count + 1
    reader.close()
    log.close()


def test_a_reader_sees_a_segment_that_was_begun_anew(segments: Path, parcel: MakeParcel) -> None:
    """The disk was full when the segment was made; the next try replaces the file that a reader has open already."""
    log = SqliteIntakeLog(segments, retention=EACH_ITS_OWN)
    fill(log, parcel, 1)
    half_made(segments, 2)
    reader = SqliteIntakeReader(segments)
    assert reader.read(1, items_max=10) == []
    log.append([parcel(b"on")], now_ns=NOW)
    assert [chunk.items for chunk in reader.read(1, items_max=10)] == [[b"on"]]
    reader.close()
    log.close()


@pytest.mark.parametrize("error", [apsw.FullError, apsw.IOError, apsw.ReadOnlyError])
@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize("after", range(12))
def test_rotation_that_fails_is_tried_again(
    segments: Path, parcel: MakeParcel, error: type[apsw.Error], operation: Operation, after: int
) -> None:
    disk = FaultDisk()
    log = SqliteIntakeLog(segments, disk.storage(), EACH_ITS_OWN)
    items = fill(log, parcel, 2)
    disk.inject(Fault(operation, error, after=after))
    tries = 0
    for item in (b"a", b"b", b"c"):
        while True:
            tries += 1
            try:
                log.append([parcel(item, position=Position("0", item.decode()))], now_ns=NOW)
            except TransientError:
                continue
            break
    assert tries <= 5
    for path in segment_paths(segments):
        connection = open_reader(path, disk.storage())
        assert connection.execute("PRAGMA journal_mode").get == "wal", "a failure leaves no other mode"
        connection.close()
    assert items_of(log) == [*items, b"a", b"b", b"c"]
    assert log.positions() == {"push": {"0": "c"}}
    assert log.counts() == {"push": IntakeCount(5)}
    copy = segments.with_name("copy")
    disk.image(segments, copy, Loss.DROPPED, Random(1))
    reader = SqliteIntakeReader(copy)
    assert items_of(reader) == [*items, b"a", b"b", b"c"]
    reader.close()
    log.close()


def test_what_a_failed_sync_left_behind_does_not_come_back(segments: Path, parcel: MakeParcel) -> None:
    """The sync failed, so the client was told no; the record then must not turn up beside its own repetition."""
    disk = FaultDisk()
    log = SqliteIntakeLog(segments, disk.storage())
    items = fill(log, parcel, 2)
    disk.inject(Fault(Operation.SYNC, apsw.IOError, times=2))
    with pytest.raises(TransientError):
        log.append([parcel(b"pull", position=Position("0", "pull"))], now_ns=NOW)
    disk.heal()
    log.append([parcel(b"pull", position=Position("0", "pull"))], now_ns=NOW)
    assert items_of(log) == [*items, b"pull"]
    assert log.counts() == {"push": IntakeCount(3)}
    for loss in Loss:
        copy = segments.with_name(f"copy-{loss.value}")
        disk.image(segments, copy, loss, Random(1))
        again = SqliteIntakeLog(copy)
        assert items_of(again) == [*items, b"pull"]
        assert again.counts() == {"push": IntakeCount(3)}
        again.close()
    log.close()


def test_a_half_made_segment_whose_deletion_was_undone_hides_nothing(segments: Path, parcel: MakeParcel) -> None:
    """A crash left it, the restart deleted it and went on, a power loss brought it back: it is nobody's end."""
    log = SqliteIntakeLog(segments)
    items = fill(log, parcel, 9)
    log.retention = EACH_ITS_OWN._replace(keep_bytes=0)
    log.append([parcel(b"next")], now_ns=NOW)
    half_made(segments, 4)
    reader = SqliteIntakeReader(segments)
    assert items_of(reader) == items_of(log) == [*items, b"next"]
    assert [chunk.items for chunk in reader.read(5, items_max=1)] == [[b"5"]]
    assert log.retire(keep_after_seq=5, now_ns=NOW) == 0
    reader.close()
    log.close()
    log = SqliteIntakeLog(segments)
    assert items_of(log) == [*items, b"next"]
    log.close()


def test_a_damaged_segment_says_what_to_do(segments: Path, parcel: MakeParcel) -> None:
    log = SqliteIntakeLog(segments)
    fill(log, parcel, 3)
    log.close()
    path = segment_path(segments, 1)
    path.write_bytes(b"SQLite format 3\0" + b"\xff" * 8_000)
    with pytest.raises(PermanentError, match=r"damaged .*restore"):
        SqliteIntakeLog(segments)
