"""The `files` source in an event loop: what is committed, in what order, and how it ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from collector.sources.files import FilesSettings, FilesSource
from collector.sources.files import source as source_module
from vedette.schema.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.collector.sources.files.conftest import StubIntake
    from vedette.runtime.source import Source
    from vedette.schema.event import Decoder


def made(folder: Path, intake: StubIntake, decoder: Decoder, *, follow: bool = True) -> Source:
    settings = FilesSettings(paths=[f"{folder}/*.log"], format="lines", follow=follow, poll_interval_s=0.01)
    return FilesSource("logs", settings, intake, {"lines": decoder})


async def test_following(tmp_path: Path, intake: StubIntake, decoder: Decoder) -> None:
    log = tmp_path / "x.log"
    log.write_bytes(b"1\n")
    source = made(tmp_path, intake, decoder)
    await source.start()
    await intake.until(lambda: intake.items == [b"1"])
    with log.open("ab") as file:
        file.write(b"2\n")
    (tmp_path / "y.log").write_bytes(b"3\n")
    await intake.until(lambda: sorted(intake.items) == [b"1", b"2", b"3"])
    await source.stop()
    await source.stop()
    await source.wait()
    assert {parcel.source for parcel in intake.parcels} == {"logs"}
    assert source.urls() == []


async def test_reading_once_ends_by_itself(tmp_path: Path, intake: StubIntake, decoder: Decoder) -> None:
    (tmp_path / "x.log").write_bytes(b"a" * 999_999 + b"\n" + b"b\n" * 9 + b"c")
    source = made(tmp_path, intake, decoder, follow=False)
    await source.start()
    await source.wait()
    assert intake.items == [b"a" * 999_999] + [b"b"] * 9 + [b"c"]
    await source.stop()


async def test_a_crash_between_commits_loses_and_repeats_nothing(
    tmp_path: Path, intake: StubIntake, decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_module, "STOP_S", 0.01)
    lines = [b"%07d" % number for number in range(500_000)]
    for name, part in (("x.log", lines[::2]), ("y.log", lines[1::2])):
        (tmp_path / name).write_bytes(b"\n".join(part) + b"\n")
    runs = 0
    while len(intake.items) < len(lines):
        runs += 1
        intake.commits_left = 1
        source = made(tmp_path, intake, decoder, follow=False)
        await source.start()
        await intake.until(lambda: intake.commits_left == 0 or len(intake.items) == len(lines))
        await source.stop()
    assert runs > 3
    assert sorted(intake.items) == lines
    for name in ("x.log", "y.log"):
        of_file = [got for got in intake.got if got.origin.endswith(name)]
        assert [got.record for got in of_file] == list(range(1, len(of_file) + 1))


async def test_nothing_more_is_read_while_intake_delays(tmp_path: Path, intake: StubIntake, decoder: Decoder) -> None:
    (tmp_path / "x.log").write_bytes(b"1\n")
    intake.open.clear()
    source = made(tmp_path, intake, decoder, follow=False)
    await source.start()
    waiting = asyncio.create_task(source.wait())
    done, _ = await asyncio.wait({waiting}, timeout=0.05)
    assert not done
    intake.open.set()
    await waiting
    assert intake.items == [b"1"]
    await source.stop()


async def test_stopping_before_starting(tmp_path: Path, intake: StubIntake, decoder: Decoder) -> None:
    source = made(tmp_path, intake, decoder)
    await source.stop()
    await source.wait()


async def test_configuration_errors(tmp_path: Path, intake: StubIntake, decoder: Decoder) -> None:
    with pytest.raises(ConfigError, match=r"sources\.logs: no file matches"):
        await made(tmp_path, intake, decoder, follow=False).start()
    with pytest.raises(ConfigError, match="known are lines"):
        FilesSource("logs", FilesSettings(paths=["x"], format="other"), intake, {"lines": decoder})


@pytest.mark.parametrize("wrong", [{"paths": []}, {"paths": [""]}, {"encoding": "latin-1"}, {"poll_interval_s": 0}])
def test_settings_refuse(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        FilesSettings.model_validate({"paths": ["x"], "format": "lines"} | wrong)


def test_settings_describe_every_field() -> None:
    assert all(field.description for field in FilesSettings.model_fields.values())
