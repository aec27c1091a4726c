"""No bytes that a client sends bring the port down, or reach the event loop as an exception."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.sources.http import HttpSettings, HttpSource
from collector.sources.http.connection import Connection
from collector.sources.http.head import FIELDS_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.collector.sources.http.conftest import Authority, Kit, OpenPort

FRAGMENTS = st.sampled_from(
    [
        b"POST / HTTP/1.1\r\n",
        b"POST /k8s-audit HTTP/1.0\r\n",
        b"GET /ping HTTP/1.1\r\n",
        b"HEAD / HTTP/1.1\r\n",
        b"CONNECT a:1 HTTP/1.1\r\n",
        b"PRI * HTTP/2.0\r\n\r\n",
        b"Host: a\r\n",
        b"Content-Length: 3\r\n",
        b"Content-Length: 99999999\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Content-Encoding: gzip\r\n",
        b"Content-Encoding: zstd\r\n",
        b"Connection: close\r\n",
        b"Connection: Upgrade\r\nUpgrade: h2c\r\n",
        b"Expect: 100-continue\r\n",
        b"Authorization: Bearer \xff\r\n",
        b"A: b\r\n" * (FIELDS_MAX + 1),
        b"\r\n",
        b"\r\nabc",
        b"3\r\nabc\r\n",
        b"0\r\n\r\n",
        b"\x1f\x8b\x08\x00",
        b"\x28\xb5\x2f\xfd",
        b"x" * 40_000,
    ]
)
BYTES = st.lists(FRAGMENTS | st.binary(max_size=40), max_size=12).map(b"".join)


@pytest.mark.parametrize("loops", [uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"])
def test_any_bytes_are_survived(kit: Kit, loops: Callable[[], asyncio.AbstractEventLoop]) -> None:
    with asyncio.Runner(loop_factory=loops) as runner:
        faults: list[object] = []
        runner.get_loop().set_exception_handler(lambda _, context: faults.append(context))
        source = HttpSource(
            "port",
            HttpSettings.model_validate({"listen": "127.0.0.1:0", "routes": {"/": "falco", "/k8s-audit": "falco"}}),
            kit.memory(),
            {"falco": kit.decoder("falco")},
            drain_s=5,
        )
        runner.run(source.start())
        number = int(source.urls()[0].rpartition(":")[2].rstrip("/"))

        async def throw(data: bytes, *, half: bool) -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", number)
            writer.write(data)
            if half:
                writer.write_eof()
                with suppress(ConnectionError):
                    await reader.read()
            writer.transport.abort()
            reader, writer = await asyncio.open_connection("127.0.0.1", number)
            writer.write(kit.post(b"sane"))
            assert (await reader.readline()) == b"HTTP/1.1 200 OK\r\n"
            writer.transport.abort()

        @settings(max_examples=150)
        @given(data=BYTES, half=st.booleans())
        def check(data: bytes, half: bool) -> None:
            runner.run(throw(data, half=half))
            assert not faults

        try:
            check()
        finally:
            runner.run(source.stop())
        assert not faults
        assert source._service.reading == 0


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed, "nothing is written after the end"
        self.written += data

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


@pytest.fixture(scope="module")
def feed(kit: Kit) -> Iterator[Callable[[list[bytes]], bytes]]:
    decoders = {"falco": kit.decoder("falco")}
    plain = HttpSettings.model_validate({"routes": {"/": "falco", "/k8s-audit": "falco"}})
    intake = kit.memory("at once")
    source = HttpSource("port", plain, intake, decoders)

    def run(pieces: list[bytes]) -> bytes:
        intake.known.clear()
        transport, connection = Transport(), Connection(source._service)
        connection.connection_made(transport)
        for piece in pieces:
            if not transport.closed:
                connection.data_received(piece)
        connection.connection_lost(None)
        assert source._service.reading == 0
        return transport.written

    yield run
    source._pool.shutdown()


@settings(max_examples=300)
@given(data=st.data())
def test_how_bytes_are_cut_changes_no_answer(feed: Callable[[list[bytes]], bytes], data: st.DataObject) -> None:
    requests = data.draw(
        st.lists(
            st.sampled_from(
                [
                    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
                    (
                        b"POST /?a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                        b"2\r\na\n\r\n1;x\r\nb\r\n0\r\nT: v\r\n\r\n"
                    ),
                    b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n",
                    b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
                    b"POST /none HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nab",
                    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Encoding: br\r\n\r\n",
                    b"NONSENSE\r\n",
                ]
            ),
            max_size=6,
        )
    )
    whole = b"".join(requests)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    pieces = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert feed([piece for piece in pieces if piece]) == feed([whole] if whole else [])


async def test_garbage_on_a_tls_port(open_port: OpenPort, kit: Kit, authority: Authority) -> None:
    port = await open_port(tls=authority.server())
    for garbage in (b"POST / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"\x00" * 5_000):
        client = await port.connect()
        client.send(garbage)
        client.writer.write_eof()
        await client.rest()
    client = await port.connect(authority.client())
    client.send(kit.post(b"sane"))
    assert (await client.reply()).status == 200


@pytest.mark.parametrize("size", [10, 100_000])
async def test_a_bug_of_ours_ends_the_source(
    open_port: OpenPort, kit: Kit, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    port = await open_port()
    monkeypatch.setattr(kit.decoder, "split", lambda *_: 1 / 0)
    client = await port.connect()
    client.send(kit.post(b"a" * size))
    with pytest.raises(ZeroDivisionError):
        await port.source.wait()
    client.reset()
    await port.until(lambda: not port.service.connections)
    port.service.reading = 0
