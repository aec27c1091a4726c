"""A port on a free address with an intake in memory; every test runs on uvloop and on asyncio's own loop."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pytest
import trustme
import uvloop

from collector.sources.http import HttpSettings, HttpSource
from vedette.runtime.parcel import Parcel, Receipt
from vedette.schema.errors import TransientError
from vedette.schema.record import Piece


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


class Lines:
    """A decoder that cuts at newlines; a first line `#…` changes the context."""

    def __init__(self, name: str) -> None:
        self.name = name

    def split(self, body: bytes, context: str = "", record: int = 1) -> list[Piece]:
        lines = body.splitlines()
        if lines and lines[0].startswith(b"#"):
            return [Piece(lines[1:], lines[0][1:].decode(), record + 1)]
        return [Piece(lines, context, record)] if lines else []


@dataclass
class Memory:
    """An intake whose settlement the test decides: at once, in the next turn, by hand, or never well."""

    mode: str = "next turn"
    room: int = 1 << 28
    offered: list[Parcel] = field(default_factory=list)
    pending: list[Parcel] = field(default_factory=list)
    lost: int = 0
    known: set[bytes] = field(default_factory=set)
    settled: int = 0

    def room_bytes(self) -> int:
        return self.room

    def offer(self, parcel: Parcel) -> None:
        assert sum(run.count for run in parcel.runs) == len(parcel.items)
        self.offered.append(parcel)
        self.pending.append(parcel)
        if self.mode == "at once":
            self.settle()
        elif self.mode != "by hand":
            asyncio.get_running_loop().call_soon(self.settle)

    def settle(self) -> None:
        pending, self.pending = self.pending, []
        for parcel in pending:
            self.settled += 1
            if self.mode == "failing":
                parcel.settle(TransientError("disk full", retry_after_s=2))
            else:
                new = len({*parcel.items} - self.known)
                self.known.update(parcel.items)
                parcel.settle(Receipt(new, len(parcel.items) - new))

    async def put(self, parcel: Parcel) -> Receipt:
        raise NotImplementedError

    def refused(self, source: str, records: int) -> None:
        assert source == "port"
        self.lost += records

    def positions(self, source: str) -> Mapping[str, str]:
        return {}

    @property
    def items(self) -> list[bytes]:
        return [item for parcel in self.offered for item in parcel.items]


class Reply(NamedTuple):
    status: int
    fields: dict[str, str]
    body: bytes


class Client:
    """A raw connection: what is sent is bytes, what comes back are replies."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def reply(self, *, headless: bool = False) -> Reply:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        body = b"" if headless else await self.reader.readexactly(int(fields.get("content-length", 0)))
        return Reply(int(head[0].split()[1]), fields, body)

    async def rest(self) -> bytes:
        """All that comes until the server ends the connection."""
        try:
            return await self.reader.read()
        except ConnectionError:
            return b""

    def reset(self) -> None:
        """Leave with a reset, not with a FIN."""
        connection: socket.socket = self.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        self.writer.transport.abort()


@dataclass
class Port:
    source: HttpSource
    intake: Memory
    url: str
    clients: list[Client] = field(default_factory=list)

    @property
    def service(self) -> Any:
        return self.source._service

    @property
    def number(self) -> int:
        return int(self.url.split(":")[2].split("/")[0])

    async def connect(self, tls: ssl.SSLContext | None = None) -> Client:
        name = "localhost" if tls else None
        client = Client(*await asyncio.open_connection("127.0.0.1", self.number, ssl=tls, server_hostname=name))
        self.clients.append(client)
        return client

    async def ask(self, data: bytes) -> Reply:
        client = await self.connect()
        client.send(data)
        return await client.reply(headless=data.startswith(b"HEAD"))

    async def until(self, condition: Callable[[], object]) -> None:
        """Give the loop turns until the condition holds; the test's own timeout bounds it."""
        while not condition():  # noqa: ASYNC110 - what the test waits for tells nobody
            await asyncio.sleep(0.001)


class OpenPort(Protocol):
    def __call__(self, intake: Memory | None = ..., /, **settings: Any) -> Awaitable[Port]: ...


def post(body: bytes = b"a\n", path: str = "/", *fields: str, version: str = "1.1") -> bytes:
    """A plain POST."""
    head = (f"POST {path} HTTP/{version}", "Host: sensor", f"Content-Length: {len(body)}", *fields, "", "")
    return "\r\n".join(head).encode() + body


class Authority:
    """A certificate authority and its files."""

    def __init__(self, folder: Path) -> None:
        self.ca = trustme.CA()
        self.folder = folder
        self.ca_file = str(folder / "ca.pem")
        self.ca.cert_pem.write_to_path(self.ca_file)

    def issue(self, name: str) -> dict[str, str]:
        """Write a certificate and its key; another one each time."""
        issued = self.ca.issue_cert("localhost")
        files = {"cert_file": str(self.folder / f"{name}.pem"), "key_file": str(self.folder / f"{name}-key.pem")}
        issued.private_key_pem.write_to_path(files["key_file"])
        for number, blob in enumerate(issued.cert_chain_pems):
            blob.write_to_path(files["cert_file"], append=number > 0)
        return files

    def server(self, **settings: str) -> dict[str, str]:
        return self.issue("server") | settings

    def client(self, identity: str | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ca_file)
        context.set_alpn_protocols(["h2", "http/1.1"])
        if identity is not None:
            self.ca.issue_cert(identity).configure_cert(context)
        return context


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


class Kit(NamedTuple):
    """What tests need to name, since a conftest can't be imported."""

    memory: type[Memory]
    decoder: Callable[[str], Any]
    post: Callable[..., bytes]


@pytest.fixture(scope="session")
def kit() -> Kit:
    return Kit(Memory, Lines, post)


@pytest.fixture
async def open_port() -> AsyncIterator[OpenPort]:
    """Open ports on free addresses; in the end they stop, and no exception may have reached the event loop."""
    ports: list[Port] = []
    faults: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))

    async def start(intake: Memory | None = None, /, **settings: Any) -> Port:
        times = {name: settings.pop(name) for name in ("sweep_s", "drain_s") if name in settings}
        routes = {"/": "falco", "/k8s-audit": "kube_audit", "/intake/*": "*"}
        known = HttpSettings.model_validate({"listen": "127.0.0.1:0", "routes": routes, **settings})
        intake = intake or Memory()
        decoders: Any = {name: Lines(name) for name in ("falco", "kube_audit", "vpc_flow")}
        source = HttpSource("port", known, intake, decoders, **times)
        await source.start()
        ports.append(Port(source, intake, source.urls()[0]))
        return ports[-1]

    yield start
    for port in ports:
        for client in port.clients:
            client.close()
        await port.source.stop()
        assert not port.service.connections
        assert port.service.reading == 0, "all reserved room was given back"
    assert not faults
