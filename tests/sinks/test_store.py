"""The embedded store: versions, retention, what a bad disk or a wrong file does to it."""

import asyncio
import threading
from pathlib import Path
from random import Random

import apsw
import pytest

from sinks.store import AlertFilter, StoreReader, StoreSettings, StoreSink
from sinks.store.layout import LAYOUT_VERSION
from sinks.store.sink import PRUNE_INTERVAL_NS
from sinks.store.writer import PRUNE_ROWS_MAX
from vedette.journal.sqlite.connection import Storage
from vedette.runtime.sink_context import SinkContext
from vedette.schema.alert import AlertRevision
from vedette.schema.errors import ConfigError, PermanentError, TransientError
from vedette.schema.limits import SECOND_NS
from vedette.testing.faults import INJECTED, Fault, FaultDisk, Loss, Operation
from vedette.testing.sinks import NOW_NS, OPENED_NS, StandingClock, sample_revision

# A checkpoint that fails after its commit is no failure of the commit; apsw reports it as an unraisable exception.
pytestmark = pytest.mark.filterwarnings(f"ignore:[\\s\\S]*{INJECTED}:pytest.PytestUnraisableExceptionWarning")

DAY_NS = 24 * 3600 * SECOND_NS


def make(folder: Path, clock: StandingClock | None = None, **settings: object) -> StoreSink:
    return StoreSink("store", StoreSettings.model_validate(settings), SinkContext(folder, clock or StandingClock()))


def ids(folder: Path, text: str = "") -> list[int]:
    reader = StoreReader(folder / "store.db")
    try:
        return [int(row.alert_id, 16) for row in reader.list(AlertFilter(text=text), limit=10_000)]
    finally:
        reader.close()


async def test_lists_show_the_latest_revision(tmp_path: Path) -> None:
    sink = make(tmp_path)
    await sink.start()
    await sink.deliver([sample_revision(revision=revision) for revision in (1, 2)])
    await sink.stop()
    reader = StoreReader(tmp_path / "store.db")
    (row,) = reader.list()
    assert (row.alert_id, row.version, row.count) == (f"{1:032x}", 2, 2)
    assert (row.level, row.rule_id, row.title) == ("high", sample_revision().rule_id, "Shell In A Pod")
    assert (row.cluster, row.source, row.actor, row.namespace, row.name) == ("test", "audit", "mara", "shop", "web-1")
    assert (row.opened_ns, row.first_seen_ns) == (OPENED_NS + SECOND_NS, OPENED_NS + SECOND_NS)
    assert (row.last_seen_ns, row.status) == (OPENED_NS + SECOND_NS + 2, "New")
    assert row.message == reader.get(row.alert_id)["message"]
    reader.close()


async def test_the_path_is_relative_to_the_data_folder(tmp_path: Path) -> None:
    assert make(tmp_path).path == tmp_path / "store.db"
    assert make(tmp_path, path="alerts/a.db").path == tmp_path / "alerts" / "a.db"
    assert make(tmp_path, path=str(tmp_path / "b.db")).path == tmp_path / "b.db"


async def test_what_is_no_alert_is_refused_alone(tmp_path: Path) -> None:
    sink = make(tmp_path)
    await sink.start()
    broken = AlertRevision("x", 0, 1, OPENED_NS, "high", "r", b'{"unmapped":{}}')
    no_level = sample_revision(3)._replace(level="severe")
    outcomes = await sink.deliver([sample_revision(1), broken, no_level, sample_revision(2)])
    await sink.stop()
    assert [type(outcome) for outcome in outcomes] == [type(None), PermanentError, PermanentError, type(None)]
    assert ids(tmp_path) == [2, 1]


async def test_a_later_generation_may_word_an_alert_anew_and_is_found_by_its_words(tmp_path: Path) -> None:
    sink = make(tmp_path)
    await sink.start()
    first = sample_revision()
    await sink.deliver([first])
    again = sample_revision(generation=1)
    reworded = again._replace(document=again.document.replace(b'"actor":"mara"', b'"actor":"nobody-else"'))
    await sink.deliver([reworded])
    await sink.stop()
    assert ids(tmp_path, "nobody-else") == [1]
    assert ids(tmp_path, "web-1") == [1]


