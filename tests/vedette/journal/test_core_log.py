"""The core log: commits whole or not at all, sums that add up, checkpoints that appear at once, careful pruning."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vedette.journal.protocol import (
    TRIMMED,
    CheckpointInfo,
    Cursor,
    DeadDelivery,
    DeadLetter,
    DeliveryCommit,
    DeliveryCount,
    DetectCommit,
    DetectCount,
    LoggedAlert,
)
from vedette.journal.sqlite import SqliteCoreLog, SqliteCoreReader, Storage, core_log
from vedette.schema.alert import AlertRevision
from vedette.schema.errors import TransientError
from vedette.schema.operator import Saved
from vedette.testing.faults import INJECTED, Fault, FaultDisk, Loss, Operation

pytestmark = pytest.mark.filterwarnings(f"ignore:[\\s\\S]*{INJECTED}:pytest.PytestUnraisableExceptionWarning")

ERRORS = [apsw.FullError, apsw.IOError, apsw.ReadOnlyError]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder / "core.db"


@pytest.fixture
def core(path: Path) -> Iterator[SqliteCoreLog]:
    disk = FaultDisk()  # it spares us real syncs
    log = SqliteCoreLog(path, disk.storage())
    yield log
    log.close()


def revision(number: int, size: int = 10) -> AlertRevision:
    return AlertRevision(f"alert {number}", 1, 1, number, "high", "rule", b"%d" % number + b"." * size)


def letter(seq: int) -> DeadLetter:
    return DeadLetter(seq, seq, "push", "falco", "", 0, "detect", "not JSON", "x", b"{")


def batch(seq: int, alerts: int = 0, arrival_ns: int = 0) -> DetectCommit:
    return DetectCommit(
        seq,
        arrival_ns or seq,
        b"digest %d" % seq,
        [revision(100 * seq + number) for number in range(alerts)],
        [letter(seq)],
        {"push": DetectCount(3, 2, 1), "file": DetectCount(1)},
        {("push", "falco_drops"): 7},
        {("findings", "push", "rule"): alerts},
    )


def everything(reader: SqliteCoreReader) -> list[object]:
    return [
        reader.delivery_filters("store"),
        reader.tallies(),
        reader.notes("store", ["a", "b"]),
        reader.dead_deliveries(),
        reader.cursor(),
        reader.checkpoint(),
        list(reader.checkpoint_rows("rollup")),
        reader.alerts(0, limit=1_000),
        reader.detect_counts(),
        reader.losses(),
        reader.delivery_counts(),
        reader.dead_letters(),
    ]


# --- detection --------------------------------------------------------------------------------------------------------
def test_a_new_log(core: SqliteCoreLog) -> None:
    assert core.cursor() == Cursor(0, 0, b"", 1)
    assert core.checkpoint() == CheckpointInfo(0, b"", {})
    assert core.last_alert_position() == 0
    assert core.alert_sizes(0, 1 << 62, limit=9) == []
    assert everything(core)[6:] == [[], [], {}, {}, {}, []]
    assert everything(core)[:4] == [[], {}, {}, []]


def test_what_detection_commits_is_there_together(core: SqliteCoreLog, path: Path) -> None:
    core.commit_detect(batch(5, alerts=2))
    reader = SqliteCoreReader(path)
    assert reader.cursor() == Cursor(5, 5, b"digest 5", 1)
    logged = reader.alerts(0, limit=10)
    assert [(entry.position, entry.revision, entry.logged_ns) for entry in logged] == [
        (1, revision(500), 5),
        (2, revision(501), 5),
    ]
    assert reader.alerts(1, limit=10) == logged[1:]
    assert reader.alerts(0, limit=1) == logged[:1]
    assert reader.dead_letters() == [(1, letter(5))]
    size_bytes = len(revision(501).document)
    assert reader.alert_sizes(0, 3, limit=9) == [(2, size_bytes), (1, size_bytes)]
    assert reader.alert_sizes(1, 3, limit=9) == [(2, size_bytes)]
    assert reader.alert_sizes(0, 3, limit=1) == [(2, size_bytes)]
    reader.close()


@given(commits=st.lists(st.dictionaries(st.sampled_from("abc"), st.tuples(*[st.integers(0, 9)] * 4)), max_size=8))
def test_counts_and_losses_add_up(commits: list[dict[str, tuple[int, int, int, int]]]) -> None:
    counts: dict[str, DetectCount] = {}
    losses: dict[tuple[str, str], int] = {}
    with TemporaryDirectory() as name:
        disk = FaultDisk()
        core = SqliteCoreLog(Path(name) / "core.db", disk.storage())
        for number, commit in enumerate(commits):
            added = {source: DetectCount(*row[:3]) for source, row in commit.items()}
            lost = {(source, "drops"): row[3] for source, row in commit.items()}
            core.commit_detect(DetectCommit(number, number, b"", counts=added, losses=lost))
            for source, count in added.items():
                counts.setdefault(source, DetectCount()).add(count)
                losses[source, "drops"] = losses.get((source, "drops"), 0) + lost[source, "drops"]
        assert (core.detect_counts(), core.losses()) == (counts, losses)
        core.close()


def dead(logged: LoggedAlert, reason: str, delivery: str = "store") -> DeadDelivery:
    return DeadDelivery(delivery, "alerts", logged.position, reason, logged.revision)


Change = Callable[[SqliteCoreLog], object]
CHANGES: dict[str, Change] = {
    "commit_detect": lambda core: core.commit_detect(batch(9, alerts=3)),
    "commit_delivery": lambda core: core.commit_delivery(
        DeliveryCommit("store", 2, delivered=1, dead_letters=[dead(core.alerts(1, limit=1)[0], "no")])
    ),
    "open_delivery": lambda core: core.open_delivery("mail", from_start=True),
    "open_event_delivery": lambda core: core.open_event_delivery("events", after_seq=3),
    "set_delivery_filter": lambda core: core.set_delivery_filter("store", "all"),
    "write_notes": lambda core: core.write_notes("store", {"a": b"1", "b": None}, now_ns=7),
    "mark_replayed": lambda core: core.mark_replayed([1], now_ns=7),
    "queue_deliveries": lambda core: core.queue_deliveries([1]),
    "stage_checkpoint": lambda core: core.stage_checkpoint("rollup", [Saved("c", 3, b"3")]),
    "finish_checkpoint": lambda core: core.finish_checkpoint(CheckpointInfo(5, b"d", {"rollup": 1})),
    "reset_operator": lambda core: core.reset_operator("rollup"),
    "raise_generation": lambda core: core.raise_generation(),
    "prune": lambda core: core.prune(logged_before_ns=100),
}


def prepared(path: Path, disk: FaultDisk) -> SqliteCoreLog:
    core = SqliteCoreLog(path, disk.storage())
    core.commit_detect(batch(5, alerts=3))
    core.open_delivery("store", from_start=True)
    core.commit_delivery(DeliveryCommit("store", 1, delivered=1))
    core.begin_checkpoint()
    core.stage_checkpoint("rollup", [Saved("a", 0, b"0"), Saved("b", 1, b"1")])
    core.finish_checkpoint(CheckpointInfo(4, b"c", {"rollup": 1}))
    core.begin_checkpoint()
    core.stage_checkpoint("rollup", [Saved("a", 0, b"00"), Saved("b", 1, b"")])
    return core


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("operation", Operation)
def test_a_change_that_fails_changed_nothing_and_can_be_tried_again(
    path: Path, change: Change, error: type[apsw.Error], operation: Operation
) -> None:
    disk, plain = FaultDisk(), FaultDisk()
    core, expected = prepared(path, disk), prepared(path.with_name("expected.db"), plain)
    change(expected)
    reader, before = SqliteCoreReader(path), everything(core)
    for after in range(40):
        disk.inject(Fault(operation, error, after=after, torn=after % 2 == 1))
        try:
            change(core)
        except TransientError as refused:
            message = str(refused)
            assert everything(core) == everything(reader) == before
            assert not core._connection.in_transaction
        else:
            break
        finally:
            disk.heal()
        assert path.name in message
    else:
        pytest.fail("it never succeeded")
    assert everything(core) == everything(reader) == everything(expected)
    copy = path.parent.with_name("copy")
    disk.image(path.parent, copy, Loss.DROPPED, Random(1))
    survivor = SqliteCoreReader(copy / path.name)
    assert everything(survivor) == everything(expected)
    for log in (reader, core, expected, survivor):
        log.close()


@pytest.mark.parametrize("loss", Loss)
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_crash_leaves_a_change_whole_or_undone(path: Path, change: Change, loss: Loss) -> None:
    disk, random = FaultDisk(), Random(2)
    core = prepared(path, disk)
    before, found, images = everything(core), [], iter(range(1_000))

    def look() -> None:
        copy = path.parent.with_name(f"copy {next(images)}")
        disk.image(path.parent, copy, loss, random)
        survivor = SqliteCoreReader(copy / path.name)
        found.append(everything(survivor))
        survivor.close()

    disk.before_event = look
    change(core)
    look()
    after = everything(core)
    assert found[0] == before
    assert found[-1] == after
    assert all(state in (before, after) for state in found)
    core.close()


# --- deliveries -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("from_start", "expected"), [(True, DeliveryCount(0, 4)), (False, DeliveryCount(4, 0))], ids=["start", "end"]
)
def test_a_new_delivery_begins_where_it_is_told(core: SqliteCoreLog, from_start: bool, expected: DeliveryCount) -> None:
    core.commit_detect(batch(1, alerts=4))
    assert core.open_delivery("store", from_start=from_start) == expected
    core.commit_detect(batch(2, alerts=1))
    assert core.delivery_counts()["store"].routed == expected.routed + 1
    assert core.open_delivery("store", from_start=not from_start).position == expected.position


@pytest.mark.parametrize("from_start", [True, False])
def test_a_delivery_on_an_empty_log(core: SqliteCoreLog, from_start: bool) -> None:
    assert core.open_delivery("store", from_start=from_start) == DeliveryCount()
    core.commit_detect(batch(1, alerts=2))
    assert core.delivery_counts() == {"store": DeliveryCount(0, 2)}


def test_a_delivery_that_begins_after_pruning_begins_with_what_is_left(core: SqliteCoreLog) -> None:
    core.commit_detect(batch(1, alerts=4))
    core.open_delivery("store", from_start=True)
    core.commit_delivery(DeliveryCommit("store", 2, delivered=2))
    core.prune(logged_before_ns=100)
    assert core.open_delivery("late", from_start=True) == DeliveryCount(2, 2)


def test_what_a_sink_refused_is_kept_with_its_reason(core: SqliteCoreLog) -> None:
    core.commit_detect(batch(1, alerts=2))
    core.open_delivery("store", from_start=True)
    refused = core.alerts(0, limit=10)
    core.commit_delivery(DeliveryCommit("store", 2, dead_letters=[dead(entry, "too long") for entry in refused]))
    assert [letter for _, letter in core.dead_deliveries()] == [dead(entry, "too long") for entry in refused]
    assert core.delivery_counts()["store"] == DeliveryCount(2, 2, dead_lettered=2)


@pytest.mark.parametrize("seed", range(10))
def test_routed_is_what_became_of_it_and_pruning_loses_nothing_undelivered(core: SqliteCoreLog, seed: int) -> None:
    """Random lives of three deliveries: the ledger balances, and every alert reaches each of them once."""
    random, seq = Random(seed), 0
    got: dict[str, list[int]] = {}
    starts: dict[str, int] = {}
    for _ in range(150):
        action = random.choice(["detect", "deliver", "deliver", "prune", "open"])
        if action == "detect":
            seq += 1
            core.commit_detect(batch(seq, alerts=random.randrange(4)))
        elif action == "open" and len(got) < 3:
            name = f"sink {len(got)}"
            starts[name] = core.open_delivery(name, from_start=random.random() < 0.5).position
            got[name] = []
        elif action == "prune":
            core.prune(logged_before_ns=random.randrange(seq + 2))
        elif action == "deliver" and got:
            deliver(core, random, random.choice(list(got)), got)
    while any(deliver(core, random, name, got) for name in got):
        pass
    last = core.last_alert_position()
    for name, positions in got.items():
        assert positions == list(range(starts[name] + 1, last + 1))
        assert core.delivery_counts()[name].position == last


def deliver(core: SqliteCoreLog, random: Random, name: str, got: dict[str, list[int]]) -> bool:
    before = core.delivery_counts()[name]
    logged = core.alerts(before.position, limit=random.randint(1, 4))
    fates = [random.choice(["delivered", "superseded", "expired", "suppressed", "dead"]) for _ in logged]
    got[name] += [entry.position for entry in logged]
    if logged:
        core.commit_delivery(
            DeliveryCommit(
                name,
                logged[-1].position,
                fates.count("delivered"),
                fates.count("superseded"),
                fates.count("expired"),
                fates.count("suppressed"),
                [dead(entry, "no", name) for entry, fate in zip(logged, fates, strict=True) if fate == "dead"],
            )
        )
    count = core.delivery_counts()[name]
    waiting = core.last_alert_position() - count.position
    settled = count.delivered + count.superseded + count.dead_lettered + count.expired
    assert count.routed == settled + waiting
    return bool(logged)


# --- checkpoints ------------------------------------------------------------------------------------------------------
def rows(core: SqliteCoreReader) -> list[tuple[str, bytes]]:
    return [(row.key, row.value) for row in core.checkpoint_rows("rollup")]


def test_staged_keys_appear_when_the_checkpoint_is_complete(core: SqliteCoreLog) -> None:
    core.begin_checkpoint()
    core.stage_checkpoint("rollup", [Saved("b", 1, b"1"), Saved("a", 0, b"0")])
    core.stage_checkpoint("control", [Saved("a", 0, b"c")])
    assert (rows(core), core.checkpoint()) == ([], CheckpointInfo(0, b"", {}))
    core.finish_checkpoint(CheckpointInfo(7, b"d", {"rollup": 1, "control": 2}))
    assert rows(core) == [("a", b"0"), ("b", b"1")]
    assert core.checkpoint() == CheckpointInfo(7, b"d", {"control": 2, "rollup": 1})
    core.begin_checkpoint()
    core.stage_checkpoint("rollup", [Saved("a", 0, b""), Saved("b", 1, b"new"), Saved("c", 2, b"2")])
    core.finish_checkpoint(CheckpointInfo(8, b"e", {"rollup": 1, "control": 2}))
    assert rows(core) == [("b", b"new"), ("c", b"2")]
    assert [row.value for row in core.checkpoint_rows("control")] == [b"c"]


def test_a_crash_in_the_middle_leaves_the_last_checkpoint(path: Path) -> None:
    core = prepared(path, FaultDisk())
    core.close()
    core = SqliteCoreLog(path)
    assert rows(core) == [("a", b"0"), ("b", b"1")]
    core.begin_checkpoint()
    core.stage_checkpoint("rollup", [Saved("c", 2, b"2")])
    core.finish_checkpoint(CheckpointInfo(9, b"e", {"rollup": 1}))
    assert rows(core) == [("a", b"0"), ("b", b"1"), ("c", b"2")]
    core.close()


def test_an_operator_is_forgotten_alone(core: SqliteCoreLog) -> None:
    core.stage_checkpoint("rollup", [Saved("a", 0, b"0")])
    core.stage_checkpoint("control", [Saved("a", 0, b"0")])
    core.finish_checkpoint(CheckpointInfo(1, b"", {"rollup": 1, "control": 1}))
    core.reset_operator("rollup")
    assert rows(core) == []
    assert len(list(core.checkpoint_rows("control"))) == 1
    assert core.checkpoint() == CheckpointInfo(1, b"", {"control": 1})


def test_generations_go_up(core: SqliteCoreLog) -> None:
    assert [core.raise_generation(), core.raise_generation(), core.cursor().generation] == [2, 3, 3]


# --- pruning ----------------------------------------------------------------------------------------------------------
def test_positions_are_never_used_again(core: SqliteCoreLog) -> None:
    core.open_delivery("store", from_start=True)
    for seq in range(1, 6):
        core.commit_detect(batch(seq, alerts=1))
        core.commit_delivery(DeliveryCommit("store", seq, delivered=1))
        core.prune(logged_before_ns=1_000)
        assert [entry.position for entry in core.alerts(0, limit=10)] == [seq]
    assert core.delivery_counts()["store"] == DeliveryCount(5, 5, 5)


def test_without_deliveries_nothing_is_pruned(core: SqliteCoreLog) -> None:
    core.commit_detect(batch(1, alerts=3))
    core.prune(logged_before_ns=1_000)
    assert len(core.alerts(0, limit=10)) == 3


def test_one_pruning_takes_a_bounded_number(core: SqliteCoreLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core_log, "PRUNE_ROWS_MAX", 2)
    core.commit_detect(batch(1, alerts=9))
    core.open_delivery("store", from_start=False)
    core.prune(logged_before_ns=1_000)
    assert [entry.position for entry in core.alerts(0, limit=10)] == [3, 4, 5, 6, 7, 8, 9]


BOUND = 512 * 1024


def bounded(path: Path, *positions: int) -> SqliteCoreLog:
    """A log of 100 young alerts of 10 KB over its bound of bytes, and deliveries that have settled some."""
    core = SqliteCoreLog(path, Storage(synchronous="OFF"), BOUND)
    core.commit_detect(DetectCommit(1, 1, b"", [revision(number, 10_000) for number in range(1, 101)]))
    for number, position in enumerate(positions):
        core.open_delivery(f"sink{number}", from_start=True)
        core.commit_delivery(DeliveryCommit(f"sink{number}", position, delivered=position))
    return core


def pruned(core: SqliteCoreLog) -> tuple[list[int], bool]:
    """The positions that are left, and whether there is more to drop."""
    more = core.prune(logged_before_ns=0)
    return [entry.position for entry in core.alerts(0, limit=200)], more


def test_beyond_the_bound_in_bytes_the_oldest_settled_alerts_go(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core_log, "TRIM_ROWS", 4)
    with contextlib.closing(bounded(path, 100, 90)) as core:
        left, more = pruned(core)
        assert left == list(range(left[0], 101)), "the oldest went"
        assert 20 < len(left) < 52, "as few as it takes"
        assert not more
        assert core.tallies()[TRIMMED] == 100 - len(left)
        assert pruned(core) == (left, False)
        assert core.delivery_counts()["sink0"] == DeliveryCount(100, 100, 100)


@pytest.mark.parametrize(
    ("positions", "left"),
    [
        pytest.param((100, 7), range(8, 101), id="those that one delivery has not settled stay"),
        pytest.param((0,), range(1, 101), id="nothing is settled"),
        pytest.param((), range(1, 101), id="nobody takes them yet"),
    ],
)
def test_what_is_not_settled_stays_whatever_its_size(path: Path, positions: tuple[int, ...], left: range) -> None:
    with contextlib.closing(bounded(path, *positions)) as core:
        assert pruned(core) == (list(left), False)


def test_the_last_alert_holds_the_position_whatever_the_bound(path: Path) -> None:
    with contextlib.closing(bounded(path, 100)) as core:
        core.commit_detect(DetectCommit(2, 2, b"", [revision(101, 2 * BOUND)]))
        core.commit_delivery(DeliveryCommit("sink0", 101, delivered=1))
        assert pruned(core) == ([101], False)
        core.commit_detect(batch(3, alerts=1))
        assert core.last_alert_position() == 102


def test_one_trimming_takes_a_bounded_number_and_says_that_there_is_more(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core_log, "TRIM_ROWS", 5)
    monkeypatch.setattr(core_log, "PRUNE_ROWS_MAX", 10)
    with contextlib.closing(bounded(path, 100)) as core:
        assert pruned(core) == (list(range(11, 101)), True)
        assert pruned(core) == (list(range(21, 101)), True)


def test_freed_room_is_used_again(path: Path) -> None:
    with contextlib.closing(bounded(path, 100)) as core:
        pruned(core)
        for seq in range(2, 40):
            core.commit_detect(DetectCommit(seq, seq, b"", [revision(100 * seq + n, 10_000) for n in range(10)]))
            core.commit_delivery(DeliveryCommit("sink0", core.last_alert_position(), delivered=10))
            core.prune(logged_before_ns=0)
    assert path.stat().st_size < 3 * BOUND, "5 MB went through it"


def test_the_oldest_dead_letters_go_first(core: SqliteCoreLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core_log, "DEAD_LETTERS_MAX", 3)
    for seq in range(1, 8):
        core.commit_detect(batch(seq))
    core.prune(logged_before_ns=0)
    assert [key for key, _ in core.dead_letters()] == [5, 6, 7]
    assert [key for key, _ in core.dead_letters(after_id=5, limit=1)] == [6]


def test_a_delivery_that_is_not_configured_any_more_is_forgotten(core: SqliteCoreLog) -> None:
    core.open_delivery("kept", from_start=True)
    core.open_delivery("gone", from_start=True)
    core.commit_detect(batch(1, alerts=1))
    for name in ("kept", "gone"):
        core.commit_delivery(DeliveryCommit(name, 1, dead_letters=[dead(core.alerts(0, limit=1)[0], "no", name)]))
    core.keep_deliveries({"kept": "alerts", "new": "alerts"})
    assert core.delivery_counts().keys() == {"kept"}
    assert [letter.delivery for _, letter in core.dead_deliveries()] == ["kept"]


# --- what deliveries know again ---------------------------------------------------------------------------------------
def test_a_filter_holds_from_the_arrival_at_which_it_was_set(core: SqliteCoreLog) -> None:
    assert core.set_delivery_filter("store", "all") == [(0, "all")]
    core.commit_detect(batch(7))
    assert core.set_delivery_filter("store", "all") == [(0, "all")]
    arrival_ns = core.cursor().arrival_ns
    assert core.set_delivery_filter("store", "high") == [(0, "all"), (arrival_ns + 1, "high")]
    assert core.set_delivery_filter("mail", "low") == [(0, "low")]
    assert core.set_delivery_filter("mail", "high", after_ns=70) == [(0, "low"), (71, "high")]
    assert core.set_delivery_filter("mail", "all", after_ns=60) == [(0, "low"), (71, "all")], "never before the latest"
    core.keep_deliveries({})
    assert core.delivery_filters("store") == [(0, "all"), (arrival_ns + 1, "high")], "only what was ever opened goes"


def test_notes_are_each_sinks_own(core: SqliteCoreLog) -> None:
    core.write_notes("rt", {"a": b"1", "b": b"2"}, now_ns=1)
    core.write_notes("jira", {"a": b"x"}, now_ns=1)
    core.write_notes("rt", {"a": b"3", "b": None}, now_ns=2)
    assert core.notes("rt", ["a", "b", "c"]) == {"a": b"3"}
    assert core.notes("jira", ["a"]) == {"a": b"x"}


def test_tallies_add_up_over_detection_and_deliveries(core: SqliteCoreLog) -> None:
    core.open_delivery("store", from_start=True)
    for seq in (1, 2):
        core.commit_detect(DetectCommit(seq, seq, b"", tallies={("findings", "audit", "r'1"): 2}))
    core.commit_delivery(DeliveryCommit("store", 0, tallies={("delivered", "store", "0.1"): 5}))
    assert core.tallies() == {("findings", "audit", "r'1"): 4, ("delivered", "store", "0.1"): 5}


def test_a_dead_delivery_that_is_queued_goes_through_or_stays(core: SqliteCoreLog) -> None:
    core.commit_detect(batch(1, alerts=3))
    core.open_delivery("store", from_start=True)
    letters = [dead(entry, "no") for entry in core.alerts(0, limit=10)]
    core.commit_delivery(DeliveryCommit("store", 3, dead_letters=letters))
    keys = [key for key, _ in core.dead_deliveries()]
    assert core.queue_deliveries([*keys[:2], 99]) == 2
    assert [key for key, _ in core.queued_deliveries("store", limit=10)] == keys[:2]
    core.commit_delivery(DeliveryCommit("store", 3, redelivered=keys[:1], refused_again={keys[1]: "still not"}))
    assert core.queued_deliveries("store", limit=10) == []
    assert [(key, letter.reason) for key, letter in core.dead_deliveries()] == [(keys[1], "still not"), (keys[2], "no")]
    assert core.delivery_counts()["store"] == DeliveryCount(3, 3, delivered=1, dead_lettered=2)


def test_a_dead_letter_is_replayed_once(core: SqliteCoreLog) -> None:
    core.commit_detect(batch(1))
    ((key, letter),) = core.dead_letters()
    assert letter.replayed_ns == 0
    assert core.mark_replayed([key, key + 1], now_ns=5) == [key]
    assert core.mark_replayed([key], now_ns=6) == []
    assert core.dead_letters()[0][1].replayed_ns == 5
    assert core.mark_replayed([key], now_ns=7, again=True) == [key]
    core.unmark_replayed([key])
    assert core.dead_letters()[0][1].replayed_ns == 0


def test_a_delivery_of_events_counts_by_the_end_of_intake(core: SqliteCoreLog) -> None:
    assert core.open_event_delivery("siem", after_seq=10) == DeliveryCount(10, log="events")
    core.commit_delivery(DeliveryCommit("siem", 15, delivered=3, suppressed=2))
    assert core.delivery_counts(last_seq=20)["siem"] == DeliveryCount(15, 8, delivered=3, suppressed=2, log="events")
    assert core.delivery_counts()["siem"].routed == 3
    core.keep_deliveries({"siem": "alerts"})
    assert core.delivery_counts() == {}


def test_tables_of_the_first_format_get_the_columns_that_they_lack(path: Path) -> None:
    with contextlib.closing(apsw.Connection(str(path))) as old:
        old.execute(
            "CREATE TABLE alert(position INTEGER PRIMARY KEY, alert_id TEXT NOT NULL, generation INTEGER NOT NULL,"
            " revision INTEGER NOT NULL, opened_ns INTEGER NOT NULL, logged_ns INTEGER NOT NULL, level TEXT NOT NULL,"
            " rule_id TEXT NOT NULL, document BLOB NOT NULL);"
            "INSERT INTO alert VALUES(1, 'a', 1, 1, 5, 6, 'high', 'r', x'7b7d')"
        )
    with contextlib.closing(SqliteCoreLog(path)) as core:
        assert core.alerts(0, limit=1) == [LoggedAlert(1, AlertRevision("a", 1, 1, 5, "high", "r", b"{}"), 6)]
        core.commit_detect(batch(1, alerts=1))
        assert len(core.alerts(0, limit=9)) == 2
