"""The syslog sink: what goes out is read back by a reader that knows the standards alone; and what faults cost."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import struct
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest
import trustme
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from collector.decoders import DECODERS
from sinks import SinkContext
from sinks.syslog import SyslogSettings, SyslogSink
from sinks.syslog.cef import cef
from sinks.syslog.message import Envelope, framed
from sinks.syslog.ocsf import ocsf
from sinks.syslog.sink import PIECE_BYTES
from vedette.app.config_file import parse_config
from vedette.pipeline.document import encode_document
from vedette.runtime.sink import EventSink, ForwardedEvent
from vedette.schema.alert import AlertRevision
from vedette.schema.errors import ConfigError, TransientError
from vedette.schema.event import Event, Facts
from vedette.schema.level import Level
from vedette.schema.record import Record, Run
from vedette.schema.rule import RuleInfo
from vedette.schema.text import safe_text
from vedette.testing.sinks import HOSTILE, NOW_NS, StandingClock, sample_revision

from .fault_proxy import Behaviour, FaultProxy, hang, passing, refuse, reset
from .syslog_reader import Message, read_cef, read_frames, read_message
from .syslog_stub import SyslogStub

PAGE = Path(__file__).parents[2] / "docs" / "sinks" / "syslog.md"
THREE = [sample_revision(number) for number in (1, 2, 3)]
UIDS = [f"{revision.alert_id}-0-1" for revision in THREE]


@pytest.fixture
async def stub() -> Any:
    with SyslogStub() as stub:
        yield stub


@pytest.fixture
async def proxy(stub: SyslogStub) -> Any:
    async with FaultProxy(stub.port) as proxy:
        yield proxy


def new_sink(folder: Path, port: int, **changes: Any) -> SyslogSink:
    keys = {"host": "127.0.0.1", "port": port, "tls": False, "hostname": "node-1", "timeout_s": 2, **changes}
    return SyslogSink("tier2", SyslogSettings.model_validate(keys), SinkContext(folder, StandingClock()))


async def delivered(sink: SyslogSink, *revisions: AlertRevision) -> None:
    assert list(await sink.deliver(revisions)) == [None] * len(revisions)


async def refused(sink: SyslogSink, *revisions: AlertRevision) -> TransientError:
    """Why they have to wait: all of them."""
    outcomes = await sink.deliver(revisions)
    assert {type(outcome) for outcome in outcomes} == {TransientError}
    error = outcomes[0]
    assert isinstance(error, TransientError)
    return error


def uids(stub: SyslogStub) -> list[str]:
    return [message.data["vedette@32473"]["uid"] for message in stub.messages]


# --- what goes out ----------------------------------------------------------------------------------------------------
async def test_an_alert_is_a_message_with_its_document(tmp_path: Path, stub: SyslogStub) -> None:
    sink = new_sink(tmp_path, stub.port)
    await sink.start()
    await delivered(sink, THREE[0]._replace(source="audit"))
    await sink.stop()
    (message,) = stub.messages
    assert message._replace(body=b"") == Message(
        16,
        3,
        datetime.fromisoformat("2026-03-27T12:00:01Z"),
        "node-1",
        "vedette",
        "-",
        "alert",
        {
            "vedette@32473": {
                "uid": UIDS[0],
                "alert": THREE[0].alert_id,
                "version": "1",
                "level": "high",
                "rule": "5f1c0000-0000-4000-8000-000000000001",
                "source": "audit",
                "cluster": "test",
            }
        },
        b"",
    )
    assert message.body == THREE[0].document
    assert stub.ended == 1


async def test_an_alert_as_cef(tmp_path: Path, stub: SyslogStub) -> None:
    keys = {"format": "cef", "facility": "audit", "app_name": "soc", "enterprise_id": 4711}
    facts = Facts(
        actor="mara",
        action="get",
        resource="pods/exec",
        namespace="shop",
        name="web-1",
        command="sh -c 'a=b|c\\d'",
        sources=("10.0.0.1", "2001:db8::1"),
        destinations=("198.51.100.7",),
        destination_port=443,
        images=("docker.io/nginx",),
    )
    sink = new_sink(tmp_path, stub.port, **keys)
    await sink.start()
    await delivered(sink, sample_revision(facts=facts)._replace(source="audit"))
    await sink.stop()
    (message,) = stub.messages
    assert (message.facility, message.app_name, list(message.data)) == (13, "soc", ["vedette@4711"])
    assert rb"cs6=sh -c 'a\=b|c\\d'" in message.body
    found = read_cef(message.body)
    assert found[:6] == (
        "Vedette",
        "Vedette",
        found.version,
        "5f1c0000-0000-4000-8000-000000000001",
        "Shell In A Pod",
        8,
    )
    assert found.values.pop("msg").startswith("Shell In A Pod: mara did get on pods/exec shop/web-1")
    assert found.values == {
        "externalId": f"{1:032x}",
        "rt": "1774612801000",
        "start": "1774612801000",
        "end": "1774612801000",
        "cnt": "1",
        "flexString2Label": "Revision",
        "flexString2": f"{1:032x}-0-1",
        "cat": "T1609",
        "cs1Label": "Cluster",
        "cs1": "test",
        "cs2Label": "Namespace",
        "cs2": "shop",
        "suser": "mara",
        "act": "get",
        "cs3Label": "Resource",
        "cs3": "pods/exec web-1",
        "c6a2Label": "Source IPv6 Address",
        "c6a2": "2001:db8::1",
        "dst": "198.51.100.7",
        "dpt": "443",
        "cs6Label": "Command",
        "cs6": "sh -c 'a=b|c\\d'",
        "cs5Label": "Image",
        "cs5": "docker.io/nginx",
        "deviceExternalId": "audit",
    }


@pytest.mark.parametrize(
    ("level", "severity", "cef_severity"),
    [("critical", 2, 10), ("high", 3, 8), ("medium", 4, 5), ("low", 5, 3), ("informational", 6, 1)],
)
async def test_levels(tmp_path: Path, stub: SyslogStub, level: str, severity: int, cef_severity: int) -> None:
    sink = new_sink(tmp_path, stub.port, format="cef")
    await sink.start()
    await delivered(sink, sample_revision(rule=RuleInfo("r", "t", Level(level))))
    await sink.stop()
    (message,) = stub.messages
    assert (message.severity, read_cef(message.body).severity) == (severity, cef_severity)


async def test_events_go_with_where_they_came_from(tmp_path: Path, stub: SyslogStub) -> None:
    payload = b'{"rule":"x","output":"\\u001b[2J \xe2\x80\xae \x7f","time":"2026-11-20T10:00:00.000000000Z"}'
    forwarded = event_of(payload)
    sink = new_sink(tmp_path, stub.port)
    assert isinstance(sink, EventSink)
    await sink.start()
    assert list(await sink.deliver_events([forwarded])) == [None]
    await sink.stop()
    (message,) = stub.messages
    assert (message.msgid, message.severity) == ("event", 6)
    document = orjson.loads(message.body)
    assert document == {
        "uid": f"7-{forwarded.event.uid}",
        "source": "edge",
        "cluster": "prod",
        "labels": {"team": "shop"},
        "format": "falco",
        "origin": "",
        "time_ns": forwarded.event.time_ns,
        "arrival_ns": NOW_NS,
        "event_ids": list(forwarded.event.event_ids),
        "cut": False,
        "original": payload.decode(),
    }
    assert message.data["vedette@32473"]["uid"] == document["uid"]


def event_of(payload: bytes) -> ForwardedEvent:
    decoder = DECODERS["falco"]
    record = Record(7, NOW_NS, payload, Run("edge", "falco", 1), 1)
    return ForwardedEvent(Event(record, decoder, decoder.decode(payload, "")), "prod", {"team": "shop"})


@pytest.mark.parametrize("text", ["x", "\x7f", "é", "\U0001f680", "x" * 9 + "\U0001f680"], ids=ascii)
async def test_a_long_event_is_cut(tmp_path: Path, stub: SyslogStub, text: str) -> None:
    payload = orjson.dumps({"rule": "x", "output": text * 90_000, "time": "2026-11-20T10:00:00.000000000Z"})
    sink = new_sink(tmp_path, stub.port, message_bytes_max=8192)
    await sink.start()
    assert list(await sink.deliver_events([event_of(payload)])) == [None]
    await sink.stop()
    stub.pump()
    (frame,) = read_frames(stub.streams[0])[0]
    document = orjson.loads(read_message(frame).body)
    assert document["cut"] is True
    assert payload.decode().startswith(document["original"])
    assert 5000 < len(frame) <= 8192


# --- nothing leaves its place -----------------------------------------------------------------------------------------
NASTY = st.text(
    st.sampled_from(list('\\|="]] \r\n\t\0\ufeff<>0123abc\x1b\x7f\x85\u2028\u202e\U0001f680'))
    | st.characters(codec="utf-8")
)
FORGED = (
    "\n<13>1 2026-01-01T00:00:00Z evil app - - - forged",
    '"] [forged@1 a="b',
    "CEF:0|a|b|c|d|e|10|src=1.2.3.4",
    "x act=allow src=1.2.3.4 msg=nothing",
    "x\\ act=allow\\",
    "\ufeff<13>1 - - - - - -",
    "a|b|10|msg=x",
    "\\",
    "\\n20 <13>1 - - - - - - x",
)


def everywhere(text: str) -> dict[str, Any]:
    return dict.fromkeys(("actor", "actor_real", "name", "namespace", "command", "node", "process", "pod"), text)


def frames_of(revisions: list[AlertRevision], format_: str, bytes_max: int = 65_536) -> bytes:
    keys = {"host": "h", "tls": False, "hostname": "n", "format": format_, "message_bytes_max": bytes_max}
    sink = SyslogSink("s", SyslogSettings.model_validate(keys), SinkContext(Path()))
    return b"".join(sink._alert(revision) for revision in revisions)


@settings(max_examples=150, deadline=None)
@given(NASTY, NASTY, NASTY, st.sampled_from(list(Level)))
@example(FORGED[0], FORGED[1], FORGED[2], Level.LOW)
@example(FORGED[3], FORGED[4], FORGED[5], Level.LOW)
@example(FORGED[6], FORGED[7], FORGED[8], Level.LOW)
def test_hostile_strings_forge_neither_messages_nor_fields(one: str, two: str, three: str, level: Level) -> None:
    facts = Facts(actor=one, name=two, namespace=three, command=one, node=two, process=three, pod=one, sources=(two,))
    rule = RuleInfo(one[:200], two[:200], level, three)
    hostile = sample_revision(1, facts=facts, rule=rule)._replace(source=three)
    for format_ in ("cef", "ocsf"):
        frames, rest = read_frames(frames_of([hostile, THREE[1]], format_))
        assert (len(frames), rest) == (2, b"")
        message = read_message(frames[0])
        assert set(message.data) == {"vedette@32473"}
        values = message.data["vedette@32473"]
        assert values.get("rule", "") == safe_text(one[:200], 64)
        assert values.get("source", "") == safe_text(three, 64)
        assert set(values) <= {"uid", "alert", "version", "level", "rule", "source", "cluster"}
        if format_ == "ocsf":
            assert message.body.isascii()
            assert message.body.decode().isprintable()
            assert encode_document(orjson.loads(message.body)) == hostile.document
            continue
        found = read_cef(message.body)
        assert (found.rule, found.name) == (safe_text(one[:200], 128), safe_text(two[:200], 128))
        assert found.values.get("suser", "") == safe_text(one, 1023)
        assert found.values.get("cs2", "") == safe_text(three, 1023)
        assert found.values.get("cs6", "") == safe_text(one, 1023)
        assert found.values.get("deviceExternalId", "") == safe_text(three, 255)
        assert found.values["msg"] == orjson.loads(hostile.document)["message"]


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(["a", "b", "uid"]), NASTY), st.binary())
def test_structured_data_reads_back(values: dict[str, str], body: bytes) -> None:
    head = Envelope(1, "h", "a", 1).head("alert", Level.LOW, NOW_NS, values)
    frames, rest = read_frames(framed(head, body) * 2)
    assert ([frame[len(head) :] for frame in frames], rest) == ([body, body], b"")
    expected = {name: safe_text(value, 64) for name, value in values.items() if value}
    assert read_message(head.rstrip()).data == {"vedette@1": expected}


@pytest.mark.parametrize("format_", ["cef", "ocsf"])
@pytest.mark.parametrize(
    "text", [*HOSTILE.values(), "\U0001f680" * 1024, "=" * 1024, "\x00" * 1024], ids=lambda text: ascii(text)[:12]
)
def test_messages_stay_within_their_bound(format_: str, text: str) -> None:
    facts = Facts(**everywhere(text))
    rule = RuleInfo(text, text, Level.LOW, text * 9, attack=(text,) * 99, tags=(text,) * 99)
    revision = sample_revision(facts=facts, rule=rule)._replace(source=text)
    document = orjson.loads(revision.document)
    document["evidences"][0]["data"]["raw"] = text * 50
    revision = revision._replace(document=orjson.dumps(document))
    (frame,), rest = read_frames(frames_of([revision], format_, 8192))
    assert rest == b""
    assert len(frame) <= 8192
    body = read_message(frame).body
    if format_ == "cef":
        found = read_cef(body)
        assert found.values["msg"] == document["message"]
        assert [
            key for key in found.values if key.endswith("Label") and key.removesuffix("Label") not in found.values
        ] == []
    else:
        found = orjson.loads(body)
        assert (found["metadata"]["uid"], found["severity_id"]) == (document["metadata"]["uid"], 2)
        assert found["unmapped"]["version"] == 1


def test_what_is_too_long_is_shortened_in_order() -> None:
    document = orjson.loads(THREE[0].document)
    document["unmapped"]["explanation"] *= 40
    document["evidences"] = [
        {**document["evidences"][0], "data": {**document["evidences"][0]["data"], "raw": "x" * 16_000}}
    ] * 5
    whole = orjson.dumps(document)
    cuts = [orjson.loads(ocsf(whole, bytes_max)) for bytes_max in (100_000, 20_000, 7_500, 5_000, 2_000)]
    assert [cut["unmapped"]["cut"] for cut in cuts] == [
        [],
        ["evidences.raw"],
        ["evidences.raw", "evidences"],
        ["evidences.raw", "evidences", "explanation"],
        ["document"],
    ]
    assert [len(cut.get("evidences", [])) for cut in cuts] == [5, 5, 0, 0, 0]
    assert {cut["message"] for cut in cuts[:4]} == {document["message"]}


def test_cef_leaves_out_whole_values() -> None:
    document = sample_revision(facts=Facts(actor="a" * 900, command="b" * 900, pod="c" * 900)).document
    values = [set(read_cef(cef(document, "s", bytes_max)).values) for bytes_max in range(500, 4000, 100)]
    assert all(fewer <= more for fewer, more in pairwise(values))
    assert "cs6" not in values[0]
    assert "deviceExternalId" in values[-1]


# --- faults -----------------------------------------------------------------------------------------------------------
async def test_one_connection_is_kept(tmp_path: Path, stub: SyslogStub) -> None:
    sink = new_sink(tmp_path, stub.port)
    await sink.start()
    for revision in THREE:
        await delivered(sink, revision)
    assert uids(stub) == UIDS
    assert (stub.connections, stub.ended) == (1, 0)
    await sink.stop()


async def test_many_messages_go_in_pieces(tmp_path: Path, stub: SyslogStub) -> None:
    revisions = [sample_revision(number + 1) for number in range(200)]
    sink = new_sink(tmp_path, stub.port)
    await sink.start()
    await delivered(sink, *revisions)
    await sink.stop()
    assert len(stub.streams[0]) > 3 * PIECE_BYTES
    assert uids(stub) == [f"{revision.alert_id}-0-1" for revision in revisions]


async def test_a_farewell_waits_until_everything_was_read(tmp_path: Path) -> None:
    """Closing at once would answer what the receiver says last with a reset, and take away what it had not read."""
    with socket.create_server(("127.0.0.1", 0)) as slow:
        sink = new_sink(tmp_path, slow.getsockname()[1])
        await sink.start()
        await delivered(sink, *THREE)
        peer, _ = slow.accept()
        stopping = asyncio.ensure_future(sink.stop())
        for _ in range(10):
            await asyncio.sleep(0)
        talk(peer)
        assert not stopping.done()
        stream = b"".join(iter(lambda: peer.recv(1000), b""))
        peer.close()
        await stopping
    assert [read_message(frame).data["vedette@32473"]["uid"] for frame in read_frames(stream)[0]] == UIDS


async def test_a_farewell_that_is_not_answered_is_cut_short(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        sink = new_sink(tmp_path, deaf.getsockname()[1])
        await sink.start()
        await delivered(sink, *THREE)
        async with asyncio.timeout(5):
            await sink.stop()
            await sink.stop()


def reset_on_close(peer: socket.socket) -> None:
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def talk(peer: socket.socket) -> None:
    peer.send(b"250 OK\r\n")


@pytest.mark.parametrize("how", [lambda _: None, reset_on_close, talk], ids=["closed", "reset", "said something"])
async def test_a_receiver_that_closed_meanwhile_costs_nothing(tmp_path: Path, stub: SyslogStub, how: Any) -> None:
    sink = new_sink(tmp_path, stub.port)
    await sink.start()
    await delivered(sink, THREE[0])
    stub.hang_up(how)
    await delivered(sink, THREE[1], THREE[2])
    await sink.stop()
    assert uids(stub) == UIDS
    assert stub.connections == 2


async def test_a_receiver_that_talks_is_not_listened_to(tmp_path: Path, stub: SyslogStub) -> None:
    sink = new_sink(tmp_path, stub.port)
    await sink.start()
    for revision in THREE:
        await delivered(sink, revision)
        stub.pump()
        for peer in stub._open:
            talk(peer)
    await sink.stop()
    assert uids(stub) == UIDS
    assert stub.connections == 1


FAULTS: dict[str, Behaviour | None] = {"refuse": refuse, "reset": reset}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_alerts_wait_for_a_receiver_that_is_away(
    tmp_path: Path, stub: SyslogStub, proxy: FaultProxy, fault: Behaviour | None
) -> None:
    sink = new_sink(tmp_path, proxy.port)
    await sink.start()
    await delivered(sink, THREE[0])
    await proxy.switch(fault)
    while (await sink.deliver(THREE[1:2]))[0] is None:
        pass  # until the proxy has closed the first connection, alerts are lost on it
    await proxy.switch(passing)
    await delivered(sink, *THREE)
    await sink.stop()
    await until(lambda: uids(stub)[-3:] == UIDS)


async def until(condition: Any) -> None:
    """Wait for what goes through a proxy; the test's timeout bounds it."""
    while not condition():  # noqa: ASYNC110 - what it waits for says nothing by itself
        await asyncio.sleep(0.01)


