"""Offsets and claims in Kafka, each told in the generation of the group that it belongs to.

aiokafka's own `commit` speaks for whatever generation the client is in by the time of sending, and `committed` leaves
the metadata out. A claim must be refused when the group has moved on since its records were read: that is all that
keeps two members from storing the same ones. So the request is made here, over aiokafka's coordinator.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING, Final, NamedTuple

from aiokafka import TopicPartition, errors
from aiokafka.protocol.commit import OffsetCommitRequest

from collector.sources.kafka.claims import NOTHING, Standing, decode_claims, encode_claims

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from aiokafka import AIOKafkaConsumer
    from aiokafka.consumer.group_coordinator import GroupCoordinator

RETRY_S: Final = 0.1
_MOVED_ON: Final = (errors.UnknownMemberIdError, errors.IllegalGenerationError, errors.RebalanceInProgressError)
_ELSEWHERE: Final = (
    errors.GroupCoordinatorNotAvailableError,
    errors.NotCoordinatorForGroupError,
    errors.RequestTimedOutError,
)


class Term(NamedTuple):
    """One member's time in one generation of the group, and what it owns in it."""

    generation: int
    member_id: str
    partitions: frozenset[TopicPartition]


class TermOverError(Exception):
    """The group has moved on, or that is not known: what was to be committed may be committed or not."""


def current_term(consumer: AIOKafkaConsumer, partitions: Collection[TopicPartition]) -> Term:
    """Say in which generation `consumer` was given `partitions`; to be asked when it is."""
    coordinator = _coordinator(consumer)
    return Term(coordinator.generation, coordinator.member_id, frozenset(partitions))


async def read_standings(
    consumer: AIOKafkaConsumer, partitions: Collection[TopicPartition]
) -> dict[TopicPartition, Standing]:
    """Ask what the group has committed.

    Raises:
        KafkaError: it can't be had.
    """
    found = await _coordinator(consumer).fetch_committed_offsets(list(partitions))
    standings = {tp: Standing(commit.offset, decode_claims(commit.metadata)) for tp, commit in found.items()}
    return {tp: standings.get(tp, NOTHING) for tp in partitions}


async def commit(
    consumer: AIOKafkaConsumer,
    term: Term,
    standings: Mapping[TopicPartition, Standing],
    going_on: Callable[[], bool],
) -> None:
    """Commit offsets with claims, as of `term`; tried again until Kafka has answered, while `going_on`.

    Raises:
        TermOverError: the group has moved on. KafkaError: Kafka refuses.
    """
    by_topic: defaultdict[str, list[tuple[int, int, str]]] = defaultdict(list)
    for tp, standing in standings.items():
        assert standing.offset is not None, "there is something to commit"
        by_topic[tp.topic].append((tp.partition, standing.offset, encode_claims(standing.claims)))
    coordinator = _coordinator(consumer)
    request = OffsetCommitRequest(
        coordinator.group_id,
        term.generation,
        term.member_id,
        OffsetCommitRequest.DEFAULT_RETENTION_TIME,
        list(by_topic.items()),
    )
    while going_on():
        try:
            await coordinator.ensure_coordinator_known()
            await _send(coordinator, request)
        except _MOVED_ON as error:
            raise TermOverError from error
        except errors.KafkaError as error:
            if not error.retriable:
                raise
            if isinstance(error, _ELSEWHERE):
                coordinator.coordinator_dead()
            await asyncio.sleep(RETRY_S)
        else:
            return
    raise TermOverError


async def _send(coordinator: GroupCoordinator, request: OffsetCommitRequest) -> None:
    response = await coordinator._send_req(request)  # noqa: SLF001 - see above
    for _, partitions in response.topics:
        for _, code in partitions:
            kind = errors.for_code(code)
            if kind is not errors.NoError:
                raise kind


def _coordinator(consumer: AIOKafkaConsumer) -> GroupCoordinator:
    return consumer._coordinator  # noqa: SLF001 - see above
