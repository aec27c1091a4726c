"""Following files through everything that happens to logs, on a clock of the test's own."""

from __future__ import annotations

import gzip
import logging
import os
import shutil
from typing import TYPE_CHECKING

import pytest
import zstandard

from collector.sources.files import content
from collector.sources.files import watch as watch_module
from vedette.schema.limits import ITEM_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from collector.sources.files.content import Content
    from tests.collector.sources.files.conftest import Reading

    Make = Callable[..., Reading]


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def append(path: Path, data: bytes) -> Path:
    with path.open("ab") as file:
        file.write(data)
    return path


def said(caplog: pytest.LogCaptureFixture, text: str) -> int:
    return sum(text in record.getMessage() for record in caplog.records)


# --- lines ------------------------------------------------------------------------------------------------------------


def test_lines_are_read_as_they_are_written(tmp_path: Path, reading: Make) -> None:
    log = append(tmp_path / "x.log", b"1\n2\n")
    r = reading().settle()
    assert r.take() == [b"1", b"2"]
    append(log, b"3\n")
    assert r.settle().take() == [b"3"]
    assert r.settle().take() == []


def test_a_line_is_held_back_until_it_is_whole(tmp_path: Path, reading: Make) -> None:
    log = append(tmp_path / "x.log", b"1\nhal")
    r = reading().settle()
    assert r.take() == [b"1"]
    append(log, b"f")
    assert r.settle().take() == []
    append(log, b"!\n")
    assert r.wait_out().take() == [b"half!"]


def test_records_say_where_they_stand(tmp_path: Path, reading: Make) -> None:
    log = append(tmp_path / "x.log", b"fields a b\none\n\ntwo\n")
    r = reading().settle().restart()
    append(log, b"three\r\n")
    r.settle()
    assert [(got.item, got.record, got.context) for got in r.got] == [
        (b"one", 2, "a b"),
        (b"two", 4, "a b"),
        (b"three", 5, "a b"),
    ]
    assert {got.origin for got in r.got} == {str(log)}


def test_another_configured_context_counts_for_what_comes(tmp_path: Path, reading: Make) -> None:
    log = append(tmp_path / "x.log", b"1\n")
    r = reading(context="a").settle()
    r.settings = r.settings.model_copy(update={"context": "b"})
    append(log, b"2\n")
    r.restart().settle()
    assert [got.context for got in r.got] == ["a", "b"]


def test_an_overlong_line_is_kept_in_part_and_the_next_is_whole(
    tmp_path: Path, reading: Make, caplog: pytest.LogCaptureFixture
) -> None:
    log = append(tmp_path / "x.log", b"first\n" + b"x" * (ITEM_BYTES_MAX + 5))
    r = reading().settle()
    first, overlong = r.take()
    assert first == b"first"
    assert len(overlong) == 64 * 1024
    assert overlong.startswith(b"xxx")
    assert overlong.endswith(b"x[Truncated...]")
    assert said(caplog, "longer than a record") == 1
    r.restart()
    append(log, b"x" * 3_000_000 + b"\nnext\n")
    r.settle()
    assert [(got.item, got.record) for got in r.got] == [(b"next", 3)]


def test_the_longest_line_is_a_record(tmp_path: Path, reading: Make) -> None:
    append(tmp_path / "x.log", b"a\n" + b"x" * ITEM_BYTES_MAX + b"\nb\n")
    assert list(map(len, reading().settle().items)) == [1, ITEM_BYTES_MAX, 1]


def test_big_files_take_fair_turns(tmp_path: Path, reading: Make) -> None:
    for name in "abc":
        append(tmp_path / f"{name}.log", b"%s" % name.encode() * 99_999 + b"\n")
        append(tmp_path / f"{name}.log", (b"%s" % name.encode() * 9_999 + b"\n") * 1_000)
    r = reading()
    while sum(map(len, r.items)) < 12_000_000:
        r.round()
    counts = [sum(got.item.startswith(name.encode()) for got in r.got) for name in "abc"]
    assert max(counts) - min(counts) <= 110


# --- restarts and crashes ---------------------------------------------------------------------------------------------