# --- retention --------------------------------------------------------------------------------------------------------
async def test_old_alerts_go_and_can_be_found_no_more(tmp_path: Path) -> None:
    clock = StandingClock()
    sink = make(tmp_path, clock, keep_days=1)
    await sink.start()
    await sink.deliver([sample_revision(number) for number in (1, 2)])
    clock.time_ns = OPENED_NS + DAY_NS + 2 * SECOND_NS
    await sink.deliver([sample_revision(100_000)])
    await sink.stop()
    assert ids(tmp_path) == [100_000, 2]
    assert ids(tmp_path, "web-1") == [100_000]


async def test_the_oldest_go_when_there_are_too_many(tmp_path: Path) -> None:
    clock = StandingClock()
    sink = make(tmp_path, clock, keep_alerts=3)
    await sink.start()
    await sink.deliver([sample_revision(number) for number in (4, 1, 5, 2, 3)])
    assert ids(tmp_path) == [5, 4, 3, 2, 1], "retention is not looked at with every delivery"
    clock.time_ns += PRUNE_INTERVAL_NS
    await sink.deliver([])
    await sink.stop()
    assert ids(tmp_path) == [5, 4, 3]


async def test_much_that_is_old_goes_in_slices(tmp_path: Path) -> None:
    sink = make(tmp_path, keep_alerts=1)
    await sink.start()
    clock = StandingClock(NOW_NS + PRUNE_INTERVAL_NS)
    await sink.deliver([sample_revision(number) for number in range(PRUNE_ROWS_MAX + 10)])
    await sink.stop()
    sink = make(tmp_path, clock, keep_alerts=1)
    await sink.start()
    assert len(ids(tmp_path)) == 10
    await sink.deliver([])
    await sink.stop()
    assert ids(tmp_path) == [PRUNE_ROWS_MAX + 9]


# --- the world --------------------------------------------------------------------------------------------------------
async def test_a_full_disk_stores_nothing_and_recovers(tmp_path: Path) -> None:
    sink = make(tmp_path)
    await sink.start()
    await sink.deliver([sample_revision(1)])
    assert sink._writer is not None
    connection = sink._writer._connection
    connection.pragma("max_page_count", connection.pragma("page_count"))
    many = [sample_revision(number) for number in range(2, 300)]
    with pytest.raises(TransientError, match=r"store\.db.*full.*Check free space"):
        await sink.deliver(many)
    assert ids(tmp_path) == [1]
    assert list(await sink.deliver(many)) == [None] * len(many)
    await sink.stop()
    assert ids(tmp_path) == list(range(299, 0, -1))


@pytest.mark.parametrize("operation", Operation, ids=lambda operation: operation.value)
@pytest.mark.parametrize("error", [apsw.FullError, apsw.IOError], ids=["full", "input/output error"])
async def test_every_failing_write_and_sync_leaves_a_whole_store(
    tmp_path: Path, operation: Operation, error: type[apsw.Error]
) -> None:
    for after in range(12):
        folder = tmp_path / str(after)
        folder.mkdir()
        disk = FaultDisk()
        disk.inject(Fault(operation, error, after=after, torn=True))
        sink = make(folder)
        sink._storage = disk.storage()
        await _insist(sink, [sample_revision(1)])
        await _insist(sink, [sample_revision(2), sample_revision(1, revision=2)])
        await sink.stop()
        assert ids(folder) == [2, 1]
        assert ids(folder, "mara") == [2, 1]
        check = apsw.Connection(str(folder / "store.db"))
        assert check.pragma("integrity_check") == "ok"
        check.close()


async def _insist(sink: StoreSink, revisions: list[AlertRevision]) -> None:
    for _ in range(5):
        try:
            await sink.start()
            assert list(await sink.deliver(revisions)) == [None] * len(revisions)
        except TransientError:
            continue
        return
    pytest.fail("the fault is over, and still nothing is stored")


