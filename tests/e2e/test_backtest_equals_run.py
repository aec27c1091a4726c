"""`vedette rules backtest` finds in the archive of a real agent the alerts that this agent raised."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from detectors.packs import shipped_pack_texts
from sinks.store import StoreReader
from vedette.app.terminal import time_text

from .agent import Agent, Outcome, event_list, falco_alert, post

if TYPE_CHECKING:
    from collections.abc import Sequence

RECORDED = Path(__file__).parents[3] / "shared/kube-audit/A/audit.jsonl.gz"
BATCH = 400

pytestmark = [pytest.mark.simulation, pytest.mark.timeout(240)]


def shipped() -> list[dict[str, Any]]:
    texts = [text for text in shipped_pack_texts() if text.pack == "starter"]
    return [rule for text in texts for rule in yaml.safe_load_all(text.text)]


@pytest.fixture(scope="module")
def records() -> list[bytes]:
    if not RECORDED.exists():
        pytest.skip("no ../shared beside the repository, so no recorded audit log to read")
    return gzip.decompress(RECORDED.read_bytes()).splitlines()


async def send(agent: Agent, records: Sequence[bytes]) -> None:
    for at in range(0, len(records), BATCH):
        assert (await post(agent.audit, "/k8s-audit?timeout=30s", event_list(records[at : at + BATCH]))).accepted
    for number in range(5):
        body = json.dumps(falco_alert(f"shell {number} of {len(records)}")).encode()
        assert (await post(agent.falco, "/", body)).accepted
    await agent.settled()


def raised(agent: Agent, since_ns: int = 0) -> set[tuple[Any, ...]]:
    """The alerts of the agent that opened at or after a time."""
    with contextlib.closing(StoreReader(agent.data.store)) as store:
        rows = [row for row in store.list(limit=10**7) if row.opened_ns >= since_ns]
    return {(row.alert_id, row.title, row.level.value, row.count) for row in rows}


def backtested(done: Outcome) -> set[tuple[Any, ...]]:
    assert done.status == 0, done.err
    return {(line["alert_id"], line["rule"], line["level"], line["after"]["findings"]) for line in done.lines}


async def backtest(agent: Agent, *arguments: object) -> Outcome:
    return await asyncio.to_thread(agent.run, "rules", "backtest", *arguments, "--format", "json")


async def test_from_the_beginning_of_the_log_it_finds_what_the_agent_raised(
    tmp_path: Path, records: list[bytes]
) -> None:
    rules = shipped()
    agent = Agent(tmp_path, rules=yaml.safe_dump_all(rules[::2]))
    await agent.start()
    await send(agent, records[:12_000])
    agent.rules.write_text(yaml.safe_dump_all(rules))
    assert (await asyncio.to_thread(agent.run, "reload")).status == 0
    await send(agent, records[12_000:])

    beside = await backtest(agent, "running", "--processes", 2)
    assert {alert[0] for alert in backtested(beside)} == {alert[0] for alert in raised(agent)}
    assert agent.end() == 0
    again = await backtest(agent, "running", "--processes", 2)
    assert backtested(again) == raised(agent)
    assert len(again.lines) > 50
    assert "begun with the log" in again.err
    agent.assert_balanced()

    compared = await backtest(agent, "--diff", "running", "configured")
    statuses = {line["status"] for line in compared.lines}
    assert statuses <= {"same", "gained", "changed"}, "more rules hide nothing"
    assert "gained" in statuses


async def test_from_the_checkpoint_it_goes_on_with_what_the_agent_knew(tmp_path: Path, records: list[bytes]) -> None:
    rules = yaml.safe_dump_all(shipped())
    agent = Agent(tmp_path, rules=rules, journal={"checkpoint_interval_s": 3600})
    await agent.start()
    await send(agent, records[:15_000])
    assert agent.end() == 0
    since_ns = time.time_ns()
    await agent.start()
    await send(agent, records[15_000:])

    done = await backtest(agent, "running", "--since", time_text(since_ns))
    assert "begun at the agent's checkpoint" in done.err
    ids = {alert[0] for alert in backtested(done)}
    assert ids == {alert[0] for alert in raised(agent, since_ns)}
    assert len(ids) < len(raised(agent)), "alerts that were open go on"

    assert agent.end() == 0
    cold = await backtest(agent, "running", "--since", time_text(since_ns))
    assert "windows start cold" in cold.err
    assert ids < {alert[0] for alert in backtested(cold)}, "begun cold, they open anew"
