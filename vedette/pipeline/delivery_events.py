"""What happens to deliveries, as log lines and counters."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import ClassVar

from prometheus_client import Counter

from vedette.runtime.telemetry import OperationalEvent


@dataclass(frozen=True, slots=True)
class DeliveryFailing(OperationalEvent):
    """A sink can't take deliveries now; they wait."""

    component = "pipeline.deliver"
    message = "a sink can't take deliveries now; they wait"
    level = logging.WARNING
    metric: ClassVar[Counter] = Counter(
        "vedette_delivery_failures_total", "Tries that a sink could not take for now.", ["sink"]
    )
    labels = ("sink",)
    sink: str
    error: str
    retry_s: float


@dataclass(frozen=True, slots=True)
class DeliveryUnusable(OperationalEvent):
    """A sink says that it can't work as it is configured, or that what it writes to is damaged. Its deliveries wait."""

    component = "pipeline.deliver"
    message = "a sink can't work as it is; its deliveries wait until that is mended. `vedette doctor` tells more"
    level = logging.ERROR
    metric: ClassVar[Counter] = Counter(
        "vedette_delivery_unusable_total", "Tries with a sink that can't work as it is configured.", ["sink"]
    )
    labels = ("sink",)
    sink: str
    error: str
    retry_s: float


@dataclass(frozen=True, slots=True)
class DeliveryRefused(OperationalEvent):
    """A sink will never take these; they went to the dead letters."""

    component = "pipeline.deliver"
    message = "a sink refused deliveries for good; they are in the dead letters"
    level = logging.ERROR
    metric: ClassVar[Counter] = Counter(
        "vedette_delivery_refused_total", "Revisions and events refused for good.", ["sink"]
    )
    labels = ("sink",)
    sink: str
    count: int
    error: str


@dataclass(frozen=True, slots=True)
class DeliveryExpired(OperationalEvent):
    """A backlog grew beyond its limits; the oldest was given up for this sink."""

    component = "pipeline.deliver"
    message = "the backlog of a sink is over its limit; the oldest expired"
    level = logging.ERROR
    metric: ClassVar[Counter] = Counter("vedette_delivery_expired_total", "Revisions and events given up.", ["sink"])
    labels = ("sink",)
    sink: str
    count: int


@dataclass(frozen=True, slots=True)
class EventsGone(OperationalEvent):
    """Records were removed from the intake log before a delivery of events came to them."""

    component = "pipeline.deliver"
    message = "records were removed from the intake log before a sink of events took them; they count as expired"
    level = logging.ERROR
    metric: ClassVar[Counter] = Counter(
        "vedette_delivery_gone_total",
        "Records that retention removed before they were delivered from the events log.",
        ["sink"],
    )
    labels = ("sink",)
    sink: str
    after_seq: int
    count: int


@dataclass(frozen=True, slots=True)
class EventsUnreadable(OperationalEvent):
    """The intake log can't be read now for a delivery of events."""

    component = "pipeline.deliver"
    message = "the intake log can't be read for a sink of events; its deliveries wait"
    level = logging.ERROR
    metric: ClassVar[Counter] = Counter(
        "vedette_delivery_read_failures_total", "Reads of the intake log for a sink that failed.", ["sink"]
    )
    labels = ("sink",)
    sink: str
    error: str


@dataclass(frozen=True, slots=True)
class SinkNotStopped(OperationalEvent):
    """A sink did not let go in time, or failed to; the process goes on without it."""

    component = "pipeline.deliver"
    message = "a sink did not stop cleanly; what it had not acknowledged is delivered again at the next start"
    level = logging.WARNING
    metric: ClassVar[Counter] = Counter(
        "vedette_sink_stop_failures_total", "Sinks that did not stop cleanly.", ["sink"]
    )
    labels = ("sink",)
    sink: str
    error: str
