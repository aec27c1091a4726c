"""A real agent that routes alerts and events to an endpoint, is refused, and is asked to try again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from vedette.app.ledger import read_ledger

from .agent import Agent, Outcome, audit_event, event_list, falco_alert, post, until

Vedette = Callable[..., Outcome]

pytestmark = [pytest.mark.simulation, pytest.mark.timeout(120)]


@dataclass
class Endpoint:
    """Takes documents by POST; answers each path with the status it is told."""

    port: int = 0
    status: dict[str, int] = field(default_factory=dict[str, int])
    asked: list[str] = field(default_factory=list[str])
    taken: dict[str, list[dict[str, Any]]] = field(default_factory=dict[str, list[dict[str, Any]]])

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        path = head.split()[1]
        length = next(int(line.partition(":")[2]) for line in head.splitlines() if line.startswith("content-length"))
        document = json.loads(await reader.readexactly(length))
        status = self.status.get(path, 200)
        self.asked.append(path)
        if status == 200:
            self.taken.setdefault(path, []).append(document)
        writer.write(f"HTTP/1.1 {status} Said So\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    made = Endpoint()
    async with await asyncio.start_server(made.serve, "127.0.0.1", 0) as server:
        made.port = server.sockets[0].getsockname()[1]
        yield made


@pytest.fixture
async def agent(tmp_path: Path, endpoint: Endpoint) -> AsyncIterator[Agent]:
    def hook(path: str, **entry: Any) -> dict[str, Any]:
        return {"webhook": {"url": f"http://127.0.0.1:{endpoint.port}{path}"}, **entry}

    sinks = {
        "store": {"store": {}},
        "audited": hook("/audited", filter={"sources": ["aud*"], "tags": []}, min_level="low"),
        "others": hook("/others", exclude={"sources": ["audit"]}),
        "raw": hook("/raw", log="events", filter={"formats": ["falco"]}),
    }
    made = Agent(tmp_path, sinks=sinks)
    await made.start()
    yield made
    if made.alive:
        assert made.end() == 0


async def send(agent: Agent, name: str) -> None:
    """An audited write, a broken audit record, and a Falco alert."""
    good = json.dumps(audit_event(name)).encode()
    assert (await post(agent.audit, "/k8s-audit", event_list([good, b'{"level": 5}']))).accepted
    assert (await post(agent.falco, "/", json.dumps(falco_alert(name)).encode())).accepted


def letters(vedette: Vedette, agent: Agent, *options: str) -> list[dict[str, Any]]:
    return vedette("dead-letters", "list", "--format", "json", *options, "--config", agent.config).lines


async def test_alerts_and_events_go_where_they_are_sent(agent: Agent, endpoint: Endpoint) -> None:
    await send(agent, "one")
    await agent.settled()
    # Beside the rule's finding there is Falco's own.
    taken = {path: len(documents) for path, documents in endpoint.taken.items()}
    assert taken == {"/audited": 1, "/others": 2, "/raw": 1}
    accounts = {account.delivery: account for account in read_ledger(agent.data).deliveries}
    assert {name: account.suppressed > 0 for name, account in accounts.items()} == {
        "store": False,
        "audited": True,
        "others": True,
        "raw": True,
    }
    assert accounts["raw"].log == "events"
    agent.assert_balanced()


async def test_a_failing_sink_is_named_and_holds_up_no_other(
    agent: Agent, endpoint: Endpoint, vedette: Vedette
) -> None:
    def failing() -> list[str]:
        status = vedette("status", "--format", "json", "--config", agent.config).lines[0]
        found: list[str] = status["sinks_failing"]
        return found

    endpoint.status = {"/others": 503}
    await send(agent, "one")
    await until(lambda: len(endpoint.taken.get("/raw", [])) == len(endpoint.taken.get("/audited", [])) == 1)
    named = await asyncio.to_thread(failing)
    assert [each.partition(": ")[0] for each in named] == ["others"]
    assert "503" in named[0]
    endpoint.status = {}
    await agent.settled()
    assert await asyncio.to_thread(failing) == []
    agent.assert_balanced()


async def test_what_was_refused_is_replayed(agent: Agent, endpoint: Endpoint, vedette: Vedette) -> None:
    config = ("--config", agent.config)

    async def replay(*arguments: object) -> Outcome:
        return await asyncio.to_thread(vedette, "dead-letters", "replay", *arguments, *config)

    endpoint.status = dict.fromkeys(("/audited", "/raw"), 422)
    await send(agent, "one")
    await agent.settled()
    assert [(each["id"], each["kind"]) for each in letters(vedette, agent)] == [
        ("r1", "record"),
        ("d1", "delivery"),
        ("d2", "delivery"),
    ]
    ((refused,), (event,)) = (letters(vedette, agent, "--sink", name) for name in ("audited", "raw"))
    assert (refused["log"], refused["source"], event["log"]) == ("alerts", "audit", "events")
    assert "422" in refused["reason"]
    shown = vedette("dead-letters", "show", refused["id"], "--raw", *config)
    assert shown.lines[0]["finding_info"]["title"] == "Each audited write"

    endpoint.status = {"/raw": 400}
    done = await replay("--all", "--sink", "audited")
    assert (done.status, done.out) == (0, "0 records taken in again, 1 delivery queued\n")
    await until(lambda: len(endpoint.taken.get("/audited", [])) == 1)
    await until(lambda: not letters(vedette, agent, "--sink", "audited"))

    done = await replay("r1", event["id"], "d999", "77")
    assert (done.status, done.out) == (1, "1 record taken in again, 1 delivery queued, 2 not found\n")
    await until(lambda: "400" in letters(vedette, agent, "--sink", "raw")[0]["reason"])
    await until(lambda: len(letters(vedette, agent, "--source", "audit")) == 2)  # it is as broken as it was
    assert [each["replayed"] != "" for each in letters(vedette, agent, "--source", "audit")] == [True, False]

    done = await replay("1", "--format", "json")
    assert (done.status, done.lines[0]["records"], done.lines[0]["before"]) == (1, 0, 1)
    assert (await replay("1", "--again")).status == 0
    await until(lambda: len(letters(vedette, agent, "--source", "audit")) == 3)
    assert (
        await replay("--all", "--reason", "nothing says this")
    ).out == "0 records taken in again, 0 deliveries queued\n"
    await agent.settled()
    agent.assert_balanced()


async def test_a_queue_outlives_a_kill(agent: Agent, endpoint: Endpoint, vedette: Vedette) -> None:
    endpoint.status = {"/audited": 422}
    await send(agent, "one")
    await agent.settled()
    endpoint.status = {"/audited": 503}
    asked = len(endpoint.asked)
    assert agent.run("dead-letters", "replay", "d1").status == 0
    await until(lambda: len(endpoint.asked) > asked)
    agent.kill()
    endpoint.status = {}
    await agent.start()
    await until(lambda: endpoint.taken.get("/audited"))
    await until(lambda: not letters(vedette, agent, "--sink", "audited"))
    agent.assert_balanced()


async def test_the_agent_is_needed_and_the_call_must_make_sense(agent: Agent, vedette: Vedette) -> None:
    assert agent.end() == 0
    for arguments, status, message in (
        (["d1"], 3, "it is the agent that replays. Start it with `vedette run"),
        (["--all"], 3, "no agent runs on"),
        ([], 2, "name dead letters by their ids, or all of them with --all"),
        (["d1", "--all"], 2, "or all of them with --all"),
        (["d1", "--sink", "raw"], 2, "leave them out where ids are named"),
        (["x1"], 2, "`x1` names no dead letter; write r17 (or 17) for a record, d4 for a delivery"),
        (["r0"], 2, "`r0` names no dead letter"),
        (["d\x1b[2J"], 2, "`d\\x1b[2J` names no dead letter"),
    ):
        done = vedette("dead-letters", "replay", *arguments, "--config", agent.config)
        assert (done.status, done.out) == (status, "")
        assert message in done.err
