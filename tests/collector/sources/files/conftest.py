"""What the tests of `files` share: a decoder of plain lines, a log of what was read, and a stand-in for intake."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple, cast

import pytest

from collector.sources.files.marks import encode
from collector.sources.files.settings import FilesSettings
from collector.sources.files.watch import Watch
from vedette.runtime.parcel import Parcel, Receipt
from vedette.schema.event import Decoder
from vedette.schema.record import Piece

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from collector.sources.files.tail import Stretch


class LineDecoder:
    """Every line that is not blank is a record; `fields …` is a header, which sets the context of what follows."""

    name = "lines"

    def split(self, body: bytes, context: str = "", record: int = 1) -> list[Piece]:
        pieces = [Piece([], context, record)]
        for number, line in enumerate(body.split(b"\n"), record):
            if line.startswith(b"fields "):
                pieces.append(Piece([], line[7:].decode(), number + 1))
            elif line.strip():
                if number != pieces[-1].record + len(pieces[-1].items):
                    pieces.append(Piece([], pieces[-1].context, number))
                pieces[-1].items.append(line.rstrip(b"\r"))
        return pieces


LINES = cast("Decoder", LineDecoder())


class Got(NamedTuple):
    """One record as it was handed on."""

    item: bytes
    origin: str
    record: int
    context: str


def records_of(parcel: Parcel | Stretch) -> list[Got]:
    got: list[Got] = []
    for run in parcel.runs:
        items = parcel.items[len(got) : len(got) + run.count]
        got += [Got(item, run.origin, run.record + at, run.context) for at, item in enumerate(items)]
    assert len(got) == len(parcel.items), "the runs describe all items"
    return got


class Reading:
    """Drives a `Watch` on a clock of its own; keeps what is committed, as intake would."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.folder = folder
        self.now_s = 1000.0
        self.settings = FilesSettings.model_validate(
            {"paths": [f"{folder}/*.log*"], "format": "lines", "rotate_wait_s": 60} | settings
        )
        self.positions: dict[str, str] = {}
        self.got: list[Got] = []
        self.watch = self._open()

    def _open(self) -> Watch:
        return Watch("test", self.settings, LINES, dict(self.positions), lambda: self.now_s)

    def round(self, *, commit: bool = True) -> bool:
        """One round; whether there may be more. Not committed: lost as in a crash, so `restart` afterwards."""
        self.now_s += 1
        done = self.watch.round()
        if commit:
            for stretch in done.stretches:
                self.positions[stretch.partition] = encode(stretch.mark)
                self.got += records_of(stretch)
        return done.busy

    def settle(self) -> Reading:
        while self.round():
            pass
        return self

    def wait_out(self) -> Reading:
        """Let `rotate_wait_s` pass."""
        self.settle()
        self.now_s += self.settings.rotate_wait_s
        return self.settle()

    def restart(self) -> Reading:
        self.watch.close()
        self.watch = self._open()
        return self

    @property
    def items(self) -> list[bytes]:
        return [got.item for got in self.got]

    def take(self) -> list[bytes]:
        """What came since the last time."""
        items, self.got = self.items, []
        return items


class StubIntake:
    """Commits what is put, in order; can delay (`open`), and stop committing (`commits_left`), as a crash would."""

    def __init__(self) -> None:
        self.got: list[Got] = []
        self.committed: dict[str, str] = {}
        self.parcels: list[Parcel] = []
        self.commits_left = 10**9
        self.open = asyncio.Event()
        self.open.set()
        self._changed = asyncio.Condition()

    def positions(self, source: str) -> Mapping[str, str]:
        return dict(self.committed)

    async def put(self, parcel: Parcel) -> Receipt:
        await self.open.wait()
        if not self.commits_left:
            await asyncio.Event().wait()
        self.commits_left -= 1
        assert parcel.size_bytes == sum(map(len, parcel.items))
        self.parcels.append(parcel)
        self.got += records_of(parcel)
        if parcel.position:
            self.committed[parcel.position.partition] = parcel.position.value
        receipt = Receipt(len(parcel.items), 0)
        parcel.settle(receipt)
        async with self._changed:
            self._changed.notify_all()
        return receipt

    async def until(self, condition: Callable[[], bool]) -> None:
        async with self._changed:
            await self._changed.wait_for(condition)

    @property
    def items(self) -> list[bytes]:
        return [got.item for got in self.got]

    def room_bytes(self) -> int:
        raise NotImplementedError

    def offer(self, parcel: Parcel) -> None:
        raise NotImplementedError

    def refused(self, source: str, records: int) -> None:
        raise NotImplementedError


@pytest.fixture
def reading(tmp_path: Path) -> Callable[..., Reading]:
    opened: list[Reading] = []

    def make(**settings: object) -> Reading:
        opened.append(Reading(tmp_path, **settings))
        return opened[-1]

    return make


@pytest.fixture
def reading_class() -> type[Reading]:
    return Reading


@pytest.fixture
def decoder() -> Decoder:
    return LINES


@pytest.fixture
async def intake() -> StubIntake:
    return StubIntake()
