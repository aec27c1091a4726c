"""The intake role when only a part of what it does at once succeeds: nothing stored twice, nothing passed over."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from vedette.journal.sqlite import DataFolder, SqliteIntakeLog
from vedette.pipeline import intake
from vedette.pipeline.control_record import ControlRecord
from vedette.pipeline.intake import IntakeRole
from vedette.pipeline.tail import Tail
from vedette.runtime.parcel import Parcel, Receipt
from vedette.schema.errors import TransientError
from vedette.schema.record import Run
from vedette.testing.faults import INJECTED, Fault, FaultDisk, Operation

pytestmark = [
    pytest.mark.simulation,
    pytest.mark.filterwarnings(f"ignore:[\\s\\S]*{INJECTED}:pytest.PytestUnraisableExceptionWarning"),
]

NOW = 1_700_000_000_000_000_000


class Clock:
    def now_ns(self) -> int:
        return NOW


async def commit_together(log: SqliteIntakeLog, folder: DataFolder, tail: Tail, before: Callable[[], None]) -> Receipt:
    """Let one control record and one patient parcel arrive together, after `before`; return the parcel's receipt."""
    role = IntakeRole(log, folder, tail, Clock(), keep_after_seq=lambda: 0)
    first: asyncio.Future[Receipt | TransientError] = asyncio.get_running_loop().create_future()
    role.offer(Parcel("s", [Run("s", "f", 1)], [b"first"], first.set_result, 1))
    running = asyncio.create_task(role.run())
    await first
    before()
    done: asyncio.Future[Receipt | TransientError] = asyncio.get_running_loop().create_future()
    control = asyncio.create_task(role.control(ControlRecord("start")))
    await asyncio.sleep(0)
    role.offer(Parcel("s", [Run("s", "f", 1)], [b"second"], done.set_result, 1, patience_s=30))
    outcome = await done
    await control
    role.stop()
    await running
    assert isinstance(outcome, Receipt)
    return outcome


def items_of(log: SqliteIntakeLog) -> list[bytes]:
    return [item for chunk in log.scan() for item in chunk.items if b"tick" not in item]


def read_along(tail: Tail, log: SqliteIntakeLog) -> list[int]:
    """The sequence numbers that detection sees, from the tail where it has them, else from the log."""
    seen: list[int] = []
    while chunks := tail.read(seen[-1] if seen else 0, items_max=100) or log.read(
        seen[-1] if seen else 0, items_max=100
    ):
        seen += [chunk.seq + number for chunk in chunks for number in range(len(chunk.items))]
    return seen


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "RETRY_AFTER_S", 0.002)
    monkeypatch.setattr(DataFolder, "take_ballast", lambda self: True)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("error", [apsw.FullError, apsw.IOError])
async def test_a_control_record_is_stored_and_the_group_beside_it_is_not(
    scratch: Path, error: type[apsw.Error]
) -> None:
    disk, folder, tail = FaultDisk(), DataFolder(scratch / "data"), Tail()
    folder.create()
    log = SqliteIntakeLog(folder.intake, disk.storage())
    fault = Fault(Operation.SYNC, error, after=1)
    receipt = await commit_together(log, folder, tail, lambda: disk.inject(fault))
    assert receipt == Receipt(1, 0)
    assert items_of(log) == [b"first", b'{"op":"start"}', b"second"]
    assert read_along(tail, log) == list(range(1, log.last_seq() + 1))
    log.close()


@pytest.mark.usefixtures("hasty")
async def test_old_segments_that_can_not_be_removed_hold_up_nobody(
    scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, folder, tail, tries = FaultDisk(), DataFolder(scratch / "data"), Tail(), 0
    folder.create()
    log = SqliteIntakeLog(folder.intake, disk.storage())

    def refuse(*, keep_after_seq: int, now_ns: int) -> int:
        nonlocal tries
        tries += 1
        if tries <= 2:
            raise TransientError("cannot remove it")
        return 0

    monkeypatch.setattr(log, "retire", refuse)
    monkeypatch.setattr(intake, "RETIRE_INTERVAL_NS", 0)
    monkeypatch.setattr(IntakeRole, "_last_retire_ns", NOW, raising=False)
    receipt = await commit_together(log, folder, tail, lambda: None)
    assert receipt == Receipt(1, 0)
    assert sorted(items_of(log)) == sorted([b"first", b'{"op":"start"}', b"second"])
    assert log.counts()["s"].received == 2
    assert read_along(tail, log) == list(range(1, log.last_seq() + 1))
    log.close()
