"""The proxy of the other tests does what it is told."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator

import httpx
import pytest
import trustme

from .fault_proxy import (
    GARBAGE,
    Behaviour,
    FaultProxy,
    Peer,
    answer,
    apply_then,
    drip,
    flood,
    hang,
    on,
    passing,
    refuse,
    reset,
    response,
    slow,
    status,
)

ASKED: list[bytes] = []


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A destination that notes each request of three bytes, and says 201."""
    try:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            ASKED.append((await reader.readuntil(b"\r\n\r\n"))[:4] + await reader.readexactly(3))
            writer.write(response(201, body=b"done"))
            await writer.drain()
    finally:
        writer.close()


@pytest.fixture
async def proxy() -> AsyncIterator[FaultProxy]:
    ASKED.clear()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, FaultProxy(server.sockets[0].getsockname()[1]) as proxy:
        yield proxy


async def ask(proxy: FaultProxy, timeout_s: float = 20) -> httpx.Response:
    async with asyncio.timeout(timeout_s), httpx.AsyncClient(trust_env=False, timeout=None) as client:
        return await client.post(f"http://127.0.0.1:{proxy.port}/", content=b"abc")


@pytest.mark.parametrize("behaviour", [passing, slow(0.01)], ids=["passing", "slow"])
async def test_what_passes_arrives(proxy: FaultProxy, behaviour: Behaviour) -> None:
    await proxy.switch(behaviour)
    reply = await ask(proxy)
    assert (reply.status_code, reply.content, ASKED) == (201, b"done", [b"POSTabc"])


@pytest.mark.parametrize("end", [hang, reset], ids=["hang", "reset"])
async def test_applied_but_not_answered(proxy: FaultProxy, end: Behaviour) -> None:
    await proxy.switch(apply_then(end))
    with pytest.raises((TimeoutError, httpx.TransportError)):
        await ask(proxy, timeout_s=0.5)
    assert ASKED == [b"POSTabc"]


@pytest.mark.parametrize("ended", [True, False], ids=["ended by the proxy", "passed through"])
async def test_tls(ended: bool) -> None:
    authority = trustme.CA()
    there, here = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(there)
    authority.configure_trust(here)
    ASKED.clear()
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=there)
    contexts = {"server_tls": there, "upstream_tls": here} if ended else {}
    async with (
        server,
        FaultProxy(server.sockets[0].getsockname()[1], **contexts) as proxy,
        httpx.AsyncClient(trust_env=False, verify=here) as client,
    ):
        url = f"https://127.0.0.1:{proxy.port}/"
        assert (await client.post(url, content=b"abc")).content == b"done"
        if ended:
            await proxy.switch(answer(b"HTTP/1.1 200 OK\r\n\r\nmade up"))
            assert (await client.post(url, content=b"abc")).content == b"made up"
    assert ASKED == [b"POSTabc"]


@pytest.mark.parametrize(("marker", "asked"), [(b"POST /", []), (b"PUT /", [b"POSTabc"])], ids=["meant", "another"])
async def test_one_kind_of_request(proxy: FaultProxy, marker: bytes, asked: list[bytes]) -> None:
    await proxy.switch(on(marker, status(500)))
    reply = await ask(proxy)
    assert (reply.status_code, ASKED) == (201 if asked else 500, asked)
    await proxy.switch(on(marker, apply_then(reset)))
    if asked:
        assert (await ask(proxy)).content == b"done"
    else:
        with pytest.raises(httpx.TransportError):
            await ask(proxy)
    assert ASKED[len(asked) :] == [b"POSTabc"]


@pytest.mark.parametrize("behaviour", [hang, drip(0.001), flood], ids=["hang", "drip", "flood"])
async def test_what_never_ends(proxy: FaultProxy, behaviour: Behaviour) -> None:
    await proxy.switch(behaviour)
    with pytest.raises(TimeoutError):
        await ask(proxy, timeout_s=0.3)
    assert (proxy.connections, ASKED) == (1, [])


async def test_a_status_with_its_fields(proxy: FaultProxy) -> None:
    await proxy.switch(status(429, {"Retry-After": "7"}, b"later"))
    reply = await ask(proxy)
    assert (reply.status_code, reply.headers["Retry-After"], reply.content, ASKED) == (429, "7", b"later", [])


@pytest.mark.parametrize("content", GARBAGE.values(), ids=GARBAGE.keys())
async def test_garbage_goes_out_as_it_is(proxy: FaultProxy, content: bytes) -> None:
    await proxy.switch(answer(content))
    peer = Peer(*await asyncio.open_connection("127.0.0.1", proxy.port))
    await peer.write(b"anything")
    assert await peer.reader.read(-1) == content
    peer.abort()


async def test_it_refuses_and_comes_back_on_its_port(proxy: FaultProxy) -> None:
    port = proxy.port
    for _ in range(3):
        await proxy.switch(refuse)
        with pytest.raises(httpx.ConnectError):
            await ask(proxy)
        await proxy.switch(passing)
        assert (await ask(proxy)).status_code == 201
    assert proxy.port == port


async def test_a_switch_cuts_who_is_there(proxy: FaultProxy) -> None:
    await proxy.switch(hang)
    asking = asyncio.ensure_future(ask(proxy))
    await proxy.met()
    await proxy.switch(passing)
    with pytest.raises(httpx.TransportError):
        await asking
    assert (proxy.connections, (await ask(proxy)).status_code) == (0, 201)
