"""The source against a real broker: every record is stored once, whoever owns its partition, and whenever."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import RecordsToDelete
from prometheus_client import REGISTRY

from collector.sources.kafka.claims import Standing
from tests.servers.kafka import left_to_collector

from .cluster import (
    SOURCE,
    StubIntake,
    admin,
    assert_each_once,
    falco,
    new_name,
    new_topic,
    produce,
    reading,
    settings,
    standings,
    until,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers.kafka import Kafka

pytestmark = [pytest.mark.server, pytest.mark.timeout(180)]
VALUES = [falco(number) for number in range(2_000)]


def metric(name: str) -> float:
    return REGISTRY.get_sample_value(name, {"source": SOURCE}) or 0.0


async def test_what_is_read_is_stored_with_its_place_and_confirmed(kafka: Kafka) -> None:
    topic, group, intake = await new_topic(kafka), new_name("group"), StubIntake()
    await produce(kafka, topic, VALUES[:1000])
    async with reading(intake, settings(kafka, topic, group_id=group)):
        await until(lambda: len(intake.items) == 1000)
        await produce(kafka, topic, VALUES[1000:])
        await until(lambda: len(intake.items) == 2000)
    assert_each_once(VALUES, intake)
    assert sorted(intake.places) == [(f"{topic}/{number}", offset) for number in range(4) for offset in range(500)]
    places = {TopicPartition(topic, number): Standing(500, {}) for number in range(4)}
    assert await standings(kafka, group) == places
    assert {intake.committed[f"{topic}/{number}"] for number in range(4)} == {"500"}
    assert metric("vedette_kafka_lag_records") == metric("vedette_kafka_partitions") == 0


async def test_a_restart_goes_on_where_it_was(kafka: Kafka) -> None:
    topic, intake = await new_topic(kafka), StubIntake()
    chosen = settings(kafka, topic, group_id=new_name("group"))
    for begin in range(0, 2000, 500):
        await produce(kafka, topic, VALUES[begin : begin + 500])
        async with reading(intake, chosen):
            await until(lambda: len(intake.items) == begin + 500)  # noqa: B023 - awaited before it changes
    assert_each_once(VALUES, intake)


async def test_the_journal_knows_better_than_a_group_that_was_deleted(kafka: Kafka) -> None:
    topic, intake = await new_topic(kafka), StubIntake()
    await produce(kafka, topic, VALUES[:100])
    async with reading(intake, settings(kafka, topic, group_id=new_name("group"))):
        await until(lambda: len(intake.items) == 100)
    await produce(kafka, topic, VALUES[100:200])
    async with reading(intake, settings(kafka, topic, group_id=new_name("group"))):
        await until(lambda: len(intake.items) == 200)
    assert_each_once(VALUES[:200], intake)


@pytest.mark.parametrize(("start_at", "count"), [("beginning", 6), ("end", 2)])
async def test_where_a_new_group_begins(kafka: Kafka, start_at: str, count: int) -> None:
    topic, intake, group = await new_topic(kafka, 1), StubIntake(), new_name("group")
    await produce(kafka, topic, VALUES[:4])
    chosen = settings(kafka, topic, group_id=group, start_at=start_at)
    async with reading(intake, chosen):
        await until(lambda: metric("vedette_kafka_partitions") == 1)
        while not await standings(kafka, group):
            pass
    await produce(kafka, topic, VALUES[4:6])  # while it is stopped
    async with reading(intake, chosen):
        await until(lambda: len(intake.items) == count)
    assert intake.items == VALUES[6 - count : 6]


# --- several members --------------------------------------------------------------------------------------------------
async def test_two_members_share_partitions_through_joins_and_leaves(kafka: Kafka) -> None:
    topic, group = await new_topic(kafka), new_name("group")
    journals = [StubIntake(), StubIntake()]
    chosen = settings(kafka, topic, group_id=group)
    rng = random.Random(20261121)

    async def come_and_go(intake: StubIntake) -> None:
        for _ in range(6):
            async with reading(intake, chosen):
                await asyncio.sleep(rng.uniform(0.1, 1.2))

    writing = asyncio.create_task(_in_steps(kafka, topic, VALUES))
    await asyncio.gather(*map(come_and_go, journals))
    await writing
    async with reading(journals[0], chosen), reading(journals[1], chosen):
        await until(lambda: sum(len(journal.items) for journal in journals) >= len(VALUES))
    assert_each_once(VALUES, *journals)
    assert all(journal.items for journal in journals), "both took part, or this test shows nothing"


async def _in_steps(kafka: Kafka, topic: str, values: list[bytes]) -> None:
    for begin in range(0, len(values), 100):
        await produce(kafka, topic, values[begin : begin + 100])


async def test_what_was_claimed_and_not_stored_is_stored_by_who_claimed_it(kafka: Kafka) -> None:
    """The first member dies with claims that its journal has not got; the second goes on behind them."""
    topic, group = await new_topic(kafka), new_name("group")
    first, second = StubIntake(), StubIntake()
    chosen = settings(kafka, topic, group_id=group)
    await produce(kafka, topic, VALUES[:1000])
    async with reading(first, chosen):
        await until(lambda: "" in first.committed)
        first.open.clear()
        await until(lambda: first.held)
        claimed = first.held
    assert first.items == []
    assert any(standing.claims for standing in (await standings(kafka, group)).values())
    await produce(kafka, topic, VALUES[1000:])
    async with reading(second, chosen):
        await until(lambda: len(second.items) == len(VALUES) - claimed)
        first.open.set()
        debts = metric("vedette_kafka_debt_records_total")
        async with reading(first, chosen):
            await until(lambda: len(first.items) >= claimed)
        assert metric("vedette_kafka_debt_records_total") - debts == claimed
    assert_each_once(VALUES, first, second)


async def test_a_member_that_is_held_up_stores_nothing_that_is_not_its_own(kafka: Kafka) -> None:
    """Held up in the middle of storing for longer than a session, while partitions move between it and another."""
    topic, group = await new_topic(kafka, 2), new_name("group")
    first, second = StubIntake(), StubIntake()
    chosen = settings(kafka, topic, group_id=group, session_timeout_s=1)
    async with reading(first, chosen):
        await until(lambda: "" in first.committed)
        first.open.clear()
        await produce(kafka, topic, VALUES[:1000])
        await until(lambda: first.held)
        async with reading(second, chosen):
            await produce(kafka, topic, VALUES[1000:])
            await until(lambda: second.items)
            first.open.set()
            await until(lambda: len(first.items) + len(second.items) >= len(VALUES))
    assert_each_once(VALUES, first, second)


# --- what a record can be ---------------------------------------------------------------------------------------------
async def test_every_record_is_an_item_at_least(kafka: Kafka) -> None:
    topic, intake = await new_topic(kafka, 1), StubIntake()
    two = b"[" + falco(1) + b"," + falco(2) + b"]"
    poison = [None, b"", b"\xff\x00\n", b'{"rule":', b"[]", b" \n "]
    await produce(kafka, topic, [falco(0), two, *poison, falco(3)])
    async with reading(intake, settings(kafka, topic, group_id=new_name("group"))):
        await until(lambda: falco(3) in intake.items)
    origin = f"{topic}/0"
    assert list(zip(intake.items, intake.places, strict=True)) == [
        (falco(0), (origin, 0)),
        (falco(1), (f"{origin}@1", 1)),
        (falco(2), (f"{origin}@1", 2)),
        (b"", (origin, 2)),
        (b"", (origin, 3)),
        (b"\xff\x00", (origin, 4)),
        (b'{"rule":', (origin, 5)),
        (b"[]", (origin, 6)),
        (b" \n ", (origin, 7)),
        (falco(3), (origin, 8)),
    ]


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_compressed_batches(kafka: Kafka, codec: str) -> None:
    topic, intake = await new_topic(kafka), StubIntake()
    await produce(kafka, topic, VALUES, compression_type=codec)
    async with reading(intake, settings(kafka, topic, group_id=new_name("group"))):
        await until(lambda: len(intake.items) >= len(VALUES))
    assert_each_once(VALUES, intake)


async def test_a_transaction_that_was_aborted_is_not_read(kafka: Kafka) -> None:
    topic, intake, group = await new_topic(kafka, 1), StubIntake(), new_name("group")
    producer = AIOKafkaProducer(bootstrap_servers=kafka.url, transactional_id=new_name("tx"))
    await producer.start()
    for number, good in enumerate([True, False, True]):
        await producer.begin_transaction()
        await producer.send_and_wait(topic, falco(number))
        await (producer.commit_transaction() if good else producer.abort_transaction())
    await producer.stop()
    async with reading(intake, settings(kafka, topic, group_id=group)):
        await until(lambda: len(intake.items) == 2)
    assert intake.places == [(f"{topic}/0", 0), (f"{topic}/0", 4)]


# --- what a topic can do ----------------------------------------------------------------------------------------------
async def test_records_that_retention_removed_are_counted(kafka: Kafka) -> None:
    topic, intake = await new_topic(kafka, 1), StubIntake()
    chosen = settings(kafka, topic, group_id=new_name("group"))
    await produce(kafka, topic, VALUES[:10])
    async with reading(intake, chosen):
        await until(lambda: len(intake.items) == 10)
    await produce(kafka, topic, VALUES[10:30])
    async with admin(kafka) as client:
        await client.delete_records({TopicPartition(topic, 0): RecordsToDelete(25)})
    async with reading(intake, chosen):
        await until(lambda: len(intake.items) == 15)
    assert intake.items == VALUES[:10] + VALUES[25:30]
    assert intake.lost == 15


async def test_a_topic_that_was_made_anew_is_read_from_its_beginning(kafka: Kafka) -> None:
    topic, intake = await new_topic(kafka, 1), StubIntake()
    chosen = settings(kafka, topic, group_id=new_name("group"))
    await produce(kafka, topic, VALUES[:10])
    async with reading(intake, chosen):
        await until(lambda: len(intake.items) == 10)
    async with admin(kafka) as client:
        await client.delete_topics([topic])
        while topic in await client.list_topics():
            pass
    await new_topic(kafka, 1, topic)
    await produce(kafka, topic, VALUES[10:15])
    async with reading(intake, chosen):
        await until(lambda: len(intake.items) == 15)
    assert intake.items == VALUES[:15]


@left_to_collector
async def test_a_broker_that_is_away_is_waited_for(kafka: Kafka) -> None:
    topic, intake = await new_topic(kafka), StubIntake()
    chosen = settings(kafka, topic, group_id=new_name("group"))
    await produce(kafka, topic, VALUES[:1000])
    await asyncio.to_thread(kafka.kill)
    async with reading(intake, chosen):
        failures = metric("vedette_kafka_failures_total")
        await until(lambda: metric("vedette_kafka_failures_total") > failures)
        await asyncio.to_thread(kafka.start)
        await until(lambda: len(intake.items) == 1000)
        await asyncio.to_thread(kafka.kill)
        await asyncio.to_thread(kafka.start)
        await produce(kafka, topic, VALUES[1000:])
        await until(lambda: len(intake.items) >= 2000)
    assert_each_once(VALUES, intake)


# --- who reads --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("listener", "more"),
    [
        pytest.param("SASL_PLAINTEXT", {"sasl_mechanism": "PLAIN"}, id="SASL PLAIN"),
        pytest.param("SASL_PLAINTEXT", {"sasl_mechanism": "SCRAM-SHA-256"}, id="SCRAM-SHA-256"),
        pytest.param("SASL_SSL", {"sasl_mechanism": "SCRAM-SHA-512", "tls": True}, id="SCRAM-SHA-512 over TLS"),
        pytest.param("SSL", {"tls": True}, id="client certificate"),
    ],
)
async def test_login(kafka: Kafka, listener: str, more: dict[str, Any], tmp_path: Path) -> None:
    topic, intake = await new_topic(kafka), StubIntake()
    await produce(kafka, topic, VALUES)
    if more.get("tls"):
        more = {**more, "ca_file": kafka.ca}
    if listener.startswith("SASL"):
        (tmp_path / "password").write_text(f"{kafka.password}\n")
        more = {**more, "username": kafka.user, "password_file": tmp_path / "password"}
    else:
        certificate, key = kafka.client_certificate(tmp_path)
        more = {**more, "client_cert_file": certificate, "client_key_file": key}
    chosen = settings(kafka, topic, bootstrap_servers=kafka.address(listener), group_id=new_name("group"), **more)
    async with reading(intake, chosen):
        await until(lambda: len(intake.items) >= len(VALUES))
    assert_each_once(VALUES, intake)


async def test_a_wrong_password_is_said_and_tried_again(kafka: Kafka, caplog: pytest.LogCaptureFixture) -> None:
    topic, intake = await new_topic(kafka), StubIntake()
    login = {"username": kafka.user, "password": "wrong-secret", "bootstrap_servers": kafka.address("SASL_PLAINTEXT")}
    failures = metric("vedette_kafka_failures_total")
    async with reading(intake, settings(kafka, topic, **login)):
        await until(lambda: metric("vedette_kafka_failures_total") > failures)
    assert "wrong-secret" not in caplog.text
    assert intake.items == []
