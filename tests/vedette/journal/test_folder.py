"""The data folder: stamped, locked, with a reserve; and refused, untouched, when a newer Vedette wrote it."""

import json
import os
from pathlib import Path

import pytest

from vedette.journal.sqlite import DataFolder
from vedette.journal.sqlite.folder import FORMAT_VERSION
from vedette.schema.errors import ConfigError, TransientError
from vedette.schema.limits import BALLAST_BYTES


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    return DataFolder(tmp_path / "data")


def tree(path: Path) -> dict[str, bytes]:
    return {str(p.relative_to(path)): p.read_bytes() if p.is_file() else b"" for p in sorted(path.rglob("*"))}


def test_made_once_and_again(folder: DataFolder) -> None:
    folder.create()
    assert json.loads((folder.path / "VERSION").read_text()) == {"format": FORMAT_VERSION}
    assert folder.intake.is_dir()
    before = tree(folder.path)
    folder.create()
    folder.check()
    assert tree(folder.path) == before


def test_naming_one_touches_nothing(folder: DataFolder) -> None:
    assert not folder.path.exists()
    with pytest.raises(ConfigError, match=r"is not a Vedette data folder.*--data-dir"):
        folder.check()
    assert not folder.path.exists()


# --- the stamp --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("call", [DataFolder.create, DataFolder.check], ids=["create", "check"])
def test_a_newer_folder_is_refused_and_nothing_changed(folder: DataFolder, call: object) -> None:
    folder.path.mkdir()
    (folder.path / "VERSION").write_text(json.dumps({"format": FORMAT_VERSION + 1, "more": "things"}))
    (folder.path / "core.db").write_bytes(b"of the future")
    before = tree(folder.path)
    with pytest.raises(ConfigError) as refused:
        call(folder)  # type: ignore[operator]
    assert "newer Vedette" in str(refused.value)
    assert f"format {FORMAT_VERSION + 1}" in str(refused.value)
    assert str(folder.path) in str(refused.value)
    assert "nothing was changed" in str(refused.value)
    assert tree(folder.path) == before


@pytest.mark.parametrize(
    "stamp",
    [b"", b"{", b"[]", b"1", b"null", b"{}", b'{"format": null}', b'{"format": "x"}', b"\xff\xfe", b"\0" * 16],
    ids=repr,
)
def test_a_broken_stamp_says_so(folder: DataFolder, stamp: bytes) -> None:
    folder.path.mkdir()
    (folder.path / "VERSION").write_bytes(stamp)
    before = tree(folder.path)
    with pytest.raises(ConfigError, match=r"VERSION can't be read .*backup"):
        folder.create()
    assert tree(folder.path) == before


def test_a_journal_without_a_stamp_is_not_taken_over(folder: DataFolder) -> None:
    folder.path.mkdir()
    folder.core.write_bytes(b"SQLite")
    with pytest.raises(ConfigError, match="journal without a VERSION file"):
        folder.create()
    assert not (folder.path / "VERSION").exists()


def test_the_stamp_is_synced_before_anything_stands_on_it(folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a power loss leaves an empty VERSION beside a good journal, and nobody can start any more."""
    synced: list[tuple[bytes | None, list[str]]] = []
    real = os.fsync

    def fsync(fd: int) -> None:
        path = Path(f"/proc/self/fd/{fd}").resolve()
        synced.append(
            (path.read_bytes() if path.is_file() else None, sorted(path.name for path in folder.path.iterdir()))
        )
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    folder.create()
    contents = [content for content, _ in synced if content]
    assert [json.loads(content) for content in contents] == [{"format": FORMAT_VERSION}]
    folders = [names for content, names in synced if content is None]
    assert folders
    assert folders[-1] == ["VERSION", "intake"]


def test_a_place_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="can't be made"):
        DataFolder(tmp_path / "file" / "data").create()


# --- the lock ---------------------------------------------------------------------------------------------------------
def test_one_writer_at_a_time(folder: DataFolder) -> None:
    folder.create()
    other = DataFolder(folder.path)
    folder.lock()
    with pytest.raises(ConfigError, match="another Vedette is running"):
        other.lock()
    other.unlock()
    folder.unlock()
    folder.unlock()
    other.lock()
    other.unlock()


def test_a_folder_that_can_not_be_locked(folder: DataFolder) -> None:
    folder.create()
    (folder.path / "lock").mkdir()
    with pytest.raises(ConfigError, match="can't be locked"):
        folder.lock()


# --- the ballast ------------------------------------------------------------------------------------------------------
def test_the_ballast_takes_room_until_it_is_dropped(folder: DataFolder) -> None:
    folder.create()
    assert folder.take_ballast()
    ballast = folder.path / "ballast"
    assert ballast.stat().st_blocks * 512 >= BALLAST_BYTES
    assert folder.take_ballast()
    assert folder.drop_ballast()
    assert not ballast.exists()
    assert not folder.drop_ballast()


def test_a_ballast_that_a_crash_cut_short_is_made_whole(folder: DataFolder) -> None:
    folder.create()
    (folder.path / "ballast").write_bytes(b"\0" * 100)
    assert folder.take_ballast()
    assert (folder.path / "ballast").stat().st_size == BALLAST_BYTES


def test_no_room_for_the_ballast_leaves_nothing_behind(folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.create()

    def full(fd: int, offset: int, size: int) -> None:
        os.ftruncate(fd, size // 2)
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "posix_fallocate", full)
    assert not folder.take_ballast()
    assert not (folder.path / "ballast").exists()


def test_a_folder_that_can_not_be_written(folder: DataFolder) -> None:
    folder.create()
    folder.ensure_writable()
    assert not (folder.path / "probe").exists()
    (folder.path / "probe").mkdir()
    with pytest.raises(TransientError, match=r"can't be written.*remount"):
        folder.ensure_writable()


def test_an_older_folder_is_stamped_by_its_first_new_writer_alone(folder: DataFolder) -> None:
    folder.create()
    stamp = folder.path / "VERSION"
    stamp.write_text(json.dumps({"format": 1}))
    assert folder.check() == 1
    DataFolder(folder.path).create()
    assert json.loads(stamp.read_text()) == {"format": 1}, "whoever only looks changes nothing"
    folder.lock()
    assert json.loads(stamp.read_text()) == {"format": FORMAT_VERSION}
    folder.unlock()
