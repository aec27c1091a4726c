"""The webhook: what goes out, what answers mean, what a destination that misbehaves costs, and what stays secret."""

from __future__ import annotations

import logging
import re
import ssl
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
import trustme
from pydantic import ValidationError

from collector.decoders import DECODERS
from sinks import SinkContext
from sinks.webhook import WebhookSettings, WebhookSink
from sinks.webhook.answer import MISCONFIGURED_RETRY_S, RETRY_AFTER_S_MAX, retry_after_s
from vedette.runtime.sink import EventSink, ForwardedEvent
from vedette.runtime.telemetry import hush_libraries
from vedette.schema.errors import ConfigError, PermanentError, TransientError
from vedette.schema.event import Event
from vedette.schema.limits import SECOND_NS
from vedette.schema.record import Record, Run
from vedette.testing.sinks import NOW_NS, StandingClock, sample_revision

from .fault_proxy import (
    GARBAGE,
    Behaviour,
    FaultProxy,
    answer,
    apply_then,
    drip,
    flood,
    hang,
    passing,
    refuse,
    reset,
    response,
    status,
)
from .webhook_stub import Posted, WebhookStub, kept_open

SECRET = "correct-horse-battery"
PAGE = Path(__file__).parents[2] / "docs" / "sinks" / "webhook.md"
THREE = [sample_revision(number) for number in (1, 2, 3)]
KEYS = [f"{revision.alert_id}-0-1" for revision in THREE]


@pytest.fixture
async def stub() -> AsyncIterator[WebhookStub]:
    async with WebhookStub() as stub:
        yield stub


@pytest.fixture
async def proxy(stub: WebhookStub) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(stub.port) as proxy:
        yield proxy


def new_sink(folder: Path, port: int, scheme: str = "http", **settings: Any) -> WebhookSink:
    settings = {"url": f"{scheme}://127.0.0.1:{port}/hook/{SECRET}?key={SECRET}", "timeout_s": 2, **settings}
    return WebhookSink("soc", WebhookSettings.model_validate(settings), SinkContext(folder, StandingClock()))


async def outcomes(sink: WebhookSink, revisions: list[Any] = THREE) -> list[str]:
    await sink.start()
    try:
        return [kind(outcome) for outcome in await sink.deliver(revisions)]
    finally:
        await sink.stop()


async def one_outcome(sink: WebhookSink) -> Any:
    await sink.start()
    try:
        (outcome,) = await sink.deliver(THREE[:1])
        return outcome
    finally:
        await sink.stop()


def kind(outcome: Exception | None) -> str:
    return "delivered" if outcome is None else type(outcome).__name__.removesuffix("Error").lower()


# --- what goes out ----------------------------------------------------------------------------------------------------
async def test_an_alert_is_posted_as_it_is(tmp_path: Path, stub: WebhookStub) -> None:
    assert await outcomes(new_sink(tmp_path, stub.port, headers={"X-Team": "soc"})) == ["delivered"] * 3
    assert [posted.body for posted in stub.accepted] == [revision.document for revision in THREE]
    assert [posted.fields["idempotency-key"] for posted in stub.accepted] == KEYS
    assert [posted.document["metadata"]["uid"] for posted in stub.accepted] == KEYS
    assert {posted.line for posted in stub.accepted} == {f"POST /hook/{SECRET}?key={SECRET} HTTP/1.1"}
    fields = stub.accepted[0].fields
    assert (fields["content-type"], fields["x-team"]) == ("application/json", "soc")
    assert "vedette-signature" not in fields
    assert stub.connections == 1, "one connection is kept"


async def test_a_batch_is_an_array_also_of_one(tmp_path: Path, stub: WebhookStub) -> None:
    assert await outcomes(new_sink(tmp_path, stub.port, batch=2)) == ["delivered"] * 3
    assert [len(posted.document) for posted in stub.accepted] == [2, 1]
    assert [document["metadata"]["uid"] for document in stub.documents] == KEYS


