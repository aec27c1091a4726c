"""What an operator may say about a topic that alerts are written to."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from vedette.runtime.kafka import KafkaConnection, check_topic


class KafkaSettings(KafkaConnection):
    """A topic of a Kafka cluster: one record for each revision of an alert."""

    topic: str
    """Topic to write to. Required."""
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = "zstd"
    """How batches are compressed. Default: zstd."""
    timeout_s: Annotated[float, Field(gt=0, le=600)] = 30.0
    """Seconds that one batch may take, from the connection to the brokers' word that all replicas have it.
    Default: 30."""

    @field_validator("topic")
    @classmethod
    def _topic_has_a_name(cls, topic: str) -> str:
        return check_topic(topic)
