"""When there is no room, no journal, no time or no more port."""

from __future__ import annotations

import asyncio
import gzip
from typing import TYPE_CHECKING

import pytest

from vedette.schema.errors import ConfigError

if TYPE_CHECKING:
    from tests.collector.sources.http.conftest import Kit, OpenPort

FAST = 0.01


async def test_a_failing_journal_is_told_to_clients_that_retry(open_port: OpenPort, kit: Kit) -> None:
    port = await open_port(kit.memory("failing"))
    reply = await port.ask(kit.post(b"a\nb", "/k8s-audit"))
    assert (reply.status, reply.fields["retry-after"]) == (429, "2")
    assert "connection" not in reply.fields
    assert port.intake.lost == 2


async def test_falco_is_held_and_then_told(open_port: OpenPort, kit: Kit) -> None:
    port = await open_port(kit.memory("by hand"), patience_s=7, sweep_s=FAST)
    client = await port.connect()
    client.send(kit.post(b"a"))
    await port.until(lambda: port.intake.pending)
    assert 6 < port.intake.pending[0].patience_s <= 7
    port.intake.mode = "failing"
    port.intake.settle()
    reply = await client.reply()
    assert (reply.status, reply.fields["retry-after"]) == (503, "2")
    assert port.intake.lost == 1
    port.intake.mode = "next turn"
    client.send(kit.post(b"a"))
    assert (await client.reply()).status == 200


