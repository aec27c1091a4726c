"""An HTTP port from start to stop."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from collector.sources.http.connection import Connection
from collector.sources.http.events import Listening, Stopped
from collector.sources.http.routes import bind_routes
from collector.sources.http.service import Service
from collector.sources.http.settings import ANY_FORMAT, HttpSettings
from collector.sources.http.tls import Certificates
from collector.sources.http.token import read_token
from vedette.schema.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vedette.runtime.parcel import Intake
    from vedette.schema.event import Decoder

SWEEP_S: Final = 1.0
"""How often timeouts are looked at and counts reported; they are seconds, so this is fine enough."""
DRAIN_S: Final = 10.0
"""How long requests in flight may take to be answered when the port closes."""
THREADS: Final = 2
"""Threads that expand and cut large bodies: zlib and zstd work beside the event loop, cutting mostly does not."""
BACKLOG: Final = 1024
"""Connections that the kernel holds before they are accepted; it caps this at net.core.somaxconn."""


class HttpSource:
    """One HTTP port that takes records by POST and answers when they are durable. Implements `Source`."""

    def __init__(
        self,
        name: str,
        settings: HttpSettings,
        intake: Intake,
        decoders: Mapping[str, Decoder],
        *,
        sweep_s: float = SWEEP_S,
        drain_s: float = DRAIN_S,
    ) -> None:
        """Bind the routes.

        Raises:
            ConfigError: a route names a format that there is not.
        """
        self.name = name
        self._settings = settings
        self._drain_s = drain_s
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix=f"sources.http.{name}")
        routes = bind_routes(name, settings.routes, decoders, hashed=settings.deduplicate)
        self._service = Service(name, settings, intake, routes, self._pool, sweep_s)
        self._certificates: Certificates | None = None
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._stopped = False

    async def start(self) -> None:
        """Open the port.

        Raises:
            ConfigError: the address can't be bound, or a certificate or token file can't be used.
        """
        settings, service = self._settings, self._service
        service.failure = asyncio.get_running_loop().create_future()
        place = f"sources.{self.name}.http"
        service.token = read_token(place, settings.bearer_token, settings.bearer_token_file)
        if settings.tls is not None:
            self._certificates = Certificates(self.name, settings.tls)
        self._server = await self._bind()
        self._sweep()
        Listening(self.name, self.urls()).emit()

    async def _bind(self) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        self._service.now = loop.time()
        host, port = self._settings.address
        tls = self._certificates
        try:
            return await loop.create_server(
                lambda: Connection(self._service),
                host,
                port,
                ssl=tls.context if tls else None,
                ssl_handshake_timeout=self._settings.header_timeout_s if tls else None,
                backlog=BACKLOG,
            )
        except OSError as error:
            raise ConfigError(
                f"sources.{self.name}.http.listen: cannot listen on {self._settings.listen} "
                f"({error.strerror or error}). "
                "Choose an address of this machine and a port that is free and that Vedette's user may open"
            ) from error

    async def wait(self) -> None:
        """Never returns: a port has no end. Raises what a bug raised."""
        await self._service.failure

    async def stop(self) -> None:
        """Close the port; answer what is in flight, for a bounded time."""
        if self._stopped:
            return
        self._stopped = True
        service = self._service
        service.draining = True
        if self._server is not None:
            self._server.close()
            await self._drain()
        if self._sweeper is not None:
            self._sweeper.cancel()
        service.give_up_held()
        service.report()
        self._pool.shutdown(wait=False, cancel_futures=True)
        Stopped(self.name, service.unanswered).emit()

    async def _drain(self) -> None:
        """Wait until all connections are gone, and cut those that are not by then."""
        service = self._service
        for peer in tuple(service.connections):
            peer.drain()
        await service.empty(self._drain_s)
        for peer in tuple(service.connections):
            peer.cut()
        await service.empty(self._drain_s)

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        self._sweeper = loop.call_later(self._service.sweep_s, self._sweep)
        self._service.sweep(loop.time())
        if self._certificates is not None:
            self._certificates.refresh()

    def urls(self) -> list[str]:
        """One URL for each configured path, with the port that was really bound."""
        scheme = "http" if self._settings.tls is None else "https"
        host, port = self._settings.address
        if self._server is not None and self._server.sockets:
            port = self._server.sockets[0].getsockname()[1]
        host = host or "localhost"
        authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return [f"{scheme}://{authority}{path.replace(ANY_FORMAT, '<format>')}" for path in self._settings.routes]
