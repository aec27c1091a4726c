"""Killed at random moments under load, the agent loses nothing that it acknowledged and doubles nothing.

Real processes, real sockets, SIGKILL. Clients behave as Falco's retries and the API server's webhook do: what was not
answered with a 2xx is sent again, byte for byte, until it is.
"""

from __future__ import annotations

import asyncio
import json
import random
from typing import TYPE_CHECKING

import pytest

from .agent import AUDIT_RULE, Agent, audit_event, event_ids, event_list, falco_alert, post, titled

if TYPE_CHECKING:
    from pathlib import Path

KILLS = 55
LIFE_S_MAX = 0.7
"""An agent lives at most this long after it answers."""
BATCH = 20

pytestmark = [pytest.mark.simulation, pytest.mark.timeout(600)]


def audit_body(name: str, number: int) -> tuple[bytes, list[str]]:
    ids = [f"{name}-{number}-{item}" for item in range(BATCH)]
    return event_list([json.dumps(audit_event(audit_id)).encode() for audit_id in ids]), ids


def falco_body(name: str, number: int) -> bytes:
    return json.dumps(falco_alert(f"{name} {number}")).encode()


class Clients:
    """Send until told to stop; then finish what was begun. What was acknowledged is noted."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.stopping = False
        self.audit_ids: list[str] = []
        self.falco_alerts = 0
        self.retries = 0

    async def audit(self, name: str) -> None:
        number = 0
        while not self.stopping:
            body, ids = audit_body(name, number)
            await self.insist(self.agent.audit, "/k8s-audit?timeout=30s", body)
            self.audit_ids += ids
            number += 1

    async def falco(self, name: str) -> None:
        number = 0
        while not self.stopping:
            await self.insist(self.agent.falco, "/", falco_body(name, number))
            self.falco_alerts += 1
            number += 1

    async def insist(self, port: int, path: str, body: bytes) -> None:
        while not (await post(port, path, body)).accepted:
            self.retries += 1
            await asyncio.sleep(0.02)


async def storm(agent: Agent, rng: random.Random) -> Clients:
    clients = Clients(agent)
    await agent.start()
    async with asyncio.TaskGroup() as tasks:
        for number in range(2):
            tasks.create_task(clients.audit(f"a{number}"))
        for number in range(6):
            tasks.create_task(clients.falco(f"f{number}"))
        for _ in range(KILLS):
            await asyncio.sleep(rng.uniform(0.02, LIFE_S_MAX))
            agent.kill()
            await agent.start()
        clients.stopping = True
    return clients


def test_nothing_acknowledged_is_lost_or_doubled(tmp_path: Path) -> None:
    rng = random.Random(20261121)
    agent = Agent(tmp_path, rules=AUDIT_RULE, journal={"checkpoint_interval_s": 0.2, "segment_age_s_max": 2})
    clients = asyncio.run(storm(agent, rng))
    assert agent.end() == 0

    assert clients.retries > KILLS / 2, "the kills hit clients in flight, or this test shows nothing"
    alerts = agent.alerts()
    single = event_ids(titled(alerts, "Each audited write"))
    assert set(single) == set(clients.audit_ids), "an alert for every acknowledged item and for no other"
    assert set(single.values()) == {1}, "exactly one"
    rolled = titled(alerts, "Terminal shell in container")
    assert sum(alert["count"] for alert in rolled) == clients.falco_alerts
    agent.assert_balanced()
