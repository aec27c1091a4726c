"""What the journal's tests share: where the segments lie, and parcels of which only the content matters."""

from pathlib import Path
from typing import Protocol

import pytest

from vedette.runtime.parcel import Parcel
from vedette.schema.record import Position, Run


class MakeParcel(Protocol):
    def __call__(
        self, *items: bytes, source: str = ..., hashed: bool = ..., position: Position | None = ...
    ) -> Parcel: ...


@pytest.fixture
def segments(tmp_path: Path) -> Path:
    folder = tmp_path / "intake"
    folder.mkdir()
    return folder


@pytest.fixture
def parcel() -> MakeParcel:
    def make(*items: bytes, source: str = "push", hashed: bool = False, position: Position | None = None) -> Parcel:
        runs = [Run(source, "falco", len(items), hashed=hashed)]
        return Parcel(source, runs, list(items), lambda outcome: None, sum(map(len, items)), position)

    return make
