"""Killed while it learns, the agent goes on to know what it would have known: the same alerts as without kills.

A simulated cluster's days with attacks, sent over HTTP in their order; one agent lives through, the other is killed
again and again. Detectors learn for a shorter time than those that ship, so that three days are enough.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from detectors.packs import shipped_pack_texts
from vedette.testing.simulator import FLOW_FIELDS, Simulation, SimulationConfig

from .agent import Agent, event_list, post

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from vedette.testing.simulator import SimulatedRecord

SEED, KILLS = 41, 12
ATTACKS = ("secret_harvest", "new_process", "service_account_new_verb", "token_from_new_network", "port_scan")
BATCH = 1_000
QUICK = re.compile(r"^(\s+(?:learn|learning)\w*: )\d+[dh]$", re.MULTILINE)

pytestmark = [pytest.mark.simulation, pytest.mark.timeout(600)]


class Request(NamedTuple):
    port: str
    path: str
    body: bytes


def rules() -> str:
    """The detectors that ship, which learn for a day; silence goes by when records arrive, here within a minute."""
    texts = [
        text.text for text in shipped_pack_texts() if text.pack == "behaviour" and "type: silence" not in text.text
    ]
    return "\n---\n".join(QUICK.sub(r"\g<1>1d", text) for text in texts)


def request_of(format_name: str, records: Sequence[SimulatedRecord]) -> Request:
    items = [record.payload for record in records]
    if format_name == "kube_audit":
        return Request("audit", "/k8s-audit", event_list(items))
    header = [FLOW_FIELDS.encode()] if format_name == "vpc_flow" else []
    return Request("falco", f"/intake/{format_name}", b"\n".join([*header, *items]) + b"\n")


def requests_of(simulation: Simulation) -> Iterator[Request]:
    """The simulated records in their order, a stretch of one format after another."""
    records = simulation.records()
    while batch := list(itertools.islice(records, BATCH)):
        for name in ("kube_audit", "falco", "vpc_flow"):
            alike = [record for record in batch if record.format == name]
            if alike:
                yield request_of(name, alike)


def found_by(agent: Agent) -> Counter[tuple[str, ...]]:
    """Each alert by its rule, what it is about, when it began and how many findings it has."""
    return Counter(map(_what, agent.alerts()))


def _what(alert: dict[str, Any]) -> tuple[str, ...]:
    told = alert["unmapped"]
    return alert["finding_info"]["title"], *told["dedup_values"], str(told["first_seen_ns"]), str(alert["count"])


async def send(agent: Agent, requests: Iterable[Request]) -> None:
    """Send one request after the other, and insist on each."""
    for port, path, body in requests:
        while not (await post(getattr(agent, port), path, body)).accepted:
            pass


async def send_all(agent: Agent, killed: random.Random | None) -> None:
    """Send three days; kill the agent between and during some of the requests."""
    config = SimulationConfig(pods=12, days=3, seed=SEED, learning_days=1, attacks=ATTACKS)
    sent = list(requests_of(Simulation(config)))
    kills = set(killed.sample(range(1, len(sent)), KILLS)) if killed else set[int]()
    for number, request in enumerate(sent):
        if number in kills:
            doomed = asyncio.create_task(send_once(agent, request))
            await asyncio.sleep(killed.uniform(0, 0.05) if killed else 0)
            agent.kill()
            await doomed
            await agent.start()
        await send(agent, [request])
    await agent.settled()


async def send_once(agent: Agent, request: Request) -> None:
    """Send a request that may meet its end."""
    await post(getattr(agent, request.port), request.path, request.body)


async def play(folder: Path, killed: random.Random | None) -> Counter[tuple[str, ...]]:
    agent = Agent(folder, rules=rules(), journal={"checkpoint_interval_s": 0.5})
    await agent.start()
    await send_all(agent, killed)
    assert agent.end() == 0
    assert not any("replay did not reproduce" in line["message"] for line in agent.logged())
    agent.assert_balanced()
    return found_by(agent)


async def test_what_was_learned_survives_kills(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("whole", "killed")]
    for folder in folders:
        folder.mkdir()
    whole = await play(folders[0], None)
    assert len({title for title, *_ in whole}) >= 3, "several detectors found something, or this shows nothing"
    assert await play(folders[1], random.Random(SEED)) == whole