def test_after_a_crash_what_was_not_committed_is_read_again(tmp_path: Path, reading: Make) -> None:
    log = append(tmp_path / "x.log", b"1\n")
    r = reading().settle()
    append(log, b"2\n3\n")
    r.round(commit=False)
    assert r.restart().settle().take() == [b"1", b"2", b"3"]


def test_rotation_while_stopped(tmp_path: Path, reading: Make) -> None:
    log = append(tmp_path / "x.log", b"1\n")
    r = reading().settle()
    append(log, b"2\n").rename(tmp_path / "x.log.1")
    append(log, b"3\n")
    assert sorted(r.restart().settle().take()) == [b"1", b"2", b"3"]


def test_an_inode_used_again_is_another_file(tmp_path: Path, reading: Make, caplog: pytest.LogCaptureFixture) -> None:
    log = append(tmp_path / "x.log", b"old 1\nold 2\n")
    r = reading().settle()
    r.watch.close()
    log.write_bytes(b"new 1\nnew 2\nnew 3\n")
    assert r.restart().settle().take() == [b"old 1", b"old 2", b"new 1", b"new 2", b"new 3"]
    assert said(caplog, "content was replaced") == 1


def test_a_position_of_another_version_is_reported(
    tmp_path: Path, reading: Make, caplog: pytest.LogCaptureFixture
) -> None:
    append(tmp_path / "x.log", b"1\n")
    r = reading().settle()
    r.positions = dict.fromkeys(r.positions, "what is this")
    assert r.restart().settle().take() == [b"1", b"1"]
    assert said(caplog, "cannot be understood") == 1


def test_starting_at_the_end(tmp_path: Path, reading: Make) -> None:
    log = append(tmp_path / "x.log", b"fields a\nold\nol")
    append(tmp_path / "x.log.gz", gzip.compress(b"older\n"))
    r = reading(start_at="end").settle()
    assert r.take() == []
    append(log, b"d\nnew\n")
    append(tmp_path / "y.log", b"later\n")
    r.restart().settle()
    assert sorted((got.item, got.record, got.context) for got in r.got) == [
        (b"later", 1, ""),
        (b"new", 4, "a"),
        (b"old", 3, "a"),
    ]


def test_starting_at_the_end_of_nothing_counts_as_started(tmp_path: Path, reading: Make) -> None:
    r = reading(start_at="end").settle()
    append(tmp_path / "x.log", b"1\n")
    assert r.restart().settle().take() == [b"1"]


# --- rotation ---------------------------------------------------------------------------------------------------------


def test_a_renamed_file_is_read_to_its_end(tmp_path: Path, reading: Make) -> None:
    log = append(tmp_path / "x.log", b"1\n")
    r = reading().settle()
    append(log, b"2\n").rename(tmp_path / "x.log.1")
    append(log, b"4\n")
    append(tmp_path / "x.log.1", b"3\n")
    r.settle()
    assert r.take() == [b"1", b"2", b"3", b"4"]


def test_a_file_moved_out_of_sight_is_read_to_its_end(tmp_path: Path, reading: Make) -> None:
    log = append(tmp_path / "x.log", b"1\n")
    r = reading().settle()
    append(log, b"2\n").rename(tmp_path / "away")
    append(log, b"4\n")
    r.settle()
    append(tmp_path / "away", b"3 (unended)")
    assert r.settle().take() == [b"1", b"2", b"4"]
    assert r.wait_out().take() == [b"3 (unended)"]
    append(tmp_path / "away", b"\ntoo late\n")
    assert r.wait_out().take() == []


def test_a_deleted_file_is_read_to_its_end_and_its_successor_from_the_beginning(tmp_path: Path, reading: Make) -> None:
    log = append(tmp_path / "x.log", b"same\n")
    r = reading().settle()
    append(log, b"last\n").unlink()
    append(log, b"same\n")
    assert sorted(r.settle().take()) == [b"last", b"same", b"same"]
    log.unlink()
    assert r.wait_out().take() == []


def test_truncation_is_noticed_also_when_the_file_has_grown_past_the_position(
    tmp_path: Path, reading: Make, caplog: pytest.LogCaptureFixture
) -> None:
    log = append(tmp_path / "x.log", b"header\n1\n")
    r = reading().settle()
    log.write_bytes(b"header\n2\n3\n4\n")
    assert r.settle().take() == [b"header", b"1", b"header", b"2", b"3", b"4"]
    log.write_bytes(b"5\n")
    assert r.settle().take() == [b"5"]
    assert said(caplog, "content was replaced") == 2


