"""What the tests of `kafka` share: topics, producers and commits of a real broker, and a stand-in for intake."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from collector.decoders import DECODERS
from collector.sources.kafka import KafkaSettings, KafkaSource
from collector.sources.kafka.claims import Standing, decode_claims
from vedette.runtime.parcel import Receipt

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

    from tests.servers.kafka import Kafka
    from vedette.runtime.parcel import Parcel

SOURCE: Final = "bus"


def new_name(kind: str) -> str:
    return f"{kind}-{secrets.token_hex(4)}"


def falco(number: int) -> bytes:
    return b'{"rule":"Shell","priority":"Warning","output":"%d"}' % number


async def until(condition: Callable[[], object]) -> None:
    """Wait; the test's timeout bounds it."""
    while not condition():  # noqa: ASYNC110 - what is waited for happens elsewhere
        await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def admin(broker: Kafka) -> AsyncGenerator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(bootstrap_servers=broker.url)
    try:
        await client.start()
        yield client
    finally:
        await client.close()


async def new_topic(broker: Kafka, partitions: int = 4, name: str = "", **settings: str) -> str:
    topic = name or new_name("topic")
    async with admin(broker) as client:
        await client.create_topics([NewTopic(topic, partitions, 1, topic_configs=settings)])
    return topic


async def produce(broker: Kafka, topic: str, values: Sequence[bytes | None], **options: Any) -> None:
    """Write values to the partitions in turn."""
    producer = AIOKafkaProducer(bootstrap_servers=broker.url, linger_ms=5, **options)
    await producer.start()
    try:
        count = len(await producer.partitions_for(topic))
        sent = [await producer.send(topic, value, b"k", partition=at % count) for at, value in enumerate(values)]
        await asyncio.gather(*sent)
    finally:
        await producer.stop()


async def standings(broker: Kafka, group: str) -> dict[TopicPartition, Standing]:
    """What the group has committed."""
    async with admin(broker) as client:
        found = await client.list_consumer_group_offsets(group)
    return {tp: Standing(entry.offset, decode_claims(entry.metadata)) for tp, entry in found.items()}


class StubIntake:
    """Intake with a journal that outlives the sources that write to it."""

    def __init__(self) -> None:
        self.items: list[bytes] = []
        self.places: list[tuple[str, int]] = []
        """Origin and number of each item."""
        self.committed: dict[str, str] = {}
        self.lost = 0
        self.open = asyncio.Event()
        self.open.set()
        """Nothing is committed while this is not set."""
        self.held = 0
        """Records that wait for it."""

    def room_bytes(self) -> int:
        return 2**28

    def offer(self, parcel: Parcel) -> None:
        raise NotImplementedError

    async def put(self, parcel: Parcel) -> Receipt:
        self.held += len(parcel.items)
        await self.open.wait()
        self.held -= len(parcel.items)
        at = 0
        for run in parcel.runs:
            assert (run.source, run.hashed) == (SOURCE, False)
            self.places += [(run.origin, run.record + number) for number in range(run.count)]
            at += run.count
        assert at == len(parcel.items), "the runs describe all items"
        self.items += parcel.items
        if parcel.position is not None:
            self.committed[parcel.position.partition] = parcel.position.value
        receipt = Receipt(len(parcel.items), 0)
        parcel.settle(receipt)
        return receipt

    def refused(self, source: str, records: int) -> None:
        assert source == SOURCE
        self.lost += records

    def positions(self, source: str) -> Mapping[str, str]:
        assert source == SOURCE
        return self.committed


def settings(broker: Kafka, topic: str, **more: Any) -> KafkaSettings:
    defaults = {"bootstrap_servers": broker.url, "topics": [topic], "format": "falco", "session_timeout_s": 3}
    return KafkaSettings.model_validate({**defaults, **more})


@contextlib.asynccontextmanager
async def reading(intake: StubIntake, chosen: KafkaSettings) -> AsyncGenerator[KafkaSource]:
    source = KafkaSource(SOURCE, chosen, intake, DECODERS)
    await source.start()
    try:
        yield source
    finally:
        await source.stop()


def assert_each_once(values: Sequence[bytes], *journals: StubIntake) -> None:
    found = Counter(item for journal in journals for item in journal.items)
    assert sum(found.values()) == len(values), (sum(found.values()), len(values))
    assert found == Counter(values)
