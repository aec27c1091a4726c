"""Standard input: pipes, terminals, files."""

from __future__ import annotations

import asyncio
import os
import pty
import termios
from typing import TYPE_CHECKING, cast

import pytest

from collector.decoders import DECODERS
from collector.sources.stdin import StdinSettings, StdinSource
from vedette.runtime.parcel import Intake, Parcel, Receipt
from vedette.schema.errors import ConfigError
from vedette.schema.limits import ITEM_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class StubIntake:
    """Commits what is put; `open` can be cleared to delay."""

    def __init__(self) -> None:
        self.parcels: list[Parcel] = []
        self.open = asyncio.Event()
        self.open.set()
        self._changed = asyncio.Condition()

    async def put(self, parcel: Parcel) -> Receipt:
        await self.open.wait()
        self.parcels.append(parcel)
        assert parcel.position is None
        assert sum(run.count for run in parcel.runs) == len(parcel.items)
        async with self._changed:
            self._changed.notify_all()
        return Receipt(len(parcel.items), 0)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with self._changed:
            await self._changed.wait_for(condition)

    @property
    def items(self) -> list[bytes]:
        return [item for parcel in self.parcels for item in parcel.items]


@pytest.fixture
async def intake() -> StubIntake:
    return StubIntake()


@pytest.fixture
def pipe() -> Iterator[list[int]]:
    """The reading and the writing end; tests may close (and take out) the writing one."""
    ends = list(os.pipe())
    yield ends
    for end in ends:
        os.close(end)


def made(intake: StubIntake, descriptor: int) -> StdinSource:
    return StdinSource("in", StdinSettings(format="falco"), cast("Intake", intake), DECODERS, descriptor=descriptor)


async def test_lines_come_while_the_pipe_stays_open(intake: StubIntake, pipe: list[int]) -> None:
    source = made(intake, pipe[0])
    await source.start()
    async with asyncio.timeout(10):
        os.write(pipe[1], b'{"n":1}\n{"n"')
        await intake.until(lambda: intake.items == [b'{"n":1}'])
        os.write(pipe[1], b":2}\n\n")
        await intake.until(lambda: len(intake.items) == 2)
        os.write(pipe[1], b'{"n":3}')
        os.close(pipe.pop())
        await source.wait()
    await source.stop()
    assert intake.items == [b'{"n":1}', b'{"n":2}', b'{"n":3}']
    runs = [run for parcel in intake.parcels for run in parcel.runs]
    assert [(run.source, run.format, run.origin, run.record) for run in runs] == [
        ("in", "falco", "-", number) for number in (1, 2, 4)
    ]


async def test_under_load_lines_come_in_batches(intake: StubIntake, pipe: list[int]) -> None:
    source = made(intake, pipe[0])
    await source.start()
    lines = [b'{"n":%d}' % number for number in range(100_000)]
    text = b"\n".join(lines) + b"\n"

    def write() -> None:
        with os.fdopen(pipe.pop(), "wb", buffering=0) as file:
            file.write(text)

    intake.open.clear()
    writing = asyncio.create_task(asyncio.to_thread(write))
    intake.open.set()
    await writing
    await source.wait()
    await source.stop()
    assert intake.items == lines
    assert len(intake.parcels) < 100


async def test_a_redirected_file(intake: StubIntake, tmp_path: Path) -> None:
    path = tmp_path / "alerts"
    path.write_bytes(b'{"n":1}\n' * 300_000 + b"x" * (ITEM_BYTES_MAX + 1))
    with path.open("rb") as file:
        source = made(intake, file.fileno())
        await source.start()
        await source.wait()
        await source.stop()
    assert len(intake.items) == 300_001
    assert intake.items[-1].endswith(b"x[Truncated...]")


async def test_a_terminal(intake: StubIntake) -> None:
    ours, theirs = pty.openpty()
    try:
        source = made(intake, theirs)
        await source.start()
        os.write(ours, b'{"n":1}\n')
        await intake.until(lambda: intake.items == [b'{"n":1}'])
        end_of_file = cast("bytes", termios.tcgetattr(theirs)[6][termios.VEOF])
        os.write(ours, end_of_file)
        await source.wait()
        await source.stop()
    finally:
        os.close(ours)
        os.close(theirs)


async def test_stopping_hands_on_what_was_read(intake: StubIntake, pipe: list[int]) -> None:
    source = made(intake, pipe[0])
    await source.start()
    os.write(pipe[1], b'{"n":1}\n{"n"')
    await intake.until(lambda: bool(intake.items))
    await source.stop()
    await source.stop()
    await source.wait()
    assert intake.items == [b'{"n":1}', b'{"n"']


async def test_stopping_while_nothing_comes(intake: StubIntake, pipe: list[int]) -> None:
    source = made(intake, pipe[0])
    await source.stop()
    await source.start()
    await source.stop()
    await source.wait()
    assert intake.items == []


async def test_configuration_errors(intake: StubIntake, tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(ConfigError, match="is a directory"):
        await made(intake, folder).start()
    os.close(folder)
    with pytest.raises(ConfigError, match="is closed"):
        await made(intake, folder).start()
    with pytest.raises(ConfigError, match="known are"):
        StdinSource("in", StdinSettings(format="other"), cast("Intake", intake), DECODERS)


def test_settings_describe_every_field() -> None:
    assert all(field.description for field in StdinSettings.model_fields.values())
