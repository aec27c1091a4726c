"""A TCP proxy in front of a destination that misbehaves as it is told to, while it runs.

    async with FaultProxy(upstream_port) as proxy:
        ...                                        # everything goes through
        await proxy.switch(status(429, {"Retry-After": "1"}))
        await proxy.met()                          # a client came, and was told so

It understands no protocol: what a client sends is either relayed, or read and answered with bytes made up beforehand.
So TLS passes through, and only relays (`passing`, `slow`), silence (`hang`) and `refuse` make sense then. To answer
inside of TLS, or to swallow answers there, let the proxy end it: give it a context for its clients and one for its
upstream.

A switch cuts all open connections: clients meet the new behaviour with their next one. The port stays the same, and
nobody else gets it while it refuses.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from http import HTTPStatus
from random import Random
from typing import TYPE_CHECKING, Final, Protocol, Self

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

READ_BYTES: Final = 65_536
FLOOD: Final = b"x" * READ_BYTES


class Behaviour(Protocol):
    """What happens to one connection; returning ends it."""

    async def __call__(self, client: Peer, proxy: FaultProxy) -> None: ...


class Peer:
    """One side of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._unread = b""

    async def read(self) -> bytes:
        content, self._unread = self._unread, b""
        return content or await self.reader.read(READ_BYTES)

    def unread(self, content: bytes) -> None:
        """Let the next `read` return it again."""
        self._unread = content

    async def write(self, content: bytes) -> None:
        self.writer.write(content)
        await self.writer.drain()

    def write_eof(self) -> None:
        if self.writer.can_write_eof():
            self.writer.write_eof()
        else:  # TLS knows no half-closed connections
            self.writer.close()

    async def drain(self) -> None:
        """Read what comes until the other side has enough: closing on unread bytes would reset its connection."""
        while await self.read():
            pass

    def abort(self) -> None:
        self.writer.transport.abort()


class FaultProxy:
    """Listens on `port` of 127.0.0.1 and behaves as it was last told; at first it passes everything on."""

    def __init__(
        self,
        upstream: int,
        *,
        server_tls: ssl.SSLContext | None = None,
        upstream_tls: ssl.SSLContext | None = None,
    ) -> None:
        self.upstream = upstream
        """The port of 127.0.0.1 that stands behind."""
        self.port = 0
        self.connections = 0
        """Connections that met the present behaviour; those that were refused are not seen."""
        self._server_tls, self._upstream_tls = server_tls, upstream_tls
        self._behaviour: Behaviour | None = passing
        self._kept = socket.socket()
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self._came = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._kept.bind(("127.0.0.1", 0))
        self.port = self._kept.getsockname()[1]
        await self._listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.switch(refuse)
        await asyncio.sleep(0)  # who was being accepted meanwhile is sent away at once
        self._kept.close()

    async def switch(self, behaviour: Behaviour | None) -> None:
        """Behave so from now on; None (`refuse`) closes the port."""
        self._behaviour = behaviour
        if behaviour is None:
            await self._unlisten()
        await self._cut()
        self.connections = 0
        self._came.clear()
        if behaviour is not None and self._server is None:
            await self._listen()

    async def met(self, connections: int = 1) -> None:
        """Return when so many connections have met the present behaviour; the test's timeout bounds it."""
        while self.connections < connections:
            self._came.clear()
            await self._came.wait()

    async def dial(self) -> Peer:
        """Connect to what stands behind."""
        name = "localhost" if self._upstream_tls else None
        return Peer(
            *await asyncio.open_connection("127.0.0.1", self.upstream, ssl=self._upstream_tls, server_hostname=name)
        )

    # --- its own side -------------------------------------------------------------------------------------------------
    async def _listen(self) -> None:
        self._server = await asyncio.start_server(
            self._accept, "127.0.0.1", self.port, reuse_port=True, ssl=self._server_tls
        )

    async def _unlisten(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = Peer(reader, writer)
        serving = asyncio.get_running_loop().create_task(self._serve(client))
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)
        serving.add_done_callback(lambda _: client.abort())  # here, because a task may be cancelled before it began

    async def _serve(self, client: Peer) -> None:
        if self._behaviour is None:  # accepted just before the port closed
            return
        self.connections += 1
        self._came.set()
        with contextlib.suppress(OSError):
            await self._behaviour(client, self)

    async def _cut(self) -> None:
        serving = list(self._serving)
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


# --- behaviours -------------------------------------------------------------------------------------------------------
refuse: Final = None
"""Nobody listens."""


async def passing(client: Peer, proxy: FaultProxy) -> None:
    """Relay both ways."""
    await _relay(client, proxy, 0.0)


def slow(delay_s: float) -> Behaviour:
    """Relay, and let each piece of an answer wait."""

    async def behave(client: Peer, proxy: FaultProxy) -> None:
        await _relay(client, proxy, delay_s)

    return behave


async def hang(client: Peer, proxy: FaultProxy) -> None:
    """Accept, read, and never answer."""
    await client.drain()


