"""Killed at random moments under load, the agent loses nothing that it acknowledged and doubles nothing.

Real processes, real sockets, SIGKILL. Clients behave as Falco's retries and the API server's webhook do: what was not
answered with a 2xx is sent again, byte for byte, until it is.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from .agent import AUDIT_RULE, Agent, Clients

if TYPE_CHECKING:
    from pathlib import Path

KILLS = 55
LIFE_S_MAX = 0.7
"""An agent lives at most this long after it answers."""

pytestmark = [pytest.mark.simulation, pytest.mark.timeout(600)]


async def test_nothing_acknowledged_is_lost_or_doubled(tmp_path: Path) -> None:
    rng = random.Random(20261121)
    agent = Agent(tmp_path, rules=AUDIT_RULE, journal={"checkpoint_interval_s": 0.2, "segment_age_s_max": 2})
    clients = Clients(agent)
    await agent.start()
    async with clients.sending(audit=1):  # what they send is replayed after each kill
        for _ in range(KILLS):
            await asyncio.sleep(rng.uniform(0.02, LIFE_S_MAX))
            agent.kill()
            await agent.start()
    assert agent.end() == 0

    assert len(clients.refusals) > KILLS / 2, "the kills hit clients in flight, or this test shows nothing"
    clients.assert_all_detected_once(agent)
