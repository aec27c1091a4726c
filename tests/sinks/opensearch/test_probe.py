"""What `vedette doctor` is told about an OpenSearch: each thing once, with a remedy, and in bounded time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import sinks.opensearch.probe as probing
from sinks.opensearch import OpenSearchSettings, OpenSearchSink
from tests.sinks.opensearch_stub import OpenSearchStub, Refusal, Stored, Trouble
from vedette.runtime.check import Check
from vedette.runtime.sink_context import SinkContext

TODAY = "vedette-alerts-2026.11.21"


@pytest.fixture
def stub() -> Iterator[OpenSearchStub]:
    with OpenSearchStub() as found:
        found.indices[TODAY] = {"a": Stored(1, b"{}")}
        yield found


async def probe(stub: OpenSearchStub, **more: Any) -> list[Check]:
    settings = OpenSearchSettings.model_validate({"url": stub.url, **more})
    sink = OpenSearchSink("search", settings, SinkContext(Path()))
    try:
        return list(await sink.probe())
    finally:
        await sink.stop()


async def test_all_is_well(stub: OpenSearchStub) -> None:
    checks = await probe(stub)
    assert [check.what for check in checks] == [
        f"reach {stub.url}",
        f"find OpenSearch 2.x or 3.x at {stub.url}",
        "look at the cluster's health: green",
        "look at the index template vedette-alerts: not there yet, Vedette installs it when it starts",
        "look at the index template vedette-events: not there yet, Vedette installs it when it starts",
        "look for blocks on vedette-alerts-*,vedette-events-*",
        f"write to {TODAY}",
    ]
    assert all(check.ok for check in checks)
    assert stub.templates == {}
    assert stub.indices == {TODAY: {"a": Stored(1, b"{}")}}


def elasticsearch(stub: OpenSearchStub) -> None:
    stub.info = {"version": {"number": "8.15.0"}, "tagline": "You Know, for Search"}


def ancient(stub: OpenSearchStub) -> None:
    stub.info = {"version": {"distribution": "opensearch", "number": "1.3.0"}}


def something_else(stub: OpenSearchStub) -> None:
    stub.info = {"couchdb": "Welcome"}


def red(stub: OpenSearchStub) -> None:
    stub.health = {"status": "red"}


def foreign(stub: OpenSearchStub) -> None:
    stub.templates["vedette-events"] = {"index_patterns": ["*"]}


def blocked(stub: OpenSearchStub) -> None:
    stub.index_settings[TODAY] = {"index.blocks.read_only_allow_delete": "true"}


def forbidden(stub: OpenSearchStub) -> None:
    stub.refuse = lambda index, document_id, source: Refusal(403, "security_exception", "no permissions")


def failing(stub: OpenSearchStub) -> None:
    stub.trouble = Trouble(503)


def garbage(stub: OpenSearchStub) -> None:
    stub.trouble = Trouble(200, b"<html>\x1b[2J")


def hanging(stub: OpenSearchStub) -> None:
    stub.trouble = Trouble(hang=True)


@pytest.mark.parametrize(
    ("set_up", "problem", "remedy"),
    [
        (elasticsearch, "Elasticsearch 8.15.0", "OpenSearch 2.x or 3.x"),
        (ancient, "OpenSearch 1.3.0", "OpenSearch 2.x or 3.x"),
        (something_else, "no OpenSearch", "OpenSearch 2.x or 3.x"),
        (garbage, "no OpenSearch", "OpenSearch 2.x or 3.x"),
        (red, "it is red", "allocation/explain"),
        (foreign, "not Vedette's", "index_prefix"),
        (blocked, "read_only_allow_delete", "free disk"),
        (forbidden, "no permissions", "role"),
        (failing, "503", "log"),
        (hanging, "did not answer within 0.3 s", "network"),
    ],
)
async def test_one_thing_is_wrong(
    set_up: Callable[[OpenSearchStub], None], problem: str, remedy: str, stub: OpenSearchStub
) -> None:
    set_up(stub)
    found = [check for check in await probe(stub, timeout_s=0.3) if not check.ok]
    assert len(found) == 1
    assert problem in found[0].problem
    assert remedy in found[0].remedy
    assert (found[0].what + found[0].problem).isprintable()


async def test_a_wrong_password() -> None:
    with OpenSearchStub(user=("vedette", "right")) as stub:
        (reached, login) = await probe(stub, username="vedette", password="wrong")
        assert reached.ok
        assert login.what == f"log in at {stub.url} as vedette"
        assert login.remedy == "correct username and password"
        (_, asked) = await probe(stub)
        assert "401" in asked.problem


async def test_every_address_is_tried(stub: OpenSearchStub, unused_tcp_port: int) -> None:
    checks = await probe(stub, url=[f"http://127.0.0.1:{unused_tcp_port}", stub.url])
    assert [check.ok for check in checks] == [False] + [True] * (len(checks) - 1)
    assert len(checks) > 5


async def test_without_an_index_writing_is_not_tried(stub: OpenSearchStub) -> None:
    stub.indices.clear()
    checks = await probe(stub)
    assert checks[-1] == Check("write: not tried, there is no index yet")
    assert stub.bulks() == []


async def test_a_file_that_cannot_be_read(stub: OpenSearchStub) -> None:
    (check,) = await probe(stub, username="vedette", password_file="/nowhere")
    assert "password_file: cannot read" in check.problem


async def test_time_is_bounded(stub: OpenSearchStub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "PROBE_S", 0.3)
    stub.trouble = Trouble(drip=True)
    began = time.monotonic()
    checks = await probe(stub, timeout_s=60)
    assert time.monotonic() - began < 4
    assert "the time was up" in checks[-1].problem


async def test_garbage_behind_a_good_front(stub: OpenSearchStub) -> None:
    stub.health = {"state": "?"}
    checks = await probe(stub)
    assert "can't be read" in checks[-1].problem
