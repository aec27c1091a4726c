"""What happens to a Falco gRPC source that operators should see."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import ClassVar, Final

from prometheus_client import Counter, Gauge

from vedette.runtime.telemetry import OperationalEvent

CONNECTED: Final = Gauge("vedette_falco_grpc_connected", "1 while Falco answers, by source.", ["source"])


@dataclass(frozen=True, slots=True)
class FalcoConnected(OperationalEvent):
    """Falco answers on a new connection."""

    component: ClassVar[str] = "sources.falco_grpc"
    message: ClassVar[str] = "connected to Falco's gRPC output"
    metric: ClassVar[Counter | None] = Counter(
        "vedette_falco_grpc_connections_total", "Connections on which Falco answered, by source.", ["source"]
    )
    labels: ClassVar[tuple[str, ...]] = ("source",)

    source: str
    address: str


@dataclass(frozen=True, slots=True)
class FalcoLost(OperationalEvent):
    """There is no connection, or no more; it is tried again. `reason` is one of `connection.Reason`."""

    component: ClassVar[str] = "sources.falco_grpc"
    message: ClassVar[str] = "Falco's gRPC output cannot be read now; trying again"
    level: ClassVar[int] = logging.WARNING
    metric: ClassVar[Counter | None] = Counter(
        "vedette_falco_grpc_failures_total",
        "Times that connecting failed or a connection ended, by source and reason.",
        ["source", "reason"],
    )
    labels: ClassVar[tuple[str, ...]] = ("source", "reason")

    source: str
    reason: str
    error: str
    remedy: str
    retry_after_s: float


@dataclass(frozen=True, slots=True)
class AlertsLost(OperationalEvent):
    """The source had to end before the journal took what Falco has sent; Falco will not send it again."""

    component: ClassVar[str] = "sources.falco_grpc"
    message: ClassVar[str] = "stopped before these alerts were known to be stored; Falco does not send them again"
    level: ClassVar[int] = logging.ERROR
    metric: ClassVar[Counter | None] = Counter(
        "vedette_falco_grpc_lost_alerts_total",
        "Alerts read from Falco that were not known to be stored when the source stopped, by source.",
        ["source"],
    )
    labels: ClassVar[tuple[str, ...]] = ("source",)

    source: str
    count: int