async def test_the_synchronous_setting_is_full(tmp_path: Path) -> None:
    sink = make(tmp_path)
    await sink.start()
    assert sink._writer is not None
    assert sink._storage == Storage()
    assert sink._writer._connection.pragma("synchronous") == 2
    assert sink._writer._connection.pragma("journal_mode") == "wal"
    await sink.stop()


async def test_a_missing_folder_is_waited_for(tmp_path: Path) -> None:
    sink = make(tmp_path / "later")
    with pytest.raises(TransientError, match=r"store\.db"):
        await sink.start()
    (tmp_path / "later").mkdir()
    await sink.start()
    await sink.deliver([sample_revision()])
    await sink.stop()
    assert ids(tmp_path / "later") == [1]


async def test_alerts_wait_while_the_file_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"not a database, but long enough to be read as one" * 100)
    sink = make(tmp_path)
    with pytest.raises(TransientError, match="damaged") as raised:
        await sink.start()
    assert raised.value.retry_after_s > 1
    (tmp_path / "store.db").unlink()
    await sink.start()
    await sink.deliver([sample_revision()])
    await sink.stop()
    assert ids(tmp_path) == [1]


async def test_a_file_that_was_removed_is_made_anew(tmp_path: Path) -> None:
    sink = make(tmp_path)
    await sink.start()
    await sink.deliver([sample_revision(1)])
    (tmp_path / "store.db").unlink()
    await sink.deliver([sample_revision(2)])
    assert ids(tmp_path) == [2]
    await sink.stop()
    assert ids(tmp_path) == [2]


def _foreign(path: Path) -> None:
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TABLE recipe(name TEXT)")
    connection.close()


def _newer(path: Path) -> None:
    connection = apsw.Connection(str(path))
    connection.pragma("user_version", LAYOUT_VERSION + 1)
    connection.close()


async def test_a_foreign_file_is_no_store(tmp_path: Path) -> None:
    _foreign(tmp_path / "store.db")
    with pytest.raises(ConfigError, match="is not a Vedette store"):
        await make(tmp_path).start()
    with pytest.raises(ConfigError, match="is not a Vedette store"):
        StoreReader(tmp_path / "store.db")


async def test_a_newer_store_is_left_alone(tmp_path: Path) -> None:
    sink = make(tmp_path)
    await sink.start()
    await sink.stop()
    _newer(tmp_path / "store.db")
    with pytest.raises(ConfigError, match="another version"):
        await make(tmp_path).start()
    with pytest.raises(ConfigError, match="another version"):
        StoreReader(tmp_path / "store.db")


async def test_the_event_loop_never_waits_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = make(tmp_path)
    await sink.start()
    assert sink._writer is not None
    release = threading.Event()
    write = sink._writer.write

    def slow(revisions: list[AlertRevision]) -> object:
        assert release.wait(30)
        return write(revisions)

    monkeypatch.setattr(sink._writer, "write", slow)
    call = asyncio.ensure_future(sink.deliver([sample_revision()]))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not call.done()
    release.set()
    assert list(await call) == [None]
    await sink.stop()


@pytest.mark.parametrize("loss", Loss, ids=lambda loss: loss.value)
async def test_what_was_delivered_survives_a_power_loss(tmp_path: Path, loss: Loss) -> None:
    disk = FaultDisk()
    (tmp_path / "data").mkdir()
    sink = make(tmp_path / "data")
    sink._storage = disk.storage()
    await sink.start()
    for number in (1, 2, 3):
        await sink.deliver([sample_revision(number), sample_revision(1, revision=number)])
        copy = tmp_path / f"after {number}"
        copy.mkdir()
        disk.image(tmp_path / "data", copy, loss, Random(number))
        assert ids(copy) == list(range(number, 0, -1))
        assert ids(copy, "mara") == list(range(number, 0, -1))
    await sink.stop()
