"""One TCP connection to a syslog receiver, in plain or with TLS, written to with as much certainty as TCP has to offer.

No asyncio transport: those keep what could not be sent yet, and do not say when it went. Here what was written is with
the receiver's machine when `send` returns, and a receiver that has gone is noticed before anything is written.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import socket
import ssl
import struct
import termios
from contextlib import suppress
from typing import Final, Self

READ_BYTES: Final = 64 * 1024
READS_MAX: Final = 16
"""Reads at a time from a receiver that talks: syslog has nothing to say, but a flood must not keep us."""
POLL_S: Final = 0.001
POLL_S_MAX: Final = 0.05
"""Pauses between looks whether the receiver's machine has acknowledged everything: they double up to the other."""
GRACE_S: Final = 0.25
"""How long a new connection is listened to, at most, before anything is sent. A balancer without a receiver behind it
accepts, and closes at once. With TLS 1.3 a receiver judges our certificate after the handshake, and says first thing
what it thinks of it, or hands out session tickets."""
GOODBYE_S: Final = 1.0


class Connection:
    """An open connection. After an error, or after a `send` was cancelled, only `abort` makes sense."""

    def __init__(self, peer: socket.socket) -> None:
        """Take a connected socket that does not block."""
        self._peer = peer
        self._loop = asyncio.get_running_loop()
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls: ssl.SSLObject | None = None

    @classmethod
    async def open(cls, host: str, port: int, context: ssl.SSLContext | None) -> Self:
        """Connect to the first address that answers, agree on TLS if there is a context, and see whether it lasts.

        Raises:
            OSError: it can't be done; ssl.SSLError is one.
        """
        connection = cls(await _connect(host, port))
        try:
            if context is not None:
                await connection._agree(context, host)
            with suppress(TimeoutError):
                async with asyncio.timeout(GRACE_S):
                    connection._take(await connection._read())
        except BaseException:
            connection.abort()
            raise
        return connection

    async def send(self, content: bytes) -> None:
        """Hand all of it to the receiver's machine.

        Raises:
            OSError: the connection is gone; nobody knows how much arrived.
        """
        self.hear()
        if self._tls is not None:
            rest = memoryview(content)
            while rest:
                rest = rest[self._tls.write(rest) :]
            content = self._outgoing.read()
        await self._loop.sock_sendall(self._peer, content)
        delay_s = POLL_S
        while _unacknowledged(self._peer):
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, POLL_S_MAX)
        self.hear()

    def hear(self) -> None:
        """Take what the receiver says, which means nothing, and notice if it has gone.

        Raises:
            OSError: it has, or it ended TLS.
        """
        for _ in range(READS_MAX):
            try:
                content = self._peer.recv(READ_BYTES)
            except BlockingIOError:
                return
            self._take(content)

    async def close(self) -> None:
        """Take leave, and wait until the receiver has read everything and closes too, or for GOODBYE_S.

        Closing before it is done would answer its own farewell with a reset, and what it had not read might be lost.
        """
        try:
            with suppress(OSError):
                async with asyncio.timeout(GOODBYE_S):
                    if self._tls is not None:
                        with suppress(ssl.SSLWantReadError):
                            self._tls.unwrap()
                        await self._flush()
                    self._peer.shutdown(socket.SHUT_WR)
                    while await self._read():
                        pass
        finally:
            self.abort()

    def abort(self) -> None:
        """Close without a word; idempotent."""
        self._peer.close()

    # --- TLS ----------------------------------------------------------------------------------------------------------
    async def _agree(self, context: ssl.SSLContext, host: str) -> None:
        tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                await self._flush()
                self._incoming.write(_something(await self._read()))
            finally:
                await self._flush()  # also what says why it failed
        self._tls = tls

    async def _read(self) -> bytes:
        return await self._loop.sock_recv(self._peer, READ_BYTES)

    def _take(self, content: bytes) -> None:
        _something(content)
        if self._tls is not None:
            self._incoming.write(content)
            with suppress(ssl.SSLWantReadError):
                while _something(self._tls.read(READ_BYTES)):
                    pass

    async def _flush(self) -> None:
        if self._outgoing.pending:
            await self._loop.sock_sendall(self._peer, self._outgoing.read())


async def _connect(host: str, port: int) -> socket.socket:
    loop = asyncio.get_running_loop()
    problem: OSError = OSError(f"{host} has no address")
    for family, kind, protocol, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        peer = socket.socket(family, kind, protocol)
        try:
            peer.setblocking(False)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.sock_connect(peer, address)
        except OSError as error:
            peer.close()
            problem = error
        except BaseException:
            peer.close()
            raise
        else:
            return peer
    raise problem


def _something(content: bytes) -> bytes:
    if not content:
        raise ConnectionResetError(errno.ECONNRESET, "the receiver closed the connection")
    return content


def _unacknowledged(peer: socket.socket) -> int:
    """Bytes that the receiver's machine has not acknowledged (SIOCOUTQ, tcp(7))."""
    (count,) = struct.unpack("i", fcntl.ioctl(peer, termios.TIOCOUTQ, b"\0\0\0\0"))
    return int(count)
