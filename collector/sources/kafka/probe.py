"""What `vedette doctor` tries of a `kafka` source: that the cluster can be asked, and that it knows topics and group.

It joins no group and commits nothing, so the agent may run beside it.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError, GroupLoadInProgressError, KafkaError

from vedette.runtime.backoff import Backoff
from vedette.runtime.check import Check
from vedette.runtime.kafka import client_options
from vedette.schema.errors import ConfigError
from vedette.schema.text import safe_text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from typing import Any

    from aiokafka import OffsetAndMetadata, TopicPartition

    from collector.sources.kafka.settings import KafkaSettings

PROBE_S: Final = 14.0
"""All checks together: doctor waits a second longer."""
REQUEST_MS: Final = 5_000
_ACCESS: Final = "let Vedette's user Describe and Read the topics and the group (kafka-acls.sh)"


async def probe(name: str, settings: KafkaSettings) -> Sequence[Check]:
    """Try the cluster within PROBE_S seconds."""
    place = f"sources.{name}.kafka"
    checks: list[Check] = []
    try:
        options = await asyncio.to_thread(client_options, place, settings, Path())
        async with asyncio.timeout(PROBE_S):
            async for check in _checks(settings, {**options, "request_timeout_ms": REQUEST_MS}):
                checks.append(check)  # noqa: PERF401 - what was found stays when time is up
    except ConfigError as error:
        return [Check("read the files that the settings name", str(error), "correct the settings or the files")]
    except TimeoutError:
        problem = f"the time was up after {PROBE_S:g} s"
        checks.append(Check(f"ask Kafka at {settings.shown()}", problem, "look at the brokers and the network"))
    except (KafkaError, OSError) as error:
        said = safe_text(str(error) or type(error).__name__)
        remedy = f"look at {place}: addresses, tls and login (a refused login looks like an unreachable broker)"
        checks.append(Check(f"ask Kafka at {settings.shown()}", said, remedy))
    return checks


async def _checks(settings: KafkaSettings, options: Mapping[str, Any]) -> AsyncIterator[Check]:
    consumer = AIOKafkaConsumer(**options, enable_auto_commit=False)
    admin = AIOKafkaAdminClient(**options)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(consumer.stop)
        await consumer.start()
        topics = await consumer.topics()
        yield Check(f"connect to Kafka at {settings.shown()}{_as_whom(settings)}")
        for topic in settings.topics:
            what = f"see the topic {topic}"
            if topic in topics:
                yield Check(what)
            else:
                yield Check(what, "there is none, or the user may not see it", f"create it, or {_ACCESS}")
        stack.push_async_callback(admin.close)
        await admin.start()
        yield await _check_group(settings, admin)


async def _check_group(settings: KafkaSettings, admin: AIOKafkaAdminClient) -> Check:
    what = f"see what the group {safe_text(settings.group_id)} has read"
    try:
        found = await _offsets(settings, admin)
    except KafkaError as error:
        return Check(what, safe_text(str(error) or type(error).__name__), _ACCESS)
    begun = sum(entry.offset >= 0 for entry in found.values())
    return Check(f"{what}: {begun} partitions")


async def _offsets(settings: KafkaSettings, admin: AIOKafkaAdminClient) -> Mapping[TopicPartition, OffsetAndMetadata]:
    """Ask until a group has a coordinator: the first question of all makes a new cluster create the topic for them."""
    backoff = Backoff(first_s=0.1, longest_s=1.0)
    while True:
        try:
            return await admin.list_consumer_group_offsets(settings.group_id)
        except (GroupCoordinatorNotAvailableError, GroupLoadInProgressError):
            await asyncio.sleep(backoff.next_s())


def _as_whom(settings: KafkaSettings) -> str:
    return f" as {safe_text(settings.username)}" if settings.username else ""
