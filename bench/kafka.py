"""From Kafka to alerts beside from HTTP to alerts: CPU seconds of one agent, the same events, in turns.

A real broker (`make servers`); the agent reads it as a member of a group, alone. The loads over HTTP are those of
`pipeline.py`: Falco alerts one a request over 64 connections, audit events in lists of 400. In Kafka each event is a
record, and audit events are also written as lists. CPU seconds are those of the agent, as the kernel charges them.

    python bench/kafka.py
Results are printed and kept in bench/results/kafka.json with the machine's description.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import gzip
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from load import audit_lap, falco_alert
from pipeline import HERE, LOG, Agent, free_port, load, settle

from collector.decoders import DECODERS

sys.path.insert(0, str(HERE.parent))
from tests.servers.kafka import Kafka
from tests.servers.process import Host

TOPIC = "events"
PARTITIONS = 4
WAYS = {"falco": ["http", "kafka"], "audit": ["http_lists", "kafka_lists", "kafka"]}


class KafkaAgent(Agent):
    """One with a source of each kind."""

    def __init__(self, folder: Path, broker: str, kind: str) -> None:
        self.folder = folder
        self.falco = self.audit = f"127.0.0.1:{free_port()}"
        config = folder / "vedette.yaml"
        bus = {"bootstrap_servers": broker, "topics": [TOPIC], "format": "falco" if kind == "falco" else "kube_audit"}
        settings = {
            "data_dir": str(folder / "data"),
            "rules": {"packs": ["starter"]},
            "sources": {
                "falco": {"http": {"listen": self.falco, "routes": {"/": "falco", "/k8s-audit": "kube_audit"}}},
                "bus": {"kafka": bus},
            },
            "sinks": {"store": {"store": {}}},
            "metrics": {"listen": "127.0.0.1:0"},
        }
        config.write_text(yaml.safe_dump(settings))
        self.errors = (folder / "vedette.log").open("wb")
        command = [sys.executable, "-m", "vedette", "run", "--config", str(config)]
        self.process = subprocess.Popen(command, stderr=self.errors, stdout=self.errors)
        self.wait_ready()


async def prepare(broker: str) -> None:
    client = AIOKafkaAdminClient(bootstrap_servers=broker)
    await client.start()
    await client.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])
    await client.close()


async def produce(broker: str, values: list[bytes]) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=broker,
        linger_ms=20,
        max_batch_size=512 * 1024,
        max_request_size=8 * 1024 * 1024,
        compression_type="lz4",
    )
    await producer.start()
    for begin in range(0, len(values), 1000):
        await asyncio.gather(*[await producer.send(TOPIC, value) for value in values[begin : begin + 1000]])
    await producer.stop()


class Loads:
    """What is sent in a round, by way: returns how many events."""

    def __init__(self, agent: KafkaAgent, broker: str, lines: list[bytes], events: int) -> None:
        self.agent = agent
        self.broker = broker
        self.lines = lines[:events]
        self.events = events
        self.sent = 0

    def falco_http(self) -> int:
        load("falco", self.agent.falco, self.events, first=self.sent)
        return self.events

    def falco_kafka(self) -> int:
        asyncio.run(produce(self.broker, [falco_alert(self.sent + number) for number in range(self.events)]))
        return self.events

    def audit_http_lists(self) -> int:
        return load("audit", self.agent.audit, len(self.lines), first=self.sent, connections=8)["events"]

    def audit_kafka_lists(self) -> int:
        asyncio.run(produce(self.broker, audit_lap(self.lines, self.sent)))
        return len(self.lines)

    def audit_kafka(self) -> int:
        bodies = audit_lap(self.lines, self.sent)
        items = [item for body in bodies for piece in DECODERS["kube_audit"].split(body) for item in piece.items]
        asyncio.run(produce(self.broker, items))
        return len(items)


def measure(kind: str, ways: list[str], events: int, rounds: int) -> dict:
    """Microseconds of CPU an event, by way, over the rounds."""
    lines = gzip.decompress(LOG.read_bytes()).splitlines() if kind == "audit" else []
    spent: dict[str, list[float]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory(prefix="vedette-bench-") as folder:
        host = Host(Path(folder))
        try:
            with Kafka(host) as kafka:
                asyncio.run(prepare(kafka.url))
                agent = KafkaAgent(Path(folder), kafka.url, kind)
                loads = Loads(agent, kafka.url, lines, events)
                for number in range(rounds + 1):  # the first round of a new agent costs more than the others
                    for way, found in spent.items():
                        began = agent.cpu_s()
                        sent = getattr(loads, f"{kind}_{way}")()
                        loads.sent += sent
                        settle(agent, loads.sent)
                        if number:
                            found.append(round(1e6 * (agent.cpu_s() - began) / sent, 1))
                agent.stop()
        finally:
            host.close()
    return {way: {"median": round(statistics.median(found), 1), "rounds": found} for way, found in spent.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=60_000, help="per round and way")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    result = {
        "when": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "load_average": os.getloadavg(),
        "cpu_us_per_event": {kind: measure(kind, ways, given.events, given.rounds) for kind, ways in WAYS.items()},
    }
    print(json.dumps(result, indent=1))
    (HERE / "results" / "kafka.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
