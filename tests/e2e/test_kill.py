"""Killed at random moments under load, the agent loses nothing that it acknowledged and doubles nothing.

Real processes, real sockets, SIGKILL. Clients behave as Falco's retries and the API server's webhook do: what was not
answered with a 2xx is sent again, byte for byte, until it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from sinks.store import StoreReader
from vedette.journal.sqlite import DataFolder, SqliteCoreReader, SqliteIntakeReader
from vedette.journal.sqlite.connection import open_reader
from vedette.journal.sqlite.intake_reader import segment_paths
from vedette.journal.sqlite.segment import chunk_counts

if TYPE_CHECKING:
    from pathlib import Path

KILLS = 55
LIFE_S_MAX = 0.7
"""An agent lives at most this long after it answers."""
BATCH = 20

RULES = """
title: Each audited write
id: 0f6f1a52-2c29-4f7c-8c61-5b8a5d3f1a01
logsource: {product: kubernetes, service: audit}
detection: {selection: {verb: create}, condition: selection}
level: low
vedette: {dedup_by: ['@event']}
"""

pytestmark = [pytest.mark.simulation, pytest.mark.timeout(600)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Agent:
    """Starts, kills and restarts `vedette run` on one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.falco, self.audit = free_port(), free_port()
        (folder / "rules.yml").write_text(RULES)
        self.config = folder / "vedette.yaml"
        settings = {
            "data_dir": str(folder / "data"),
            "sources": {
                "falco": {"http": {"listen": f"127.0.0.1:{self.falco}", "routes": {"/": "falco"}}},
                "audit": {"http": {"listen": f"127.0.0.1:{self.audit}", "routes": {"/k8s-audit": "kube_audit"}}},
            },
            "rules": {"packs": [], "paths": [str(folder / "rules.yml")]},
            "sinks": {"store": {"store": {}}},
            # Small enough that segments end, and checkpoints are taken, while being killed.
            "journal": {"checkpoint_interval_s": 0.2, "segment_age_s_max": 2},
        }
        self.config.write_text(yaml.safe_dump(settings))
        self.log = (folder / "vedette.log").open("ab")
        self.process: subprocess.Popen[bytes] | None = None

    def spawn(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "vedette", "run", "--config", str(self.config)]
        return subprocess.Popen(command, stdout=self.log, stderr=self.log, env={**os.environ, "HOME": "/"})

    async def start(self) -> None:
        self.process = self.spawn()
        for port in (self.falco, self.audit):
            while not await accepts(port):
                assert self.process.poll() is None, (self.folder / "vedette.log").read_text()[-2000:]

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def end(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        status: int = self.process.wait(60)
        return status


async def accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        await asyncio.sleep(0.01)
        return False
    writer.close()
    return True


async def post(port: int, path: str, body: bytes) -> bool:
    """Whether the answer was a 2xx; a connection that breaks is none."""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            head = f"POST {path} HTTP/1.1\r\nHost: v\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            writer.write(head.encode() + body)
            line = await reader.readuntil(b"\r\n")
            return line.split()[1].startswith(b"2")
        finally:
            writer.close()
    return False


def audit_body(name: str, number: int) -> tuple[bytes, list[str]]:
    ids = [f"{name}-{number}-{item}" for item in range(BATCH)]
    items = [
        {
            "level": "Metadata",
            "auditID": audit_id,
            "stage": "ResponseComplete",
            "requestURI": "/api/v1/namespaces/shop/configmaps",
            "verb": "create",
            "user": {"username": "ann"},
            "sourceIPs": ["10.0.0.9"],
            "objectRef": {"resource": "configmaps", "namespace": "shop"},
            "responseStatus": {"metadata": {}, "code": 201},
            "stageTimestamp": "2026-11-20T10:00:00.000000Z",
        }
        for audit_id in ids
    ]
    envelope = {"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "metadata": {}, "items": items}
    return json.dumps(envelope).encode(), ids


def falco_body(name: str, number: int) -> bytes:
    alert = {
        "hostname": "node-1",
        "output": f"{name} {number}",
        "priority": "Warning",
        "rule": "Terminal shell in container",
        "source": "syscall",
        "time": "2026-11-20T10:00:00.000000000Z",
        "output_fields": {"container.id": "aaaaaaaaaaaa", "k8s.ns.name": "shop", "k8s.pod.name": "cart-0"},
    }
    return json.dumps(alert).encode()


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
        while not await post(port, path, body):
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


def stored_alerts(folder: DataFolder) -> list[dict[str, Any]]:
    store = StoreReader(folder.store)
    return [store.get(row.alert_id) for row in store.list(limit=10**7)]


def test_nothing_acknowledged_is_lost_or_doubled(tmp_path: Path) -> None:
    rng = random.Random(20261121)
    agent = Agent(tmp_path)
    clients = asyncio.run(storm(agent, rng))
    assert agent.end() == 0
    folder = DataFolder(tmp_path / "data")

    assert clients.retries > KILLS / 2, "the kills hit clients in flight, or this test shows nothing"
    alerts = stored_alerts(folder)
    single = Counter(
        evidence_id
        for alert in alerts
        if alert["finding_info"]["title"] == "Each audited write"
        for evidence_id in event_ids(alert)
    )
    assert set(single) == set(clients.audit_ids), "an alert for every acknowledged item and for no other"
    assert set(single.values()) == {1}, "exactly one"
    rolled = [alert for alert in alerts if alert["finding_info"]["title"] == "Terminal shell in container"]
    assert sum(alert["count"] for alert in rolled) == clients.falco_alerts
    assert_ledger_balances(folder)


def event_ids(alert: dict[str, Any]) -> list[str]:
    return [event_id for sample in alert["evidences"] for event_id in sample["data"]["event_ids"]]


def assert_ledger_balances(folder: DataFolder) -> None:
    """Recompute intake's side from the chunks themselves, and hold it against the counters and detection's side."""
    intake, core = SqliteIntakeReader(folder.intake), SqliteCoreReader(folder.core)
    raw: dict[str, Counter[str]] = {}
    for path in segment_paths(folder.intake):
        for counts in chunk_counts(open_reader(path)):
            for source, count in counts.items():
                raw.setdefault(source, Counter()).update(received=count.received, duplicate=count.duplicate)
    stored = Counter(run.source for chunk in intake.scan() for run in chunk.runs for _ in range(run.count))
    detected = core.detect_counts()
    for source, count in intake.counts().items():
        assert (raw[source]["received"], raw[source]["duplicate"]) == (count.received, count.duplicate)
        assert stored[source] == count.received - count.duplicate
        done = detected[source]
        assert done.processed + done.filtered + done.dead_lettered == stored[source]
    for delivery in core.delivery_counts().values():
        settled = delivery.delivered + delivery.superseded + delivery.dead_lettered + delivery.expired
        assert settled == delivery.routed
