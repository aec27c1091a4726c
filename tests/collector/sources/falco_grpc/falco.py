"""A stand-in for Falco's gRPC server, written from how Falco 0.43 behaves, and one for intake.

One queue for all clients, each alert for one of them. `sub` reads a request, sends all that waits, and reads the next
request; `get` sends all that waits and ends. What was sent is forgotten. gRPC's own server, with its defaults.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import grpc
import grpc.aio
import trustme
from google.protobuf.timestamp_pb2 import Timestamp
from prometheus_client import REGISTRY

from collector.decoders import DECODERS
from collector.sources.falco_grpc import FalcoGrpcSettings, FalcoGrpcSource
from collector.sources.falco_grpc.connection import VERSION
from collector.sources.falco_grpc.outputs_pb2 import NOTICE, response
from vedette.runtime.parcel import Receipt

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
    from pathlib import Path

    from vedette.runtime.parcel import Parcel

SOURCE: Final = "runtime"


def alert(number: int, **changes: Any) -> response:
    said: dict[str, Any] = {
        "time": Timestamp(seconds=1_795_255_200 + number // 1000, nanos=number % 1000),
        "priority": NOTICE,
        "rule": "Terminal shell in container",
        "output": f"A shell was spawned ({number})",
        "output_fields": {"proc.pid": str(number), "k8s.pod.name": "cart-0", "evt.time": "1795255200000000000"},
        "hostname": "node-1",
        "tags": ["container", "shell"],
        "source": "syscall",
    }
    return response(**said | changes)


class Falco:
    """The server; `credentials` None speaks in the clear."""

    def __init__(self, address: str, credentials: grpc.ServerCredentials | None = None) -> None:
        self.address = address
        self.credentials = credentials
        self.queue: deque[bytes] = deque()
        self.sent = 0
        """Responses that it has given to gRPC, and forgotten."""
        self.calls = 0
        self.streaming = 0
        self.versions = 0
        self.fails: grpc.StatusCode | None = None
        """With what calls of the outputs service end at once."""
        self.has_version = True
        self._running = False
        self._server: grpc.aio.Server | None = None

    def push(self, *responses: response | bytes) -> None:
        self.queue.extend(each if isinstance(each, bytes) else each.SerializeToString() for each in responses)

    async def start(self) -> None:
        server = grpc.aio.server()
        outputs: dict[str, Any] = {
            "sub": grpc.stream_stream_rpc_method_handler(self._sub),
            "get": grpc.unary_stream_rpc_method_handler(self._get),
        }
        version: dict[str, Any] = {"version": grpc.unary_unary_rpc_method_handler(self._version)}
        server.add_generic_rpc_handlers(
            [
                grpc.method_handlers_generic_handler("falco.outputs.service", outputs),
                grpc.method_handlers_generic_handler(VERSION.split("/")[1], version),
            ]
        )
        if self.credentials is None:
            server.add_insecure_port(self.address)
        else:
            port = server.add_secure_port(self.address, self.credentials)
            self.address = f"127.0.0.1:{port}"
        self._running, self._server = True, server
        await server.start()

    async def stop(self) -> None:
        """End as Falco does on SIGTERM: calls end after what is being written, the queue is kept (a Falco's is not)."""
        self._running = False
        await until(lambda: not self.streaming)
        await self.kill()

    async def kill(self) -> None:
        """End in the middle."""
        self._running = False
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    async def _sub(self, requests: AsyncIterator[bytes], context: Any) -> None:
        async with self._call(context):
            async for _ in requests:
                await self._send_all(context)
                if not self._running:
                    return

    async def _get(self, _: bytes, context: Any) -> None:
        async with self._call(context):
            await self._send_all(context)

    async def _version(self, _: bytes, context: Any) -> bytes:
        if not self.has_version:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
        self.versions += 1
        return b"\x0a\x060.43.0"

    async def _send_all(self, context: Any) -> None:
        while self._running and self.queue:
            self.sent += 1
            await context.write(self.queue.popleft())

    @contextlib.asynccontextmanager
    async def _call(self, context: Any) -> AsyncGenerator[None]:
        self.calls += 1
        if self.fails is not None:
            await context.abort(self.fails, "\x1b[2J no")
        self.streaming += 1
        try:
            yield
        finally:
            self.streaming -= 1


class Certificates:
    """A CA, the server's certificate, and files for a client."""

    def __init__(self, folder: Path, name: str = "127.0.0.1") -> None:
        self.folder = folder
        self.renew(name)

    def renew(self, name: str = "127.0.0.1") -> None:
        """Make all anew, with a new CA."""
        self.authority = trustme.CA()
        self.server = self.authority.issue_cert(name)
        self.authority.cert_pem.write_to_path(self.folder / "ca.pem")
        self.issue_client(self.authority)

    def issue_client(self, authority: trustme.CA) -> None:
        client = authority.issue_cert("vedette")
        client.cert_chain_pems[0].write_to_path(self.folder / "client.pem")
        client.private_key_pem.write_to_path(self.folder / "client.key")

    def credentials(self) -> grpc.ServerCredentials:
        """Ask clients for certificates, as Falco does."""
        pair = (self.server.private_key_pem.bytes(), self.server.cert_chain_pems[0].bytes())
        return grpc.ssl_server_credentials([pair], self.authority.cert_pem.bytes(), require_client_auth=True)

    def settings(self, address: str, **more: Any) -> FalcoGrpcSettings:
        files = {
            "ca_file": self.folder / "ca.pem",
            "client_cert_file": self.folder / "client.pem",
            "client_key_file": self.folder / "client.key",
        }
        return settings(address, **files, **more)


class StubIntake:
    """Intake that keeps what it is given; `numbers_only` keeps the number of each alert alone."""

    def __init__(self, *, numbers_only: bool = False) -> None:
        self.items: list[bytes] = []
        self.origins: set[str] = set()
        self.numbers: list[int] = []
        self.records: list[int] = []
        self.lost = 0
        self.open = asyncio.Event()
        self.open.set()
        """Nothing is committed while this is not set."""
        self._numbers_only = numbers_only

    @property
    def count(self) -> int:
        return len(self.records)

    def room_bytes(self) -> int:
        return 2**28

    def offer(self, parcel: Parcel) -> None:
        raise NotImplementedError

    async def put(self, parcel: Parcel) -> Receipt:
        await self.open.wait()
        (run,) = parcel.runs
        assert (run.source, run.format, run.hashed, run.count) == (SOURCE, "falco", False, len(parcel.items))
        assert parcel.size_bytes == sum(map(len, parcel.items))
        self.origins.add(run.origin)
        self.records += range(run.record, run.record + run.count)
        if self._numbers_only:
            self.numbers += [int(item.partition(b'"proc.pid":"')[2].partition(b'"')[0]) for item in parcel.items]
        else:
            self.items += parcel.items
        receipt = Receipt(len(parcel.items), 0)
        parcel.settle(receipt)
        return receipt

    def refused(self, source: str, records: int) -> None:
        assert source == SOURCE
        self.lost += records

    def positions(self, source: str) -> Mapping[str, str]:
        raise NotImplementedError


def settings(address: str, **more: Any) -> FalcoGrpcSettings:
    return FalcoGrpcSettings.model_validate({"address": address, "poll_interval_s": 0.01, "timeout_s": 5, **more})


@contextlib.asynccontextmanager
async def reading(intake: StubIntake, chosen: FalcoGrpcSettings) -> AsyncGenerator[FalcoGrpcSource]:
    source = FalcoGrpcSource(SOURCE, chosen, intake, DECODERS)
    await source.start()
    try:
        yield source
    finally:
        await source.stop()


async def until(condition: Callable[[], object]) -> None:
    """Wait; the test's timeout bounds it."""
    while not condition():  # noqa: ASYNC110 - what is waited for happens elsewhere
        await asyncio.sleep(0.005)


def failures(reason: str) -> float:
    return REGISTRY.get_sample_value("vedette_falco_grpc_failures_total", {"source": SOURCE, "reason": reason}) or 0.0


def metric(name: str) -> float:
    return REGISTRY.get_sample_value(f"vedette_falco_grpc_{name}", {"source": SOURCE}) or 0.0
