"""What probes, Prometheus and `vedette doctor` see of a full disk, and of its end."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import pytest

from .agent import POLL_S, Agent
from .test_disk import Disk, agent_on, ask, tmpfs

__all__ = ["tmpfs"]

pytestmark = [pytest.mark.simulation, pytest.mark.timeout(120)]


async def until_ready(client: httpx.AsyncClient, agent: Agent, status: int) -> httpx.Response:
    while (answer := await client.get("/readyz")).status_code != status:
        assert agent.alive, agent.tail()
        await asyncio.sleep(POLL_S)
    return answer


async def test_a_full_disk_is_seen_from_outside_and_so_is_its_end(
    tmpfs: Disk,
    tmp_path: Path,
) -> None:
    agent = agent_on(tmpfs, tmp_path)
    await agent.start()
    (urls,) = [line["urls"] for line in agent.logged() if line["message"] == "Taking scrapes"]
    async with httpx.AsyncClient(base_url=urls[0].removesuffix("/metrics"), trust_env=False) as client:
        await until_ready(client, agent, 200)
        tmpfs.fill()
        refused = json.loads((await until_ready(client, agent, 503)).content)
        assert "can't be written" in refused["reasons"][0]
        assert (await client.get("/healthz")).status_code == 200
        page = (await client.get("/metrics")).text
        assert "\nvedette_intake_writable 0.0\n" in page
        assert "\nvedette_journal_readable 1.0\n" in page, "also on a full disk"
        told = await ask(agent, "doctor")
        assert told.status == 1
        problems = {line["component"]: line for line in told.lines if not line["ok"]}
        assert "it refuses them: " in problems["agent"]["problem"]
        assert "may still grow" in problems["data_dir"]["problem"]
        tmpfs.empty()
        await until_ready(client, agent, 200)
    assert agent.end() == 0