def drip(interval_s: float) -> Behaviour:
    """Answer a byte at a time: the head of a good answer, and a body that never ends."""

    async def behave(client: Peer, proxy: FaultProxy) -> None:
        await client.read()
        for byte in b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n":
            await client.write(bytes((byte,)))
            await asyncio.sleep(interval_s)
        while True:
            await client.write(b" ")
            await asyncio.sleep(interval_s)

    return behave


async def flood(client: Peer, proxy: FaultProxy) -> None:
    """Answer with a body that never ends, as fast as it is read."""
    await client.read()
    await client.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n")
    while True:
        await client.write(FLOOD)


def answer(content: bytes) -> Behaviour:
    """Answer with these bytes and close."""

    async def behave(client: Peer, proxy: FaultProxy) -> None:
        if not await client.read():
            return
        await client.write(content)
        client.write_eof()
        await client.drain()

    return behave


def status(code: int, fields: Mapping[str, str] | None = None, body: bytes = b"") -> Behaviour:
    """Answer with a status."""
    return answer(response(code, fields, body))


def apply_then(end: Behaviour) -> Behaviour:
    """Pass a request on, wait until the destination answers it, swallow the answer, and go on with `end`."""

    async def behave(client: Peer, proxy: FaultProxy) -> None:
        upstream = await proxy.dial()
        sending = asyncio.ensure_future(_pump(client, upstream))
        try:
            await upstream.read()
        finally:
            upstream.abort()
            await _end(sending)
        await end(client, proxy)

    return behave


def on(marker: bytes, behaviour: Behaviour) -> Behaviour:
    """Relay until the client sends `marker`, such as the path of one kind of request; then go on with `behaviour`."""

    async def behave(client: Peer, proxy: FaultProxy) -> None:
        upstream = await proxy.dial()
        answering = asyncio.ensure_future(_pump(upstream, client))
        try:
            while marker not in (content := await client.read()):
                if not content:
                    return
                await upstream.write(content)
            client.unread(content)
        finally:
            upstream.abort()
            await _end(answering)
        await behaviour(client, proxy)

    return behave


async def reset(client: Peer, proxy: FaultProxy) -> None:
    """Close at once."""


# --- answers made up beforehand ---------------------------------------------------------------------------------------
def response(code: int, fields: Mapping[str, str] | None = None, body: bytes = b"", *, length: int = -1) -> bytes:
    """An HTTP response; `length` is what it says of its body's length, if not the truth."""
    lines = [f"HTTP/1.1 {code} {HTTPStatus(code).phrase}", "Connection: close"]
    lines += [f"Content-Length: {len(body) if length < 0 else length}"]
    lines += [f"{name}: {value}" for name, value in (fields or {}).items()]
    return "\r\n".join((*lines, "", "")).encode() + body


_JSON: Final = {"Content-Type": "application/json"}
_HTML: Final = b"<!DOCTYPE html><title>\x1b[2JWelcome</title><script>alert('\\u202e')</script>" + b"<p>portal</p>" * 500

GARBAGE: Final[Mapping[str, bytes]] = {
    "random bytes": Random(20261121).randbytes(3000),
    "nothing": b"",
    "html": response(200, {"Content-Type": "text/html; charset=latin-1"}, _HTML),
    "html of an error": response(502, {"Content-Type": "text/html"}, _HTML),
    "json list": response(200, _JSON, b"[1, 2, 3]"),
    "json of another shape": response(200, _JSON, b'{"items": "none", "errors": "maybe", "took": []}'),
    "json with nothing in it": response(200, _JSON, b"{}"),
    "deep json": response(200, _JSON, b"[" * 100_000),
    "json cut short": response(200, _JSON, b'{"took": 3, "errors": false, "items": [{"ind', length=4000),
    "too long a body": response(200, _JSON, b'{"took": 3}' + b"x" * 4000, length=5),
    "no json": response(200, _JSON, b"\xff\xfe\x00null"),
    "broken chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "broken gzip": response(200, {"Content-Encoding": "gzip", **_JSON}, b"\x1f\x8bnot really"),
    "a status of its own": b"HTTP/1.1 999 \xff\xfe\x1b[31m\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    "endless head": b"HTTP/1.1 200 OK\r\n" + b"X-Filler: " + b"y" * 300_000,
}
"""What comes back when something else listens, or a middle box had an idea."""


# --- tools ------------------------------------------------------------------------------------------------------------
async def _relay(client: Peer, proxy: FaultProxy, delay_s: float) -> None:
    upstream = await proxy.dial()
    sending = asyncio.ensure_future(_pump(client, upstream))
    try:
        while content := await upstream.read():
            if delay_s:
                await asyncio.sleep(delay_s)
            await client.write(content)
        client.write_eof()
    finally:
        upstream.abort()
        await _end(sending)


async def _pump(source: Peer, target: Peer) -> None:
    with contextlib.suppress(OSError):
        while content := await source.read():
            await target.write(content)
        target.write_eof()


async def _end(task: asyncio.Future[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
