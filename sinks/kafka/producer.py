"""One idempotent producer at a time: made when it is needed, thrown away when it can no longer be trusted.

A broker takes the batches of a producer in the order of their numbers. One that was refused leaves a hole, after which
it takes nothing more; and what a cancelled call has handed over would still be sent. Both end with the producer.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from vedette.schema.errors import TransientError
from vedette.schema.limits import KIB, MIB
from vedette.schema.text import safe_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sinks.kafka.records import KafkaRecord

BATCH_BYTES_MAX: Final = 256 * KIB
"""Bytes of records that are written together; below the 1 MiB that brokers take (`message.max.bytes`)."""
RECORD_BYTES_MAX: Final = 64 * MIB
"""No limit of ours: what a topic takes is for its broker to say."""
CLOSE_S: Final = 5.0

Result = KafkaError | None
"""What became of a record: None, if all replicas have it."""


class Producer:
    """Writes records to one topic."""

    def __init__(self, topic: str, options: Mapping[str, Any], timeout_s: float, shown: str) -> None:
        """Connect to nothing yet; `shown` says where to."""
        self._topic = topic
        self._options = options
        self._timeout_s = timeout_s
        self._shown = shown
        self._made: AIOKafkaProducer | None = None

    async def write(self, records: Sequence[KafkaRecord]) -> Sequence[Result]:
        """Write records in order, and say for each what became of it.

        Raises:
            TransientError: Kafka can't be asked now; some may have been written.
        """
        finished = False
        try:
            async with asyncio.timeout(self._timeout_s):
                results = await self._write(records)
            finished = not any(results)
        except TimeoutError as error:
            text = f"Kafka at {self._shown} did not take {len(records)} records within {self._timeout_s:g} s"
            raise TransientError(text) from error
        except (KafkaError, OSError) as error:
            raise TransientError(f"Kafka at {self._shown}: {said(error)}") from error
        finally:
            if not finished:
                await self.abandon()
        return results

    async def _write(self, records: Sequence[KafkaRecord]) -> Sequence[Result]:
        if self._made is None:
            made = AIOKafkaProducer(
                **self._options,
                enable_idempotence=True,
                acks="all",
                linger_ms=5,
                max_batch_size=BATCH_BYTES_MAX,
                max_request_size=RECORD_BYTES_MAX,
                request_timeout_ms=int(self._timeout_s * 1000),
            )
            self._made = made
            await made.start()
        sent = [
            await self._made.send(self._topic, record.value, record.key, headers=record.headers) for record in records
        ]
        results: list[Result] = []
        for outcome in await asyncio.gather(*sent, return_exceptions=True):
            if isinstance(outcome, BaseException) and not isinstance(outcome, KafkaError):
                raise outcome
            results.append(outcome if isinstance(outcome, KafkaError) else None)
        return results

    async def close(self) -> None:
        """Disconnect; nothing is waiting to be sent."""
        made = self._made
        if made is not None:
            try:
                async with asyncio.timeout(CLOSE_S):
                    await made.stop()
                self._made = None
            except TimeoutError:
                await self.abandon()

    async def abandon(self) -> None:
        """Disconnect, and send nothing of what may be waiting."""
        made, self._made = self._made, None
        if made is not None:
            made._closed = True  # noqa: SLF001 - `stop` would go on sending, for ever if no broker answers
            if made._sender.sender_task is not None:  # noqa: SLF001 - as above
                await made._sender.close()  # noqa: SLF001 - as above
            await made.client.close()


def said(error: BaseException) -> str:
    """Say what went wrong, in one harmless line."""
    return safe_text(str(error) or type(error).__name__, 300)
