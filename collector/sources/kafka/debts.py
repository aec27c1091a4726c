"""Reads what this agent had claimed and not stored, whoever owns the partition now: nobody else will.

A consumer outside the group reads exactly the claimed offsets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from collector.sources.kafka.claims import Claim
from collector.sources.kafka.events import DebtRead, RecordsGone, TopicReplaced

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from collector.sources.kafka.records import KafkaRecord

POLL_MS = 500


class Debts:
    """Pays them one partition after the other."""

    def __init__(
        self,
        source: str,
        options: Mapping[str, Any],
        store: Callable[[TopicPartition, Sequence[KafkaRecord], int], Awaitable[None]],
        gone: Callable[[int], None],
    ) -> None:
        """Read with a client of these options.

        `store` makes records durable with the position behind them, `gone` counts records that are in Kafka no more.
        """
        self._source = source
        self._options = options
        self._store = store
        self._gone = gone

    async def pay(self, debts: Mapping[TopicPartition, Claim]) -> None:
        """Store all of it.

        Raises:
            KafkaError: it can't be read now; what was stored is.
        """
        consumer = AIOKafkaConsumer(**self._options)
        try:
            await consumer.start()
            for tp, claim in debts.items():
                await self._pay_one(consumer, tp, claim)
        finally:
            await consumer.stop()

    async def _pay_one(self, consumer: AIOKafkaConsumer, tp: TopicPartition, claim: Claim) -> None:
        consumer.assign([tp])
        at = await self._go_to(consumer, tp, claim)
        count = 0
        while at < claim.end:
            try:
                found: Sequence[KafkaRecord] = (await consumer.getmany(tp, timeout_ms=POLL_MS)).get(tp, [])
            except OffsetOutOfRangeError:
                at = await self._go_to(consumer, tp, Claim(at, claim.end))
                continue
            records = [record for record in found if record.offset < claim.end]
            position = min(await consumer.position(tp), claim.end)
            if position > at:
                await self._store(tp, records, position)
                count, at = count + len(records), position
        DebtRead(self._source, f"{tp.topic}/{tp.partition}", claim.begin, count).emit()

    async def _go_to(self, consumer: AIOKafkaConsumer, tp: TopicPartition, claim: Claim) -> int:
        """Go to the first record of a claim that is still there; its end, if there is none."""
        name = f"{tp.topic}/{tp.partition}"
        first, end = (await consumer.beginning_offsets([tp]))[tp], (await consumer.end_offsets([tp]))[tp]
        begin = min(max(first, claim.begin), claim.end)
        if end < claim.end:
            TopicReplaced(self._source, name, claim.begin, claim.end).emit()
            begin = claim.end
        if begin > claim.begin:
            RecordsGone(self._source, name, claim.begin, begin - claim.begin).emit()
            self._gone(begin - claim.begin)
            await self._store(tp, [], begin)
        consumer.seek(tp, begin)
        return begin
