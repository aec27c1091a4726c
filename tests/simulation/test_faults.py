"""The disk that fails on demand keeps its promises: what is synced stays, what is not may go, in every way it says."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from random import Random

import apsw
import pytest

from vedette.testing.faults import INJECTED, SECTOR_BYTES, Fault, FaultDisk, Loss, Operation

pytestmark = [
    pytest.mark.simulation,
    pytest.mark.filterwarnings(f"ignore:[\\s\\S]*{INJECTED}:pytest.PytestUnraisableExceptionWarning"),
]

OLD, NEW = b"o" * 8 * SECTOR_BYTES, b"n" * 8 * SECTOR_BYTES


@pytest.fixture
def disk() -> FaultDisk:
    return FaultDisk()


@pytest.fixture
def folder(scratch: Path) -> Path:
    folder = scratch / "folder"
    folder.mkdir()
    for name in ("file", "other"):  # a WAL is opened beside its database
        (folder / name).touch()
    return folder


@pytest.fixture
def file(disk: FaultDisk, folder: Path) -> Iterator[apsw.VFSFile]:
    """A file with OLD synced and NEW written over it."""
    file = open_file(disk, folder / "file-wal")
    file.xWrite(OLD, 0)
    file.xSync(0)
    file.xWrite(NEW, 0)
    yield file
    file.xClose()


def open_file(disk: FaultDisk, path: Path, kind: int = apsw.SQLITE_OPEN_WAL) -> apsw.VFSFile:
    return disk.xOpen(str(path), [kind | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_READWRITE, 0])


def found(disk: FaultDisk, folder: Path, loss: Loss, seed: int = 0) -> dict[str, bytes]:
    copy = folder.with_name(f"{loss.value} {seed} {disk.events}")
    copy.mkdir()
    disk.image(folder, copy, loss, Random(seed))
    return {path.name: path.read_bytes() for path in copy.iterdir() if path.name not in {"file", "other"}}


@pytest.mark.usefixtures("file")
def test_what_was_not_synced_is_kept_or_dropped(disk: FaultDisk, folder: Path) -> None:
    assert found(disk, folder, Loss.KEPT) == {"file-wal": NEW}
    assert found(disk, folder, Loss.DROPPED) == {"file-wal": OLD}


@pytest.mark.usefixtures("file")
@pytest.mark.parametrize("loss", [Loss.TORN, Loss.SCATTERED])
def test_sectors_arrive_whole(disk: FaultDisk, folder: Path, loss: Loss) -> None:
    kinds = set[bytes]()
    for seed in range(60):
        content = found(disk, folder, loss, seed)["file-wal"]
        sectors = [content[at : at + SECTOR_BYTES] for at in range(0, len(content), SECTOR_BYTES)]
        assert all(sector in (OLD[:SECTOR_BYTES], NEW[:SECTOR_BYTES]) for sector in sectors)
        kinds.add(bytes(sector[0] for sector in sectors))
        if loss is Loss.TORN:
            assert not any(a == OLD[:SECTOR_BYTES] and b == NEW[:SECTOR_BYTES] for a, b in pairwise(sectors))
    assert len(kinds) > 5


def test_truncation_counts_once_it_is_synced(disk: FaultDisk, folder: Path, file: apsw.VFSFile) -> None:
    file.xSync(0)
    file.xTruncate(SECTOR_BYTES)
    assert found(disk, folder, Loss.DROPPED) == {"file-wal": NEW}
    file.xSync(0)
    assert found(disk, folder, Loss.DROPPED) == {"file-wal": NEW[:SECTOR_BYTES]}


def test_after_a_failed_sync_a_later_one_does_not_help(disk: FaultDisk, folder: Path, file: apsw.VFSFile) -> None:
    disk.inject(Fault(Operation.SYNC, apsw.IOError))
    with pytest.raises(apsw.IOError, match=INJECTED):
        file.xSync(0)
    file.xWrite(b"later", 0)
    file.xSync(0)
    assert found(disk, folder, Loss.KEPT)["file-wal"][:6] == b"latern"
    assert found(disk, folder, Loss.DROPPED)["file-wal"] == b"later" + OLD[5:]


@pytest.mark.parametrize("error", [apsw.FullError, apsw.IOError, apsw.ReadOnlyError])
@pytest.mark.parametrize("torn", [False, True])
def test_the_nth_write_fails(disk: FaultDisk, file: apsw.VFSFile, error: type[apsw.Error], torn: bool) -> None:
    disk.inject(Fault(Operation.WRITE, error, after=2, times=2, torn=torn))
    outcomes = []
    for number in range(6):
        try:
            file.xWrite(b"%d%d" % (number, number), 2 * number)
            outcomes.append(True)
        except error:
            outcomes.append(False)
    assert outcomes == [True, True, False, False, True, True]
    assert file.xRead(12, 0) == (b"00112n3n4455" if torn else b"0011nnnn4455")


def test_a_name_is_sure_once_its_folder_was_synced(disk: FaultDisk, folder: Path) -> None:
    database = open_file(disk, folder / "database", apsw.SQLITE_OPEN_MAIN_DB)
    database.xWrite(OLD, 0)
    database.xSync(0)
    assert found(disk, folder, Loss.KEPT) == {"database": OLD}
    assert found(disk, folder, Loss.DROPPED) == {}
    fates = {found(disk, folder, Loss.TORN, seed).get("database") for seed in range(30)}
    assert fates == {None, b"", OLD}
    wal = open_file(disk, folder / "other-wal")
    wal.xSync(0)
    assert found(disk, folder, Loss.DROPPED) == {"database": OLD, "other-wal": b""}
    for file in (database, wal):
        file.xClose()


@pytest.mark.parametrize("behind_its_back", [False, True])
def test_a_deletion_may_be_undone_until_its_folder_was_synced(
    disk: FaultDisk, folder: Path, file: apsw.VFSFile, behind_its_back: bool
) -> None:
    file.xClose()
    if behind_its_back:
        (folder / "file-wal").unlink()
    else:
        disk.xDelete(str(folder / "file-wal"), False)
    assert found(disk, folder, Loss.KEPT) == {}
    assert found(disk, folder, Loss.DROPPED) == {"file-wal": OLD}
    assert {"file-wal" in found(disk, folder, Loss.SCATTERED, seed) for seed in range(20)} == {False, True}
    other = open_file(disk, folder / "other-wal")
    other.xSync(0)
    assert found(disk, folder, Loss.DROPPED) == {"other-wal": b""}
    other.xClose()


def test_without_power_nothing_is_written(disk: FaultDisk, folder: Path, file: apsw.VFSFile) -> None:
    disk.power_off()
    events = disk.events
    with pytest.raises(apsw.IOError, match=INJECTED):
        file.xWrite(b"x", 0)
    with pytest.raises(apsw.IOError, match=INJECTED):
        file.xSync(0)
    with pytest.raises(apsw.IOError, match=INJECTED):
        file.xTruncate(0)
    assert disk.events == events
    assert file.xRead(3, 0) == NEW[:3]
    assert found(disk, folder, Loss.KEPT) == {"file-wal": NEW}


def test_syncs_are_counted(disk: FaultDisk, file: apsw.VFSFile) -> None:
    assert disk.syncs == {"file-wal": 1}
    file.xSync(0)
    assert disk.syncs == {"file-wal": 2}
