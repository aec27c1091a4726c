"""What an HTTP port reports about itself.

Requests are counted in plain integers and reported once a second, so that neither a busy client nor a hostile one can
flood the log: one line a second and outcome at most.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import ClassVar, Final

from prometheus_client import Counter

from vedette.runtime.telemetry import OperationalEvent

_REQUESTS: Final = Counter(
    "vedette_http_requests_total",
    "Requests that an HTTP source answered or gave up.",
    ("source", "outcome"),
)
_CERTIFICATES: Final = Counter(
    "vedette_http_certificate_reloads_total",
    "Certificate files of an HTTP source read again after a change.",
    ("source", "outcome"),
)


@dataclass(frozen=True, slots=True)
class Listening(OperationalEvent):
    """The port is open."""

    component: ClassVar = "sources.http"
    message: ClassVar = "Taking requests"

    source: str
    urls: list[str]


@dataclass(frozen=True, slots=True)
class Answered(OperationalEvent):
    """Requests went well in the last second; `outcome` is an answer's label."""

    component: ClassVar = "sources.http"
    message: ClassVar = "Requests answered"
    level: ClassVar = logging.DEBUG
    metric: ClassVar = _REQUESTS
    labels: ClassVar = ("source", "outcome")

    source: str
    outcome: str
    count: int


@dataclass(frozen=True, slots=True)
class Refused(OperationalEvent):
    """Requests were refused or given up in the last second; `outcome` is an answer's label."""

    component: ClassVar = "sources.http"
    message: ClassVar = "Requests refused"
    level: ClassVar = logging.WARNING
    metric: ClassVar = _REQUESTS
    labels: ClassVar = ("source", "outcome")

    source: str
    outcome: str
    count: int


@dataclass(frozen=True, slots=True)
class CertificateRead(OperationalEvent):
    """Changed certificate files were read: new connections use them. `outcome`: `loaded`."""

    component: ClassVar = "sources.http"
    message: ClassVar = "Certificate files changed and were read again"
    metric: ClassVar = _CERTIFICATES
    labels: ClassVar = ("source", "outcome")

    source: str
    outcome: str = "loaded"


@dataclass(frozen=True, slots=True)
class CertificateUnusable(OperationalEvent):
    """Changed certificate files can't be used: the old certificate stays. `outcome`: `unusable`."""

    component: ClassVar = "sources.http"
    message: ClassVar = "Certificate files changed and can't be used; the old certificate stays"
    level: ClassVar = logging.ERROR
    metric: ClassVar = _CERTIFICATES
    labels: ClassVar = ("source", "outcome")

    source: str
    error: str
    outcome: str = "unusable"


@dataclass(frozen=True, slots=True)
class Stopped(OperationalEvent):
    """The port is closed. `unanswered`: requests whose client heard nothing within the drain."""

    component: ClassVar = "sources.http"
    message: ClassVar = "Port closed"

    source: str
    unanswered: int
