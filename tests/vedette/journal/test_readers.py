"""Readers beside the writer, in its process and in others: they see what is committed, and change nothing."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

import apsw
import pytest

from vedette.journal.sqlite import Retention, SqliteIntakeLog, SqliteIntakeReader
from vedette.journal.sqlite.intake_reader import segment_path, segment_paths
from vedette.runtime.parcel import Parcel
from vedette.testing.faults import FaultDisk, Loss

MakeParcel = Callable[..., Parcel]

NOW = 1_700_000_000_000_000_000

READ_ALL = """
import sys
from pathlib import Path
from vedette.journal.sqlite import SqliteIntakeReader

reader = SqliteIntakeReader(Path(sys.argv[1]))
print(reader.last_seq(), *(item.decode() for chunk in reader.scan() for item in chunk.items))
reader.close()
"""

FOLLOW = """
import sys
from pathlib import Path
from vedette.journal.sqlite import SqliteIntakeReader

reader, after, wanted = SqliteIntakeReader(Path(sys.argv[1])), 0, int(sys.argv[2])
print("ready", flush=True)
while after < wanted:
    for chunk in reader.read(after, items_max=7):
        assert chunk.seq == after + 1, (chunk.seq, after)
        assert chunk.items == [b"%d" % (number) for number in range(chunk.seq, chunk.last_seq + 1)], chunk
        after = chunk.last_seq
