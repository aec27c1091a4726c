"""Commits of intake gather what comes often, and keep nothing waiting that comes alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from vedette.journal.protocol import Appended, Chunk
from vedette.journal.sqlite import DataFolder
from vedette.pipeline import intake
from vedette.pipeline.control_record import ControlRecord
from vedette.pipeline.intake import IntakeRole
from vedette.pipeline.tail import Tail
from vedette.runtime.parcel import Parcel, Receipt
from vedette.schema.errors import TransientError
from vedette.schema.limits import GATHER_ITEMS_MIN, GATHER_SKIPS
from vedette.schema.record import Run

FOR_EVER_S = 3600.0
"""A commit that waits for its interval does not come within the test."""


class Log:
    """Remembers the sizes of the groups that were committed together."""

    shortened = 0

    def __init__(self) -> None:
        self.groups: list[int] = []

    def positions(self) -> dict[str, dict[str, str]]:
        return {}

    def append(self, submissions: Sequence[Parcel], **_: Any) -> Appended:
        self.groups.append(len(submissions))
        return Appended([(1, 0)] * len(submissions), [])

    def append_control(self, payload: bytes, **_: Any) -> Appended:
        self.groups.append(0)
        return Appended([], [])

    def retire(self, **_: Any) -> int:
        return 0


class Clock:
    def now_ns(self) -> int:
        return 1


class World:
    def __init__(self, folder: Path) -> None:
        self.log = Log()
        data = DataFolder(folder)
        data.create()
        self.role = IntakeRole(self.log, data, Tail(), Clock(), keep_after_seq=lambda: 0)  # type: ignore[arg-type]

    def offer(self) -> asyncio.Future[Receipt | TransientError]:
        done: asyncio.Future[Receipt | TransientError] = asyncio.get_running_loop().create_future()
        self.role.offer(Parcel("s", [Run("s", "f", 1)], [b"x"], done.set_result, 1))
        return done


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(intake, "COMMIT_INTERVAL_S", FOR_EVER_S)
    made = World(tmp_path / "data")
    made.role._committing_s = -2 * FOR_EVER_S  # the last commit was long ago
    running = asyncio.create_task(made.role.run())
    yield made
    made.role.stop()
    await running


async def test_a_parcel_that_comes_alone_is_committed_at_once(world: World) -> None:
    assert await world.offer() == Receipt(1, 0)
    assert world.log.groups == [1]


async def test_parcels_that_come_often_share_a_commit_which_waits_for_no_more_than_enough(world: World) -> None:
    await world.offer()
    await asyncio.gather(*(world.offer() for _ in range(GATHER_ITEMS_MIN)))
    assert world.log.groups == [1, GATHER_ITEMS_MIN]


async def test_enough_is_what_came_last_time(world: World) -> None:
    first = [world.offer() for _ in range(3 * GATHER_ITEMS_MIN)]
    await asyncio.gather(*first)
    again = [world.offer() for _ in range(3 * GATHER_ITEMS_MIN - 1)]
    await asyncio.sleep(0)
    assert not any(done.done() for done in again)
    await asyncio.gather(world.offer(), *again)
    assert world.log.groups == [len(first), len(first)]


async def test_a_sender_that_waits_for_each_answer_waits_for_the_interval_once_in_a_while(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.offer()
    monkeypatch.setattr(intake, "COMMIT_INTERVAL_S", 0.001)
    while not world.role._skips:
        await world.offer()
    monkeypatch.setattr(intake, "COMMIT_INTERVAL_S", FOR_EVER_S)
    for _ in range(GATHER_SKIPS):
        await world.offer()
    assert set(world.log.groups) == {1}


@pytest.mark.parametrize("what", ["control", "stop"])
async def test_control_records_and_the_end_wait_for_nothing(world: World, what: str) -> None:
    await world.offer()
    waiting = world.offer()
    await asyncio.sleep(0)
    if what == "control":
        await world.role.control(ControlRecord("start"))
    world.role.stop()
    assert await waiting == Receipt(1, 0)


def chunk(seq: int, count: int) -> Chunk:
    return Chunk(seq, 1, [Run("s", "f", count)], [b"x"] * count, count)


def test_the_tail_knows_where_the_log_ends() -> None:
    tail = Tail()
    assert not tail.ends_at(0), "what was there before it is not known"
    tail.push([chunk(5, 3)])
    assert tail.ends_at(7)
    assert not tail.ends_at(6)
    assert tail.read(7, items_max=9) == []
    assert tail.ends_at(7)