async def test_a_receiver_that_does_not_read_is_given_up(tmp_path: Path) -> None:
    """What its machine took before its buffers were full counts as delivered; the rest waits."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        sink = new_sink(tmp_path, deaf.getsockname()[1], timeout_s=0.3, message_bytes_max=1 << 20)
        await sink.start()
        document = orjson.loads(THREE[0].document)
        document["unmapped"]["filler"] = "x" * 900_000
        large = THREE[0]._replace(document=orjson.dumps(document))
        outcomes = await sink.deliver([large] * 60)
        await sink.stop()
    first = [outcome is None for outcome in outcomes].index(False)
    assert first < 60
    assert {type(outcome) for outcome in outcomes[first:]} == {TransientError}
    assert "took too long" in str(outcomes[-1])


async def test_a_message_that_was_cut_off_is_no_part_of_the_next(tmp_path: Path, stub: SyslogStub) -> None:
    sink = new_sink(tmp_path, stub.port)
    await sink.start()
    for steps in range(8):
        call = asyncio.ensure_future(sink.deliver(THREE))
        for _ in range(steps):
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await delivered(sink, *THREE)
    await sink.stop()
    assert set(uids(stub)) == set(UIDS)
    assert uids(stub)[-3:] == UIDS


# --- TLS --------------------------------------------------------------------------------------------------------------
class Pki:
    """An authority, a receiver with its certificate, and ours."""

    def __init__(self, folder: Path, newest: ssl.TLSVersion) -> None:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(folder / "ca.pem")
        trustme.CA().cert_pem.write_to_path(folder / "other.pem")
        for name, owner in (("me", authority), ("stranger", trustme.CA())):
            issued = owner.issue_cert("vedette@example.test")
            issued.cert_chain_pems[0].write_to_path(folder / f"{name}.pem")
            issued.private_key_pem.write_to_path(folder / f"{name}.key")
        self.server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("127.0.0.1").configure_cert(self.server)
        authority.configure_trust(self.server)
        self.server.verify_mode = ssl.CERT_REQUIRED
        self.server.maximum_version = newest


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["TLS 1.2", "TLS 1.3"])
def pki(request: pytest.FixtureRequest, tmp_path: Path) -> Pki:
    return Pki(tmp_path, request.param)


def login(name: str) -> dict[str, Any]:
    return {"tls": True, "ca_file": "ca.pem", "client_cert_file": f"{name}.pem", "client_key_file": f"{name}.key"}


async def test_tls_with_certificates_both_ways(tmp_path: Path, stub: SyslogStub, pki: Pki) -> None:
    revisions = [sample_revision(number + 1) for number in range(100)]
    async with FaultProxy(stub.port, server_tls=pki.server) as proxy:
        sink = new_sink(tmp_path, proxy.port, **login("me"))
        await sink.start()
        await delivered(sink, *revisions)
        await delivered(sink, *THREE)
        await sink.stop()
        await until(lambda: len(stub.messages) == 103 and stub.ended == 1)
    assert uids(stub)[-3:] == UIDS


async def test_tls_that_the_receiver_ended_meanwhile(tmp_path: Path, stub: SyslogStub, pki: Pki) -> None:
    async with FaultProxy(stub.port, server_tls=pki.server) as proxy:
        sink = new_sink(tmp_path, proxy.port, **login("me"))
        await sink.start()
        await delivered(sink, THREE[0])
        await until(lambda: uids(stub) == UIDS[:1])
        stub.hang_up()
        while uids(stub)[-2:] != UIDS[1:]:  # until the proxy has passed it on, alerts are lost on it
            await delivered(sink, *THREE[1:])
            await asyncio.sleep(0.01)
        await sink.stop()


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({**login("me"), "ca_file": "other.pem"}, "not trusted"),
        ({**login("me"), "ca_file": None}, "not trusted"),
        ({**login("me"), "host": "localhost"}, "not trusted"),
        ({"tls": True, "ca_file": "ca.pem"}, "no TLS|reset by peer|closed"),
        (login("stranger"), "no TLS|reset by peer|closed"),
    ],
    ids=["another CA", "the system's CAs", "another name", "no certificate", "a stranger's certificate"],
)
async def test_certificates_that_are_not_trusted(
    tmp_path: Path, stub: SyslogStub, pki: Pki, keys: dict[str, Any], problem: str
) -> None:
    async with FaultProxy(stub.port, server_tls=pki.server) as proxy:
        sink = new_sink(tmp_path, proxy.port, **keys)
        await sink.start()
        error = await refused(sink, *THREE)
        await sink.stop()
        (check,) = await sink.probe()
    assert re.search(problem, str(error)), error
    assert check.problem
    assert check.remedy
    assert stub.messages == []


# --- settings, probing, docs ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"host": ""},
        {"host": "a b"},
        {"host": "ü"},
        {"host": "h" * 256},
        {"host": "h", "port": 0},
        {"host": "h", "port": 65_536},
        {"host": "h", "format": "leef"},
        {"host": "h", "facility": "kern"},
        {"host": "h", "hostname": "a b"},
        {"host": "h", "hostname": "a\n"},
        {"host": "h", "app_name": ""},
        {"host": "h", "app_name": "a" * 49},
        {"host": "h", "enterprise_id": 0},
        {"host": "h", "message_bytes_max": 8191},
        {"host": "h", "message_bytes_max": 1 << 21},
        {"host": "h", "timeout_s": 0},
        {"host": "h", "client_cert_file": "x"},
        {"host": "h", "tls": False, "ca_file": "x"},
        {"host": "h", "hots": "x"},
    ],
    ids=str,
)
def test_settings_that_can_not_work(keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SyslogSettings.model_validate(keys)


@pytest.mark.parametrize(
    ("keys", "place"),
    [
        ({"ca_file": "missing"}, "ca_file: cannot use .*No such file"),
        ({"ca_file": "empty"}, "ca_file: cannot use"),
        ({"client_cert_file": "empty", "client_key_file": "empty"}, "client_cert_file: cannot use"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_files_that_can_not_be_used(tmp_path: Path, keys: dict[str, Any], place: str) -> None:
    (tmp_path / "empty").write_text("")
    sink = new_sink(tmp_path, 1, tls=True, **keys)
    with pytest.raises(ConfigError, match=f"sinks.tier2.syslog.{place}") as caught:
        await sink.start()
    (check,) = await sink.probe()
    assert (check.problem, bool(check.remedy)) == (str(caught.value), True)
    await sink.stop()


async def test_a_probe_connects_and_sends_nothing(tmp_path: Path, stub: SyslogStub) -> None:
    (check,) = await new_sink(tmp_path, stub.port).probe()
    assert check.ok
    assert "without TLS (no message was sent)" in check.what
    await until(lambda: stub.ended == 1)
    assert stub.streams == [b""]


@pytest.mark.parametrize(
    ("fault", "keys", "problem"),
    [
        (refuse, {}, "refused"),
        (hang, {"tls": True}, "too long"),
        (passing, {"host": "no-such-host.invalid", "timeout_s": 10}, "not known"),
        (passing, {"host": "a" * 70, "timeout_s": 10}, "not known"),
    ],
    ids=["refused", "silence", "a name that nobody knows", "a name that is none"],
)
async def test_a_probe_says_what_is_wrong(
    tmp_path: Path, proxy: FaultProxy, fault: Behaviour | None, keys: dict[str, Any], problem: str
) -> None:
    await proxy.switch(fault)
    (check,) = await new_sink(tmp_path, proxy.port, **{"timeout_s": 0.5, **keys}).probe()
    assert problem in check.problem
    assert check.remedy


def test_the_host_names_itself() -> None:
    sink = SyslogSink("s", SyslogSettings(host="h"), SinkContext(Path()))
    message = read_message(read_frames(sink._alert(THREE[0]))[0][0])
    assert message.hostname == socket.gethostname()


def test_the_docs_name_every_setting_and_key() -> None:
    page = PAGE.read_text()
    fields: dict[str, Any] = everywhere("x") | {"images": ("x",), "source_port": 1, "destination_port": 1}
    fields |= dict.fromkeys(("user_agent", "action", "outcome", "resource", "protocol"), "x")
    seen: set[str] = set()
    for address in ("192.0.2.1", "2001:db8::1"):
        facts = Facts(**fields, sources=(address,), destinations=(address,))
        seen |= set(read_cef(cef(sample_revision(facts=facts).document, "s", 65_536)).values)
    keys = {key for key in seen if not key.endswith("Label")}
    assert {key for key in (*keys, *SyslogSettings.model_fields) if f"`{key}`" not in page} == set()
    table = re.findall(
        r"^\| `(\w+)`(?:, `(\w+)`)? \| .* \|$", page.partition("## CEF")[2].partition("## ")[0], re.MULTILINE
    )
    assert {key for row in table for key in row if key} == keys


def test_the_configurations_of_the_docs_are_some() -> None:
    texts = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    kinds = [parse_config(text, "docs", environment={}, folder=Path("/etc/vedette")).sinks for text in texts]
    assert [{entry.kind for entry in sinks.values()} for sinks in kinds] == [{"syslog"}] * 2


def test_the_example_of_the_docs_is_a_message() -> None:
    (text,) = re.findall(r"```text\n(.*?)\n```", PAGE.read_text(), re.DOTALL)
    message = read_message(text.encode())
    assert read_cef(message.body).name == "Shell In A Pod"
    assert message.data["vedette@32473"]["alert"] == read_cef(message.body).values["externalId"]