def test_a_hole_left_by_truncating_under_a_writer_is_skipped(tmp_path: Path, reading: Make) -> None:
    log = tmp_path / "x.log"
    with log.open("wb", buffering=0) as file:
        file.write(b"1\n" * 1000)
        r = reading().settle()
        r.take()
        os.truncate(log, 0)
        r.settle()
        file.write(b"2\n")
    assert r.settle().take() == [b"2"]


@pytest.mark.parametrize("down", [False, True], ids=["running", "stopped"])
def test_copytruncate_takes_the_unread_lines_from_the_copy(tmp_path: Path, reading: Make, down: bool) -> None:
    log = append(tmp_path / "x.log", b"1\n2\n")
    r = reading().settle()
    append(log, b"3\n")
    shutil.copy(log, tmp_path / "x.log.1")
    log.write_bytes(b"4\n")
    r = r.restart() if down else r
    assert sorted(r.settle().take()) == [b"1", b"2", b"3", b"4"]
    assert r.restart().wait_out().take() == []


def test_a_copy_is_not_read_before_it_is_truncated(tmp_path: Path, reading: Make) -> None:
    log = append(tmp_path / "x.log", b"1\n2\n")
    r = reading().settle()
    (tmp_path / "x.log.1").write_bytes(b"1\n")
    assert r.settle().take() == [b"1", b"2"]
    append(tmp_path / "x.log.1", b"2\n")
    assert r.settle().take() == []
    log.write_bytes(b"")
    assert r.wait_out().take() == []
    append(log, b"3\n")
    assert r.settle().take() == [b"3"]


def test_equal_content_under_unrelated_names_counts_twice(tmp_path: Path, reading: Make) -> None:
    append(tmp_path / "a1.log", b"1\n2\n")
    r = reading().settle()
    append(tmp_path / "a2.log", b"1\n2\n")
    append(tmp_path / "a3.log.gz", gzip.compress(b"1\n2\n"))
    assert r.settle().take() == [b"1", b"2"] * 3


# --- compressed files -------------------------------------------------------------------------------------------------

PACKERS: dict[str, Callable[[bytes], bytes]] = {"gz": gzip.compress, "zst": zstandard.compress}


@pytest.mark.parametrize("suffix", PACKERS)
def test_an_archive_is_read_once(tmp_path: Path, reading: Make, suffix: str) -> None:
    pack = PACKERS[suffix]
    text = b"".join(b"line %d\n" % n for n in range(200_000))
    (tmp_path / f"x.log.{suffix}").write_bytes(pack(text[:1_000_003]) + pack(text[1_000_003:] + b"unended"))
    r = reading().settle()
    assert b"\n".join(r.take()) == text + b"unended"
    assert r.restart().wait_out().take() == []


@pytest.mark.parametrize("suffix", PACKERS)
@pytest.mark.parametrize("crash", [False, True], ids=["", "crash"])
def test_an_archive_is_resumed(tmp_path: Path, reading: Make, suffix: str, crash: bool) -> None:
    text = b"".join(b"line %d\n" % n for n in range(300_000))
    (tmp_path / f"x.log.{suffix}").write_bytes(PACKERS[suffix](text))
    r = reading()
    r.round()
    r.round(commit=not crash)
    assert 0 < len(r.items) < 300_000
    assert b"\n".join(r.restart().settle().take()) + b"\n" == text


