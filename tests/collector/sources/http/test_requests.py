"""Requests and what they are answered."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import zstandard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.collector.sources.http.conftest import Kit, OpenPort

HOST = b"Host: sensor\r\n"


def chunked(*chunks: bytes, trailers: bytes = b"") -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n" + trailers + b"\r\n"


@pytest.mark.parametrize(
    ("path", "format_", "status"),
    [
        ("/", "falco", 200),
        ("/?token=x", "falco", 200),
        ("/k8s-audit?timeout=30s", "kube_audit", 200),
        ("http://anything:1/k8s-audit?timeout=30s", "kube_audit", 200),
        ("http://anything", "falco", 200),
        ("/intake/vpc_flow", "vpc_flow", 200),
        ("/intake/", None, 404),
        ("/intake/*", None, 404),
        ("/intake/none", None, 404),
        ("/k8s-audit/", None, 404),
        ("//", None, 404),
        ("/%2e", None, 404),
    ],
)
async def test_paths(open_port: OpenPort, kit: Kit, path: str, format_: str | None, status: int) -> None:
    port = await open_port()
    reply = await port.ask(kit.post(b"a\nb\n", path))
    assert reply.status == status
    assert [run.format for parcel in port.intake.offered for run in parcel.runs] == ([format_] if format_ else [])


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        pytest.param(b"POST / HTTP/1.1\r\n\r\n", 400, id="no host"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, id="two hosts"),
        pytest.param(b"POST / HTTP/1.0\r\n\r\n", 200, id="1.0 needs no host"),
        pytest.param(b"POST / HTTP/2.0\r\n" + HOST + b"\r\n", 505, id="2.0"),
        pytest.param(b"POST /\r\n\r\n", 505, id="0.9"),
        pytest.param(b"POST / HTTP/1.7\r\n" + HOST + b"\r\n", 400, id="1.7"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, id="HTTP/2 preface"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, id="TLS hello"),
        pytest.param(b"BREW / HTTP/1.1\r\n" + HOST + b"\r\n", 400, id="unknown method"),
        pytest.param(b"CONNECT a:80 HTTP/1.1\r\n" + HOST + b"\r\n", 400, id="connect"),
        pytest.param(b"GET / HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n", 400, id="upgrade"),
        pytest.param(b"POST / HTTP/1.1\r\n" + HOST + b"Upgrade: h2c\r\n\r\n", 200, id="upgrade not meant"),
        pytest.param(
            b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na", 400, id="two lengths"
        ),
        pytest.param(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1, 1\r\n\r\na", 400, id="list of lengths"),
        pytest.param(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: +1\r\n\r\na", 400, id="signed length"),
        pytest.param(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 0x1\r\n\r\na", 400, id="hex length"),
        pytest.param(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: \r\n\r\n", 400, id="empty length"),
        pytest.param(
            b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
            id="length and chunked",
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
            id="chunked twice",
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501, id="gzip coding"
        ),
        pytest.param(b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: xchunked\r\n\r\n", 501, id="xchunked"),
        pytest.param(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, id="chunked in 1.0"),
        pytest.param(
            b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: Chunked \r\n\r\n" + chunked(b"a"), 200, id="chunked"
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\na\r\n", 400, id="negative chunk"
        ),
        pytest.param(b"POST / HTTP/1.1\nHost: a\n\n", 400, id="bare newlines"),
        pytest.param(b"POST / HTTP/1.1\r\nHost : a\r\n\r\n", 400, id="space before colon"),
        pytest.param(b"POST / HTTP/1.1\r\n" + HOST + b"A: b\r\n c\r\n\r\n", 400, id="folded field"),
        pytest.param(b"POST / HTTP/1.1\r\n" + HOST + b"A: \x00\r\n\r\n", 400, id="NUL in a field"),
        pytest.param(b"POST /\xff HTTP/1.1\r\n" + HOST + b"\r\n", 400, id="raw byte in path"),
        pytest.param(b"POST / HTTP/1.1\r\n" + HOST + b"A: b\r\n" * 101 + b"\r\n", 431, id="too many fields"),
        pytest.param(b"POST / HTTP/1.1\r\n" + HOST + b"A: " + b"b" * 40_000 + b"\r\n\r\n", 431, id="long field"),
        pytest.param(b"POST / HTTP/1.1\r\n" + HOST + b"A: " + b"b" * 70_000, 431, id="endless field"),
        pytest.param(b"POST /" + b"a" * 70_000, 431, id="endless path"),
        pytest.param(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n", 200, id="health"),
        pytest.param(b"HEAD /healthz HTTP/1.1\r\n" + HOST + b"\r\n", 200, id="health head"),
        pytest.param(b"GET /ping?x HTTP/1.1\r\n" + HOST + b"\r\n", 200, id="ping"),
        pytest.param(b"POST /ping HTTP/1.1\r\n" + HOST + b"\r\n", 405, id="ping by POST"),
        pytest.param(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n", 405, id="GET"),
        pytest.param(b"HEAD / HTTP/1.1\r\n" + HOST + b"\r\n", 405, id="HEAD"),
        pytest.param(b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", 404, id="OPTIONS *"),
        pytest.param(b"PUT / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\n\r\na", 405, id="PUT"),
        pytest.param(b"POST / HTTP/1.1\r\n" + HOST + b"Expect: miracles\r\n\r\n", 417, id="unknown expectation"),
        pytest.param(b"POST / HTTP/1.0\r\nExpect: miracles\r\n\r\n", 200, id="1.0 expects nothing"),
        pytest.param(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Encoding: br\r\n\r\n", 415, id="brotli"),
        pytest.param(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Encoding: gzip, zstd\r\n\r\n", 415, id="two codings"),
        pytest.param(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Encoding: \xff\r\n\r\n", 415, id="coding not text"),
        pytest.param(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Encoding: identity\r\n\r\n", 200, id="identity"),
        pytest.param(b"\r\n\r\nPOST / HTTP/1.1\r\n" + HOST + b"\r\n", 200, id="newlines before"),
    ],
)
async def test_heads(open_port: OpenPort, raw: bytes, status: int) -> None:
    port = await open_port()
    reply = await port.ask(raw)
    assert reply.status == status, reply
    if status >= 400 and not raw.startswith(b"HEAD"):
        assert json.loads(reply.body).keys() == {"error", "remedy"}
    assert int(reply.fields["content-length"]) > 0
    assert (await port.ask(b"GET /ping HTTP/1.1\r\n" + HOST + b"\r\n")).body == b"pong\n"


@pytest.mark.parametrize(
    ("coding", "encode"),
    [
        ("identity", bytes),
        ("gzip", gzip.compress),
        ("X-Gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", lambda body: zlib.compress(body, wbits=-15)),
        ("zstd", zstandard.compress),
        ("gzip", lambda body: gzip.compress(body[:70_000]) + gzip.compress(body[70_000:])),
    ],
)
@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_codings(open_port: OpenPort, coding: str, encode: Any, framing: str) -> None:
    port = await open_port()
    lines = [b"line %d" % number for number in range(20_000)]
    body: bytes = encode(b"\n".join(lines))
    async with httpx.AsyncClient() as client:
        content: Any = _parts(body) if framing == "chunked" else body
        reply = await client.post(port.url, content=content, headers={"Content-Encoding": coding})
        assert (reply.status_code, reply.json()) == (200, {"accepted": 20_000, "duplicates": 0})
    assert port.intake.items == lines


async def _parts(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 4093):
        yield body[start : start + 4093]


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"plain", id="plain"),
        pytest.param(b"", id="empty"),
        pytest.param(gzip.compress(b"a" * 99)[:-1], id="cut gzip"),
        pytest.param(zstandard.compress(b"a" * 99)[:-1], id="cut zstd"),
    ],
)
async def test_corrupt_codings(open_port: OpenPort, kit: Kit, coding: str, body: bytes) -> None:
    port = await open_port()
    reply = await port.ask(kit.post(body, "/", f"Content-Encoding: {coding}"))
    assert reply.status == (400 if body else 200)
    assert port.intake.lost == (1 if body else 0)


async def test_an_empty_body_is_no_record(open_port: OpenPort, kit: Kit) -> None:
    port = await open_port()
    reply = await port.ask(kit.post(b""))
    assert (reply.status, reply.body) == (200, b'{"accepted":0,"duplicates":0}')
    assert not port.intake.offered


async def test_duplicates_are_told(open_port: OpenPort, kit: Kit) -> None:
    port = await open_port()
    await port.ask(kit.post(b"a\nb\n"))
    assert (await port.ask(kit.post(b"a\nb\nc\n"))).body == b'{"accepted":3,"duplicates":2}'


async def test_runs_describe_the_records(open_port: OpenPort, kit: Kit) -> None:
    route = {"format": "vpc_flow", "context": "v2"}
    port = await open_port(routes={"/": "falco", "/flow": route}, deduplicate=False)
    for body in (b"a", b"a\nb", b"#v5\nc"):
        await port.ask(kit.post(body, "/flow"))
    runs = [run for parcel in port.intake.offered for run in parcel.runs]
    assert [(run.source, run.format, run.count, run.context, run.record, run.hashed) for run in runs] == [
        ("port", "vpc_flow", 1, "v2", 1, False),
        ("port", "vpc_flow", 2, "v2", 1, False),
        ("port", "vpc_flow", 1, "v5", 2, False),
    ]
    assert {parcel.patience_s for parcel in port.intake.offered} == {0.0}
    await port.ask(kit.post(b"a"))
    assert 0 < port.intake.offered[-1].patience_s <= 10


@pytest.mark.parametrize("fields", [[], ["Authorization: Bearer wrong"], ["Authorization: Basic c2VjcmV0"]])
async def test_strangers_are_refused(open_port: OpenPort, kit: Kit, fields: list[str]) -> None:
    port = await open_port(bearer_token="secret")
    for path in ("/", "/none"):
        reply = await port.ask(kit.post(b"a", path, *fields))
        assert reply.status == 401
        assert reply.fields["www-authenticate"].startswith("Bearer")
    assert (await port.ask(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")).status == 200
    assert not port.intake.offered


@pytest.mark.parametrize("value", ["Bearer secret", "bearer  secret", "BEARER secret "])
async def test_bearers_are_let_in(open_port: OpenPort, kit: Kit, value: str) -> None:
    port = await open_port(bearer_token="secret")
    assert (await port.ask(kit.post(b"a", "/", f"Authorization: {value}"))).status == 200


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_large_bodies_are_refused(open_port: OpenPort, kit: Kit, framing: str) -> None:
    port = await open_port(body_bytes_max=100_000)
    body = b"a" * 600_000
    if framing == "length":
        raw = kit.post(body)
    else:
        raw = b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(*[body[:6_000]] * 100)
    reply = await port.ask(raw)
    assert (reply.status, reply.fields["connection"]) == (413, "close")
    assert port.intake.lost == 1
    assert not port.intake.offered


async def test_a_refused_length_need_not_be_sent(open_port: OpenPort) -> None:
    port = await open_port()
    reply = await port.ask(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 18446744073709551615\r\n\r\n")
    assert reply.status == 413


async def test_a_small_refused_body_leaves_the_connection_open(open_port: OpenPort, kit: Kit) -> None:
    port = await open_port()
    client = await port.connect()
    client.send(kit.post(b"a" * 100_000, "/none") + kit.post(b"b"))
    assert [(await client.reply()).status for _ in range(2)] == [404, 200]
    assert port.intake.items == [b"b"]


@pytest.mark.parametrize("filler", ["extension", "trailer", "tiny chunks"])
async def test_more_framing_than_content_is_refused(open_port: OpenPort, filler: str) -> None:
    port = await open_port(header_bytes_max=1024)
    client = await port.connect()
    client.send(b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n")
    client.send({"extension": b"1;" + b"e" * 9, "trailer": b"0\r\nA: b", "tiny chunks": b""}[filler])
    answered = False
    while not answered:
        client.send({"extension": b"e", "trailer": b"b", "tiny chunks": b"1\r\na\r\n"}[filler] * 1_000)
        await client.writer.drain()
        answered = bool(client.reader._buffer)  # type: ignore[attr-defined]
    assert (await client.reply()).status == 400


@pytest.mark.parametrize(
    ("version", "field", "expected"),
    [
        ("1.1", None, None),
        ("1.1", "keep-alive", None),
        ("1.1", "close", "close"),
        ("1.0", None, "close"),
        ("1.0", "keep-alive", "keep-alive"),
    ],
)
async def test_persistence(
    open_port: OpenPort, kit: Kit, version: str, field: str | None, expected: str | None
) -> None:
    port = await open_port()
    client = await port.connect()
    client.send(kit.post(b"a", "/", *([f"Connection: {field}"] if field else []), version=version))
    assert (await client.reply()).fields.get("connection") == expected
    if expected == "close":
        assert await client.rest() == b""
    else:
        client.send(kit.post(b"b", version=version))
        assert (await client.reply()).status == 200


async def test_continue_is_said_when_the_body_is_wanted(open_port: OpenPort) -> None:
    port = await open_port(body_bytes_max=2048)
    client = await port.connect()
    head = b"POST / HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n"
    client.send(head % 2)
    assert (await client.reply()).status == 100
    client.send(b"ab")
    assert (await client.reply()).status == 200
    client.send(head % 4096)
    assert (await client.reply()).status == 413
    assert await client.rest() == b""


async def test_outcomes_are_counted_and_logged_once_a_sweep(
    open_port: OpenPort, kit: Kit, caplog: pytest.LogCaptureFixture
) -> None:
    port = await open_port()
    client = await port.connect()
    for _ in range(5):
        client.send(kit.post(b"a", "/none"))
        await client.reply()
    port.service.report()
    lines = [record.__dict__["fields"] for record in caplog.records if record.getMessage() == "Requests refused"]
    assert lines == [{"source": "port", "outcome": "unknown_path", "count": 5}]
