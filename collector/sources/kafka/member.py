"""One member of the consumer group: which partitions it owns, from where it reads them, and what of them is its own.

A member reads (`fetch`), claims and stores (`take`), and confirms what it has stored (`confirm`), one after the other.
The group may move on at any moment: then what was read and not claimed is dropped, and what was claimed is stored.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError

from collector.sources.kafka.claims import Claim, Claims, Standing, debt, resume_at
from collector.sources.kafka.commits import Term, TermOverError, commit, current_term, read_standings
from collector.sources.kafka.events import (
    LAG,
    PARTITIONS,
    ClaimRefused,
    PartitionsAssigned,
    RecordsGone,
    TopicReplaced,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

    from collector.sources.kafka.records import KafkaRecord

POLL_MS: Final = 500
RECORDS_MAX: Final = 2_000
"""Records of one turn: they share a claim (one request) and a commit of intake."""

Batch = dict[TopicPartition, "Sequence[KafkaRecord]"]


@dataclass(slots=True)
class Holding:
    """A partition that this member owns: all of its own before `position` is stored, `others` claimed the rest.

    `said`: the offset that Kafka is told. It is `position` once this member has stored something; until then what
    was committed before stays, lest Kafka be told more than is stored. `confirmed`: whether Kafka knows.
    """

    position: int
    said: int
    others: Claims
    confirmed: bool = False


@dataclass(frozen=True, slots=True)
class Journal:
    """What a member knows of its journal, and how it puts things there.

    `member`: the name by which claims know this journal. `stored`: the position of a partition, None if there is none.
    `store`: makes records durable with the position behind them. `pay`: reads and stores what was claimed and not
    stored. `gone`: counts records that Kafka no longer has.
    """

    member: str
    stored: Callable[[TopicPartition], int | None]
    store: Callable[[TopicPartition, Sequence[KafkaRecord], int], Awaitable[None]]
    pay: Callable[[Mapping[TopicPartition, Claim]], Awaitable[None]]
    gone: Callable[[int], None]


class Member(ConsumerRebalanceListener):
    """Reads as a member of the group of `consumer`, which its owner starts and stops."""

    def __init__(
        self, source: str, consumer: AIOKafkaConsumer, journal: Journal, *, from_end: bool, hand_over_s: float
    ) -> None:
        """`from_end`: where to begin in a topic that is new to the group. `hand_over_s`: how long the group waits."""
        self._source = source
        self._consumer = consumer
        self._journal = journal
        self._from_end = from_end
        self._hand_over_s = hand_over_s
        self._term: Term | None = None
        self._placed: Term | None = None
        """The term whose partitions are read from the right places."""
        self._leaving = False
        self._held: dict[TopicPartition, Holding] = {}
        self._busy = asyncio.Lock()

    # --- the group ----------------------------------------------------------------------------------------------------
    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Store what was claimed and confirm it, so that the next owner goes on right there."""
        del revoked
        await self.leave()

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Note what is owned now; `fetch` finds the places."""
        self._term = current_term(self._consumer, assigned)
        self._leaving = False
        PARTITIONS.labels(self._source).set(len(assigned))
        names = sorted(f"{tp.topic}/{tp.partition}" for tp in assigned)
        PartitionsAssigned(self._source, self._term.generation, names).emit()

    async def leave(self) -> None:
        """End the term: finish what is under way, within bounded time, and claim nothing more."""
        self._leaving = True
        # Whoever owns them next finds in the claims what could not be said here.
        with contextlib.suppress(TimeoutError, TermOverError, KafkaError):
            async with asyncio.timeout(self._hand_over_s), self._busy:
                await self._confirm()
        self._term = None
        PARTITIONS.labels(self._source).set(0)
        LAG.labels(self._source).set(0)

    # --- reading ------------------------------------------------------------------------------------------------------
    async def fetch(self) -> Batch:
        """Return the next records of the partitions owned; nothing after POLL_MS, or when the group moved on.

        Raises:
            KafkaError: they can't be had now.
        """
        if self._placed is not self._term:
            await self._place()
        term = self._placed
        try:
            batch: Batch = {**await self._consumer.getmany(timeout_ms=POLL_MS, max_records=RECORDS_MAX)}
        except NoOffsetForPartitionError:
            return {}  # Not placed yet: the group moved on.
        except OffsetOutOfRangeError as error:
            await self._find_again(error.args[0])
            return {}
        if term is None or not self._current(term):
            self._drop(batch)
            return {}
        return batch

    async def take(self, batch: Batch) -> None:
        """Claim records, and store them.

        Raises:
            KafkaError: they could not be claimed.
        """
        async with self._busy:
            term = self._placed
            if term is None or not self._current(term):
                self._drop(batch)
                return
            ends = {tp: records[-1].offset + 1 for tp, records in batch.items()}
            try:
                await self._claim(term, ends)
            except (TermOverError, KafkaError) as error:
                self._placed = None  # Whether it was claimed is found out there.
                self._drop(batch)
                if isinstance(error, TermOverError):
                    return
                raise
            await asyncio.gather(*(self._journal.store(tp, records, ends[tp]) for tp, records in batch.items()))
            for tp, end in ends.items():
                self._held[tp] = Holding(end, end, self._held[tp].others)
        self._measure()

    async def confirm(self) -> None:
        """Tell Kafka what is stored, where it does not know yet.

        Raises:
            KafkaError: it can't be told now.
        """
        with contextlib.suppress(TermOverError):
            async with self._busy:
                await self._confirm()
        self._measure()

    def _current(self, term: Term) -> bool:
        return self._term is term and not self._leaving

    def _drop(self, batch: Batch) -> None:
        count = sum(map(len, batch.values()))
        if count:
            self._placed = None
            ClaimRefused(self._source, count).emit()

    # --- what Kafka is told -------------------------------------------------------------------------------------------
    async def _claim(self, term: Term, ends: Mapping[TopicPartition, int]) -> None:
        me = self._journal.member
        standings: dict[TopicPartition, Standing] = {}
        for tp, end in ends.items():
            held = self._held[tp]
            standings[tp] = Standing(held.said, {**held.others, me: Claim(held.position, end)})
        await commit(self._consumer, term, standings, lambda: self._term is term)

    async def _confirm(self) -> None:
        term = self._placed
        if term is None or term is not self._term:
            return
        unsaid = {tp: held for tp, held in self._held.items() if not held.confirmed}
        if unsaid:
            standings = {tp: Standing(held.said, held.others) for tp, held in unsaid.items()}
            await commit(self._consumer, term, standings, lambda: self._term is term)
            for held in unsaid.values():
                held.confirmed = True

    # --- where to read ------------------------------------------------------------------------------------------------
    async def _place(self) -> None:
        """Pay what is owed, and go to where each partition is to be read from."""
        term = self._term
        if term is None:
            return
        me = self._journal.member
        everywhere = {tp for topic in self._consumer.subscription() for tp in self._partitions_of(topic)}
        standings = await read_standings(self._consumer, everywhere | term.partitions)
        debts = {tp: debt(standing, me, self._journal.stored(tp)) for tp, standing in standings.items()}
        owed = {tp: claim for tp, claim in debts.items() if claim is not None}
        if owed:
            await self._journal.pay(owed)
        begun = {tp.topic for tp, standing in standings.items() if standing.offset is not None}
        held: dict[TopicPartition, Holding] = {}
        for tp in term.partitions:
            standing = standings[tp]
            stored = self._journal.stored(tp)
            at = resume_at(standing, stored)
            if at is None:
                at = await self._beginning(tp, new=tp.topic not in begun)
            said = at if standing.offset is None or stored == at else standing.offset
            others = {member: claim for member, claim in standing.claims.items() if member != me}
            held[tp] = Holding(at, said, others, confirmed=said == standing.offset and me not in standing.claims)
        if self._current(term):
            with contextlib.suppress(IllegalStateError):  # The group moved on.
                for tp, holding in held.items():
                    self._consumer.seek(tp, holding.position)
                self._held, self._placed = held, term
                await self.confirm()

    def _partitions_of(self, topic: str) -> set[TopicPartition]:
        return {TopicPartition(topic, number) for number in self._consumer.partitions_for_topic(topic) or ()}

    async def _beginning(self, tp: TopicPartition, *, new: bool) -> int:
        """Where to begin in a partition of which the group has read nothing; `new`: nor of its topic."""
        ask = self._consumer.end_offsets if new and self._from_end else self._consumer.beginning_offsets
        return (await ask([tp]))[tp]

    async def _find_again(self, lost: Mapping[TopicPartition, int]) -> None:
        """Go on where there is something again, after positions that Kafka no longer has."""
        for tp, position in lost.items():
            held = self._held.get(tp)
            if held is None or held.position != position:
                continue
            first = (await self._consumer.beginning_offsets([tp]))[tp]
            end = (await self._consumer.end_offsets([tp]))[tp]
            name = f"{tp.topic}/{tp.partition}"
            if position < first:
                RecordsGone(self._source, name, position, first - position).emit()
                self._journal.gone(first - position)
                self._held[tp] = Holding(first, first, held.others)
            elif position > end:
                committed = (await read_standings(self._consumer, [tp]))[tp].offset
                at = committed if committed is not None and first <= committed <= end else first
                TopicReplaced(self._source, name, position, at).emit()
                self._held[tp] = Holding(at, at, {})
            with contextlib.suppress(IllegalStateError):  # The group moved on.
                self._consumer.seek(tp, self._held[tp].position)

    # --- the lag ------------------------------------------------------------------------------------------------------
    def _measure(self) -> None:
        """Say how many records are there and not stored yet."""
        lag = 0
        owned = self._consumer.assignment()
        for tp, held in self._held.items():
            if tp in owned:
                lag += max(0, (self._consumer.highwater(tp) or held.position) - held.position)
        LAG.labels(self._source).set(lag)
