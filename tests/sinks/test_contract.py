"""Every sink of the registry keeps the contract of sinks."""

import gc
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

from sinks import SINKS, SinkContext
from sinks.store import StoreReader
from tests.servers.kafka import Kafka
from vedette.runtime.sink import Sink
from vedette.testing.sinks import CONTRACT, SinkBench, StandingClock

from .kafka_bench import KafkaBench
from .opensearch_stub import OpenSearchStub
from .rt_bench import RtBench, contents_of, settings_for
from .rt_stub import RtStub
from .syslog_stub import SyslogStub
from .webhook_stub import WebhookStub


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

    def __init__(self, file: Path, redirect: Callable[[], None]) -> None:
        self._file = file
        self._redirect = redirect

    def make(self) -> Sink:
        self._redirect()  # here, since pytest sets standard output anew between a fixture and its test
        settings, factory = SINKS["stdout"]
        return factory("stdout", settings(), SinkContext(self._file.parent))

    def received(self) -> Sequence[dict[str, Any]]:
        content = self._file.read_bytes()
        assert content.isascii()
        whole = [line for line in content.split(b"\n") if line.endswith(b"}")]
        return [orjson.loads(line) for line in whole]


class WebhookBench:
    once = False

    def __init__(self, folder: Path, stub: WebhookStub) -> None:
        self._folder = folder
        self._stub = stub

    def make(self) -> Sink:
        settings, factory = SINKS["webhook"]
        url = f"http://127.0.0.1:{self._stub.port}/"
        return factory("webhook", settings.model_validate({"url": url}), SinkContext(self._folder))

    def received(self) -> Sequence[dict[str, Any]]:
        return self._stub.documents


class SyslogBench:
    once = False

    def __init__(self, folder: Path, stub: SyslogStub) -> None:
        self._folder = folder
        self._stub = stub

    def make(self) -> Sink:
        settings, factory = SINKS["syslog"]
        keys = {"host": "127.0.0.1", "port": self._stub.port, "tls": False}
        return factory("syslog", settings.model_validate(keys), SinkContext(self._folder, StandingClock()))

    def received(self) -> Sequence[dict[str, Any]]:
        return [orjson.loads(message.body) for message in self._stub.messages]


class AlertmanagerBench:
    once = False

    def __init__(self, folder: Path, stub: WebhookStub) -> None:
        self._folder = folder
        self._stub = stub

    def make(self) -> Sink:
        settings, factory = SINKS["alertmanager"]
        keys = {"url": f"http://127.0.0.1:{self._stub.port}", "document": True}
        return factory("alertmanager", settings.model_validate(keys), SinkContext(self._folder, StandingClock()))

    def received(self) -> Sequence[dict[str, Any]]:
        return [orjson.loads(alert["annotations"]["document"]) for alert in self._stub.documents]


class OpenSearchBench:
    once = True

    def __init__(self, folder: Path, stub: OpenSearchStub) -> None:
        self._folder = folder
        self._stub = stub

    def make(self) -> Sink:
        settings, factory = SINKS["opensearch"]
        context = SinkContext(self._folder, StandingClock())
        return factory("opensearch", settings.model_validate({"url": self._stub.url}), context)

    def received(self) -> Sequence[dict[str, Any]]:
        return sorted(self._stub.documents("vedette-alerts-*"), key=lambda found: found["unmapped"]["opened_ns"])


@pytest.fixture
def opensearch(tmp_path: Path) -> Iterator[SinkBench]:
    with OpenSearchStub() as stub:
        yield OpenSearchBench(tmp_path, stub)


@pytest.fixture
def kafka(tmp_path: Path, kafka: Kafka) -> SinkBench:
    return KafkaBench(tmp_path, kafka)


@pytest.fixture
def store(tmp_path: Path) -> SinkBench:
    return StoreBench(tmp_path)


@pytest.fixture
def stdout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SinkBench]:
    file = tmp_path / "out"
    with file.open("w") as stream:
        yield StdoutBench(file, lambda: monkeypatch.setattr(sys, "stdout", stream))
        monkeypatch.undo()


@pytest.fixture
async def webhook(tmp_path: Path) -> AsyncIterator[SinkBench]:
    async with WebhookStub() as stub:
        yield WebhookBench(tmp_path, stub)


@pytest.fixture
async def alertmanager(tmp_path: Path) -> AsyncIterator[SinkBench]:
    async with WebhookStub() as stub:
        yield AlertmanagerBench(tmp_path, stub)


@pytest.fixture
async def syslog(tmp_path: Path) -> AsyncIterator[SinkBench]:
    with SyslogStub() as stub:
        yield SyslogBench(tmp_path, stub)


@pytest.fixture
async def rt(tmp_path: Path) -> AsyncIterator[SinkBench]:
    async with RtStub() as stub:
        yield RtBench(tmp_path, settings_for(stub), lambda: [contents_of(ticket) for ticket in stub.open_tickets()])


OF_KAFKA = [pytest.mark.server, pytest.mark.filterwarnings("ignore::ResourceWarning")]
"""Its protocol is too much for a stub: the contract is kept with a real broker. A connection that is broken while
aiokafka 0.14 makes it is left to the garbage collector."""
KINDS = [pytest.param(kind, marks=OF_KAFKA if kind == "kafka" else []) for kind in SINKS]


@pytest.fixture
def bench(kind: str, request: pytest.FixtureRequest) -> Iterator[SinkBench]:
    found: SinkBench = request.getfixturevalue(kind)
    yield found
    if kind == "kafka":
        gc.collect()  # lest the next test is blamed


@pytest.mark.parametrize("check", CONTRACT.values(), ids=CONTRACT.keys())
@pytest.mark.parametrize("kind", KINDS)
async def test_contract(kind: str, check: Callable[[SinkBench], Awaitable[None]], bench: SinkBench) -> None:
    await check(bench)


@pytest.mark.parametrize("kind", SINKS)
def test_settings_have_defaults_descriptions_and_no_unknown_keys(kind: str) -> None:
    settings, _ = SINKS[kind]
    assert settings.model_config.get("extra") == "forbid"
    for name, field in settings.model_fields.items():
        assert ("Required." if field.is_required() else "Default:") in (field.description or ""), name
