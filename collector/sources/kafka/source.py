"""The `kafka` source: hands the records of topics to intake, together with how far each partition has been read.

Records and the position behind them commit together. Kafka's own offset follows; it is never ahead of the journal. A
cluster that can't be reached is tried again for ever. Never ends by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from collector.sources.kafka.debts import Debts
from collector.sources.kafka.events import KafkaUnavailable, PositionUnusable
from collector.sources.kafka.member import Journal, Member
from collector.sources.kafka.records import Recording
from vedette.runtime.backoff import Backoff
from vedette.runtime.kafka import client_options
from vedette.runtime.parcel import Intake, Parcel, Position, Receipt
from vedette.runtime.source import decoder_of
from vedette.schema.errors import ConfigError, TransientError
from vedette.schema.limits import MIB
from vedette.schema.text import safe_text

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from aiokafka import TopicPartition

    from collector.sources.kafka.records import KafkaRecord
    from collector.sources.kafka.settings import KafkaSettings
    from vedette.schema.event import Decoder

STOP_S: Final = 5.0
"""How long a stop waits for what was taken to be committed; what was not is read again after the next start."""
CLOSE_S: Final = 5.0
"""How long each step of leaving the group may take; after that, the group notices by itself."""
FETCH_BYTES_MAX: Final = 16 * MIB
"""Bytes, as compressed by the producers, that one broker sends ahead."""
TURN_S: Final = 0.05
"""Turns with few records begin so far apart, so that records that come one by one share a claim and a commit."""
FEW: Final = 200
ROOM_BYTES_MIN: Final = MIB
"""Nothing is claimed while intake has less room: others may be able to store it."""
ROOM_POLL_S: Final = 0.2
MEMBER: Final = ""
"""The partition that holds the name of this journal among the members."""


class KafkaSource:
    """Implements `vedette.runtime.source.Source` for Kafka."""

    def __init__(self, name: str, settings: KafkaSettings, intake: Intake, decoders: Mapping[str, Decoder]) -> None:
        """Make the source.

        Raises:
            ConfigError: there is no decoder of that name.
        """
        self.name = name
        self._settings = settings
        self._intake = intake
        self._recording = Recording(name, decoder_of(name, settings.format, decoders), settings.context)
        self._backoff = Backoff(longest_s=10.0)
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._waiting = False
        """Whether the task waits for records, and can be ended without a loss of time."""

    async def start(self) -> None:
        """Read the files that the settings name, and begin to read from Kafka, as soon as it can be reached.

        Raises:
            ConfigError: a file can't be used.
        """
        await asyncio.to_thread(self._options)
        self._task = asyncio.create_task(self._run(), name=f"kafka:{self.name}")

    async def wait(self) -> None:
        """Return after `stop`."""
        if self._task is not None:
            await asyncio.wait({self._task})
            if not self._task.cancelled():
                self._task.result()

    async def stop(self) -> None:
        """Store what was claimed, confirm it, and leave the group; all in bounded time."""
        self._stopping.set()
        if self._task is None:
            return
        if self._waiting:
            self._task.cancel()
        await asyncio.wait({self._task}, timeout=STOP_S + 2 * CLOSE_S)
        self._task.cancel()
        await asyncio.wait({self._task})

    def urls(self) -> list[str]:
        """Nobody connects to it."""
        return []

    # --- the loop -----------------------------------------------------------------------------------------------------
    async def _run(self) -> None:
        member = await self._name_member()
        while not self._stopping.is_set():
            try:
                await self._read_as_member(member)
            except (KafkaError, ConfigError, OSError) as error:
                retry_s = self._backoff.next_s()
                KafkaUnavailable(self.name, safe_text(str(error) or type(error).__name__), retry_s).emit()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), retry_s)

    async def _name_member(self) -> str:
        """Return the name that claims know this journal by; written down before it is used."""
        known = self._intake.positions(self.name).get(MEMBER)
        if known:
            return known
        made = secrets.token_urlsafe(9)
        await self._intake.put(Parcel(self.name, [], [], _settled, 0, Position(MEMBER, made)))
        return made

    async def _read_as_member(self, name: str) -> None:
        """Join the group and read until `stop`, or until something fails."""
        options = await asyncio.to_thread(self._options)
        consumer = AIOKafkaConsumer(
            **options,
            group_id=self._settings.group_id,
            session_timeout_ms=int(self._settings.session_timeout_s * 1000),
            heartbeat_interval_ms=int(self._settings.session_timeout_s * 1000 / 5),
        )
        debts = Debts(self.name, options, self._store, self._gone)
        journal = Journal(name, self._stored, self._store, debts.pay, self._gone)
        member = Member(
            self.name,
            consumer,
            journal,
            from_end=self._settings.start_at == "end",
            hand_over_s=self._settings.session_timeout_s * 0.8,
        )
        consumer.subscribe(list(self._settings.topics), listener=member)
        try:
            with self._interruptible():
                await consumer.start()
            while not self._stopping.is_set():
                await self._turn(member)
        finally:
            await _close(consumer, member)

    async def _turn(self, member: Member) -> None:
        """Store one batch, or confirm what was stored if there is none."""
        begun_s = asyncio.get_running_loop().time()
        with self._interruptible():
            if self._intake.room_bytes() < ROOM_BYTES_MIN:
                await asyncio.sleep(ROOM_POLL_S)
                return
            batch = await member.fetch()
        if not batch:
            await member.confirm()
            return
        await member.take(batch)
        self._backoff.reset()
        if sum(map(len, batch.values())) < FEW:
            rest_s = begun_s + TURN_S - asyncio.get_running_loop().time()
            with self._interruptible():
                await asyncio.sleep(max(0.0, rest_s))

    @contextlib.contextmanager
    def _interruptible(self) -> Generator[None]:
        """Let `stop` cancel what is done inside."""
        self._waiting = True
        try:
            yield
        finally:
            self._waiting = False

    # --- the journal --------------------------------------------------------------------------------------------------
    def _stored(self, tp: TopicPartition) -> int | None:
        value = self._intake.positions(self.name).get(_partition(tp))
        if value is None:
            return None
        if not (value.isascii() and value.isdigit()):
            PositionUnusable(self.name, _partition(tp)).emit()
            return None
        return int(value)

    async def _store(self, tp: TopicPartition, records: Sequence[KafkaRecord], position: int) -> None:
        runs, items = self._recording.described(_partition(tp), records)
        place = Position(_partition(tp), str(position))
        await self._intake.put(Parcel(self.name, runs, items, _settled, sum(map(len, items)), place))

    def _gone(self, count: int) -> None:
        self._intake.refused(self.name, count)

    def _options(self) -> Mapping[str, Any]:
        """Options of both consumers, with secrets and certificates as their files have them now."""
        options = client_options(f"sources.{self.name}.kafka", self._settings, Path())
        return {
            **options,
            "enable_auto_commit": False,
            "auto_offset_reset": "none",
            "isolation_level": "read_committed",
            "fetch_max_bytes": FETCH_BYTES_MAX,
        }


async def _close(consumer: AIOKafkaConsumer, member: Member) -> None:
    """Leave the group; one that can't be told so notices after a while."""
    for step in (member.leave, consumer.stop):
        with contextlib.suppress(TimeoutError, KafkaError):
            async with asyncio.timeout(CLOSE_S):
                await step()


def _partition(tp: TopicPartition) -> str:
    """The name of a partition in the journal, and the origin of its records; no topic has a slash."""
    return f"{tp.topic}/{tp.partition}"


def _settled(_: Receipt | TransientError) -> None:
    """`put` says the same to whoever waits for it."""
