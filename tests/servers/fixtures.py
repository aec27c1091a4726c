"""Real servers as fixtures for every test folder; the root conftest.py loads this as a plugin.

The servers themselves (`…_server`) start when a test first asks for them and run until the session ends. What tests ask
for (`opensearch_secured`, `opensearch_3`, `request_tracker`) is the same server, running and empty, whatever the test
before did to it; `kafka` keeps its topics. A server that does not start is an error, never a skip.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest

from .alertmanager import Alertmanager
from .kafka import Kafka
from .opensearch import OpenSearch, new_opensearch_3, new_opensearch_secured
from .process import Host
from .prometheus import Prometheus
from .request_tracker import RequestTracker
from .rsyslog import Rsyslog


@pytest.fixture(scope="session")
def servers_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    host = Host(tmp_path_factory.mktemp("servers"))
    try:
        yield host
    finally:
        host.close()


@pytest.fixture(scope="session")
def opensearch_secured_server(servers_host: Host) -> Iterator[OpenSearch]:
    with new_opensearch_secured(servers_host) as server:
        yield server


@pytest.fixture(scope="session")
def opensearch_3_server(servers_host: Host) -> Iterator[OpenSearch]:
    with new_opensearch_3(servers_host) as server:
        yield server


@pytest.fixture(scope="session")
def kafka_server(servers_host: Host) -> Iterator[Kafka]:
    with Kafka(servers_host) as server:
        yield server


@pytest.fixture(scope="session")
def request_tracker_server(servers_host: Host) -> Iterator[RequestTracker]:
    with RequestTracker(servers_host) as server:
        yield server


@pytest.fixture
def opensearch_secured(opensearch_secured_server: OpenSearch) -> OpenSearch:
    """OpenSearch 2.19 with TLS and basic auth, empty."""
    opensearch_secured_server.ensure()
    opensearch_secured_server.clear()
    return opensearch_secured_server


@pytest.fixture
def opensearch_3(opensearch_3_server: OpenSearch) -> OpenSearch:
    """OpenSearch 3.x over plain HTTP, empty."""
    opensearch_3_server.ensure()
    opensearch_3_server.clear()
    return opensearch_3_server


@pytest.fixture(params=["opensearch_secured", "opensearch_3"])
def opensearch(request: pytest.FixtureRequest) -> OpenSearch:
    """Each of both in turn."""
    server: OpenSearch = request.getfixturevalue(request.param)
    return server


@pytest.fixture
def kafka(kafka_server: Kafka) -> Kafka:
    """Kafka 4; each test makes topics and groups of its own names."""
    kafka_server.ensure()
    return kafka_server


@pytest.fixture
def request_tracker(request_tracker_server: RequestTracker) -> RequestTracker:
    """Request Tracker 5 without a ticket."""
    request_tracker_server.ensure()
    request_tracker_server.reset()
    return request_tracker_server


class StartPrometheus(Protocol):
    def __call__(self, targets: dict[str, Sequence[str]], **settings: Any) -> Prometheus: ...


@pytest.fixture
def prometheus(servers_host: Host) -> Iterator[StartPrometheus]:
    """Start a Prometheus that scrapes `targets` (host:port by job); it ends with the test."""
    with ExitStack() as running:
        yield lambda targets, **settings: running.enter_context(Prometheus(servers_host, targets, settings))


class StartAlertmanager(Protocol):
    def __call__(self, receiver: str, **settings: Any) -> Alertmanager: ...


@pytest.fixture
def alertmanager(servers_host: Host) -> Iterator[StartAlertmanager]:
    """Start an Alertmanager that notifies `receiver` (a URL); it ends with the test."""
    with ExitStack() as running:
        yield lambda receiver, **settings: running.enter_context(Alertmanager(servers_host, receiver, **settings))


class StartRsyslog(Protocol):
    def __call__(self, **files: Path) -> Rsyslog: ...


@pytest.fixture
def rsyslog(servers_host: Host) -> Iterator[StartRsyslog]:
    """Start an rsyslog that receives syslog over TCP; it ends with the test."""
    with ExitStack() as running:
        yield lambda **files: running.enter_context(Rsyslog(servers_host, **files))
