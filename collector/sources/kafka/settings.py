"""What operators set for a `kafka` source."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from vedette.runtime.kafka import KafkaConnection, check_topic


class KafkaSettings(KafkaConnection):
    """Settings of a `kafka` source."""

    topics: Annotated[tuple[str, ...], Field(min_length=1)]
    """Topics to read. Required."""

    format: Annotated[str, Field(min_length=1)]
    """Name of the decoder of the records' values, e.g. `kube_audit`, `falco`, `vpc_flow`. Required."""

    context: str = ""
    """What the decoder must know beside the records (`vpc_flow`: the field order). Default: empty."""

    group_id: Annotated[str, Field(min_length=1, max_length=255)] = "vedette"
    """Consumer group. Agents of one group share the partitions of its topics. Default: vedette."""

    start_at: Literal["beginning", "end"] = "beginning"
    """Where to begin in topics of which the group has read nothing yet. Partitions that are added later are read from
    their beginning. Default: beginning."""

    session_timeout_s: Annotated[float, Field(ge=1, le=300)] = 10.0
    """Seconds without a sign of life after which the group gives a member's partitions to others. Default: 10."""

    @field_validator("topics")
    @classmethod
    def _topics_have_names(cls, topics: tuple[str, ...]) -> tuple[str, ...]:
        for topic in topics:
            check_topic(topic)
        return topics
