"""CPU per small keep-alive POST: the port in a process of its own under uvloop, an intake that settles in memory.

    python tests/collector/sources/http/bench_port.py [--connections 16] [--seconds 4] [--profile]

The client is a separate process that writes prepared bytes; only the server's CPU (user and system) is counted.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import json
import multiprocessing
import pstats
import resource
import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import uvloop

from collector.sources.http import HttpSettings, HttpSource
from vedette.runtime.parcel import Parcel, Receipt
from vedette.schema.record import Piece

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

BODY = json.dumps(
    {
        "hostname": "node-1",
        "output": "14:09:24.046826000: Notice Shell in a container (user=root command=sh container=web)",
        "output_fields": {"evt.time": 1683727764046826000, "proc.cmdline": "sh", "user.name": "root"},
        "priority": "Notice",
        "rule": "Terminal shell in container",
        "source": "syscall",
        "tags": ["container", "shell"],
        "time": "2023-05-10T14:09:24.046826000Z",
    }
).encode()
REQUEST = (
    b"POST / HTTP/1.1\r\nHost: 127.0.0.1:2801\r\nUser-Agent: falcosecurity/falco\r\nAccept: */*\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY)
) + BODY


class Whole:
    """A decoder that takes a body as one record."""

    name = "falco"

    def split(self, body: bytes, context: str = "", record: int = 1) -> list[Piece]:
        return [Piece([body], context, record)]


class Memory:
    """An intake that settles all offers of a turn of the loop together, as a group commit does."""

    def __init__(self) -> None:
        self.group: list[Parcel] = []
        self.count = 0

    def room_bytes(self) -> int:
        return 1 << 28

    def offer(self, parcel: Parcel) -> None:
        if not self.group:
            asyncio.get_running_loop().call_soon(self.commit)
        self.group.append(parcel)

    def commit(self) -> None:
        group, self.group = self.group, []
        self.count += len(group)
        for parcel in group:
            parcel.settle(Receipt(1, 0))

    def refused(self, source: str, records: int) -> None:
        raise AssertionError(source)


async def _serve(pipe: Connection, profile: bool) -> None:
    intake: Any = Memory()
    settings = HttpSettings.model_validate({"listen": "127.0.0.1:0", "routes": {"/": "falco"}})
    decoders: Any = MappingProxyType({"falco": Whole()})
    source = HttpSource("falco", settings, intake, decoders)
    await source.start()
    pipe.send(source.urls()[0])
    loop = asyncio.get_running_loop()
    profiler = cProfile.Profile() if profile else None
    await loop.run_in_executor(None, pipe.recv)
    if profiler:
        profiler.enable()
    before = resource.getrusage(resource.RUSAGE_SELF)
    await loop.run_in_executor(None, pipe.recv)
    after = resource.getrusage(resource.RUSAGE_SELF)
    if profiler:
        profiler.disable()
        pstats.Stats(profiler).sort_stats("tottime").print_stats(22)
    pipe.send((intake.count, after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime))
    await source.stop()


def serve(pipe: Connection, profile: bool) -> None:
    uvloop.run(_serve(pipe, profile))


class Client(asyncio.Protocol):
    """Sends the next request when the answer is there."""

    def __init__(self, until: float) -> None:
        self.until = until
        self.done = asyncio.get_running_loop().create_future()
        self.count = 0
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.transport.write(REQUEST)

    def data_received(self, data: bytes) -> None:
        assert data.startswith(b"HTTP/1.1 200"), data
        self.count += 1
        if time.monotonic() < self.until:
            self.transport.write(REQUEST)
        elif not self.done.done():
            self.done.set_result(None)


async def _load(port: int, connections: int, seconds: float) -> int:
    loop, until = asyncio.get_running_loop(), time.monotonic() + seconds
    clients = [(await loop.create_connection(lambda: Client(until), "127.0.0.1", port))[1] for _ in range(connections)]
    await asyncio.gather(*(client.done for client in clients))
    return sum(client.count for client in clients)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs, options.profile))
    process.start()
    port = int(ours.recv().rpartition(":")[2].strip("/"))
    ours.send("go")
    started = time.monotonic()
    uvloop.run(_load(port, options.connections, options.seconds))
    took = time.monotonic() - started
    ours.send("stop")
    count, user, system = ours.recv()
    process.join()
    print(  # noqa: T201 - a script talks on standard output
        f"{options.connections} connections: {count / took:,.0f} requests/s, CPU per request "
        f"{(user + system) / count * 1e6:.1f} µs ({user / count * 1e6:.1f} user, {system / count * 1e6:.1f} system)"
    )


if __name__ == "__main__":
    main()
