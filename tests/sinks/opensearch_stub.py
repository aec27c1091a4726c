"""A stub of OpenSearch with the semantics of its bulk API, for tests that want a server that misbehaves on command.

In a test: `with OpenSearchStub() as stub: …`; it runs in a thread with a loop of its own. On a shell:
`python tests/sinks/opensearch_stub.py --port 9200`. Versions are external ones; templates are kept, not applied.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import fnmatch
import gzip
import signal
import ssl
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Self
from urllib.parse import unquote

import orjson

DRIP_S: Final = 0.02


@dataclass
class Trouble:
    """How the stub answers instead of properly. `apply`: it does what it was told all the same."""

    status: int = 503
    body: bytes = b'{"error":{"type":"stub_exception","reason":"told to"},"status":503}'
    headers: dict[str, str] = field(default_factory=dict)
    apply: bool = False
    hang: bool = False
    """Nothing is answered until the client goes."""
    drip: bool = False
    """The answer comes a byte at a time, and has no end."""
    close: bool = False
    """The connection is closed instead."""


class Refusal(NamedTuple):
    """What becomes of one document instead."""

    status: int
    type: str = "stub_exception"
    reason: str = "told to"


class Stored(NamedTuple):
    version: int
    source: bytes


class Request(NamedTuple):
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


class OpenSearchStub:
    """One node without security, or with one user; everything is public for tests to set and look at."""

    def __init__(
        self, port: int = 0, *, user: tuple[str, str] | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self.port = port
        self.tls = tls
        self.user = user
        self.info: dict[str, Any] = {"version": {"distribution": "opensearch", "number": "2.19.4"}}
        self.health: dict[str, Any] = {"status": "green"}
        self.indices: dict[str, dict[str, Stored]] = {}
        self.index_settings: dict[str, dict[str, str]] = {}
        self.templates: dict[str, dict[str, Any]] = {}
        self.requests: list[Request] = []
        """Everything that came, but for the bodies of bulk requests where `keep_bodies` is off."""
        self.keep_bodies = True
        self.trouble: Trouble | None = None
        """For every request until taken away."""
        self.troubles: deque[Trouble | None] = deque()
        """For the next bulk requests, one each; None: none."""
        self.refuse: Callable[[str, str, bytes], Refusal | None] = lambda index, document_id, source: None
        """Asked for every document of a bulk request."""
        self.edit: Callable[[dict[str, Any]], Any] = lambda answer: answer
        """Changes what a bulk request is answered with."""
        self.request_bytes_max = 100 << 20
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="opensearch-stub", daemon=True)
        self._listening = threading.Event()
        self._stopping = asyncio.Event()

    # --- looking at it ------------------------------------------------------------------------------------------------
    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def documents(self, pattern: str = "*") -> list[dict[str, Any]]:
        """The documents of all indices whose names match, in no order."""
        found = [index for name, index in list(self.indices.items()) if fnmatch.fnmatchcase(name, pattern)]
        return [orjson.loads(stored.source) for index in found for stored in list(index.values())]

    def bulks(self) -> list[Request]:
        return [request for request in self.requests if request.path.endswith("/_bulk")]

    # --- running it ---------------------------------------------------------------------------------------------------
    def __enter__(self) -> Self:
        self._thread.start()
        assert self._listening.wait(10), "the stub does not listen"
        return self

    def __exit__(self, *raised: object) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(10)
        self._loop.close()

    def _run(self) -> None:
        self._loop.run_until_complete(self.serve(self._stopping))

    async def serve(self, stopping: asyncio.Event) -> None:
        """Serve until told to stop; connections are cut."""
        connections: set[asyncio.Task[None]] = set()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            connections.add(task)
            try:
                await self._converse(reader, writer)
            except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                pass
            finally:
                connections.discard(task)
                writer.transport.abort()

        server = await asyncio.start_server(connected, "127.0.0.1", self.port, ssl=self.tls, limit=1 << 20)
        self.port = server.sockets[0].getsockname()[1]
        self._listening.set()
        await stopping.wait()
        server.close()
        for task in list(connections):
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    # --- HTTP ---------------------------------------------------------------------------------------------------------
    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for request in _requests(reader):
            is_bulk = request.path.endswith("/_bulk")
            self.requests.append(request if self.keep_bodies or not is_bulk else request._replace(body=b""))
            trouble = self.trouble or (self.troubles.popleft() if is_bulk and self.troubles else None)
            if trouble is None:
                status, answer = self._answer(request)
                writer.write(_response(status, answer, {"content-type": "application/json; charset=UTF-8"}))
                await writer.drain()
                continue
            if trouble.apply:
                self._answer(request)
            await self._misbehave(trouble, reader, writer)
            if trouble.close or trouble.hang or trouble.drip:
                return

    @staticmethod
    async def _misbehave(trouble: Trouble, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if trouble.close:
            return
        if trouble.hang:
            await reader.read()
            return
        if trouble.drip:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
            while not reader.at_eof():
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(DRIP_S)
            return
        writer.write(_response(trouble.status, trouble.body, {"content-type": "application/json", **trouble.headers}))
        await writer.drain()

    # --- OpenSearch ---------------------------------------------------------------------------------------------------
    def _answer(self, request: Request) -> tuple[int, bytes]:
        if self.user is not None and request.headers.get("authorization") != _basic(*self.user):
            return 401, b"Unauthorized"
        parts = [unquote(part) for part in request.path.strip("/").split("/")]
        match request.method, parts:
            case "GET", [""]:
                return 200, orjson.dumps(self.info)
            case "GET", ["_cluster", "health"]:
                return 200, orjson.dumps(self.health)
            case (("POST" | "PUT"), ["_bulk"]):
                return self._bulk(request)
            case method, ["_index_template", name]:
                return self._template(method, name, request.body)
            case "GET", [pattern, "_settings"]:
                found = {name for one in pattern.split(",") for name in fnmatch.filter(self.indices, one)}
                return 200, orjson.dumps({name: {"settings": self.index_settings.get(name, {})} for name in found})
            case _:
                return 404, _error(404, "stub_exception", f"no {request.method} {request.path} here")

    def _template(self, method: str, name: str, body: bytes) -> tuple[int, bytes]:
        if method == "PUT":
            self.templates[name] = orjson.loads(body)
            return 200, b'{"acknowledged":true}'
        if name not in self.templates:
            return 404, _error(404, "resource_not_found_exception", f"index template matching [{name}] not found")
        found = {"name": name, "index_template": self.templates[name]}
        return 200, orjson.dumps({"index_templates": [found]})

    def _bulk(self, request: Request) -> tuple[int, bytes]:
        if len(request.body) > self.request_bytes_max:
            return 413, b""
        lines = request.body.split(b"\n")
        if lines.pop() != b"" or len(lines) % 2:
            return 400, _error(400, "illegal_argument_exception", "The bulk request must be terminated by a newline")
        items = [self._write(orjson.loads(head), source) for head, source in zip(lines[::2], lines[1::2], strict=True)]
        errors = any("error" in result for item in items for result in item.values())
        return 200, orjson.dumps(self.edit({"took": 1, "errors": errors, "items": items}))

    def _write(self, head: dict[str, Any], source: bytes) -> dict[str, Any]:
        ((action, said),) = head.items()
        index, document_id = said["_index"], said["_id"]
        found = {"_index": index, "_id": document_id}
        refusal = self.refuse(index, document_id, source) or self._conflict(action, said)
        if refusal is not None:
            error = {"type": refusal.type, "reason": refusal.reason, "index": index}
            return {action: {**found, "status": refusal.status, "error": error}}
        documents = self.indices.setdefault(index, {})
        status = 200 if document_id in documents else 201
        documents[document_id] = Stored(said.get("version", 1), source)
        return {action: {**found, "_version": documents[document_id].version, "status": status}}

    def _conflict(self, action: str, said: dict[str, Any]) -> Refusal | None:
        there = self.indices.get(said["_index"], {}).get(said["_id"])
        is_there = there is not None and (action == "create" or there.version >= said.get("version", there.version + 1))
        if is_there or (there is None and "if_seq_no" in said):
            return Refusal(409, "version_conflict_engine_exception", f"[{said['_id']}]: version conflict")
        return None


async def _requests(reader: asyncio.StreamReader) -> AsyncGenerator[Request]:
    while True:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return
        first, *rest = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ", 2)
        headers = {key.lower(): value.strip() for key, _, value in (line.partition(":") for line in rest if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        path, _, query = target.partition("?")
        yield Request(method, path, query, headers, body)


def _response(status: int, body: bytes, headers: dict[str, str]) -> bytes:
    lines = "".join(f"{key}: {value}\r\n" for key, value in headers.items())
    return f"HTTP/1.1 {status} Stub\r\n{lines}content-length: {len(body)}\r\n\r\n".encode("latin-1") + body


def _error(status: int, kind: str, reason: str) -> bytes:
    return orjson.dumps({"error": {"type": kind, "reason": reason}, "status": status})


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=9200)
    arguments = parser.parse_args()
    ending = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ending.set())
    with OpenSearchStub(arguments.port) as stub:
        stub.keep_bodies = False
        print(stub.url, flush=True)  # noqa: T201 - a script talks on standard output
        ending.wait()


if __name__ == "__main__":
    main()
