"""What goes into the intake log comes out of it: same records, same order, same description, however it was cut."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vedette.journal.protocol import Chunk, IntakeCount
from vedette.journal.sqlite import Retention, SqliteIntakeLog, SqliteIntakeReader, group
from vedette.runtime.parcel import Parcel
from vedette.schema.record import CONTROL_FORMAT, CONTROL_SOURCE, Position, Run
from vedette.testing.faults import FaultDisk

MakeParcel = Callable[..., Parcel]

ITEMS_MAX, BYTES_MAX = 5, 60
NOW = 1_700_000_000_000_000_000


class Stored(NamedTuple):
    payload: bytes
    source: str
    format: str
    context: str
    origin: str
    record: int
    hashed: bool


def stored_in(chunks: Iterable[Chunk]) -> list[Stored]:
    found: list[Stored] = []
    for chunk in chunks:
        items = iter(chunk.items)
        for run in chunk.runs:
            for number in range(run.count):
                record = run.record + number if run.origin else run.record
                found.append(Stored(next(items), run.source, run.format, run.context, run.origin, record, run.hashed))
        assert list(items) == []
    return found


def control(payload: bytes) -> Stored:
    return Stored(payload, CONTROL_SOURCE, CONTROL_FORMAT, "", "", 0, False)


# --- the model --------------------------------------------------------------------------------------------------------
@dataclass
class Model:
    """What the log should hold."""

    stored: list[Stored] = field(default_factory=list)
    seen: dict[str, set[bytes]] = field(default_factory=dict)
    counts: dict[str, IntakeCount] = field(default_factory=dict)
    positions: dict[str, dict[str, str]] = field(default_factory=dict)

    def append(self, parcels: list[Parcel], refused: dict[str, int]) -> list[tuple[int, int]]:
        before, receipts = len(self.stored), []
        for parcel in parcels:
            start, fresh = 0, 0
            for run in parcel.runs:
                for number, item in enumerate(parcel.items[start : start + run.count]):
                    seen = self.seen.setdefault(run.source, set())
                    if run.hashed and item in seen:
                        continue
                    if run.hashed:
                        seen.add(item)
                    record = run.record + number if run.origin else 0
                    self.stored.append(
                        Stored(item, run.source, run.format, run.context, run.origin, record, run.hashed)
                    )
                    fresh += 1
                start += run.count
            count = self.counts.setdefault(parcel.source, IntakeCount())
            count.received += len(parcel.items)
            count.duplicate += len(parcel.items) - fresh
            receipts.append((fresh, len(parcel.items) - fresh))
            if parcel.position:
                self.positions.setdefault(parcel.source, {})[parcel.position.partition] = parcel.position.value
        for source, number in refused.items():
            self.counts.setdefault(source, IntakeCount()).refused += number
        if len(self.stored) == before:
            self.stored.append(control(group.TICK))
        return receipts


items = st.one_of(st.binary(max_size=12), st.sampled_from([b"", b"again", b"x" * BYTES_MAX, b"y" * (3 * BYTES_MAX)]))
sources = st.sampled_from(["push", "file", "kafka"])


@st.composite
def parcels(draw: st.DrawFn) -> Parcel:
    source = draw(sources)
    runs: list[Run] = []
    content: list[bytes] = []
    for _ in range(draw(st.integers(0, 3))):
        stretch = draw(st.lists(items, max_size=9))
        hashed = draw(st.booleans())
        origin = "" if hashed else draw(st.sampled_from(["", "/var/log/a", "/var/log/b"]))
        context = draw(st.sampled_from(["", "v2 a b"]))
        record = draw(st.integers(1, 4))
        runs.append(Run(source, draw(st.sampled_from(["falco", "vpc"])), len(stretch), context, origin, record, hashed))
        content += stretch
    position = draw(st.none() | st.builds(Position, st.sampled_from(["0", "1"]), st.text(max_size=3)))
    return Parcel(source, runs, content, lambda outcome: None, sum(map(len, content)), position)


class Reopen(NamedTuple):
    pass


Step = Reopen | tuple[list[Parcel], dict[str, int]] | bytes
steps: st.SearchStrategy[list[Step]] = st.lists(
    st.one_of(
        st.builds(Reopen),
        st.tuples(st.lists(parcels(), max_size=4), st.dictionaries(sources, st.integers(1, 9), max_size=2)),
        st.binary(min_size=1, max_size=9),
    ),
    max_size=12,
)


@pytest.fixture(scope="module", autouse=True)
def small_chunks() -> Iterable[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(group, "CHUNK_ITEMS_MAX", ITEMS_MAX)
        patch.setattr(group, "CHUNK_BYTES_MAX", BYTES_MAX)
        yield


@settings(max_examples=150)
@given(steps=steps, segment_bytes_max=st.sampled_from([1, 9_000, 1 << 20]))
def test_what_was_appended_is_read_back(steps: list[Step], segment_bytes_max: int) -> None:
    with TemporaryDirectory() as name:
        folder, retention = Path(name), Retention(segment_bytes_max=segment_bytes_max)
        disk = FaultDisk()  # it spares us real syncs
        model, log = Model(), SqliteIntakeLog(folder, disk.storage(), retention)
        reader = SqliteIntakeReader(folder)
        appended: list[Chunk] = []
        for number, step in enumerate(steps):
            match step:
                case Reopen():
                    log.close()
                    log = SqliteIntakeLog(folder, disk.storage(), retention)
                case bytes():
                    appended += log.append_control(step, now_ns=NOW + number).chunks
                    model.stored.append(control(step))
                case (group_of_parcels, refused):
                    result = log.append(group_of_parcels, now_ns=NOW + number, refused=refused)
                    assert result.receipts == model.append(group_of_parcels, refused)
                    appended += result.chunks
        for one in (log, reader):
            chunks = list(one.scan())
            assert stored_in(chunks) == model.stored
            assert chunks == appended
            assert one.counts() == model.counts
            assert one.positions() == model.positions
            assert one.last_seq() == len(model.stored)
        assert [chunk.seq for chunk in appended] == [
            1 + sum(len(chunk.items) for chunk in appended[:number]) for number in range(len(appended))
        ]
        for chunk in appended:
            assert len(chunk.items) <= ITEMS_MAX
            assert len(chunk.items) == 1 or sum(map(len, chunk.items)) <= BYTES_MAX
        reader.close()
        log.close()


@settings(max_examples=40)
@given(sizes=st.lists(st.integers(1, 7), min_size=1, max_size=8), segment_bytes_max=st.sampled_from([1, 1 << 20]))
def test_reading_may_begin_anywhere(sizes: list[int], segment_bytes_max: int) -> None:
    with TemporaryDirectory() as name:
        disk = FaultDisk()
        log = SqliteIntakeLog(Path(name), disk.storage(), Retention(segment_bytes_max=segment_bytes_max))
        for number, size in enumerate(sizes):
            content = [b"%d.%d" % (number, at) for at in range(size)]
            log.append([Parcel("s", [Run("s", "f", size)], content, lambda outcome: None, 0)], now_ns=NOW)
        whole = [(chunk.seq + at, item) for chunk in log.scan() for at, item in enumerate(chunk.items)]
        for after in range(len(whole) + 2):
            for items_max in (1, 3, 1000):
                chunks = log.read(after, items_max=items_max)
                assert bool(chunks) == (after < len(whole))
                assert all(chunk.last_seq > after for chunk in chunks)
                if chunks:
                    assert chunks[0].seq <= after + 1
                    assert all(a.last_seq + 1 == b.seq for a, b in pairwise(chunks))
                    assert sum(len(chunk.items) for chunk in chunks[:-1]) < items_max
            rest = [(chunk.seq + at, item) for chunk in log.scan(after) for at, item in enumerate(chunk.items)]
            assert [entry for entry in rest if entry[0] > after] == whole[after:]
        log.close()


def test_a_record_larger_than_a_chunk_stands_alone(segments: Path, parcel: MakeParcel) -> None:
    log = SqliteIntakeLog(segments)
    huge = b"h" * (2 * BYTES_MAX)
    chunks = log.append([parcel(b"a", huge, b"", b"b")], now_ns=NOW).chunks
    assert [chunk.items for chunk in chunks] == [[b"a"], [huge], [b"", b"b"]]
    log.close()


def test_arrival_never_goes_back(segments: Path, parcel: MakeParcel) -> None:
    log = SqliteIntakeLog(segments, retention=Retention(segment_bytes_max=1))
    for now in (NOW, NOW + 5, NOW - 1_000_000, NOW + 3, NOW + 6):
        log.append([parcel(b"x")], now_ns=now)
    log.close()
    log = SqliteIntakeLog(segments)
    log.append_control(b"c", now_ns=0)
    assert [chunk.arrival_ns - NOW for chunk in log.scan()] == [0, 5, 5, 5, 6, 6]
    log.close()


# --- control records --------------------------------------------------------------------------------------------------
RULES = hashlib.sha256(b"abcdefg").hexdigest()


def test_a_blob_is_found_by_its_hash(segments: Path) -> None:
    log = SqliteIntakeLog(segments)
    log.append_control(b"{}", now_ns=NOW, blobs={"rules": b"abcdefg", "settings": b"{}"})
    assert log.blob(RULES) == b"abcdefg"
    assert log.blob("0" * 64) is None
    log.close()
    reader = SqliteIntakeReader(segments)
    assert reader.blob(RULES) == b"abcdefg"
    reader.close()


def test_a_blob_in_force_is_kept_when_older_segments_go(segments: Path, parcel: MakeParcel) -> None:
    log = SqliteIntakeLog(segments, retention=Retention(segment_bytes_max=1, keep_bytes=0))
    log.append_control(b"1", now_ns=NOW, blobs={"rules": b"old", "settings": b"{}"})
    log.append_control(b"2", now_ns=NOW, blobs={"rules": b"abcdefg"})
    for _ in range(5):
        log.append([parcel(b"x")], now_ns=NOW)
    assert log.retire(keep_after_seq=log.last_seq(), now_ns=NOW) > 3
    assert log.blob(RULES) == b"abcdefg"
    log.close()


def test_a_control_record_counts_for_no_source(segments: Path) -> None:
    log = SqliteIntakeLog(segments)
    assert log.append_control(b"{}", now_ns=NOW).receipts == []
    assert log.counts() == {}
    log.close()
