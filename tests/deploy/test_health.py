"""What probes and a SIGTERM mean to a running agent, as docs/deploy.md says."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from pathlib import Path

import httpx
import pytest

from tests.e2e.agent import POLL_S, Agent, falco_alert, until
from vedette.app.ledger import read_ledger
from vedette.journal.sqlite import SqliteIntakeReader

pytestmark = pytest.mark.timeout(120)


async def asked(agent: Agent, path: str, timeout_s: float = 10) -> httpx.Response:
    (urls,) = [line["urls"] for line in agent.logged() if line["message"] == "Taking scrapes"][-1:]
    async with httpx.AsyncClient(trust_env=False, timeout=timeout_s) as client:
        return await client.get(str(urls[0]).replace("/metrics", path))


async def test_an_agent_is_ready_while_its_journal_moves_and_healthy_while_its_loop_does(tmp_path: Path) -> None:
    agent = Agent(tmp_path)
    await agent.start()
    assert agent.process is not None
    with contextlib.closing(SqliteIntakeReader(agent.data.intake)) as reader:
        before = reader.last_seq()
        await until(lambda: reader.last_seq() > before + 1)  # nothing was sent to it
    assert ((await asked(agent, "/readyz")).json(), (await asked(agent, "/healthz")).text) == ({"ready": True}, "ok\n")
    agent.process.send_signal(signal.SIGSTOP)  # its loop stands still
    with pytest.raises(httpx.ReadTimeout):
        await asked(agent, "/healthz", timeout_s=0.5)
    agent.process.send_signal(signal.SIGCONT)
    assert agent.end() == 0


async def test_sigterm_answers_what_is_under_way_and_says_so_to_the_probes(tmp_path: Path) -> None:
    agent = Agent(tmp_path)
    await agent.start()
    assert agent.process is not None
    body = json.dumps(falco_alert("the last one")).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", agent.falco)
    writer.write(b"POST / HTTP/1.1\r\nHost: v\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:10])
    await writer.drain()
    await until(lambda: in_flight(agent))
    agent.process.send_signal(signal.SIGTERM)
    while (ready := await asked(agent, "/readyz")).status_code == 200:  # noqa: ASYNC110 - another process answers
        await asyncio.sleep(POLL_S)
    assert ready.json() == {"ready": False, "reasons": ["the agent is stopping"]}
    assert (await asked(agent, "/healthz")).status_code == 200, "a kubelet must not kill what drains"
    with pytest.raises(OSError, match="Connect call failed"):
        await asyncio.open_connection("127.0.0.1", agent.falco)
    writer.write(body[10:])
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    writer.close()
    assert await asyncio.to_thread(agent.process.wait, 60) == 0
    (falco,) = [source for source in read_ledger(agent.data).sources if source.source == "falco"]
    assert (falco.received, falco.processed, falco.waiting) == (1, 1, 0), "detected before the process ended"
    assert [alert for alert in agent.alerts() if alert["finding_info"]["title"] == "Each Falco alert"]


def in_flight(agent: Agent) -> bool:
    """Whether the agent has read what was sent to its port: the kernel holds nothing of it any more."""
    assert agent.process is not None
    local = f":{agent.falco:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(row[1].endswith(local) and row[3] == "01" and row[4].endswith(":00000000") for row in rows)