reader.close()
"""


def items_of(reader: SqliteIntakeReader, after_seq: int = 0) -> list[bytes]:
    return [item for chunk in reader.scan(after_seq) for item in chunk.items]


def stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


@pytest.mark.parametrize("segment_bytes_max", [1, 1 << 20], ids=["segments", "segment"])
def test_in_the_same_process(segments: Path, parcel: MakeParcel, segment_bytes_max: int) -> None:
    log = SqliteIntakeLog(segments, retention=Retention(segment_bytes_max=segment_bytes_max))
    reader = SqliteIntakeReader(segments)
    assert (reader.last_seq(), items_of(reader)) == (0, [])
    for number in range(1, 10):
        log.append([parcel(b"%d" % number)], now_ns=NOW)
        assert [chunk.items for chunk in reader.read(number - 1, items_max=10)] == [[b"%d" % number]]
        assert reader.last_seq() == number
    assert items_of(reader) == items_of(log)
    reader.close()
    log.close()


def test_in_another_process(segments: Path, parcel: MakeParcel) -> None:
    log = SqliteIntakeLog(segments, retention=Retention(segment_bytes_max=3_000))
    with subprocess.Popen([sys.executable, "-c", FOLLOW, str(segments), "2000"], stdout=subprocess.PIPE) as follower:
        assert follower.stdout is not None
        assert follower.stdout.readline() == b"ready\n"
        for start in range(1, 2_000, 10):
            log.append([parcel(*(b"%d" % number for number in range(start, start + 10)))], now_ns=NOW)
        assert follower.wait() == 0
    assert len(segment_paths(segments)) > 3
    log.close()


def test_another_process_never_checkpoints(segments: Path, parcel: MakeParcel) -> None:
    log = SqliteIntakeLog(segments)
    for number in range(5):
        log.append([parcel(b"%d" % number)], now_ns=NOW)
    files = [segment_path(segments, 1), segments / f"{segment_path(segments, 1).name}-wal"]
    before = [stamp(path) for path in files]
    assert before[1][0] > 0
    printed = subprocess.run(
        [sys.executable, "-c", READ_ALL, str(segments)], check=True, capture_output=True, text=True
    )
    assert printed.stdout == "5 0 1 2 3 4\n"
    assert [stamp(path) for path in files] == before
    log.close()


def test_after_a_crash_of_the_writer_a_reader_reads_the_wal_and_leaves_it(segments: Path, parcel: MakeParcel) -> None:
    disk = FaultDisk()
    log = SqliteIntakeLog(segments, disk.storage())
    for number in range(5):
        log.append([parcel(b"%d" % number)], now_ns=NOW)
    copy = segments.with_name("copy")
    disk.image(segments, copy, Loss.DROPPED, Random(1))
    log.close()
    files = [segment_path(copy, 1), copy / f"{segment_path(copy, 1).name}-wal"]
    before = [stamp(path) for path in files]
    printed = subprocess.run([sys.executable, "-c", READ_ALL, str(copy)], check=True, capture_output=True, text=True)
    assert printed.stdout == "5 0 1 2 3 4\n"
    assert [stamp(path) for path in files] == before


def test_a_reader_can_not_write(segments: Path, parcel: MakeParcel) -> None:
    log = SqliteIntakeLog(segments)
    log.append([parcel(b"x")], now_ns=NOW)
    reader = SqliteIntakeReader(segments)
    with pytest.raises(apsw.ReadOnlyError):
        reader._open(segment_path(segments, 1)).execute("DELETE FROM chunk")
    reader.close()
    log.close()


@pytest.mark.parametrize("at", range(1, 9))
def test_segments_may_go_while_a_reader_reads(segments: Path, parcel: MakeParcel, at: int) -> None:
    log = SqliteIntakeLog(segments, retention=Retention(segment_bytes_max=1, keep_bytes=0))
    for number in range(1, 10):
        log.append([parcel(b"%d" % number)], now_ns=NOW)
    reader = SqliteIntakeReader(segments)
    after = reader.read(at - 1, items_max=1)[-1].last_seq
    log.retire(keep_after_seq=6, now_ns=NOW)
    assert items_of(reader, after) == [b"%d" % number for number in range(max(after + 1, 7), 10)]
    assert items_of(reader) == [b"7", b"8", b"9"]
    reader.close()
    log.close()


def test_a_segment_that_goes_between_listing_and_opening(
    segments: Path, parcel: MakeParcel, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = SqliteIntakeLog(segments, retention=Retention(segment_bytes_max=1, keep_bytes=0))
    for number in range(1, 4):
        log.append([parcel(b"%d" % number)], now_ns=NOW)
    log.append_control(b"{}", now_ns=NOW, blobs={"rules": b"r"})
    reader = SqliteIntakeReader(segments)
    listed = segment_paths(segments)
    log.retire(keep_after_seq=2, now_ns=NOW)
    monkeypatch.setattr("vedette.journal.sqlite.intake_reader.segment_paths", lambda folder: listed)
    assert [chunk.items for chunk in reader.read(0, items_max=10)] == [[b"3"]]
    assert reader.blob("0" * 64) is None
    reader.close()
    log.close()


def test_a_segment_whose_making_a_crash_cut_short_is_passed_over(segments: Path, parcel: MakeParcel) -> None:
    """At each operation of its making: a journal that needs rolling back is nothing for a reader."""
    disk, images = FaultDisk(), 0
    log = SqliteIntakeLog(segments, disk.storage(), Retention(segment_bytes_max=1))
    log.append([parcel(b"1")], now_ns=NOW)
    log.append_control(b"{}", now_ns=NOW, blobs={"rules": b"r"})

    def look() -> None:
        nonlocal images
        for loss in Loss:
            images += 1
            copy = segments.with_name(f"copy {images}")
            disk.image(segments, copy, loss, Random(images))
            reader = SqliteIntakeReader(copy)
            assert items_of(reader)[:2] == [b"1", b"{}"]
            assert reader.last_seq() == len(items_of(reader)) <= 3
            assert reader.blob("0" * 64) is None
            reader.close()

    disk.before_event = look
    log.append([parcel(b"2")], now_ns=NOW)
    assert images > 80
    log.close()


def test_looking_for_a_blob_while_a_segment_is_being_made(segments: Path) -> None:
    log = SqliteIntakeLog(segments)
    log.append_control(b"{}", now_ns=NOW, blobs={"rules": b"r"})
    apsw.Connection(str(segment_path(segments, 2))).execute("PRAGMA journal_mode=WAL")
    reader = SqliteIntakeReader(segments)
    assert reader.blob("454349e422f05297191ead13e21d3db520e5abef52055e4964b82fb213f593a1") == b"r"
    assert reader.blob("0" * 64) is None
    assert reader.last_seq() == 1
    reader.close()
    log.close()


def test_what_is_read_at_once_is_bounded_in_bytes_too(segments: Path, parcel: MakeParcel) -> None:
    log = SqliteIntakeLog(segments)
    for _ in range(4):
        log.append([parcel(b"x" * 100, b"y" * 100)], now_ns=NOW)
    reader = SqliteIntakeReader(segments)
    assert [len(reader.read(0, items_max=1_000, bytes_max=limit)) for limit in (1, 200, 201, 10_000)] == [1, 1, 2, 4]
    reader.close()
    log.close()
