"""A real agent takes alerts from a Falco that speaks gRPC, and they become stored alerts."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from collector.sources.falco_grpc.connection import WINDOW_BYTES
from collector.sources.falco_grpc.hold import RECORDS_MAX
from tests.collector.sources.falco_grpc.falco import Certificates, Falco, alert
from vedette.app.ledger import read_ledger
from vedette.journal.sqlite import SqliteIntakeReader
from vedette.schema.limits import MIB

from .agent import FALCO_RULE, Agent, titled, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

MEMORY_BYTES_MAX = 24 * MIB
"""What the agent may grow by in 80,000 alerts: chunks of committed records are kept up to a bound."""


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


@pytest.fixture
async def secured(certificates: Certificates) -> AsyncIterator[Falco]:
    server = Falco("127.0.0.1:0", certificates.credentials())
    await server.start()
    yield server
    await server.kill()


@pytest.fixture
async def falco(tmp_path: Path) -> AsyncIterator[Falco]:
    server = Falco(f"unix://{tmp_path}/falco.sock")
    await server.start()
    yield server
    await server.kill()


def agent_of(folder: Path, falco: Falco, *, rules: str = "", **more: Any) -> Agent:
    """Alerts are revised at once, so that what is stored says soon how many there were."""
    often = {"revision_interval_s": 0.1, "revision_interval_s_max": 0.2}
    sources = {"runtime": {"falco_grpc": {"address": falco.address, **more}}}
    return Agent(folder, rules=rules, sources=sources, alerts=often)


def stored(agent: Agent) -> list[int]:
    """The number of each alert in the archive."""
    with contextlib.closing(SqliteIntakeReader(agent.data.intake)) as intake:
        chunks = [chunk for chunk in intake.scan() if chunk.runs[0].source == "runtime"]
    return [int(json.loads(item)["output_fields"]["proc.pid"]) for chunk in chunks for item in chunk.items]


def told(agent: Agent) -> int:
    """How often Falco's rule has fired, by what is stored."""
    return sum(found["count"] for found in titled(agent.alerts(), "Terminal shell in container"))


async def test_alerts_come_through_the_socket_and_are_stored(tmp_path: Path, falco: Falco) -> None:
    agent = agent_of(tmp_path, falco, rules=FALCO_RULE)
    falco.push(*map(alert, range(50)))
    falco.push(b"\xff no alert", alert(50, rule="Falco internal: syscall event drop", source="internal"))
    await agent.start()
    await until(lambda: agent.received() == 52)
    await agent.settled()
    await until(lambda: told(agent) == 50)
    await agent.settled()
    assert len(titled(agent.alerts(), "Each Falco alert")) == 50
    (source,) = read_ledger(agent.data).sources
    assert (source.received, source.dead_lettered, source.duplicate) == (52, 1, 0)
    doctor = await asyncio.to_thread(agent.run, "doctor", "--format", "json")  # the server here must have its turn
    assert f"reach Falco's gRPC server at {falco.address}" in {line["what"] for line in doctor.lines if line["ok"]}
    assert await asyncio.to_thread(agent.end) == 0
    agent.assert_balanced()


@pytest.mark.parametrize("method", ["sub", pytest.param("get", marks=pytest.mark.simulation)])
async def test_an_agent_that_is_stopped_loses_nothing(tmp_path: Path, falco: Falco, method: str) -> None:
    """It takes what Falco is sending, and Falco keeps the rest until it is back."""
    agent = agent_of(tmp_path, falco, method=method)
    pushed = 0
    for _ in range(2):
        falco.push(*map(alert, range(pushed, pushed + 1_000)))  # nobody is there
        await agent.start()
        falco.push(*map(alert, range(pushed + 1_000, pushed + 2_000)))
        pushed += 2_000
        await until(lambda: falco.sent == pushed)  # noqa: B023 - awaited before it changes
        assert await asyncio.to_thread(agent.end) == 0
    await agent.start()
    await agent.settled()
    await until(lambda: told(agent) >= pushed)
    assert told(agent) == agent.received() == pushed
    assert await asyncio.to_thread(agent.end) == 0
    agent.assert_balanced()


@pytest.mark.simulation
async def test_an_agent_that_is_killed_loses_no_more_than_it_held(tmp_path: Path, falco: Falco) -> None:
    agent, pushed, kills = agent_of(tmp_path, falco), 0, 3
    for _ in range(kills):
        falco.push(*map(alert, range(pushed, pushed + 10_000)))
        pushed += 10_000
        before = falco.sent
        await agent.start()
        await until(lambda: falco.sent > before + 3_000)  # noqa: B023 - awaited before it changes
        agent.kill()
    await agent.start()
    await until(lambda: not falco.queue)
    assert await asyncio.to_thread(agent.end) == 0
    found = stored(agent)
    assert found == sorted(set(found)), "nothing twice, nothing out of order"
    on_its_way = 2 * WINDOW_BYTES / len(alert(pushed).SerializeToString())
    assert pushed - len(found) <= kills * (RECORDS_MAX + on_its_way)
    assert found[-1] == pushed - 1
    agent.assert_balanced()


@pytest.mark.simulation
@pytest.mark.timeout(180)
async def test_memory_is_flat_over_100_000_alerts(tmp_path: Path, falco: Falco) -> None:
    agent = agent_of(tmp_path, falco)
    await agent.start()
    used: list[int] = []
    for part in range(1, 11):
        falco.push(*map(alert, range((part - 1) * 10_000, part * 10_000)))
        await until(lambda: agent.received() == part * 10_000)  # noqa: B023 - awaited before it changes
        await agent.settled()
        used.append(agent.memory_bytes())
    await until(lambda: told(agent) == 100_000)
    assert max(used[2:]) - used[1] < MEMORY_BYTES_MAX, used
    assert await asyncio.to_thread(agent.end) == 0
    agent.assert_balanced()


async def test_wrong_certificates_are_said_in_lines_of_json(tmp_path: Path, secured: Falco) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    files = {
        "ca_file": str(tmp_path / "ca.pem"),
        "client_cert_file": str(tmp_path / "client.pem"),
        "client_key_file": str(tmp_path / "client.key"),
    }
    agent = agent_of(tmp_path, secured, **files)
    await agent.start()
    await until(lambda: any("retry_after_s" in line for line in agent.logged()))
    doctor = await asyncio.to_thread(agent.run, "doctor", "--format", "json")
    (problem,) = [line for line in doctor.lines if not line["ok"]]
    assert (problem["component"], doctor.err) == ("sources.runtime", "")
    assert "ca_file" in problem["remedy"]
    assert await asyncio.to_thread(agent.end) == 0
    assert not [line for line in agent.logged() if "text" in line], "nothing but JSON"
    (first, *_) = [line for line in agent.logged() if "retry_after_s" in line]
    assert (first["reason"], first["level"]) == ("tls", "warning"), json.dumps(first)
