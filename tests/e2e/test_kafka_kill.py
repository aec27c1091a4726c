"""Two agents of one group, killed, paused and rebalanced at random moments: each record is detected on once.

Real processes and a real broker, SIGKILL. Partitions go to the other agent when one is dead for longer than a session,
and come back when it is there again. `VEDETTE_KAFKA_RECORDS=200000` makes it the long run of docs/sources/kafka.md.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import signal
from collections import Counter
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from vedette.app.ledger import read_ledger
from vedette.journal.sqlite import SqliteIntakeReader

from .agent import Agent, falco_alert

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers.kafka import Kafka

RECORDS = int(os.environ.get("VEDETTE_KAFKA_RECORDS", "20000"))
KILLS = max(8, RECORDS // 5_000)
PARTITIONS = 6
SESSION_S = 1.0
STEP = 50
KILL_S = 3.0
"""About what a kill takes with all that belongs to it; so long there must be something to read."""

NO_RULE = """
title: Nothing
id: 0f6f1a52-2c29-4f7c-8c61-5b8a5d3f1a09
logsource: {product: falco}
detection: {selection: {rule: no such rule}, condition: selection}
level: low
"""

pytestmark = [pytest.mark.server, pytest.mark.timeout(1200)]


def value(number: int) -> bytes:
    return orjson.dumps(falco_alert(f"record {number}"))


async def new_topic(kafka: Kafka) -> str:
    topic = f"falco-{secrets.token_hex(4)}"
    client = AIOKafkaAdminClient(bootstrap_servers=kafka.url)
    try:
        await client.start()
        await client.create_topics([NewTopic(topic, PARTITIONS, 1)])
    finally:
        await client.close()
    return topic


async def write(kafka: Kafka, topic: str, done: asyncio.Event) -> None:
    """Write all records, spread over the time that the agents are killed in."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka.url, linger_ms=5, compression_type="lz4")
    await producer.start()
    try:
        for begin in range(0, RECORDS, STEP):
            sent = [await producer.send(topic, value(number)) for number in range(begin, min(begin + STEP, RECORDS))]
            await asyncio.gather(*sent)
            await asyncio.sleep(KILLS * KILL_S * STEP / RECORDS)
    finally:
        await producer.stop()
        done.set()


def agent(folder: Path, kafka: Kafka, topic: str) -> Agent:
    folder.mkdir()
    source = {
        "bootstrap_servers": kafka.url,
        "topics": [topic],
        "format": "falco",
        "group_id": topic,
        "session_timeout_s": SESSION_S,
    }
    sources: dict[str, Any] = {"bus": {"kafka": source}}
    return Agent(folder, rules=NO_RULE, sources=sources, journal={"checkpoint_interval_s": 1})


async def pause(victim: Agent) -> None:
    """Let it sleep until the group has given its partitions away; it wakes up with records that are not its own."""
    assert victim.process is not None
    victim.process.send_signal(signal.SIGSTOP)
    await asyncio.sleep(2 * SESSION_S)
    victim.process.send_signal(signal.SIGCONT)


def stored(agents: list[Agent]) -> Counter[bytes]:
    found: Counter[bytes] = Counter()
    for one in agents:
        intake = SqliteIntakeReader(one.data.intake)
        for chunk in intake.scan():
            if chunk.runs[0].source == "bus":
                found.update(chunk.items)
        intake.close()
    return found


def received(agents: list[Agent]) -> int:
    return sum(source.received for one in agents for source in read_ledger(one.data).sources)


async def test_nothing_is_lost_or_doubled(kafka: Kafka, tmp_path: Path) -> None:
    topic, rng, done = await new_topic(kafka), random.Random(20261121), asyncio.Event()
    agents = [agent(tmp_path / name, kafka, topic) for name in ("a", "b")]
    for one in agents:
        await one.start()
    writing = asyncio.create_task(write(kafka, topic, done))
    for kill in range(KILLS):
        victim = agents[kill % 2]
        await asyncio.sleep(rng.uniform(0.1, 1.0))
        if kill % 4 == 1:
            await pause(victim)
            continue
        victim.kill()
        if kill % 3 == 2:
            await asyncio.sleep(2 * SESSION_S)  # the other one has its partitions by then
        await victim.start()
    await writing
    while received(agents) < RECORDS:
        assert all(one.alive for one in agents), agents[0].tail() + agents[1].tail()
        await asyncio.sleep(0.1)
    for one in agents:
        await one.settled()
        assert one.end() == 0
        one.assert_balanced()
    assert received(agents) == RECORDS
    ledgers = [read_ledger(one.data).sources for one in agents]
    assert sum(source.processed for sources in ledgers for source in sources) == RECORDS
    assert all(source.dead_lettered == source.duplicate == 0 for sources in ledgers for source in sources)
    assert stored(agents) == Counter(value(number) for number in range(RECORDS))
    logged = [line for one in agents for line in one.logged()]
    debts = [line for line in logged if "claimed before the last end" in line["message"]]
    unclaimed = sum(line["count"] for line in logged if "were not claimed in time" in line["message"])
    paid = f"{len(debts)} debts of {sum(line['count'] for line in debts)} records"
    print(f"{RECORDS} records, {KILLS} kills and pauses, {paid}, {unclaimed} unclaimed")  # noqa: T201 - what was tried
