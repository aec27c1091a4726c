"""What happens to a Kafka source that operators should see. Topics are in the log only, never in a metric."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import ClassVar, Final

from prometheus_client import Counter, Gauge

from vedette.runtime.telemetry import OperationalEvent

LAG: Final = Gauge(
    "vedette_kafka_lag_records",
    "Records in the partitions that this agent owns now that it has not stored yet.",
    ["source"],
)
PARTITIONS: Final = Gauge("vedette_kafka_partitions", "Partitions that this agent owns now.", ["source"])


@dataclass(frozen=True, slots=True)
class PartitionsAssigned(OperationalEvent):
    """The group gave this member its partitions anew."""

    component: ClassVar[str] = "sources.kafka"
    message: ClassVar[str] = "reading the partitions that the group has assigned"
    metric: ClassVar[Counter | None] = Counter(
        "vedette_kafka_rebalances_total", "Times that the group assigned partitions anew.", ["source"]
    )
    labels: ClassVar[tuple[str, ...]] = ("source",)

    source: str
    generation: int
    partitions: list[str]


@dataclass(frozen=True, slots=True)
class ClaimRefused(OperationalEvent):
    """The group moved on before records could be claimed: another member reads them, or this one does again."""

    component: ClassVar[str] = "sources.kafka"
    message: ClassVar[str] = "records were not claimed in time, so they were not stored; their next owner reads them"
    metric: ClassVar[Counter | None] = Counter(
        "vedette_kafka_unclaimed_records_total",
        "Records read and left to their next owner, because the group moved on first.",
        ["source"],
    )
    labels: ClassVar[tuple[str, ...]] = ("source",)

    source: str
    count: int


@dataclass(frozen=True, slots=True)
class DebtRead(OperationalEvent):
    """Records that this agent had claimed, and not stored when it ended, are stored now."""

    component: ClassVar[str] = "sources.kafka"
    message: ClassVar[str] = "storing what was claimed before the last end of this agent"
    level: ClassVar[int] = logging.WARNING
    metric: ClassVar[Counter | None] = Counter(
        "vedette_kafka_debt_records_total",
        "Records claimed before a crash and stored after it.",
        ["source"],
    )
    labels: ClassVar[tuple[str, ...]] = ("source",)

    source: str
    partition: str
    begin: int
    count: int


@dataclass(frozen=True, slots=True)
class RecordsGone(OperationalEvent):
    """Kafka's retention removed records before they were read; offsets without a record count too."""

    component: ClassVar[str] = "sources.kafka"
    message: ClassVar[str] = "records were removed from Kafka before they were read; lengthen the topic's retention"
    level: ClassVar[int] = logging.ERROR
    metric: ClassVar[Counter | None] = Counter(
        "vedette_kafka_gone_records_total",
        "Records removed from Kafka before they were read, at most.",
        ["source"],
    )
    labels: ClassVar[tuple[str, ...]] = ("source",)

    source: str
    partition: str
    begin: int
    count: int


@dataclass(frozen=True, slots=True)
class TopicReplaced(OperationalEvent):
    """The position is behind the end of the partition: the topic was made anew, or a broker lost its end."""

    component: ClassVar[str] = "sources.kafka"
    message: ClassVar[str] = "the partition is shorter than what was read of it; was the topic deleted and made anew?"
    level: ClassVar[int] = logging.ERROR
    metric: ClassVar[Counter | None] = Counter(
        "vedette_kafka_replaced_partitions_total",
        "Partitions found shorter than what had been read of them.",
        ["source"],
    )
    labels: ClassVar[tuple[str, ...]] = ("source",)

    source: str
    partition: str
    position: int
    resumed_at: int


@dataclass(frozen=True, slots=True)
class KafkaUnavailable(OperationalEvent):
    """The cluster can't be reached, or refuses; it is tried again."""

    component: ClassVar[str] = "sources.kafka"
    message: ClassVar[str] = "Kafka cannot be read now; trying again"
    level: ClassVar[int] = logging.WARNING
    metric: ClassVar[Counter | None] = Counter(
        "vedette_kafka_failures_total", "Times that reading from Kafka failed.", ["source"]
    )
    labels: ClassVar[tuple[str, ...]] = ("source",)

    source: str
    error: str
    retry_after_s: float


@dataclass(frozen=True, slots=True)
class PositionUnusable(OperationalEvent):
    """A stored position can't be understood; what the group has committed counts."""

    component: ClassVar[str] = "sources.kafka"
    message: ClassVar[str] = "a stored position cannot be understood"
    level: ClassVar[int] = logging.ERROR
    source: str
    partition: str
