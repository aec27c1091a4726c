"""The sink against a server that misbehaves: nothing is lost, nothing twice, and nothing waits beyond the time-out."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

from sinks.opensearch import OpenSearchSettings, OpenSearchSink
from tests.sinks.opensearch_stub import OpenSearchStub, Refusal, Trouble
from vedette.runtime.sink import EventSink
from vedette.runtime.sink_context import SinkContext
from vedette.schema.alert import GENERATION_FACTOR, AlertRevision
from vedette.schema.errors import ConfigError, PermanentError, TransientError
from vedette.testing.sinks import NOW_NS, OPENED_NS, StandingClock, sample_revision

DAY_NS = 24 * 3600 * 10**9


@pytest.fixture
def stub() -> Iterator[OpenSearchStub]:
    with OpenSearchStub() as found:
        yield found


def sink_for(stub: OpenSearchStub, folder: Path = Path(), **more: Any) -> OpenSearchSink:
    found = OpenSearchSettings.model_validate({"url": stub.url, "timeout_s": 5, **more})
    return OpenSearchSink("search", found, SinkContext(folder, StandingClock()))


@asynccontextmanager
async def running(stub: OpenSearchStub, folder: Path = Path(), **more: Any) -> AsyncGenerator[OpenSearchSink]:
    sink = sink_for(stub, folder, **more)
    try:
        yield sink
    finally:
        await sink.stop()


REVISIONS = [sample_revision(number) for number in (1, 2, 3, 4)]


def test_it_takes_events_too(stub: OpenSearchStub) -> None:
    assert isinstance(sink_for(stub), EventSink)


async def test_an_alert_stays_in_the_index_of_its_opening(stub: OpenSearchStub) -> None:
    last_ns = (OPENED_NS // DAY_NS + 1) * DAY_NS - 1
    revisions = [sample_revision(1)._replace(opened_ns=last_ns), sample_revision(2)._replace(opened_ns=last_ns + 1)]
    async with running(stub, index_prefix="soc") as sink:
        assert await sink.deliver(revisions) == [None, None]
        later = [sample_revision(1, revision=2)._replace(opened_ns=last_ns)]
        assert await sink.deliver(later) == [None]
    assert {name: list(index) for name, index in stub.indices.items()} == {
        "soc-alerts-2026.03.27": [revisions[0].alert_id],
        "soc-alerts-2026.03.28": [revisions[1].alert_id],
    }


async def test_documents_go_as_they_are(stub: OpenSearchStub) -> None:
    async with running(stub, compress=True) as sink:
        await sink.deliver(REVISIONS)
    (index,) = stub.indices.values()
    assert [stored.source for stored in index.values()] == [revision.document for revision in REVISIONS]
    assert stub.bulks()[0].headers["content-encoding"] == "gzip"


# --- whole requests ---------------------------------------------------------------------------------------------------
TROUBLES = {
    "503": (Trouble(503), "503"),
    "500 text": (Trouble(500, b"Internal error\x1b[2J"), r"\\x1b\[2J"),
    "429": (Trouble(429, b""), "429"),
    "401": (Trouble(401, b"Unauthorized"), "username and password"),
    "403": (Trouble(403), "role"),
    "404": (Trouble(404, b"<html>"), "address"),
    "302": (Trouble(302, b"", {"location": "http://elsewhere.invalid/"}), "redirects"),
    "400 of a proxy": (Trouble(400, b"The plain HTTP request was sent to HTTPS port"), "plain HTTP"),
    "garbage": (Trouble(200, b"\x00\xff" * 100), "none"),
    "empty": (Trouble(200, b""), "none"),
    "html": (Trouble(200, b"<html>Welcome</html>"), "Welcome"),
    "no items": (Trouble(200, b'{"errors":false}'), "none"),
    "an error with 200": (Trouble(200, b'{"error":{"type":"x"}}'), "none"),
    "endless": (Trouble(200, b" " * (17 << 20)), "more than"),
    "bad gzip": (Trouble(200, b"no gzip", {"content-encoding": "gzip"}), "reached"),
    "closed": (Trouble(close=True), "reached"),
    "hangs": (Trouble(hang=True), "within 0.3 s"),
    "drips": (Trouble(drip=True), "within 0.3 s"),
    "applies, then hangs": (Trouble(apply=True, hang=True), "within 0.3 s"),
    "applies, then 502": (Trouble(502, apply=True), "502"),
    "applies, then closes": (Trouble(apply=True, close=True), "reached"),
}


@pytest.mark.parametrize(("trouble", "text"), TROUBLES.values(), ids=TROUBLES.keys())
async def test_a_request_that_fails_comes_again(trouble: Trouble, text: str, stub: OpenSearchStub) -> None:
    timeout_s = 0.3 if trouble.hang or trouble.drip else 20
    async with running(stub, timeout_s=timeout_s) as sink:
        stub.troubles.append(trouble)
        began = time.monotonic()
        with pytest.raises(TransientError, match=text) as raised:
            await sink.deliver(REVISIONS)
        assert time.monotonic() - began < 10
        assert str(raised.value).isprintable()
        assert await sink.deliver(REVISIONS) == [None] * 4
    assert {one["unmapped"]["alert_id"] for one in stub.documents()} == {one.alert_id for one in REVISIONS}


@pytest.mark.parametrize("trouble", [Trouble(503), Trouble(hang=True), Trouble(200, b"[]"), Trouble(close=True)])
async def test_a_start_that_fails_comes_again(trouble: Trouble, stub: OpenSearchStub) -> None:
    async with running(stub, timeout_s=0.3) as sink:
        stub.trouble = trouble
        with pytest.raises(TransientError):
            await sink.start()
        stub.trouble = None
        await sink.start()
        assert set(stub.templates) == {"vedette-alerts", "vedette-events"}


async def test_nobody_there(unused_tcp_port: int, tmp_path: Path) -> None:
    found = OpenSearchSettings(url=(f"http://127.0.0.1:{unused_tcp_port}",))
    sink = OpenSearchSink("search", found, SinkContext(tmp_path))
    with pytest.raises(TransientError, match="can't be reached"):
        await sink.start()
    await sink.stop()


@pytest.mark.parametrize(
    ("header", "least_s", "most_s"),
    [
        ("7", 7, 7),
        ("100000", 300, 300),
        ("-5", 1, 1),
        ("9" * 400, 1, 1),
        ("9" * 5000, 1, 1),
        ("nan", 1, 1),
        ("", 1, 1),
        ("soon", 1, 1),
        ("Fri, 27 Mar 2026 13:00:20 GMT", 20, 20),
    ],
)
async def test_a_server_may_ask_for_a_pause(header: str, least_s: float, most_s: float, stub: OpenSearchStub) -> None:
    assert NOW_NS == OPENED_NS + 3600 * 10**9
    async with running(stub) as sink:
        stub.troubles.append(Trouble(429, b"", {"retry-after": header}))
        with pytest.raises(TransientError) as raised:
            await sink.deliver(REVISIONS)
    assert least_s <= raised.value.retry_after_s <= most_s


async def test_too_large_a_request_goes_in_halves(stub: OpenSearchStub) -> None:
    size = len(REVISIONS[0].document)
    huge = sample_revision(5)._replace(document=b'{"a":"' + b"x" * 20_000 + b'"}')
    stub.request_bytes_max = 2 * size + 500
    async with running(stub) as sink:
        outcomes = await sink.deliver([*REVISIONS[:2], huge, *REVISIONS[2:]])
    assert outcomes[:2] == outcomes[3:] == [None, None]
    assert isinstance(outcomes[2], PermanentError)
    assert "http.max_content_length" in str(outcomes[2])


async def test_parts_that_got_through_count(stub: OpenSearchStub) -> None:
    many = [sample_revision(number)._replace(document=b"{%b}" % (b" " * 60_000)) for number in range(1, 5)]
    async with running(stub, bulk_bytes_max=64 * 1024) as sink:
        stub.troubles += [None, None, Trouble(503)]
        outcomes = await sink.deliver(many)
        assert outcomes[:2] == [None, None]
        assert {type(outcome) for outcome in outcomes[2:]} == {TransientError}
        assert len(stub.bulks()) == 3
        assert await sink.deliver(many[2:]) == [None, None]


async def test_refused_documents_are_sorted_from_the_rest(stub: OpenSearchStub) -> None:
    refusals = {"1": Refusal(400, "mapper_parsing_exception", "no \x1b[2J"), "2": Refusal(429), "3": Refusal(409)}
    stub.refuse = lambda index, document_id, source: refusals.get(document_id[-1])
    async with running(stub) as sink:
        outcomes = await sink.deliver(REVISIONS)
    assert [type(outcome) for outcome in outcomes] == [PermanentError, TransientError, type(None), type(None)]
    assert len(stub.documents()) == 1


# --- laws -------------------------------------------------------------------------------------------------------------
Step = tuple[int, int, int]
STEPS = st.lists(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 2), st.integers(1, 5)), min_size=1), min_size=1)
FAILURES = st.lists(st.sampled_from([None, Trouble(503), Trouble(502, apply=True), Trouble(200, b"?", apply=True)]))


@settings(max_examples=60)
@given(STEPS, FAILURES, st.integers(0, 2**32))
def test_whatever_fails_and_repeats_the_newest_revision_holds(batches: Any, failures: Any, seed: int) -> None:
    random = Random(seed)  # Hypothesis's own can't be asked in the stub's thread

    async def scenario(stub: OpenSearchStub) -> None:
        stub.troubles += failures
        stub.refuse = lambda index, document_id, source: Refusal(429) if random.random() < 0.3 else None
        async with running(stub) as sink:
            for batch in batches:
                await insist(sink, [sample_revision(n, generation=g, revision=r) for n, g, r in batch])

    with OpenSearchStub() as stub:
        asyncio.run(scenario(stub))
        wanted: dict[str, int] = {}
        for number, generation, revision in (step for batch in batches for step in batch):
            version = generation * GENERATION_FACTOR + revision
            wanted[f"{number:032x}"] = max(wanted.get(f"{number:032x}", 0), version)
        (index,) = stub.indices.values()
        assert {document_id: stored.version for document_id, stored in index.items()} == wanted
        found = {key: orjson.loads(stored.source)["unmapped"]["version"] for key, stored in index.items()}
        assert found == wanted


async def insist(sink: OpenSearchSink, waiting: list[AlertRevision]) -> None:
    """Deliver as delivery does, repeats of what got through included."""
    while waiting:
        try:
            outcomes = await sink.deliver(waiting)
        except TransientError:
            continue
        assert not any(isinstance(outcome, PermanentError) for outcome in outcomes)
        waiting = [one for one, outcome in zip(waiting, outcomes, strict=True) if outcome is not None]


# --- connections ------------------------------------------------------------------------------------------------------
async def test_another_node_is_asked_when_one_is_dead(stub: OpenSearchStub) -> None:
    with socket.socket() as dead:
        dead.bind(("127.0.0.1", 0))
        gone = f"http://127.0.0.1:{dead.getsockname()[1]}"
        async with running(stub, url=[gone, stub.url, gone]) as sink:
            for revision in REVISIONS:
                await insist(sink, [revision])
            failures = 0
            for revision in REVISIONS * 5:
                try:
                    await sink.deliver([revision])
                except TransientError:
                    failures += 1
    assert failures == 0
    assert len(stub.documents()) == 4


async def test_a_client_certificate_is_shown(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    authority.issue_cert("vedette").private_key_and_cert_chain_pem.write_to_path(tmp_path / "client.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with OpenSearchStub(tls=context) as stub:
        async with running(stub, tmp_path, ca_file="ca.pem") as sink:
            with pytest.raises(TransientError):
                await sink.deliver(REVISIONS)
        shown = {"client_cert_file": "client.pem", "client_key_file": "client.pem"}
        async with running(stub, tmp_path, ca_file="ca.pem", **shown) as sink:
            assert await sink.deliver(REVISIONS) == [None] * 4
        async with running(stub, tmp_path, url=stub.url.replace("127.0.0.1", "localhost"), ca_file="ca.pem") as sink:
            with pytest.raises(TransientError, match="not trusted"):
                await sink.deliver(REVISIONS)


async def test_cancelled_requests_hold_no_connection(stub: OpenSearchStub) -> None:
    async with running(stub) as sink:
        for count in range(1, 6):
            stub.troubles.append(Trouble(hang=True))
            call = asyncio.ensure_future(sink.deliver(REVISIONS))
            while len(stub.bulks()) < count:  # noqa: ASYNC110 - the stub lives in another thread
                await asyncio.sleep(0)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        assert await sink.deliver(REVISIONS) == [None] * 4


async def test_a_path_of_a_proxy_is_kept(stub: OpenSearchStub) -> None:
    async with running(stub, url=f"{stub.url}/search/") as sink:
        with pytest.raises(TransientError, match="404"):
            await sink.deliver(REVISIONS)
    assert {request.path for request in stub.requests} == {"/search/_index_template/vedette-alerts"}


async def test_templates_are_looked_at_again_after_a_failure_and_for_a_new_day(stub: OpenSearchStub) -> None:
    async with running(stub) as sink:
        await sink.start()
        await sink.deliver(REVISIONS)
        stub.templates.clear()
        await sink.deliver(REVISIONS)
        assert not stub.templates
        await sink.deliver([sample_revision(9)._replace(opened_ns=OPENED_NS + DAY_NS)])
        assert set(stub.templates) == {"vedette-alerts"}
        stub.templates.clear()
        stub.troubles.append(Trouble(close=True))
        with pytest.raises(TransientError):
            await sink.deliver(REVISIONS)
        await sink.deliver(REVISIONS)
        assert set(stub.templates) == {"vedette-alerts"}


async def test_without_templates_of_ours_none_is_touched(stub: OpenSearchStub) -> None:
    async with running(stub, manage_template=False) as sink:
        await sink.start()
        await sink.deliver(REVISIONS)
    assert [request.path for request in stub.requests] == ["/_bulk"]


async def test_files_that_go_bad_hold_alerts_but_end_nothing(tmp_path: Path) -> None:
    file = tmp_path / "password"
    with OpenSearchStub(user=("vedette", "pä:ss wörd")) as stub:
        async with running(stub, tmp_path, username="vedette", password_file="password") as sink:
            with pytest.raises(ConfigError, match="password_file: cannot read"):
                await sink.start()
            file.write_text("wrong")
            with pytest.raises(TransientError, match="Correct username and password"):
                await sink.start()
            file.unlink()
            with pytest.raises(TransientError, match="password_file: cannot read"):
                await sink.deliver(REVISIONS)
            file.write_text("pä:ss wörd\n", "utf-8")
            assert await sink.deliver(REVISIONS) == [None] * 4


async def test_nothing_of_an_alert_or_a_password_is_logged(
    stub: OpenSearchStub, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with running(stub, username="vedette", password="hunter2") as sink:
        await sink.deliver(REVISIONS)
        stub.troubles += [Trouble(500), Trouble(close=True)]
        for _ in range(2):
            with pytest.raises(TransientError):
                await sink.deliver(REVISIONS)
    assert "mara" not in caplog.text
    assert "hunter2" not in caplog.text
    assert "hunter2" not in repr(sink_for(stub, username="vedette", password="hunter2")._settings)