async def test_events_go_with_where_they_came_from(tmp_path: Path, stub: WebhookStub) -> None:
    payload = b'{"rule":"x","output":"\\u001b[2J \xe2\x80\xae","time":"2026-11-20T10:00:00.000000000Z"}'
    decoder = DECODERS["falco"]
    record = Record(7, NOW_NS, payload, Run("edge", "falco", 1), 1)
    forwarded = ForwardedEvent(Event(record, decoder, decoder.decode(payload, "")), "prod", {"team": "shop"})
    sink = new_sink(tmp_path, stub.port)
    assert isinstance(sink, EventSink)
    await sink.start()
    assert list(await sink.deliver_events([forwarded])) == [None]
    await sink.stop()
    (posted,) = stub.accepted
    assert posted.document == {
        "uid": f"7-{forwarded.event.uid}",
        "source": "edge",
        "cluster": "prod",
        "labels": {"team": "shop"},
        "format": "falco",
        "origin": "",
        "time_ns": forwarded.event.time_ns,
        "arrival_ns": NOW_NS,
        "event_ids": list(forwarded.event.event_ids),
        "original": payload.decode("utf-8", "replace"),
    }
    assert posted.fields["idempotency-key"] == posted.document["uid"]


# --- the signature ----------------------------------------------------------------------------------------------------
def documented_check() -> Any:
    """The function that the page shows to receivers."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    found: dict[str, Any] = {}
    exec(code, found)
    return found["genuine"]


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("in_file", [True, False], ids=["secret_file", "secret"])
async def test_receivers_can_check_the_signature_as_documented(
    tmp_path: Path, stub: WebhookStub, batch: int, in_file: bool
) -> None:
    (tmp_path / "key").write_text(f"{SECRET}\n")
    secret = {"secret_file": "key"} if in_file else {"secret": SECRET}
    assert await outcomes(new_sink(tmp_path, stub.port, batch=batch, **secret)) == ["delivered"] * 3
    genuine = documented_check()
    now_s = NOW_NS // SECOND_NS
    for posted in stub.accepted:
        signature = posted.fields["vedette-signature"]
        assert genuine(SECRET, signature, posted.body, now_s + 299)
        assert not genuine(SECRET, signature, posted.body, now_s + 301), "replayed later"
        assert not genuine(SECRET, signature, posted.body + b" ", now_s), "another body"
        assert not genuine("other", signature, posted.body, now_s), "another key"
        assert not genuine(SECRET, signature.replace(f"t={now_s}", f"t={now_s + 1}"), posted.body, now_s), (
            "another time"
        )


async def test_a_rotated_secret_counts_at_once(tmp_path: Path, stub: WebhookStub) -> None:
    file = tmp_path / "token"
    file.write_text("Bearer old")
    sink = new_sink(tmp_path, stub.port, header_files={"Authorization": "token"})
    await sink.start()
    await sink.deliver(THREE[:1])
    file.write_text("Bearer new\n")
    await sink.deliver(THREE[1:2])
    file.unlink()
    with pytest.raises(TransientError, match="cannot read"):
        await sink.deliver(THREE[2:])
    await sink.stop()
    assert [posted.fields["authorization"] for posted in stub.accepted] == ["Bearer old", "Bearer new"]


# --- what answers mean ------------------------------------------------------------------------------------------------
MEANINGS = {
    "delivered": (200, 201, 202, 204, 299),
    "transient": (
        *(300, 301, 302, 307, 308),
        *(401, 402, 403, 404, 405, 407, 408, 409, 410, 421, 423, 425, 426, 429, 451),
        *(500, 501, 502, 503, 504, 507, 599, 600, 999),
    ),
    "permanent": (400, 406, 411, 413, 414, 415, 418, 422, 428, 431, 499),
}


def bare(code: int, fields: str = "") -> bytes:
    return f"HTTP/1.1 {code} Reason\r\nContent-Length: 0\r\n{fields}\r\n".encode()


@pytest.mark.parametrize(
    ("code", "meaning"), [(code, meaning) for meaning, codes in MEANINGS.items() for code in codes]
)
async def test_what_a_status_means(tmp_path: Path, stub: WebhookStub, code: int, meaning: str) -> None:
    stub.answer = lambda _: bare(code) if code != 204 else b"HTTP/1.1 204 No Content\r\n\r\n"
    assert kind(await one_outcome(new_sink(tmp_path, stub.port))) == meaning


async def test_what_a_person_must_mend_says_so_and_is_not_hurried(tmp_path: Path, stub: WebhookStub) -> None:
    stub.answer = lambda _: bare(401)
    outcome = await one_outcome(new_sink(tmp_path, stub.port))
    assert (outcome.retry_after_s, "mend the credentials" in str(outcome)) == (MISCONFIGURED_RETRY_S, True)


NOW = datetime.fromtimestamp(NOW_NS // SECOND_NS, UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("7", 7),
        ("3600", 3600),
        ("99999999999999999999999999", RETRY_AFTER_S_MAX),
        (f"{datetime.fromtimestamp(NOW.timestamp() + 90, UTC):%a, %d %b %Y %H:%M:%S GMT}", 90),
        (f"{datetime.fromtimestamp(NOW.timestamp() + 90, UTC):%A, %d-%b-%y %H:%M:%S GMT}", 90),
        ("Fri, 31 Dec 9999 23:59:59 GMT", RETRY_AFTER_S_MAX),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Thu, 01 Jan 1970 00:00:00 -0000", 0),
        ("", 1),
        ("-5", 1),
        ("1.5", 1),
        ("٣", 1),
        ("soon", 1),
        ("Fri, 99 Foo 2026 99:99:99 GMT", 1),
    ],
)
def test_retry_after(value: str, seconds: float) -> None:
    assert retry_after_s(value, NOW_NS) == seconds


@pytest.mark.parametrize("code", [429, 503])
async def test_retry_after_is_honoured(tmp_path: Path, stub: WebhookStub, code: int) -> None:
    stub.answer = lambda _: bare(code, "Retry-After: 17\r\n")
    assert (await one_outcome(new_sink(tmp_path, stub.port))).retry_after_s == 17


async def test_after_a_failure_the_rest_waits(tmp_path: Path, stub: WebhookStub) -> None:
    stub.answer = lambda _: bare(200 if len(stub.requests) == 1 else 503)
    assert await outcomes(new_sink(tmp_path, stub.port)) == ["delivered", "transient", "transient"]
    assert len(stub.requests) == 2, "a server that is busy is not asked for each of them"


async def test_one_that_is_refused_holds_up_nobody(tmp_path: Path, stub: WebhookStub) -> None:
    stub.answer = lambda posted: bare(422 if posted.fields["idempotency-key"] == KEYS[1] else 200)
    assert await outcomes(new_sink(tmp_path, stub.port)) == ["delivered", "permanent", "delivered"]


@pytest.mark.parametrize("bad", [set[int](), {0}, {3}, {6}, {2, 3}, {0, 6}, set(range(7))], ids=str)
async def test_one_that_is_refused_costs_its_batch_nothing(tmp_path: Path, stub: WebhookStub, bad: set[int]) -> None:
    revisions = [sample_revision(number + 1) for number in range(7)]
    refused = {revisions[number].alert_id for number in bad}

    def judged(posted: Posted) -> bytes:
        return bare(400 if refused & {document["finding_info"]["uid"] for document in posted.document} else 200)

    stub.answer = judged
    found = await outcomes(new_sink(tmp_path, stub.port, batch=5), revisions)
    assert found == ["permanent" if number in bad else "delivered" for number in range(7)]
    expected = [revision.alert_id for revision in revisions if revision.alert_id not in refused]
    assert [document["finding_info"]["uid"] for document in stub.documents] == expected


async def test_an_outage_in_the_middle_of_halving(tmp_path: Path, stub: WebhookStub) -> None:
    stub.answer = lambda _: bare([400, 200, 503][len(stub.requests) - 1])
    assert await outcomes(new_sink(tmp_path, stub.port, batch=3)) == ["delivered", "transient", "transient"]


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(tmp_path: Path, stub: WebhookStub, code: int) -> None:
    async with WebhookStub() as other:
        stub.answer = lambda _: bare(
            code, f"Location: http://127.0.0.1:{other.port}/\x1b[31m\r\n".replace("\x1b", "%1b")
        )
        outcome = await one_outcome(new_sink(tmp_path, stub.port, secret=SECRET, headers={"Authorization": SECRET}))
    assert isinstance(outcome, TransientError)
    assert "redirects are not followed" in str(outcome)
    assert other.connections == 0


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
async def test_proxies_of_the_environment_are_not_used(
    tmp_path: Path, stub: WebhookStub, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    async with WebhookStub() as other:
        monkeypatch.setenv(variable, f"http://127.0.0.1:{other.port}")
        assert await outcomes(new_sink(tmp_path, stub.port)) == ["delivered"] * 3
    assert other.connections == 0


# --- destinations that misbehave --------------------------------------------------------------------------------------
FAULTS: dict[str, Behaviour | None] = {
    "refuse": refuse,
    "hang": hang,
    "drip": drip(0.02),
    "reset": reset,
    "apply then hang": apply_then(hang),
    "apply then reset": apply_then(reset),
    "429": status(429, {"Retry-After": "0"}),
    "500": status(500, body=b"\x1b[31m" * 10_000),
    "a 503 whose body never ends": answer(b"HTTP/1.1 503 No\r\n\r\n" + b"x" * 10**6),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_alerts_wait_for_a_destination_that_misbehaves(
    tmp_path: Path, stub: WebhookStub, proxy: FaultProxy, fault: Behaviour | None
) -> None:
    sink = new_sink(tmp_path, proxy.port, timeout_s=0.4)
    await sink.start()
    await proxy.switch(fault)
    for _ in range(2):
        began = time.monotonic()
        assert [kind(outcome) for outcome in await sink.deliver(THREE)] == ["transient"] * 3
        assert time.monotonic() - began < 10
    await proxy.switch(passing)
    assert list(await sink.deliver(THREE)) == [None] * 3
    await sink.stop()
    assert list(dict.fromkeys(posted.fields["idempotency-key"] for posted in stub.accepted)) == KEYS


@pytest.mark.parametrize("content", GARBAGE.values(), ids=GARBAGE.keys())
async def test_garbage_is_judged_by_its_status_alone(
    tmp_path: Path, stub: WebhookStub, proxy: FaultProxy, content: bytes
) -> None:
    sink = new_sink(tmp_path, proxy.port)
    await sink.start()
    await proxy.switch(answer(content))
    (outcome,) = await sink.deliver(THREE[:1])
    whole_head = content.startswith(b"HTTP/1.1 200 ") and b"\r\n\r\n" in content
    assert kind(outcome) == ("delivered" if whole_head else "transient")
    assert str(outcome).isprintable()
    assert len(str(outcome)) < 700
    await proxy.switch(passing)
    assert list(await sink.deliver(THREE)) == [None] * 3
    await sink.stop()


async def test_an_endless_answer_is_not_read(tmp_path: Path, stub: WebhookStub, proxy: FaultProxy) -> None:
    await proxy.switch(flood)
    began = time.monotonic()
    assert await outcomes(new_sink(tmp_path, proxy.port, timeout_s=30)) == ["delivered"] * 3
    assert time.monotonic() - began < 15
    assert proxy.connections == 3, "each costs its connection"


async def test_a_server_that_closes_between_requests(tmp_path: Path, stub: WebhookStub) -> None:
    stub.answer = lambda _: response(200)
    assert await outcomes(new_sink(tmp_path, stub.port)) == ["delivered"] * 3
    assert stub.connections == 3


# --- secrets ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("fault", ["refuse", "301", "401", "422", "500", "garbage"])
async def test_neither_errors_nor_logs_tell_a_secret(
    tmp_path: Path, proxy: FaultProxy, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    behaviour = answer(GARBAGE["random bytes"]) if fault == "garbage" else refuse
    await proxy.switch(status(int(fault), {"Location": "/"}) if fault.isdigit() else behaviour)
    sink = new_sink(tmp_path, proxy.port, secret=SECRET, headers={"Authorization": f"Bearer {SECRET}"})
    caplog.set_level(logging.DEBUG)
    hush_libraries()
    outcome = await one_outcome(sink)
    shown = [str(outcome), repr(outcome), repr(sink._settings), str(await sink.probe()), caplog.text]
    assert not [text for text in shown if SECRET in text]
    assert f"http://127.0.0.1:{proxy.port} " in str(outcome)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"url": "http://x", "url_file": "/x"},
        {"url": "ftp://x/"},
        {"url": "http://"},
        {"url": "http:///path"},
        {"url": "http://x:99999/"},
        {"url": "http://x:0/"},
        {"url": "http://[::1/"},
        {"url": "http://x/a b"},
        {"url": "http://x/\n"},
        {"url": "http://ümlaut.example/"},
        {"url": f"http://user:{SECRET}@x/"},
        {"url": "http://x", "secret": SECRET, "secret_file": "/x"},
        {"url": "http://x", "headers": {"a b": SECRET}},
        {"url": "http://x", "headers": {"": SECRET}},
        {"url": "http://x", "headers": {"Content-Length": SECRET}},
        {"url": "http://x", "headers": {"X-A": SECRET, "x-a": SECRET}},
        {"url": "http://x", "headers": {"X-A": SECRET}, "header_files": {"x-a": "/x"}},
        {"url": "http://x", "timeout_s": 0},
        {"url": "http://x", "batch": 0},
        {"url": "http://x", "batch": 501},
        {"url": "http://x", "scret": SECRET},
    ],
    ids=str,
)
def test_settings_that_can_not_work(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        WebhookSettings.model_validate(settings)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "place"),
    [
        ({"url": None, "url_file": "missing"}, "url_file: cannot read"),
        ({"url": None, "url_file": "empty"}, "url_file: what empty holds must be http"),
        ({"secret_file": "missing"}, "secret_file: cannot read"),
        ({"secret_file": "binary"}, "secret_file: cannot read .* (not text)"),
        ({"secret_file": "empty"}, "secret: the secret is empty"),
        ({"secret": ""}, "secret: the secret is empty"),
        ({"headers": {"X-A": f"{SECRET}\r\nX-B: 1"}}, "headers.X-A"),
        ({"headers": {"X-A": "é"}}, "headers.X-A"),
        ({"header_files": {"X-A": "missing"}}, "header_files.X-A: cannot read"),
        ({"ca_file": "missing"}, "ca_file: cannot use .*No such file"),
        ({"ca_file": "empty"}, "ca_file: cannot use"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_files_and_values_that_can_not_be_used(tmp_path: Path, settings: dict[str, Any], place: str) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\xff")
    (tmp_path / "empty").write_text("")
    sink = new_sink(tmp_path, 1, **settings)
    pattern = f"sinks.soc.webhook.{place}".replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(ConfigError, match=pattern) as caught:
        await sink.start()
    assert SECRET not in str(caught.value)
    (check,) = await sink.probe()
    assert (check.problem, bool(check.remedy)) == (str(caught.value), True)
    await sink.stop()


# --- TLS and probing --------------------------------------------------------------------------------------------------
@pytest.fixture
async def secured(tmp_path: Path) -> AsyncIterator[WebhookStub]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with WebhookStub(context) as stub:
        yield stub


async def test_a_certificate_of_ones_own_authority(tmp_path: Path, secured: WebhookStub) -> None:
    sink = new_sink(tmp_path, secured.port, "https", ca_file="ca.pem")
    assert await outcomes(sink) == ["delivered"] * 3


@pytest.mark.parametrize("ca_file", ["other.pem", None])
async def test_a_certificate_that_is_not_trusted(tmp_path: Path, secured: WebhookStub, ca_file: str | None) -> None:
    sink = new_sink(tmp_path, secured.port, "https", ca_file=ca_file)
    outcome = await one_outcome(sink)
    assert isinstance(outcome, TransientError)
    assert "certificate verify failed" in str(outcome)
    assert secured.requests == []
    (check,) = await sink.probe()
    assert "not trusted" in check.problem
    assert "ca_file" in check.remedy


async def test_a_probe_sends_nothing(tmp_path: Path, secured: WebhookStub) -> None:
    (check,) = await new_sink(tmp_path, secured.port, "https", ca_file="ca.pem").probe()
    assert check.ok
    assert "no request was sent" in check.what
    assert secured.requests == []


@pytest.mark.parametrize(
    ("scheme", "fault", "problem"),
    [
        ("http", refuse, "refused"),
        ("https", answer(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "no TLS there"),
        ("https", hang, "no connection in time"),
    ],
    ids=["refused", "no TLS", "silence"],
)
async def test_a_probe_says_what_is_wrong(
    tmp_path: Path, proxy: FaultProxy, scheme: str, fault: Behaviour | None, problem: str
) -> None:
    await proxy.switch(fault)
    (check,) = await new_sink(tmp_path, proxy.port, scheme, timeout_s=0.5).probe()
    assert problem in check.problem
    assert check.remedy


async def test_a_probe_of_a_name_that_nobody_knows(tmp_path: Path) -> None:
    (check,) = await new_sink(tmp_path, 1, url=f"https://no-such-host.invalid/{SECRET}").probe()
    assert check.problem
    assert "https://no-such-host.invalid " in check.what


async def test_answers_are_quoted_safely(tmp_path: Path, stub: WebhookStub) -> None:
    stub.answer = lambda _: kept_open(422, b"no \x1b[2J field \xe2\x80\xae `x`\r\n" + b"z" * 5000)
    outcome = await one_outcome(new_sink(tmp_path, stub.port))
    assert isinstance(outcome, PermanentError)
    assert str(outcome).startswith(
        f"http://127.0.0.1:{stub.port} answered 422 Unprocessable Entity (no \\x1b[2J field \\u202e `x`\\x0d\\x0azzz"
    )
    assert len(str(outcome)) < 400
    assert orjson.loads(orjson.dumps(str(outcome))) == str(outcome)
