"""A syslog receiver that takes what comes, says nothing, and reads it when asked what it received."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Self

from .syslog_reader import Message, read_frames, read_message

if TYPE_CHECKING:
    from collections.abc import Callable


class SyslogStub:
    """Listens on `port` of 127.0.0.1. What the kernel has acknowledged to a client is in `messages` at once."""

    def __init__(self) -> None:
        self.connections = 0
        self.streams: list[bytes] = []
        """Of each connection, what came over it."""
        self.ended = 0
        """Connections that their clients ended."""
        self._open: dict[socket.socket, int] = {}

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._listener, self.pump)
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()
        self._loop.remove_reader(self._listener)
        self._listener.close()

    @property
    def messages(self) -> list[Message]:
        """The whole messages, in the order of connections."""
        self.pump()
        return [read_message(frame) for stream in self.streams for frame in read_frames(stream)[0]]

    def pump(self) -> None:
        """Take all that is there."""
        with contextlib.suppress(BlockingIOError):
            while True:
                peer, _ = self._listener.accept()
                peer.setblocking(False)
                self._open[peer] = self.connections
                self.connections += 1
                self.streams.append(b"")
                self._loop.add_reader(peer, self.pump)
        for peer in list(self._open):
            self._read(peer)

    def hang_up(self, how: Callable[[socket.socket], None] = lambda _: None) -> None:
        """Close all connections; `how` may do something to them before."""
        self.pump()
        for peer in list(self._open):
            how(peer)
            self._close(peer)

    def _read(self, peer: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            while content := peer.recv(1 << 20):
                self.streams[self._open[peer]] += content
            self.ended += 1
            self._close(peer)

    def _close(self, peer: socket.socket) -> None:
        self._loop.remove_reader(peer)
        del self._open[peer]
        peer.close()
