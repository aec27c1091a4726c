"""The sink: what becomes of a batch when a record of it is refused."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from aiokafka.errors import KafkaError, MessageSizeTooLargeError, RecordListTooLargeError

from sinks.kafka.probe import probe
from sinks.kafka.producer import Producer, Result, said
from sinks.kafka.records import KafkaRecord, alert_record, event_record
from vedette.runtime.kafka import client_options
from vedette.schema.errors import ConfigError, PermanentError, TransientError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sinks.kafka.settings import KafkaSettings
    from vedette.runtime.check import Check
    from vedette.runtime.sink import ForwardedEvent, Outcome
    from vedette.runtime.sink_context import SinkContext
    from vedette.schema.alert import AlertRevision

OPERATOR_RETRY_S: Final = 30.0
"""What a person has to mend is tried no more often."""
_TOO_LARGE: Final = (MessageSizeTooLargeError, RecordListTooLargeError)


class KafkaSink:
    """Implements `vedette.runtime.sink.EventSink`."""

    def __init__(self, name: str, settings: KafkaSettings, context: SinkContext) -> None:
        """Take the settings; files are read by `start`."""
        self.name = name
        self._settings = settings
        self._folder = context.data_dir
        self._producer: Producer | None = None

    async def start(self) -> None:
        """Read the files; the brokers are spoken to when there is something to say.

        Raises:
            ConfigError: a file can't be used.
        """
        if self._producer is None:
            self._producer = await asyncio.to_thread(self._new_producer)

    async def deliver(self, revisions: Sequence[AlertRevision]) -> Sequence[Outcome]:
        """Write each revision under its alert's id.

        Raises:
            TransientError: Kafka can't be asked now.
        """
        return await self._deliver([alert_record(revision) for revision in revisions])

    async def deliver_events(self, events: Sequence[ForwardedEvent]) -> Sequence[Outcome]:
        """Write each record with where it came from.

        Raises:
            TransientError: Kafka can't be asked now.
        """
        return await self._deliver([event_record(event) for event in events])

    async def stop(self) -> None:
        """Close the connections."""
        if self._producer is not None:
            await self._producer.close()
            self._producer = None

    async def probe(self) -> Sequence[Check]:
        """Connect and look for the topic; nothing is written."""
        return await probe(self.name, self._settings, self._folder)

    # --- inside -------------------------------------------------------------------------------------------------------
    def _new_producer(self) -> Producer:
        settings = self._settings
        options = client_options(f"sinks.{self.name}.kafka", settings, self._folder)
        compression = None if settings.compression == "none" else settings.compression
        return Producer(
            settings.topic, {**options, "compression_type": compression}, settings.timeout_s, settings.shown()
        )

    async def _deliver(self, records: Sequence[KafkaRecord]) -> Sequence[Outcome]:
        if not records:
            return []
        producer = self._producer
        assert producer is not None, "started"
        try:
            results = list(await producer.write(records))
            if len(records) > 1:
                # A batch is refused as a whole: alone, a record that is too large costs only itself.
                for at, result in enumerate(results):
                    if isinstance(result, _TOO_LARGE):
                        (results[at],) = await producer.write(records[at : at + 1])
        except TransientError:
            await self._renew()
            raise
        return [self._outcome(record, result) for record, result in zip(records, results, strict=True)]

    async def _renew(self) -> None:
        """Read password and certificates again: they may have been rotated."""
        try:
            self._producer = await asyncio.to_thread(self._new_producer)
        except ConfigError as error:
            raise TransientError(str(error), retry_after_s=OPERATOR_RETRY_S) from error

    def _outcome(self, record: KafkaRecord, result: Result) -> Outcome:
        topic = self._settings.topic
        if result is None:
            return None
        if isinstance(result, _TOO_LARGE):
            size = len(record.value)
            return PermanentError(f"the topic {topic} takes no record of {size} bytes. Raise its max.message.bytes")
        return _later(topic, result)


def _later(topic: str, error: KafkaError) -> TransientError:
    if error.retriable:
        return TransientError(f"the topic {topic}: {said(error)}")
    remedy = "Look whether there is such a topic, and whether Vedette's user may Write to it (kafka-acls.sh)"
    return TransientError(f"the topic {topic} refuses: {said(error)}. {remedy}", retry_after_s=OPERATOR_RETRY_S)
