"""The port of the metrics endpoint, from start to stop: uvicorn's HTTP protocol in the agent's own event loop.

Only the protocol: uvicorn's server would catch the agent's signals and wake it ten times a second. Everything is
bounded: heads (h11: 64 KiB), connections, and the life of a connection, whatever it does with it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from collector.sources.http.token import read_token
from vedette.app.metrics.endpoint import Endpoint
from vedette.app.metrics.scraper import Scraper
from vedette.app.metrics.tls import Certificate
from vedette.runtime.telemetry import OperationalEvent
from vedette.schema.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from vedette.app.metrics.families import Live
    from vedette.app.metrics.settings import MetricsSettings
    from vedette.journal.sqlite import DataFolder

CONNECTION_S: Final = 30.0
"""Seconds that a connection may live: one request, and a page of some MB to a slow scraper."""
HANDSHAKE_S: Final = 10.0
"""Seconds that a TLS handshake may take."""
STOP_S: Final = 2.0
"""Seconds that a page that is being made may take when the port closes."""
REFRESH_S: Final = 60.0
"""How often certificate files are looked at."""
BACKLOG: Final = 64
"""Connections that the kernel holds before they are accepted."""


@dataclass(frozen=True, slots=True)
class Listening(OperationalEvent):
    """The endpoint is open."""

    component: ClassVar = "metrics"
    message: ClassVar = "Taking scrapes"
    urls: list[str]


class _Connection(H11Protocol):
    """A connection of bounded life, one of a bounded number."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, or close what is too much."""
        super().connection_made(transport)
        self._end = self.loop.call_later(CONNECTION_S, transport.abort)
        if self.limit_concurrency is not None and len(self.connections) >= self.limit_concurrency:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._end.cancel()
        super().connection_lost(exc)


class MetricsServer:
    """The metrics endpoint. With `listen: ""` all of it does nothing."""

    def __init__(self, settings: MetricsSettings, folder: DataFolder, live: Callable[[], Live]) -> None:
        """Serve the journal of `folder`, and what `live` says; nothing is opened before `start`."""
        self._settings = settings
        self._folder = folder
        self._live = live
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Open the port.

        Raises:
            ConfigError: the address can't be bound, or a certificate or token file can't be used.
        """
        if self._settings.address is None:
            return
        loop = asyncio.get_running_loop()
        token = read_token("metrics", self._settings.bearer_token, self._settings.bearer_token_file)
        self._certificate = Certificate(self._settings.tls) if self._settings.tls else None
        self._scraper = Scraper(self._folder, self._live)
        self._endpoint = Endpoint(self._scraper, self._live, token, loop.time)
        self._state = ServerState()
        self._server = await self._bind(loop, self._settings.address)
        self._refresh(loop)
        Listening(self.urls()).emit()

    async def _bind(self, loop: asyncio.AbstractEventLoop, address: tuple[str | None, int]) -> asyncio.Server:
        tls = self._certificate
        config = uvicorn.Config(
            self._endpoint,
            interface="asgi3",
            lifespan="off",
            ws="none",
            log_config=None,
            log_level="error",  # what a stranger sends is no event of ours
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            limit_concurrency=self._settings.connections_max + 1,  # answers 503 one too early
        )
        config.load()
        try:
            return await loop.create_server(
                lambda: _Connection(config, self._state, {}, loop),
                *address,
                ssl=tls.context if tls else None,
                ssl_handshake_timeout=HANDSHAKE_S if tls else None,
                backlog=BACKLOG,
            )
        except OSError as error:
            raise ConfigError(
                f"metrics.listen: cannot listen on {self._settings.listen} ({error.strerror or error}). Choose an"
                ' address of this machine and a port that is free, or switch the endpoint off with `listen: ""`'
            ) from error

    def _refresh(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._certificate is not None:
            self._certificate.refresh()
        self._timer = loop.call_later(REFRESH_S, self._refresh, loop)

    def drain(self) -> None:
        """Say on `/readyz` from now on that the agent is stopping."""
        if self._server is not None:
            self._endpoint.stopping = True

    async def stop(self) -> None:
        """Close the port and what is connected to it; idempotent."""
        if self._server is None:
            return
        server, self._server = self._server, None
        self._timer.cancel()
        server.close()
        for connection in tuple(self._state.connections):
            connection.transport.abort()
        if self._state.tasks:  # not cancelled at once: uvicorn would log that as a bug of ours
            await asyncio.wait(tuple(self._state.tasks), timeout=STOP_S)
        for task in tuple(self._state.tasks):
            task.cancel()
        self._scraper.close()

    def urls(self) -> list[str]:
        """Where Prometheus scrapes, with the port that was really bound; empty where it can't."""
        if self._server is None or self._settings.address is None:
            return []
        host, port = self._settings.address
        if self._server.sockets:
            port = self._server.sockets[0].getsockname()[1]
        host = host or "localhost"
        authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return [f"{'https' if self._settings.tls else 'http'}://{authority}/metrics"]
