"""What the doctor sees of a port that an agent should be listening on, whoever really is."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest
import trustme

from collector.sources.http import probe as module
from collector.sources.http.probe import probe
from collector.sources.http.settings import HttpSettings
from vedette.runtime.check import Check

HOSTILE = b"\x1b]0;owned\x07\x1b[2J\xe2\x80\xae\xff SSH-2.0" + b"x" * 9999
HEALTHY = b'HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{"status":"ok"}'


@contextlib.asynccontextmanager
async def answering(said: bytes | None, tls: ssl.SSLContext | None = None) -> AsyncGenerator[str]:
    """Someone who says this to whoever connects; None: nothing, for ever."""

    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        if said is not None:
            with contextlib.suppress(ConnectionError):
                await reader.read(4096)
                writer.write(said)
                await writer.drain()
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    for writer in writers:
        writer.transport.abort()


async def look(listen: str, **settings: object) -> Check:
    *_, check = await probe("falco", HttpSettings.model_validate({"listen": listen, **settings}), running=True)
    return check


async def test_a_healthy_port() -> None:
    async with answering(HEALTHY) as listen:
        assert await look(listen) == Check(f"reach the agent at {listen}")


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        pytest.param(b"", "something else answers there: nothing", id="closes"),
        pytest.param(b"HTTP/1.1 404 Not Found\r\n\r\n", "something else answers there: HTTP/1.1 404", id="another"),
        pytest.param(HOSTILE, r"something else answers there: \x1b]0;owned\x07\x1b[2J\u202e", id="hostile banner"),
    ],
)
async def test_somebody_else_is_shown_harmlessly_and_in_short(said: bytes, problem: str) -> None:
    async with answering(said) as listen:
        check = await look(listen)
    assert check.problem.startswith(problem)
    assert (check.what + check.problem + check.remedy).isprintable()
    assert len(check.problem) < 150
    assert "restart the agent" in check.remedy


async def test_one_who_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_S", 0.05)
    async with answering(None) as listen:
        assert "no answer" in (await look(listen)).problem


async def test_nobody_is_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        check = await look(f"127.0.0.1:{free.getsockname()[1]}")
    assert check.problem.startswith("no connection: ")


async def test_a_free_port_is_not_known() -> None:
    assert (await look("127.0.0.1:0")).ok


@pytest.fixture
def tls(tmp_path: Path) -> Callable[[], dict[str, str]]:
    issued = trustme.CA().issue_cert("127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    return lambda: {"cert_file": str(tmp_path / "cert.pem"), "key_file": str(tmp_path / "key.pem")}


async def test_tls_is_tried_whoever_signed_it(tls: Callable[[], dict[str, str]]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*tls().values())
    async with answering(HEALTHY, context) as listen:
        assert (await look(listen, tls=tls())).ok
    async with answering(HEALTHY) as listen:
        assert "no TLS there" in (await look(listen, tls=tls())).problem


async def test_a_port_for_certified_clients_is_only_connected_to(tls: Callable[[], dict[str, str]]) -> None:
    async with answering(None) as listen:
        assert (await look(listen, tls={**tls(), "client_ca_file": tls()["cert_file"]})).ok


async def test_binding_lets_nobody_in() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        listen = f"127.0.0.1:{other.getsockname()[1]}"
        (taken,) = await probe("falco", HttpSettings(listen=listen), running=False)
    (free,) = await probe("falco", HttpSettings(listen=listen), running=False)
    assert (taken.problem, free.problem) == ("another program listens there", "")