@pytest.mark.parametrize("length", [100, 1_000_000])
async def test_no_room_refuses_before_the_body(open_port: OpenPort, kit: Kit, length: int) -> None:
    port = await open_port(kit.memory(room=10))
    client = await port.connect()
    client.send(b"POST /k8s-audit HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % length)
    if length < 1_000:
        client.send(b"a" * length)
    reply = await client.reply()
    assert (reply.status, reply.fields["retry-after"]) == (429, "1")
    assert reply.fields.get("connection") == (None if length < 1_000 else "close")
    assert port.intake.lost == 1


async def test_no_room_after_expansion(open_port: OpenPort, kit: Kit) -> None:
    port = await open_port(kit.memory(room=1_000))
    body = gzip.compress(b"abc\n" * 1_000)
    reply = await port.ask(kit.post(body, "/k8s-audit", "Content-Encoding: gzip"))
    assert (reply.status, port.intake.lost) == (429, 1_000)


async def test_falco_waits_for_room(open_port: OpenPort, kit: Kit) -> None:
    port = await open_port(kit.memory(room=0), sweep_s=FAST)
    clients = [await port.connect() for _ in range(3)]
    for client in clients:
        client.send(kit.post(b"a"))
    await port.until(lambda: len(port.service.held) == 3)
    assert not port.intake.offered
    clients[0].close()
    port.intake.room = 1_000
    assert [(await client.reply()).status for client in clients[1:]] == [200, 200]
    assert len(port.intake.offered) == 3


async def test_falco_does_not_wait_for_ever(open_port: OpenPort, kit: Kit) -> None:
    port = await open_port(kit.memory(room=0), patience_s=0.05, sweep_s=FAST)
    client = await port.connect()
    client.send(kit.post(b"a"))
    reply = await client.reply()
    assert (reply.status, reply.fields["retry-after"], port.intake.lost) == (503, "1", 1)
    assert not port.service.held


async def test_what_never_settles_is_answered_all_the_same(
    open_port: OpenPort, kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.sources.http.request.SETTLE_GRACE_S", 0.05)
    port = await open_port(kit.memory("by hand"), patience_s=0, sweep_s=FAST)
    client = await port.connect()
    client.send(kit.post(b"a"))
    reply = await client.reply()
    assert (reply.status, reply.fields["connection"]) == (503, "close")
    port.intake.settle()
    assert await client.rest() == b""
    assert port.intake.lost == 0, "they were stored after all"


async def test_bodies_being_read_are_bounded_together(open_port: OpenPort, kit: Kit) -> None:
    port = await open_port(body_bytes_max=1_000_000, reading_bytes_max=1_000_000)
    first = await port.connect()
    first.send(kit.post(b"a" * 950_000)[:-1])
    await port.until(lambda: port.service.reading >= 949_999)
    for path, status in (("/", 503), ("/k8s-audit", 429)):
        assert (await port.ask(kit.post(b"b" * 100_000, path))).status == status
    assert (await port.ask(kit.post(b"b" * 60_000))).status == 200, "small ones always fit"
    first.send(b"a")
    assert (await first.reply()).status == 200
    assert (await port.ask(kit.post(b"b" * 100_000))).status == 200


async def test_announcing_much_takes_no_room(open_port: OpenPort, kit: Kit) -> None:
    port = await open_port(body_bytes_max=1_000_000, reading_bytes_max=1_000_000)
    for _ in range(5):
        client = await port.connect()
        client.send(kit.post(b"a" * 900_000)[:200])
    await port.until(lambda: port.service.reading)
    assert (await port.ask(kit.post(b"b" * 200_000))).status == 200


async def test_bodies_of_only_separators_are_refused(
    open_port: OpenPort, kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.sources.http.request.SEPARATORS_MAX", 20_000)
    port = await open_port()
    assert (await port.ask(kit.post(b"{}\n" * 30_000))).status == 413
    assert (await port.ask(kit.post(b"{}" + b" " * 100_000))).status == 200


async def test_records_that_could_never_be_held_are_refused_for_good(
    open_port: OpenPort, kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.sources.http.request.IN_FLIGHT_BYTES_MAX", 10_000)
    port = await open_port()
    assert (await port.ask(kit.post(b"a\n" * 200, "/k8s-audit"))).status == 413
    assert (await port.ask(kit.post(b"a\n" * 100, "/k8s-audit"))).status == 200


async def test_connections_are_bounded(open_port: OpenPort, kit: Kit) -> None:
    port = await open_port(connections_max=3)
    clients = [await port.connect() for _ in range(3)]
    await port.until(lambda: len(port.service.connections) == 3)
    crowded = [await port.connect() for _ in range(20)]
    for client in crowded:
        assert (await client.reply()).status == 503
        assert await client.rest() == b""
    assert port.service.tally["connections"] == 20
    clients[0].send(kit.post(b"a"))
    assert (await clients[0].reply()).status == 200
    clients[0].close()
    await port.until(lambda: len(port.service.connections) == 2)
    assert (await port.ask(kit.post(b"a"))).status == 200


@pytest.mark.parametrize(
    ("sent", "status", "settings"),
    [
        pytest.param(b"", None, {"header_timeout_s": 0.05}, id="nothing"),
        pytest.param(b"POST / HTTP/1.1\r\nHo", 408, {"header_timeout_s": 0.05}, id="head"),
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\na", 408, {"body_timeout_s": 0.05}, id="body"
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\na", 408, {"header_timeout_s": 0.05}, id="rate"
        ),
        pytest.param(b"\r\n", None, {"header_timeout_s": 0.05}, id="newlines"),
    ],
)
async def test_slow_clients_are_cut(
    open_port: OpenPort, kit: Kit, sent: bytes, status: int | None, settings: dict[str, float]
) -> None:
    port = await open_port(sweep_s=FAST, **settings)
    client = await port.connect()
    client.send(sent)
    if status is not None:
        assert (await client.reply()).status == status
    assert await client.rest() == b""
    assert (await port.ask(kit.post(b"a"))).status == 200


@pytest.mark.parametrize("part", ["head", "body"])
async def test_drips_are_cut(open_port: OpenPort, part: str) -> None:
    port = await open_port(sweep_s=FAST, header_timeout_s=0.1, body_bytes_per_s_min=100_000)
    client = await port.connect()
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\n")
    if part == "body":
        client.send(b"Content-Length: 100000\r\n\r\n")
    reply = asyncio.create_task(client.reply())
    while not reply.done():
        client.send(b"a")
        await asyncio.sleep(FAST)
    assert (await reply).status == 408


async def test_a_steady_body_is_not_cut(open_port: OpenPort, kit: Kit) -> None:
    port = await open_port(sweep_s=FAST, header_timeout_s=0.02, body_bytes_per_s_min=100)
    client = await port.connect()
    raw = kit.post(b"a" * 60_000)
    for start in range(0, len(raw), 3_000):
        client.send(raw[start : start + 3_000])
        await asyncio.sleep(FAST)
    assert (await client.reply()).status == 200


async def test_idle_connections_are_closed(open_port: OpenPort, kit: Kit) -> None:
    port = await open_port(sweep_s=FAST, idle_timeout_s=0.05)
    client = await port.connect()
    client.send(kit.post(b"a"))
    assert (await client.reply()).status == 200
    assert await client.rest() == b""


async def test_a_client_that_never_reads_is_cut(open_port: OpenPort, caplog: pytest.LogCaptureFixture) -> None:
    port = await open_port(sweep_s=FAST, body_timeout_s=0.1)
    client = await port.connect()
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    burst = b"GET /none HTTP/1.1\r\nHost: a\r\n\r\n" * 1_000
    await port.until(lambda: port.service.connections)
    while port.service.connections:
        if client.writer.transport.get_write_buffer_size() < 1_000_000:
            client.send(burst)
        await asyncio.sleep(0)
    port.service.report()
    fields = [record.__dict__["fields"] for record in caplog.records if record.getMessage() == "Requests refused"]
    assert "unread" in {field["outcome"] for field in fields}


async def test_a_refused_upload_hears_why(open_port: OpenPort, kit: Kit) -> None:
    """The answer comes while the client is still writing: a reset would destroy it."""
    port = await open_port(body_bytes_max=2_000)
    for _ in range(20):
        client = await port.connect()
        client.send(kit.post(b"a" * 3_000_000))
        assert (await client.reply()).status == 413
        await client.writer.drain()


async def test_a_lingering_client_is_cut(open_port: OpenPort, kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector.sources.http.connection.LINGER_S", 0.05)
    port = await open_port(sweep_s=FAST)
    client = await port.connect()
    client.send(b"NONSENSE\r\n\r\n")
    assert (await client.reply()).status == 400
    await port.until(lambda: not port.service.connections)


# --- the end ------------------------------------------------------------------------------------------------------


async def test_stopping_answers_what_is_in_flight(open_port: OpenPort, kit: Kit) -> None:
    port = await open_port(kit.memory("by hand"))
    idle, busy, sending, retrying = [await port.connect() for _ in range(4)]
    busy.send(kit.post(b"busy"))
    sending.send(kit.post(b"sending")[:-1])
    retrying.send(kit.post(b"retrying", "/k8s-audit")[:30])
    await port.until(lambda: len(port.service.connections) == 4 and port.service.reading and port.intake.pending)
    stopping = asyncio.create_task(port.source.stop())
    assert await idle.rest() == b""
    with pytest.raises(ConnectionError):
        await port.connect()
    retrying.send(kit.post(b"retrying", "/k8s-audit")[30:])
    reply = await retrying.reply()
    assert (reply.status, reply.fields["connection"], reply.fields["retry-after"]) == (503, "close", "5")
    sending.send(b"g")
    await port.until(lambda: len(port.intake.pending) == 2)
    port.intake.settle()
    for client in (busy, sending):
        reply = await client.reply()
        assert (reply.status, reply.fields["connection"]) == (200, "close")
    for client in (busy, sending, retrying):
        client.close()
    await stopping
    assert port.service.unanswered == 0


async def test_stopping_is_bounded(open_port: OpenPort, kit: Kit) -> None:
    port = await open_port(kit.memory("by hand"), drain_s=0.05)
    client, held = await port.connect(), await port.connect()
    client.send(kit.post(b"a"))
    await port.until(lambda: port.intake.pending)
    port.intake.room = 0
    held.send(kit.post(b"b"))
    await port.until(lambda: port.service.held)
    await port.source.stop()
    assert await client.rest() == b""
    assert (port.service.unanswered, port.intake.lost) == (2, 1)
    port.intake.settle()
    await port.source.stop()


async def test_a_source_that_never_started_stops(open_port: OpenPort, kit: Kit) -> None:
    port = await open_port()
    with pytest.raises(ConfigError, match=r"sources\.port\.http\.listen: cannot listen on"):
        await open_port(listen=f"127.0.0.1:{port.number}")


async def test_waiting_for_a_port_has_no_end(open_port: OpenPort) -> None:
    port = await open_port()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(port.source.wait(), 0.01)
