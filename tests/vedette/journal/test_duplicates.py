"""A push record that comes again within the horizon is recognised: in its group, later, after a restart."""

import random
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from vedette.journal.sqlite import Retention, SqliteIntakeLog
from vedette.journal.sqlite.duplicates import DuplicateTable, digests_of
from vedette.runtime.parcel import Parcel
from vedette.schema.errors import TransientError
from vedette.testing.faults import INJECTED, Fault, FaultDisk, Operation

MakeParcel = Callable[..., Parcel]

pytestmark = pytest.mark.filterwarnings(f"ignore:[\\s\\S]*{INJECTED}:pytest.PytestUnraisableExceptionWarning")

NOW = 1_700_000_000_000_000_000
HORIZON = 1_000


def receipts(log: SqliteIntakeLog, *parcels: Parcel, now_ns: int = NOW) -> list[tuple[int, int]]:
    return log.append(parcels, now_ns=now_ns).receipts


# --- the table --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("seed", range(5))
def test_remembered_for_the_horizon_and_at_most_twice_as_long(seed: int) -> None:
    chance = random.Random(seed)
    table, stored, now = DuplicateTable(HORIZON, 1_000_000), dict[bytes, int](), NOW
    for _ in range(3_000):
        now += chance.randrange(HORIZON // 10)
        item = b"%d" % chance.randrange(60)
        age = now - stored.get(item, 0)
        fresh = table.add(item, now)
        assert not (fresh and age <= HORIZON), f"forgotten after {age}"
        assert not (not fresh and age > 2 * HORIZON), f"remembered after {age}"
        if fresh:
            stored[item] = now
    assert table.shortened == 0


def test_adding_many_is_adding_each() -> None:
    chance = random.Random(1)
    one, many, now = DuplicateTable(HORIZON, 100), DuplicateTable(HORIZON, 100), NOW
    for _ in range(2_000):
        now += chance.randrange(200)
        batch = [b"%d" % chance.randrange(10_000) for _ in range(chance.randrange(1, 8))]
        expected = [one.add(item, now) for item in batch]
        found = [True] * len(batch) if many.add_all(batch, now) else [many.add(item, now) for item in batch]
        assert found == expected
    assert one.shortened == many.shortened > 0


def test_the_number_of_entries_is_bounded_and_the_newest_stay() -> None:
    table = DuplicateTable(HORIZON, 100)
    for number in range(1_000):
        assert table.add(b"%d" % number, NOW)
        assert len(table._young) + len(table._old) <= 100
        assert not table.add(b"%d" % max(0, number - 49), NOW)
    assert table.shortened == 1_000 // 50 - 2


def test_too_few_to_crowd_is_not_counted_as_shortened() -> None:
    table = DuplicateTable(HORIZON, 100)
    for number in range(500):
        table.add(b"%d" % number, NOW + number * HORIZON // 40)
    assert table.shortened == 0


def test_digests_tell_records_apart() -> None:
    assert len(set(digests_of([b"%d" % number for number in range(1_000)]))) == 1_000
    assert digests_of([b"a"]) == digests_of([b"a"])


# --- the log ----------------------------------------------------------------------------------------------------------
def test_in_one_group_and_in_later_ones(segments: Path, parcel: MakeParcel) -> None:
    log = SqliteIntakeLog(segments)
    first = (parcel(b"a", b"b", b"a", hashed=True), parcel(b"b", b"c", hashed=True))
    assert receipts(log, *first) == [(2, 1), (1, 1)]
    assert receipts(log, parcel(b"c", b"d", hashed=True)) == [(1, 1)]
    assert [item for chunk in log.scan() for item in chunk.items] == [b"a", b"b", b"c", b"d"]
    counts = log.counts()["push"]
    assert (counts.received, counts.duplicate) == (7, 3)
    log.close()


def test_each_source_has_its_own(segments: Path, parcel: MakeParcel) -> None:
    log = SqliteIntakeLog(segments)
    assert receipts(log, parcel(b"a", source="one", hashed=True), parcel(b"a", source="two", hashed=True)) == [
        (1, 0),
        (1, 0),
    ]
    log.close()


def test_equal_lines_of_a_file_are_genuine_repeats(segments: Path, parcel: MakeParcel) -> None:
    log = SqliteIntakeLog(segments)
    assert receipts(log, parcel(b"a", b"a"), parcel(b"a")) == [(2, 0), (1, 0)]
    log.close()


@pytest.mark.parametrize(
    ("age_ns", "expected"), [(HORIZON, (0, 1)), (5 * HORIZON, (1, 0))], ids=["within", "long after"]
)
@pytest.mark.parametrize("segment_bytes_max", [1, 1 << 20], ids=["segments", "segment"])
def test_over_a_restart(
    segments: Path, parcel: MakeParcel, age_ns: int, expected: tuple[int, int], segment_bytes_max: int
) -> None:
    retention = Retention(segment_bytes_max=segment_bytes_max, dedup_horizon_ns=HORIZON)
    log = SqliteIntakeLog(segments, retention=retention)
    log.append([parcel(b"0"), parcel(b"a", b"b", hashed=True)], now_ns=NOW)
    log.append_control(b"{}", now_ns=NOW + age_ns)
    log.close()
    log = SqliteIntakeLog(segments, retention=retention)
    assert receipts(log, parcel(b"b", hashed=True), now_ns=NOW + age_ns) == [expected]
    log.close()


@pytest.mark.parametrize("error", [apsw.FullError, apsw.IOError, apsw.ReadOnlyError])
@pytest.mark.parametrize("operation", Operation)
def test_records_of_a_failed_commit_are_not_remembered(
    segments: Path, parcel: MakeParcel, error: type[apsw.Error], operation: Operation
) -> None:
    disk = FaultDisk()
    log = SqliteIntakeLog(segments, disk.storage())
    log.append([parcel(b"a", hashed=True)], now_ns=NOW)
    disk.inject(Fault(operation, error))
    with pytest.raises(TransientError):
        log.append([parcel(b"a", b"b", b"c", hashed=True)], now_ns=NOW)
    disk.heal()
    assert receipts(log, parcel(b"a", b"b", hashed=True)) == [(1, 1)]
    assert [item for chunk in log.scan() for item in chunk.items] == [b"a", b"b"]
    log.close()


def test_load_that_shortens_the_horizon_is_counted(
    segments: Path, parcel: MakeParcel, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = SqliteIntakeLog(segments)
    monkeypatch.setattr(log, "_duplicates", {"push": DuplicateTable(HORIZON, 10)})
    for number in range(20):
        log.append([parcel(b"%d" % number, hashed=True)], now_ns=NOW)
    assert log.shortened == 2
    log.close()
