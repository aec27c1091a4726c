"""Answers come in the order of requests, whatever arrives when."""

from __future__ import annotations

import asyncio
import gzip
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.collector.sources.http.conftest import Kit, OpenPort

KINDS = 6


def request(kit: Kit, number: int) -> tuple[bytes, int, list[bytes]]:
    """A request of one of several kinds, the status it gets and the items it leaves."""
    item = b"item %d" % number
    lines = [item] * (number % 3 + 1)
    body = b"\n".join(lines)
    large = [item + b"x" * 5_000] * 6
    kinds: list[tuple[bytes, int, list[bytes]]] = [
        (kit.post(body), 200, lines),
        (kit.post(body, "/none"), 404, []),
        (kit.post(gzip.compress(body), "/", "Content-Encoding: gzip"), 200, lines),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%x;x=y\r\n%b\r\n0\r\nA: b\r\n\r\n"
            % (len(body), body),
            200,
            lines,
        ),
        (kit.post(b"\n".join(large)), 200, large),
        (b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n", 200, []),
    ]
    assert len(kinds) == KINDS
    return kinds[number % KINDS]


@pytest.mark.parametrize("mode", ["at once", "next turn"])
@pytest.mark.parametrize("step", [1, 7, 1000, 10_000_000])
async def test_pipelined_requests_are_answered_in_order(open_port: OpenPort, kit: Kit, mode: str, step: int) -> None:
    port = await open_port(kit.memory(mode))
    count = KINDS if step < 1000 else 20 * KINDS
    requests = [request(kit, number) for number in range(count)]
    raw = b"".join(data for data, _, _ in requests)
    client = await port.connect()

    async def send() -> None:
        for start in range(0, len(raw), step):
            client.send(raw[start : start + step])
            await client.writer.drain()
            if step > 1:
                await asyncio.sleep(0)

    sender = asyncio.create_task(send())
    assert [(await client.reply()).status for _ in requests] == [status for _, status, _ in requests]
    await sender
    assert port.intake.items == [item for _, _, items in requests for item in items]


async def test_thousands_of_requests_in_one_read_do_not_nest(open_port: OpenPort, kit: Kit) -> None:
    port = await open_port(kit.memory("at once"))
    client = await port.connect()
    client.send(kit.post(b"a") * 4_000)
    assert {(await client.reply()).status for _ in range(4_000)} == {200}


async def test_one_request_at_a_time_is_stored(open_port: OpenPort, kit: Kit) -> None:
    port = await open_port(kit.memory("by hand"))
    client = await port.connect()
    client.send(kit.post(b"a") + kit.post(b"b"))
    await port.until(lambda: port.intake.pending)
    client.send(kit.post(b"c"))
    for item in (b"a", b"b", b"c"):
        await port.until(lambda: port.intake.pending)
        assert [parcel.items for parcel in port.intake.pending] == [[item]]
        port.intake.settle()
        assert (await client.reply()).status == 200


async def test_a_refusal_waits_for_its_turn(open_port: OpenPort, kit: Kit) -> None:
    port = await open_port(kit.memory("by hand"))
    client = await port.connect()
    client.send(kit.post(b"a") + b"NONSENSE\r\n\r\n")
    await port.until(lambda: port.intake.pending)
    port.intake.settle()
    assert [(await client.reply()).status for _ in range(2)] == [200, 400]
    assert await client.rest() == b""


async def test_continue_waits_for_its_turn(open_port: OpenPort, kit: Kit) -> None:
    port = await open_port(kit.memory("by hand"))
    client = await port.connect()
    client.send(kit.post(b"a") + kit.post(b"bc", "/", "Expect: 100-continue")[:-2])
    await port.until(lambda: port.intake.pending)
    port.intake.settle()
    assert [(await client.reply()).status for _ in range(2)] == [200, 100]
    client.send(b"bc")
    await port.until(lambda: port.intake.pending)
    port.intake.settle()
    assert (await client.reply()).status == 200


async def test_a_client_may_read_late(open_port: OpenPort, kit: Kit) -> None:
    port = await open_port()
    client = await port.connect()
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    sent = 0
    await port.until(lambda: port.service.connections)
    (connection,) = port.service.connections
    while not connection._choked:
        client.send(b"GET /none HTTP/1.1\r\nHost: a\r\n\r\n" * 100)
        sent += 100
        await asyncio.sleep(0)
    client.send(kit.post(b"last"))
    client.writer.transport.resume_reading()  # type: ignore[attr-defined]
    assert {(await client.reply()).status for _ in range(sent)} == {404}
    assert (await client.reply()).status == 200


async def test_nothing_follows_connection_close(open_port: OpenPort, kit: Kit) -> None:
    port = await open_port(kit.memory("by hand"))
    client = await port.connect()
    client.send(kit.post(b"a", "/", "Connection: close") + kit.post(b"b"))
    await port.until(lambda: port.intake.pending)
    port.intake.settle()
    assert (await client.reply()).status == 200
    assert await client.rest() == b""
    assert port.intake.items == [b"a"]


async def test_many_connections(open_port: OpenPort, kit: Kit) -> None:
    port = await open_port()

    async def talk(name: int) -> None:
        client = await port.connect()
        for number in range(40):
            body = b"\n".join(b"%d %d %d" % (name, number, line) for line in range(number % 4))
            client.send(kit.post(body))
            reply = await client.reply()
            assert (reply.status, reply.body) == (200, b'{"accepted":%d,"duplicates":0}' % (number % 4))

    await asyncio.gather(*(talk(name) for name in range(64)))
    assert len(port.intake.items) == len(set(port.intake.items)) == 64 * 60


async def test_a_half_closed_client_is_answered(open_port: OpenPort, kit: Kit) -> None:
    port = await open_port(kit.memory("by hand"))
    client = await port.connect()
    client.send(kit.post(b"a") + kit.post(b"b"))
    client.writer.write_eof()
    for _ in range(2):
        await port.until(lambda: port.intake.pending)
        port.intake.settle()
        assert (await client.reply()).status == 200
    assert await client.rest() == b""


@pytest.mark.parametrize("cut", [10, -1])
async def test_a_client_that_stops_midway_is_let_go(open_port: OpenPort, kit: Kit, cut: int) -> None:
    port = await open_port()
    client = await port.connect()
    client.send(kit.post(b"abc")[:cut])
    client.writer.write_eof()
    assert await client.rest() == b""
    assert not port.intake.offered
    assert port.service.tally["incomplete"] == 1


@pytest.mark.parametrize("mode", ["by hand", "failing"])
async def test_a_client_may_leave_while_its_records_are_stored(open_port: OpenPort, kit: Kit, mode: str) -> None:
    intake = kit.memory("by hand")
    port = await open_port(intake)
    client = await port.connect()
    client.send(kit.post(b"a") + kit.post(b"b"))
    await port.until(lambda: intake.pending)
    client.reset()
    await port.until(lambda: not port.service.connections)
    intake.mode = mode
    intake.settle()
    assert intake.items == [b"a"]
    assert intake.lost == (1 if mode == "failing" else 0)
    assert (await port.ask(b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n")).status == 200