@pytest.mark.parametrize("suffix", PACKERS)
def test_an_archive_cut_off_is_reported_and_read_as_far_as_it_goes(
    tmp_path: Path, reading: Make, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    lines = [os.urandom(20).hex().encode() for _ in range(20_000)]
    packed = PACKERS[suffix](b"\n".join(lines) + b"\n")
    archive = tmp_path / f"x.log.{suffix}"
    archive.write_bytes(packed[: len(packed) // 2])
    r = reading().settle()
    got = r.take()
    assert len(got) > 1000
    assert got == lines[: len(got)]
    assert said(caplog, "could not be read to its end") == 0
    append(archive, packed[len(packed) // 2 : -100])
    got += r.settle().take()
    (rest, *more) = r.wait_out().take()
    assert not more
    assert got == lines[: len(got)]
    assert lines[len(got)].startswith(rest)
    assert said(caplog, "could not be read to its end") == 1


def test_a_damaged_archive_is_reported_and_read_as_far_as_it_goes(
    tmp_path: Path, reading: Make, caplog: pytest.LogCaptureFixture
) -> None:
    lines = [os.urandom(20).hex().encode() for _ in range(20_000)]
    packed = bytearray(gzip.compress(b"\n".join(lines) + b"\n"))
    packed[len(packed) // 2 :] = b"\xff" * (len(packed) // 2)
    (tmp_path / "x.log.gz").write_bytes(packed)
    got = reading().wait_out().take()
    assert got[:8000] == lines[:8000]
    assert said(caplog, "could not be read to its end") == 1


@pytest.mark.parametrize("down", [False, True], ids=["running", "stopped"])
@pytest.mark.parametrize(
    ("rotated", "archive"),
    [
        pytest.param("x.log.1", "x.log.1.gz", id="logrotate"),
        pytest.param("x.log.1", "x.log.2.gz", id="logrotate, delayed and shifted"),
        pytest.param("x-2026-11-21T11-30-00.123.log", "x-2026-11-21T11-30-00.123.log.gz", id="lumberjack"),
        pytest.param("x.log.20261121-113000", "x.log.20261121-113000.gz", id="kubelet"),
    ],
)
def test_an_archive_of_what_was_read_is_not_read_again(
    tmp_path: Path, reading: Make, down: bool, rotated: str, archive: str
) -> None:
    log = append(tmp_path / "x.log", b"1\n2\n")
    r = reading().settle()
    append(log, b"3\n").rename(tmp_path / rotated)
    append(log, b"4\n")
    r = r.restart() if down else r
    (tmp_path / archive).write_bytes(gzip.compress((tmp_path / rotated).read_bytes()))
    (tmp_path / rotated).unlink()
    assert sorted(r.settle().wait_out().take()) == [b"1", b"2", b"3", b"4"]
    assert r.restart().wait_out().take() == []


def test_an_archive_is_not_begun_while_it_has_no_bytes(tmp_path: Path, reading: Make) -> None:
    archive = append(tmp_path / "x.log.gz", b"\x1f")
    r = reading().settle()
    append(archive, gzip.compress(b"1\n")[1:])
    assert r.settle().take() == [b"1"]


# --- what the world does ----------------------------------------------------------------------------------------------


def test_links_and_overlapping_patterns_lead_to_a_file_once(tmp_path: Path, reading: Make) -> None:
    target = append(tmp_path / "pods.txt", b"1\n")
    (tmp_path / "a.log").symlink_to(target)
    (tmp_path / "b.log").symlink_to(target)
    (tmp_path / "dangling.log").symlink_to(tmp_path / "nothing")
    r = reading(paths=[f"{tmp_path}/*.log", f"{tmp_path}/**/a.*", str(tmp_path / "a.log")]).settle()
    assert [(got.item, got.origin) for got in r.got] == [(b"1", str(tmp_path / "a.log"))]


def test_a_link_that_moves_on_leaves_the_old_file_to_be_read_to_its_end(tmp_path: Path, reading: Make) -> None:
    link = tmp_path / "pod.log"
    link.symlink_to(append(tmp_path / "0", b"1\n"))
    r = reading().settle()
    append(tmp_path / "0", b"2\n")
    link.unlink()
    link.symlink_to(append(tmp_path / "1", b"3\n"))
    assert r.settle().take() == [b"1", b"2", b"3"]


def test_directories_pipes_and_names_that_are_no_unicode(
    tmp_path: Path, reading: Make, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "folder.log").mkdir()
    os.mkfifo(tmp_path / "pipe.log")
    odd = os.fsencode(tmp_path) + b"/\xff.log"
    with open(odd, "wb") as file:  # noqa: PTH123
        file.write(b"1\n")
    r = reading(paths=[f"{tmp_path}/*.log", str(tmp_path / "folder.log")]).settle()
    assert [(got.item, got.origin) for got in r.got] == [(b"1", f"{tmp_path}/\\xff.log")]
    assert said(caplog, "cannot be read") == 1


def test_a_file_that_cannot_be_read_is_reported_once_and_tried_again(
    tmp_path: Path, reading: Make, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Tests may run as root, whom no permission stops.
    log = append(tmp_path / "x.log", b"1\n")
    real_open = os.open

    def refuse(path: str, flags: int) -> int:
        if path == str(log):
            raise PermissionError(13, "Permission denied")
        return real_open(path, flags)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        r = reading().settle().settle()
        assert r.take() == []
        assert said(caplog, "cannot be read") == 1
    assert r.settle().take() == [b"1"]


def test_a_read_error_is_reported_and_the_file_is_read_on_later(
    tmp_path: Path, reading: Make, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = append(tmp_path / "x.log", b"1\n")
    r = reading().settle()
    append(log, b"2\n")

    def fail(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", fail)
        r.settle()
    assert said(caplog, "cannot be read") == 1
    assert r.settle().take() == [b"1", b"2"]


def test_a_path_with_brackets_is_meant_as_it_is(tmp_path: Path, reading: Make) -> None:
    append(tmp_path / "[x].txt", b"1\n")
    assert reading(paths=[str(tmp_path / "[x].txt")]).settle().take() == [b"1"]


def test_more_files_than_may_be_open(tmp_path: Path, reading: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "FILES_OPEN_MAX", 3)
    names = [tmp_path / f"{name}.log" for name in "abcdefg"]
    for name in names:
        append(name, b"1\n")
    r = reading()
    for _ in range(5):
        r.settle()
    assert r.take() == [b"1"] * 7
    for name in reversed(names):
        append(name, b"2\n")
    for _ in range(5):
        r.settle()
    assert r.take() == [b"2"] * 7


# --- reading once -----------------------------------------------------------------------------------------------------


def test_reading_once_takes_last_lines_as_they_are_and_ends(tmp_path: Path, reading: Make) -> None:
    append(tmp_path / "a.log", b"1\n2")
    append(tmp_path / "b.log", b"")
    append(tmp_path / "c.log.gz", gzip.compress(b"3\n4"))
    append(tmp_path / "d.log.gz", b"")
    r = reading(follow=False).settle()
    assert sorted(r.take()) == [b"1", b"2", b"3", b"4"]
    assert r.watch.round().over
    r.restart().settle()
    assert r.take() == []
    assert r.watch.round().over


def test_many_archives_are_read_a_few_at_a_time(tmp_path: Path, reading: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "ARCHIVES_OPEN_MAX", 2)
    for number in range(7):
        (tmp_path / f"{number}.log.gz").write_bytes(gzip.compress(b"%d\n" % number))
    assert reading(follow=False).settle().items == [b"%d" % number for number in range(7)]
    r = reading()
    for _ in range(5):
        r.settle()
    assert r.items == [b"%d" % number for number in range(7)]


def test_an_archive_that_waits_is_not_unpacked_again_and_again(
    tmp_path: Path, reading: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = append(tmp_path / "x.log", b"1\n2\n")
    r = reading().settle()
    (tmp_path / "x.log.1.gz").write_bytes(gzip.compress(log.read_bytes()))
    log.unlink()
    opened = 0
    real_open = content.open_content

    def count(descriptor: int, path: str) -> Content | None:
        nonlocal opened
        opened += 1
        return real_open(descriptor, path)

    monkeypatch.setattr(watch_module, "open_content", count)
    for _ in range(20):
        r.settle()
    assert opened == 1
    assert r.wait_out().settle().take() == [b"1", b"2"]
    assert opened == 2


def test_a_file_exchanged_while_it_is_opened_is_found_again(
    tmp_path: Path, reading: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = append(tmp_path / "x.log", b"1\n")
    real_open = os.open

    def exchange(path: str, flags: int) -> int:
        monkeypatch.setattr(os, "open", real_open)
        log.rename(tmp_path / "x.log.1")
        append(log, b"2\n")
        return real_open(path, flags)

    monkeypatch.setattr(os, "open", exchange)
    assert sorted(reading(follow=False).settle().take()) == [b"1", b"2"]
