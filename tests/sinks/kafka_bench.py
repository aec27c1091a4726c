"""A Kafka sink on the test bench, with a topic of its own on a real broker."""

from __future__ import annotations

import asyncio
import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import orjson
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from sinks import SINKS, SinkContext
from vedette.schema.limits import MIB
from vedette.testing.sinks import StandingClock

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence
    from pathlib import Path

    from tests.servers.kafka import Kafka
    from vedette.runtime.sink import Sink

T = TypeVar("T")


class KafkaBench:
    once = False

    def __init__(self, folder: Path, broker: Kafka, *, partitions: int = 1, limit_bytes: int = 64 * MIB) -> None:
        self._folder = folder
        self._broker = broker
        self._partitions = partitions
        self.topic = f"alerts-{secrets.token_hex(4)}"
        _in_thread(self._create({"max.message.bytes": str(limit_bytes)}))

    def make(self, **more: Any) -> Sink:
        settings, factory = SINKS["kafka"]
        chosen = {"bootstrap_servers": self._broker.url, "topic": self.topic, **more}
        return factory("kafka", settings.model_validate(chosen), SinkContext(self._folder, StandingClock()))

    def received(self) -> Sequence[dict[str, Any]]:
        return [orjson.loads(record.value or b"") for record in self.records()]

    def records(self) -> Sequence[ConsumerRecord]:
        return _in_thread(self._read())

    async def _create(self, settings: dict[str, str]) -> None:
        client = AIOKafkaAdminClient(bootstrap_servers=self._broker.url)
        try:
            await client.start()
            await client.create_topics([NewTopic(self.topic, self._partitions, 1, topic_configs=settings)])
        finally:
            await client.close()

    async def _read(self) -> Sequence[ConsumerRecord]:
        """All that is in the topic now, by partition."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._broker.url, auto_offset_reset="earliest", isolation_level="read_committed"
        )
        found: list[ConsumerRecord] = []
        try:
            await consumer.start()
            partitions = [TopicPartition(self.topic, number) for number in range(self._partitions)]
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            for tp in partitions:
                while await consumer.position(tp) < ends[tp]:
                    found += (await consumer.getmany(tp, timeout_ms=100)).get(tp, [])
        finally:
            await consumer.stop()
        return found


def _in_thread(call: Coroutine[Any, Any, T]) -> T:
    """Run it in a loop of its own: a bench is asked from within the loop of its test."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, call).result()
