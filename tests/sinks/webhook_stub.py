"""A webhook's other side: notes what was posted to it, and answers as it is told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import orjson

from .fault_proxy import response

if TYPE_CHECKING:
    import ssl

HEAD_BYTES_MAX = 1 << 16


class Posted(NamedTuple):
    """A request; the names of `fields` are in small letters."""

    line: str
    fields: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return orjson.loads(self.body)


class WebhookStub:
    """Listens on `port` of 127.0.0.1; what it answers with a 2xx was accepted."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Posted] = []
        self.accepted: list[Posted] = []
        self.answer: Callable[[Posted], bytes] = lambda _: kept_open(200)
        self.connections = 0
        self._tls = tls
        self._serving: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=HEAD_BYTES_MAX, ssl=self._tls)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        serving = list(self._serving)
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)

    @property
    def documents(self) -> list[dict[str, Any]]:
        """What was accepted, arrays taken apart."""
        found = [posted.document for posted in self.accepted]
        return [item for one in found for item in (one if isinstance(one, list) else [one])]

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        task.add_done_callback(lambda _: writer.close())  # here, because a task may be cancelled before it began

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                posted = await _read(reader)
                self.requests.append(posted)
                answer = self.answer(posted)
                if b" 2" in answer[:10]:
                    self.accepted.append(posted)
                writer.write(answer)
                await writer.drain()
                if b"\r\nConnection: close\r\n" in answer:
                    return


def kept_open(code: int, body: bytes = b'{"ok":true}') -> bytes:
    """An answer after which the connection goes on."""
    return response(code, body=body).replace(b"\r\nConnection: close", b"")


async def _read(reader: asyncio.StreamReader) -> Posted:
    line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("ascii").split("\r\n")
    fields = {name.lower(): value for name, _, value in (item.partition(": ") for item in lines if item)}
    return Posted(line, fields, await reader.readexactly(int(fields.get("content-length", "0"))))
