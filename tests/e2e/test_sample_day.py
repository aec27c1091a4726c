"""The sample day, played into real agents: the alerts are those of its docs, and all is accounted for."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import subprocess
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from sinks.store import AlertFilter, StoreReader
from vedette.app.ledger import read_ledger
from vedette.app.sample_day.day import CLUSTER, SampleDay
from vedette.app.sample_day.player import Player
from vedette.app.sample_day.run import TELLING_RULE
from vedette.journal.sqlite import DataFolder
from vedette.schema.errors import VedetteError

from .agent import POLL_S, SPAWNED, VEDETTE, Agent, environment, run, until

DOCS: Final = (Path(__file__).parents[2] / "docs" / "sample-day.md").read_text("utf-8")
FORMATS: Final = {"kube_audit": "audit", "falco": "Falco", "vpc_flow": "flow"}
DAY_END: Final = datetime(2026, 11, 21, 18, tzinfo=UTC)
"""What the docs' clock says when the playing ends."""
LEVELS: Final = ("critical", "high", "medium", "low")
PLAYED_S: Final = 15
"""From the agent's readiness to the last alert in the store."""

pytestmark = [pytest.mark.simulation, pytest.mark.timeout(120)]


class Alert(NamedTuple):
    """What the docs' table says of an alert."""

    title: str
    level: str
    source: str


def documented() -> Counter[tuple[Alert, str]]:
    """Each alert of the docs' table with the clock at which it is first seen."""
    table = DOCS.partition("## What the analyst should find")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line[:2] == "| "]
    return Counter((Alert(*row[:3]), clock) for row in rows[1:] for clock in row[3].split(", "))


def titles() -> Counter[Alert]:
    return Counter(alert for alert, _ in documented().elements())


def alert_of(document: dict[str, Any]) -> Alert:
    found = document["finding_info"]
    source = FORMATS[found["data_sources"][0]]
    return Alert(found["title"], document["unmapped"]["rule"]["level"], source)


def clock(document: dict[str, Any], day: SampleDay) -> str:
    """When it was first seen, by the story's clock."""
    before_s = (day.records[-1].time_ns - document["unmapped"]["first_seen_ns"]) / 1e9
    return f"{datetime.fromtimestamp(DAY_END.timestamp() - before_s, UTC):%H:%M}"


async def play(agent: Agent, play_s: float) -> SampleDay:
    falco, audit = (f"http://127.0.0.1:{port}" for port in (agent.falco, agent.audit))
    return await Player([f"{falco}/", f"{falco}/intake/<format>", f"{audit}/k8s-audit"]).play(play_s=play_s)


async def test_the_alerts_are_those_of_the_docs_and_a_second_play_is_a_new_day(tmp_path: Path) -> None:
    agent = Agent(tmp_path)
    agent.settings |= {"rules": {"packs": ["starter"], "paths": []}, "cluster": CLUSTER}
    agent.configure()
    await agent.start()

    day = await play(agent, 2)
    await agent.settled()
    alerts = agent.alerts()
    assert Counter((alert_of(alert), clock(alert, day)) for alert in alerts) == documented()
    assert {alert["unmapped"]["cluster"] for alert in alerts} == {CLUSTER}
    levels = Counter(alert["unmapped"]["rule"]["level"] for alert in alerts)
    assert f"{len(alerts)} alerts: {', '.join(f'{levels[level]} {level}' for level in LEVELS)}." in " ".join(
        DOCS.split()
    )

    again = await play(agent, 1)
    await agent.settled()
    assert again.records[-1].time_ns > day.records[-1].time_ns
    assert agent.end() == 0
    agent.assert_balanced()
    ledger = read_ledger(agent.data)
    assert sum(source.received for source in ledger.sources) == 2 * len(day.records)
    for source in ledger.sources:
        assert (source.processed, source.duplicate, source.dead_lettered) == (source.received, 0, 0)


async def test_the_command_plays_says_where_to_look_and_goes_on(tmp_path: Path) -> None:
    log, data = tmp_path / "log", tmp_path / "data"
    process = spawn("--data-dir", data, log=log)
    await until(lambda: "Vedette is running" in log.read_text())

    ready_s = time.monotonic()
    while titles_in(data) != titles():
        assert time.monotonic() < ready_s + PLAYED_S, titles() - titles_in(data)
        await asyncio.sleep(POLL_S)
    await until(lambda: "Ctrl-C stops it" in log.read_text())
    shown = re.search(r"^  vedette (alerts show \w+ --data-dir .*)$", log.read_text(), re.MULTILINE)
    assert shown is not None, log.read_text()
    assert run([*VEDETTE, *shown[1].split()]).out.startswith(f"{TELLING_RULE}: ")

    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    assert read_ledger(DataFolder(data)).balanced


def spawn(*options: object, log: Path) -> subprocess.Popen[bytes]:
    command = [*VEDETTE, "run", "--sample-day", "--free-ports", *map(str, options)]
    with log.open("wb") as opened:
        SPAWNED.append(subprocess.Popen(command, stdout=opened, stderr=opened, env=environment()))
    return SPAWNED[-1]


def titles_in(data: Path) -> Counter[Alert]:
    """The alerts that stand in the store, none before there is one."""
    found = Counter[Alert]()
    with contextlib.suppress(VedetteError), contextlib.closing(StoreReader(DataFolder(data).store)) as store:
        rows = store.list(AlertFilter(cluster=CLUSTER), limit=10**4)
        found.update(alert_of(store.get(row.alert_id)) for row in rows)
    return found
