"""The port: paths, token, TLS, readiness, and bounds that hold against whoever connects."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import threading
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trustme
from pydantic import ValidationError

from vedette.app.metrics import scraper, server
from vedette.app.metrics.endpoint import SILENT_S, STUCK_S, Progress
from vedette.app.metrics.families import Live
from vedette.app.metrics.reading import Reading
from vedette.app.metrics.server import MetricsServer
from vedette.app.metrics.settings import MetricsSettings
from vedette.journal.sqlite import DataFolder
from vedette.schema.errors import ConfigError

from .conftest import LIVE, READING, Journal

TOKEN = "t0p-secret"


class Reply(NamedTuple):
    status: int
    fields: dict[str, str]
    body: bytes


async def ask(port: int, request: str, tls: ssl.SSLContext | None = None) -> Reply:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    writer.write(request.encode() + b"\r\nHost: v\r\n\r\n")
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    first, *lines = head.decode().split("\r\n")
    fields = dict(line.lower().split(": ", 1) for line in lines)
    return Reply(int(first.split()[1]), fields, body)


async def get(port: int, path: str, *fields: str, tls: ssl.SSLContext | None = None) -> Reply:
    return await ask(port, "\r\n".join([f"GET {path} HTTP/1.1", *fields]), tls)


@contextlib.asynccontextmanager
async def serving(
    folder: DataFolder, live: Callable[[], Live] = lambda: LIVE, **settings: Any
) -> AsyncGenerator[tuple[MetricsServer, int]]:
    made = MetricsServer(MetricsSettings.model_validate({"listen": "127.0.0.1:0", **settings}), folder, live)
    await made.start()
    try:
        yield made, int(made.urls()[0].split(":")[2].split("/")[0])
    finally:
        await made.stop()


async def connected(made: MetricsServer, count: int) -> None:
    while len(made._state.connections) < count:  # noqa: ASYNC110 - nobody says when a connection is there
        await asyncio.sleep(0)


# --- paths ------------------------------------------------------------------------------------------------------------
async def test_it_serves_what_prometheus_asks_for(journal: Journal) -> None:
    journal.receive("falco", "a", "b")
    async with serving(journal.folder) as (_, port):
        plain = await get(port, "/metrics")
        wanted = "Accept: application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
        openmetrics = await get(port, "/metrics", wanted)
    assert plain.status == openmetrics.status == 200
    assert plain.fields["content-type"] == scraper.PLAIN
    assert openmetrics.fields["content-type"] == scraper.OPENMETRICS
    for page in (plain.body, openmetrics.body):
        assert b'vedette_records_received_total{source="falco"} 2.0\n' in page
    assert openmetrics.body.endswith(b"# EOF\n")


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        pytest.param("GET /healthz HTTP/1.1", 200, id="healthz"),
        pytest.param("GET /readyz HTTP/1.1", 200, id="readyz"),
        pytest.param("HEAD /metrics HTTP/1.1", 200, id="head"),
        pytest.param("GET /metrics?name[]=x HTTP/1.1", 200, id="query is ignored"),
        pytest.param("GET / HTTP/1.1", 404, id="unknown"),
        pytest.param("GET /metrics/../etc/passwd HTTP/1.1", 404, id="traversal"),
        pytest.param("POST /metrics HTTP/1.1\r\nContent-Length: 0", 405, id="post"),
        pytest.param("\x16\x03\x01 garbage", 400, id="no HTTP"),
        pytest.param(
            "GET /metrics HTTP/1.1\r\nAccept: application/openmetrics-text; version=x.y", 200, id="bad accept"
        ),
    ],
)
async def test_each_request_has_its_answer(
    journal: Journal, request_line: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(journal.folder) as (_, port):
        reply = await ask(port, request_line)
    assert reply.status == status
    assert reply.fields["connection"] == "close"
    assert [record.name for record in caplog.records if record.name.startswith("uvicorn")] == []


# --- token and TLS ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("fields", "status"),
    [
        pytest.param((f"Authorization: Bearer {TOKEN}",), 200, id="right"),
        pytest.param((), 401, id="none"),
        pytest.param((f"Authorization: Bearer {TOKEN}x",), 401, id="longer"),
        pytest.param((f"Authorization: Basic {TOKEN}",), 401, id="another scheme"),
        pytest.param(("Authorization: Bearer \xff",), 401, id="not ASCII"),
    ],
)
async def test_the_token_guards_the_metrics_and_not_the_probes(
    journal: Journal, tmp_path: Path, fields: tuple[str, ...], status: int
) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    async with serving(journal.folder, bearer_token_file=str(file)) as (_, port):
        reply = await get(port, "/metrics", *fields)
        probe = await get(port, "/readyz")
    assert (reply.status, probe.status) == (status, 200)
    assert TOKEN.encode() not in reply.body


async def test_tls_with_client_certificates_and_a_renewed_certificate(journal: Journal, tmp_path: Path) -> None:
    authority = trustme.CA()
    paths = {name: tmp_path / f"{name}.pem" for name in ("cert", "key", "ca")}

    def issue() -> None:
        issued = authority.issue_cert("127.0.0.1")
        issued.cert_chain_pems[0].write_to_path(paths["cert"])
        issued.private_key_pem.write_to_path(paths["key"])

    issue()
    authority.cert_pem.write_to_path(paths["ca"])
    tls = {f"{name}_file": str(paths[name]) for name in ("cert", "key")} | {"client_ca_file": str(paths["ca"])}
    client = ssl.create_default_context(cafile=str(paths["ca"]))
    authority.issue_cert("scraper").configure_cert(client)
    async with serving(journal.folder, tls=tls) as (made, port):
        assert made.urls()[0].startswith("https://")
        assert (await get(port, "/healthz", tls=client)).body == b"ok\n"
        issue()
        assert made._certificate is not None
        made._certificate.refresh()
        assert (await get(port, "/healthz", tls=client)).status == 200
        paths["key"].write_text("no key")
        made._certificate.refresh()
        assert (await get(port, "/healthz", tls=client)).status == 200, "the former certificate stays"
        with pytest.raises((ssl.SSLError, ConnectionError, IndexError)):
            await get(port, "/healthz", tls=ssl.create_default_context(cafile=str(paths["ca"])))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param({"bearer_token": " "}, r"metrics\.bearer_token: the token is empty", id="empty token"),
        pytest.param({"bearer_token_file": "/nowhere"}, r"metrics\.bearer_token_file: cannot read", id="no token file"),
        pytest.param(
            {"tls": {"cert_file": "/nowhere", "key_file": "/nowhere"}}, r"metrics\.tls: cert_file", id="no certificate"
        ),
        pytest.param({"listen": "192.0.2.1:1"}, r"metrics\.listen: cannot listen on 192\.0\.2\.1:1", id="not our host"),
    ],
)
async def test_what_the_configuration_names_must_be_there(
    journal: Journal, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        async with serving(journal.folder, **settings):
            pass


async def test_a_port_that_is_taken_is_named_with_a_remedy(journal: Journal) -> None:
    async with serving(journal.folder) as (_, port):
        with pytest.raises(ConfigError, match=r"metrics\.listen: cannot listen .* switch the endpoint off"):
            async with serving(journal.folder, listen=f"127.0.0.1:{port}"):
                pass


@pytest.mark.parametrize("listen", ["9466", "host:", "::1:9466", "a:70000"])
def test_an_address_that_is_none_is_refused(listen: str) -> None:
    with pytest.raises(ValidationError, match="must be host:port"):
        MetricsSettings(listen=listen)


async def test_switched_off_it_does_nothing(journal: Journal) -> None:
    made = MetricsServer(MetricsSettings(listen=""), journal.folder, lambda: LIVE)
    await made.start()
    assert made.urls() == []
    made.drain()
    await made.stop()


# --- readiness --------------------------------------------------------------------------------------------------------
async def test_it_is_not_ready_while_records_are_refused(journal: Journal) -> None:
    async with serving(journal.folder, lambda: LIVE._replace(intake_works=False)) as (_, port):
        reply = await get(port, "/readyz")
        page = await get(port, "/metrics")
    assert reply.status == 503
    assert "can't be written" in json.loads(reply.body)["reasons"][0]
    assert b"vedette_intake_writable 0.0" in page.body


async def test_it_is_not_ready_while_the_journal_cannot_be_read(journal: Journal) -> None:
    journal.core.close()
    journal.folder.core.unlink()
    async with serving(journal.folder) as (_, port):
        reply = await get(port, "/readyz")
        page = await get(port, "/metrics")
    assert (reply.status, json.loads(reply.body)["ready"]) == (503, False)
    assert page.status == 200
    assert b"vedette_journal_readable 0.0" in page.body
    assert b"process_cpu_seconds_total" in page.body


async def test_it_is_not_ready_while_the_agent_stops(journal: Journal) -> None:
    async with serving(journal.folder) as (made, port):
        made.drain()
        assert (await get(port, "/readyz")).status == 503
        assert (await get(port, "/healthz")).status == 200


@pytest.mark.parametrize(
    ("looks", "stuck"),
    [
        pytest.param([(5, 9, 0.0)], False, id="first look"),
        pytest.param([(5, 9, 0.0), (5, 9, STUCK_S)], False, id="not long enough"),
        pytest.param([(5, 9, 0.0), (5, 99, STUCK_S + 1)], True, id="no step in a minute"),
        pytest.param([(5, 9, 0.0), (6, 99, STUCK_S + 1)], False, id="slow but moving"),
        pytest.param([(5, 0, 0.0), (5, 0, 3600.0)], False, id="nothing to do"),
        pytest.param([(5, 0, 0.0), (5, 0, 3600.0), (5, 1, 3601.0)], False, id="just come"),
    ],
)
def test_detection_is_stuck_when_it_stands_before_waiting_records(
    looks: list[tuple[int, int, float]], stuck: bool
) -> None:
    progress = Progress(STUCK_S)
    assert [progress.stuck(seq, now_s, due=waiting > 0) for seq, waiting, now_s in looks][-1] is stuck


@pytest.mark.parametrize(
    ("seqs", "works", "reason"),
    [
        pytest.param((7, 8), True, None, id="the heartbeat goes on"),
        pytest.param((7, 7), True, "nothing entered the journal for more than 15 s", id="a commit that never ends"),
        pytest.param((7, 7), False, "the journal can't be written", id="a failure is told once"),
    ],
)
async def test_it_is_not_ready_while_nothing_is_committed(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, seqs: tuple[int, int], works: bool, reason: str | None
) -> None:
    readings, now_s = iter(seqs), 0.0
    monkeypatch.setattr(scraper, "KEEP_S", 0.0)
    monkeypatch.setattr(scraper, "read_journal", lambda _: READING._replace(last_seq=next(readings), waiting=0))
    async with serving(journal.folder, lambda: LIVE._replace(intake_works=works)) as (made, port):
        made._endpoint._clock = lambda: now_s
        assert (await get(port, "/readyz")).status == (200 if works else 503)
        now_s = SILENT_S + 1
        reply = await get(port, "/readyz")
    assert (reply.status == 200) is (reason is None)
    assert [text.startswith(str(reason)) for text in json.loads(reply.body).get("reasons", [])] == [True] * bool(reason)


# --- bounds -----------------------------------------------------------------------------------------------------------
async def test_scrapes_take_turns_beside_the_event_loop_and_share_what_was_read(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()
    reads: list[DataFolder] = []

    def read(folder: DataFolder) -> Reading:
        reads.append(folder)
        assert released.wait(30), "the event loop goes on while the journal is read"
        return READING

    monkeypatch.setattr(scraper, "read_journal", read)
    async with serving(journal.folder) as (_, port):
        scrapes = [asyncio.create_task(get(port, "/metrics")) for _ in range(20)]
        assert (await get(port, "/healthz")).status == 200
        released.set()
        pages = {reply.body for reply in await asyncio.gather(*scrapes)}
    assert len(reads) == len(pages) == 1


async def test_a_page_is_made_anew_when_it_is_old(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scraper, "KEEP_S", 0.0)
    async with serving(journal.folder) as (_, port):
        before = await get(port, "/metrics")
        journal.receive("falco", "a")
        after = await get(port, "/metrics")
    assert b'received_total{source="falco"} 0.0' in before.body
    assert b'received_total{source="falco"} 1.0' in after.body


async def test_a_connection_ends_whatever_it_does(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "CONNECTION_S", 0.05)
    async with serving(journal.folder) as (_, port):
        for sent in (b"", b"GET /healthz HTTP/1.1\r\nX: "):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent)
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
            writer.close()


async def test_a_head_without_end_is_not_kept(journal: Journal) -> None:
    async with serving(journal.folder) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.suppress(ConnectionError):
            writer.write(b"GET /healthz HTTP/1.1\r\nX: ")
            while not reader.at_eof():
                writer.write(b"x" * 65_536)
                await writer.drain()
        writer.close()
        assert (await get(port, "/healthz")).status == 200


async def test_connections_beyond_the_limit_are_closed(journal: Journal) -> None:
    async with serving(journal.folder, connections_max=2) as (made, port):
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        await connected(made, 2)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
        held[0][1].write(b"GET /healthz HTTP/1.1\r\nHost: v\r\n\r\n")
        assert (await held[0][0].read()).startswith(b"HTTP/1.1 200")
        for _, held_writer in held:
            held_writer.close()


async def test_a_stop_cuts_what_is_connected(journal: Journal) -> None:
    async with serving(journal.folder) as (made, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await connected(made, 1)
        await made.stop()
        await made.stop()
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()


async def test_a_stop_in_the_middle_of_a_scrape_is_no_error(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    reading, released = threading.Event(), threading.Event()

    def read(_: DataFolder) -> Reading:
        reading.set()
        assert released.wait(30)
        return READING

    monkeypatch.setattr(scraper, "read_journal", read)
    async with serving(journal.folder) as (made, port):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: v\r\n\r\n")
        assert await asyncio.to_thread(reading.wait, 30)
        stopping = asyncio.create_task(made.stop())
        await asyncio.sleep(0)
        released.set()
        await stopping
        writer.close()
    assert [record.getMessage() for record in caplog.records if record.name.startswith("uvicorn")] == []
