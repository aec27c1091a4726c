"""What `vedette doctor` tries of a Kafka topic: nothing is written, so the right to write is not tried."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from vedette.runtime.check import Check
from vedette.runtime.kafka import client_options
from vedette.schema.errors import ConfigError
from vedette.schema.text import safe_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sinks.kafka.settings import KafkaSettings

PROBE_S: Final = 14.0
"""All checks together: doctor waits a second longer."""
REQUEST_MS: Final = 5_000


async def probe(name: str, settings: KafkaSettings, folder: Path) -> Sequence[Check]:
    """Try the cluster within PROBE_S seconds."""
    place = f"sinks.{name}.kafka"
    what = f"ask Kafka at {settings.shown()}"
    try:
        options = await asyncio.to_thread(client_options, place, settings, folder)
        async with asyncio.timeout(PROBE_S):
            topics = await _topics(AIOKafkaAdminClient(**options, request_timeout_ms=REQUEST_MS))
    except ConfigError as error:
        return [Check("read the files that the settings name", str(error), "correct the settings or the files")]
    except TimeoutError:
        return [Check(what, f"the time was up after {PROBE_S:g} s", "look at the brokers and the network")]
    except (KafkaError, OSError) as error:
        said = safe_text(str(error) or type(error).__name__)
        remedy = f"look at {place}: addresses, tls and login (a refused login looks like an unreachable broker)"
        return [Check(what, said, remedy)]
    whom = f" as {safe_text(settings.username)}" if settings.username else ""
    return [Check(f"{what}{whom}"), _check_topic(settings.topic, topics)]


async def _topics(client: AIOKafkaAdminClient) -> Sequence[str]:
    try:
        await client.start()
        return await client.list_topics()
    finally:
        await client.close()


def _check_topic(topic: str, topics: Sequence[str]) -> Check:
    what = f"see the topic {topic}"
    if topic in topics:
        return Check(what)
    remedy = "create it, or let Vedette's user Describe and Write it (kafka-acls.sh)"
    return Check(what, "there is none, or the user may not see it", remedy)
