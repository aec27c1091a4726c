"""The proxy of the other tests does what it is told."""

from __future__ import annotations

import asyncio
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
    slow,
    status,
)
from .webhook_stub import WebhookStub, kept_open


@pytest.fixture
async def stub() -> AsyncIterator[WebhookStub]:
    async with WebhookStub() as stub:
        stub.answer = lambda _: kept_open(201, b"done")
        yield stub


@pytest.fixture
async def proxy(stub: WebhookStub) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(stub.port) as proxy:
        yield proxy


def asked(stub: WebhookStub) -> list[bytes]:
    return [posted.body for posted in stub.requests]


async def ask(proxy: FaultProxy, timeout_s: float = 20) -> httpx.Response:
    async with asyncio.timeout(timeout_s), httpx.AsyncClient(trust_env=False, timeout=None) as client:
        return await client.post(f"http://127.0.0.1:{proxy.port}/", content=b"abc")


@pytest.mark.parametrize("behaviour", [passing, slow(0.01)], ids=["passing", "slow"])
async def test_what_passes_arrives(stub: WebhookStub, proxy: FaultProxy, behaviour: Behaviour) -> None:
    await proxy.switch(behaviour)
    reply = await ask(proxy)
    assert (reply.status_code, reply.content, asked(stub)) == (201, b"done", [b"abc"])


@pytest.mark.parametrize("end", [hang, reset], ids=["hang", "reset"])
async def test_applied_but_not_answered(stub: WebhookStub, proxy: FaultProxy, end: Behaviour) -> None:
    await proxy.switch(apply_then(end))
    with pytest.raises((TimeoutError, httpx.TransportError)):
        await ask(proxy, timeout_s=0.5)
    assert asked(stub) == [b"abc"]


@pytest.mark.parametrize("ended", [True, False], ids=["ended by the proxy", "passed through"])
async def test_tls(ended: bool) -> None:
    authority = trustme.CA()
    there, here = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(there)
    authority.configure_trust(here)
    contexts = {"server_tls": there, "upstream_tls": here} if ended else {}
    async with (
        WebhookStub(there) as stub,
        FaultProxy(stub.port, **contexts) as proxy,
        httpx.AsyncClient(trust_env=False, verify=here) as client,
    ):
        url = f"https://127.0.0.1:{proxy.port}/"
        assert (await client.post(url, content=b"abc")).content == b'{"ok":true}'
        if ended:
            await proxy.switch(answer(b"HTTP/1.1 200 OK\r\n\r\nmade up"))
            assert (await client.post(url, content=b"abc")).content == b"made up"
    assert asked(stub) == [b"abc"]


@pytest.mark.parametrize(("marker", "relayed"), [(b"POST /", []), (b"PUT /", [b"abc"])], ids=["meant", "another"])
async def test_one_kind_of_request(stub: WebhookStub, proxy: FaultProxy, marker: bytes, relayed: list[bytes]) -> None:
    await proxy.switch(on(marker, status(500)))
    reply = await ask(proxy)
    assert (reply.status_code, asked(stub)) == (201 if relayed else 500, relayed)
    await proxy.switch(on(marker, apply_then(reset)))
    if relayed:
        assert (await ask(proxy)).content == b"done"
    else:
        with pytest.raises(httpx.TransportError):
            await ask(proxy)
    assert asked(stub)[len(relayed) :] == [b"abc"]


@pytest.mark.parametrize("behaviour", [hang, drip(0.001), flood], ids=["hang", "drip", "flood"])
async def test_what_never_ends(stub: WebhookStub, proxy: FaultProxy, behaviour: Behaviour) -> None:
    await proxy.switch(behaviour)
    with pytest.raises(TimeoutError):
        await ask(proxy, timeout_s=0.3)
    assert (proxy.connections, asked(stub)) == (1, [])


async def test_a_status_with_its_fields(stub: WebhookStub, proxy: FaultProxy) -> None:
    await proxy.switch(status(429, {"Retry-After": "7"}, b"later"))
    reply = await ask(proxy)
    assert (reply.status_code, reply.headers["Retry-After"], reply.content, asked(stub)) == (429, "7", b"later", [])


@pytest.mark.parametrize("content", GARBAGE.values(), ids=GARBAGE.keys())
async def test_garbage_goes_out_as_it_is(stub: WebhookStub, proxy: FaultProxy, content: bytes) -> None:
    await proxy.switch(answer(content))
    peer = Peer(*await asyncio.open_connection("127.0.0.1", proxy.port))
    await peer.write(b"anything")
    assert await peer.reader.read(-1) == content
    peer.abort()


async def test_it_refuses_and_comes_back_on_its_port(stub: WebhookStub, proxy: FaultProxy) -> None:
    port = proxy.port
    for _ in range(3):
        await proxy.switch(refuse)
        with pytest.raises(httpx.ConnectError):
            await ask(proxy)
        await proxy.switch(passing)
        assert (await ask(proxy)).status_code == 201
    assert proxy.port == port


async def test_a_switch_cuts_who_is_there(stub: WebhookStub, proxy: FaultProxy) -> None:
    await proxy.switch(hang)
    asking = asyncio.ensure_future(ask(proxy))
    await proxy.met()
    await proxy.switch(passing)
    with pytest.raises(httpx.TransportError):
        await asking
    assert (proxy.connections, (await ask(proxy)).status_code) == (0, 201)
