"""Dead letters that go again: what intake is handed, and that a crash or a refusal in between doubles nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from vedette.journal.protocol import DeadLetter, DetectCommit
from vedette.journal.sqlite import DataFolder, SqliteEventReader, SqliteIntakeLog
from vedette.journal.sqlite.intake_reader import segment_paths
from vedette.pipeline.deliver import DeliverRole
from vedette.pipeline.replay import Replay, Replayed, ReplayRequest
from vedette.runtime.parcel import Parcel, Receipt
from vedette.schema.errors import TransientError
from vedette.schema.limits import DEAD_LETTER_BYTES_MAX
from vedette.schema.record import Run

from .conftest import Bench

CONTEXT = "version account-id"


class Door:
    """Intake, as sources see it: takes what is offered, or refuses."""

    def __init__(self) -> None:
        self.parcels: list[Parcel] = []
        self.refusal: TransientError | None = None
        self.refuses_after = 0

    def offer(self, parcel: Parcel) -> None:
        if self.refusal is not None and len(self.parcels) >= self.refuses_after:
            parcel.settle(self.refusal)
            return
        self.parcels.append(parcel)
        parcel.settle(Receipt(len(parcel.items), 0))

    def room_bytes(self) -> int:
        return 1 << 30

    async def put(self, parcel: Parcel) -> Receipt:
        raise NotImplementedError

    def refused(self, source: str, records: int) -> None:
        raise NotImplementedError

    def positions(self, source: str) -> dict[str, str]:
        return {}


class World(Bench):
    """Dead letters with their records in the intake log."""

    def __init__(self, folder: Path) -> None:
        self.data = DataFolder(folder)
        self.data.create()
        super().__init__(folder)
        self.intake = SqliteIntakeLog(self.data.intake)
        self.door = Door()
        self.reader = SqliteEventReader(self.data.intake)
        self.replayer = Replay(self.thread, self.reader, self.door, DeliverRole([], None), self.clock)  # type: ignore[arg-type]

    async def die(self, *payloads: bytes, source: str = "vpc", origin: str = "/flow.log") -> None:
        """Let records be received and set aside."""
        run = Run(source, "vpc_flow", len(payloads), CONTEXT, origin, 7, hashed=not origin)
        first = self.intake.last_seq() + 1
        self.intake.append([Parcel(source, [run], list(payloads), lambda _: None, 1)], now_ns=1)
        letters = [
            DeadLetter(
                *(first + number, 1, source, "vpc_flow", origin, 7 + number, "detect", "broken", "", payload[:65536]),
                CONTEXT,
            )
            for number, payload in enumerate(payloads)
        ]
        commit = DetectCommit(first + len(payloads) - 1, 1, b"", dead_letters=letters)
        await self.thread.call(self.thread.core.commit_detect, commit)

    def marked(self) -> list[bool]:
        return [letter.replayed_ns > 0 for _, letter in self.core.dead_letters()]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path / "data")
    yield made
    await made.replayer.close()
    await made.thread.close()
    made.core.close()
    made.intake.close()


async def test_a_record_goes_whole_and_as_it_came(world: World) -> None:
    whole = b"x" * (DEAD_LETTER_BYTES_MAX + 5)
    await world.die(b"first", whole)
    assert await world.replayer.replay([2], []) == Replayed(1, 0, 0, 0, 0)
    (parcel,) = world.door.parcels
    assert parcel.items == [whole]
    assert parcel.runs == [Run("vpc", "vpc_flow", 1, CONTEXT, "/flow.log", 8)]
    assert not parcel.runs[0].hashed, "it is no repeat of what it was"
    assert world.marked() == [False, True]


async def test_each_source_has_its_own_parcel(world: World) -> None:
    await world.die(b"1", b"2")
    await world.die(b"3", source="edge", origin="")
    await world.die(b"4")
    assert (await world.replayer.replay([4, 3, 1], [])).records == 3
    assert [(parcel.source, parcel.items) for parcel in world.door.parcels] == [("vpc", [b"1", b"4"]), ("edge", [b"3"])]


async def test_a_record_goes_once_but_on_demand(world: World) -> None:
    await world.die(b"1", b"2")
    await world.replayer.replay([1], [])
    assert await world.replayer.replay([1, 2, 3], []) == Replayed(1, 0, 1, 1, 0)
    assert await world.replayer.replay([1], [], again=True) == Replayed(1, 0, 0, 0, 0)
    assert [parcel.items for parcel in world.door.parcels] == [[b"1"], [b"2"], [b"1"]]


async def test_after_its_segment_what_the_letter_kept_goes_unless_it_is_cut(world: World) -> None:
    await world.die(b"small", b"x" * (DEAD_LETTER_BYTES_MAX + 1))
    world.reader.release()
    world.intake.close()
    segment_paths(world.data.intake)[0].unlink()
    assert await world.replayer.replay([1, 2], []) == Replayed(1, 0, 0, 0, 1)
    assert world.door.parcels[0].runs == [Run("vpc", "vpc_flow", 1, CONTEXT, "/flow.log", 7)]
    assert world.marked() == [True, False]


async def test_control_records_are_not_taken_in(world: World) -> None:
    await world.die(b"{", source="vedette")
    assert await world.replayer.replay([1], []) == Replayed(0, 0, 1, 0, 0)
    assert world.door.parcels == []


async def test_what_intake_refuses_is_not_marked(world: World) -> None:
    await world.die(b"1")
    await world.die(b"2", source="edge")
    world.door.refusal, world.door.refuses_after = TransientError("the disk is full; free some space"), 1
    with pytest.raises(TransientError, match="1 records were taken in again before that"):
        await world.replayer.replay([1, 2], [])
    assert world.marked() == [True, False]
    world.door.refusal = None
    assert await world.replayer.replay([1, 2], []) == Replayed(1, 0, 0, 1, 0)


async def test_a_crash_after_the_mark_doubles_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.die(b"1")

    def crash(parcel: Parcel) -> None:
        assert world.marked() == [True], "marked first"
        raise RuntimeError("the power went")

    monkeypatch.setattr(world.door, "offer", crash)
    with pytest.raises(RuntimeError):
        await world.replayer.replay([1], [])
    monkeypatch.undo()
    assert await world.replayer.replay([1], []) == Replayed(0, 0, 0, 1, 0)
    assert await world.replayer.replay([1], [], again=True) == Replayed(1, 0, 0, 0, 0)


async def test_large_records_go_in_bounded_parcels(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vedette.pipeline.replay.CHUNK_BYTES_MAX", 10)
    await world.die(*[b"xxxx"] * 7)
    assert (await world.replayer.replay(list(range(1, 8)), [])).records == 7
    assert [len(parcel.items) for parcel in world.door.parcels] == [3, 3, 1]


@pytest.mark.parametrize(
    "request_",
    [
        {"records": "1"},
        {"records": [0]},
        {"records": [True]},
        {"records": [1 << 63]},
        {"deliveries": ["d1"]},
        {"deliveries": list(range(1, 102))},
        {"again": 1},
    ],
    ids=str,
)
def test_a_request_that_makes_no_sense_is_refused(request_: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(request_, ReplayRequest)
