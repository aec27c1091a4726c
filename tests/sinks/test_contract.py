"""Every sink of the registry keeps the contract of sinks."""

import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

from sinks import SINKS, SinkContext
from sinks.store import StoreReader
from vedette.runtime.sink import Sink
from vedette.testing.sinks import CONTRACT, SinkBench, StandingClock


class StoreBench:
    once = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def make(self) -> Sink:
        settings, factory = SINKS["store"]
        return factory("store", settings(), SinkContext(self._folder, StandingClock()))

    def received(self) -> Sequence[dict[str, Any]]:
        reader = StoreReader(self._folder / "store.db")
        try:
            return [reader.get(row.alert_id) for row in reversed(reader.list())]
        finally:
            reader.close()


class StdoutBench:
    once = False

    def __init__(self, file: Path) -> None:
        self._file = file

    def make(self) -> Sink:
        settings, factory = SINKS["stdout"]
        return factory("stdout", settings(), SinkContext(self._file.parent))

    def received(self) -> Sequence[dict[str, Any]]:
        content = self._file.read_bytes()
        assert content.isascii()
        whole = [line for line in content.split(b"\n") if line.endswith(b"}")]
        return [orjson.loads(line) for line in whole]


@pytest.fixture
def store(tmp_path: Path) -> SinkBench:
    return StoreBench(tmp_path)


@pytest.fixture
def stdout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SinkBench]:
    file = tmp_path / "out"
    with file.open("w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        yield StdoutBench(file)
        monkeypatch.undo()


@pytest.mark.parametrize("check", CONTRACT.values(), ids=CONTRACT.keys())
@pytest.mark.parametrize("kind", SINKS)
async def test_contract(
    kind: str, check: Callable[[SinkBench], Awaitable[None]], request: pytest.FixtureRequest
) -> None:
    await check(request.getfixturevalue(kind))


@pytest.mark.parametrize("kind", SINKS)
def test_settings_have_defaults_descriptions_and_no_unknown_keys(kind: str) -> None:
    settings, _ = SINKS[kind]
    assert settings() == settings.model_validate({})
    assert settings.model_config.get("extra") == "forbid"
    assert all(field.description and "Default:" in field.description for field in settings.model_fields.values())
