"""The Alertmanager sink against a stub: what is sent until when, what answers mean, and what stays secret."""

from __future__ import annotations

import base64
import re
import ssl
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sinks import SinkContext
from sinks.alertmanager import AlertmanagerSettings, AlertmanagerSink
from sinks.alertmanager.alerts import READER, postable
from sinks.alertmanager.client import SETUP_RETRY_S
from sinks.alertmanager.settings import LABEL_CHARS_MAX, OWN_LABELS
from vedette.app.config_file import parse_config
from vedette.schema.alert import Activity, AlertRevision
from vedette.schema.errors import ConfigError, PermanentError, TransientError
from vedette.schema.event import Facts
from vedette.schema.level import Level
from vedette.schema.limits import SECOND_NS
from vedette.schema.rule import RuleInfo
from vedette.testing.sinks import HOSTILE, NOW_NS, OPENED_NS, StandingClock, sample_revision

from .fault_proxy import GARBAGE, Behaviour, FaultProxy, answer, apply_then, drip, hang, passing, refuse, reset, status
from .webhook_stub import Posted, WebhookStub, kept_open

SECRET = "correct-horse-battery"
PAGE = Path(__file__).parents[2] / "docs" / "sinks" / "alertmanager.md"
THREE = [sample_revision(number) for number in (1, 2, 3)]


@pytest.fixture
async def stub() -> AsyncIterator[WebhookStub]:
    async with WebhookStub() as stub:
        yield stub


@pytest.fixture
async def proxy(stub: WebhookStub) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(stub.port) as proxy:
        yield proxy


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock(OPENED_NS + 60 * SECOND_NS)


def new_sink(
    folder: Path, port: int, clock: StandingClock | None = None, *, scheme: str = "http", **changes: Any
) -> AlertmanagerSink:
    keys = {"url": f"{scheme}://127.0.0.1:{port}/am", "timeout_s": 2, **changes}
    return AlertmanagerSink(
        "oncall", AlertmanagerSettings.model_validate(keys), SinkContext(folder, clock or StandingClock())
    )


def changed(revision: AlertRevision, activity: Activity, *, after_s: float = 0, **unmapped: Any) -> AlertRevision:
    """The same alert, `after_s` after its opening, with another document."""
    document = orjson.loads(revision.document)
    document["activity_id"] = activity.value
    document["unmapped"] |= {"time_ns": revision.opened_ns + int(after_s * SECOND_NS), **unmapped}
    return revision._replace(document=orjson.dumps(document), revision=revision.revision + 1)


async def delivered(sink: AlertmanagerSink, *revisions: AlertRevision) -> None:
    assert list(await sink.deliver(revisions)) == [None] * len(revisions)


async def outcomes(sink: AlertmanagerSink, revisions: list[AlertRevision] = THREE) -> list[str]:
    await sink.start()
    try:
        return [kind(outcome) for outcome in await sink.deliver(revisions)]
    finally:
        await sink.stop()


async def one_outcome(sink: AlertmanagerSink) -> Any:
    await sink.start()
    try:
        (outcome,) = await sink.deliver(THREE[:1])
        return outcome
    finally:
        await sink.stop()


def kind(outcome: Exception | None) -> str:
    return "delivered" if outcome is None else type(outcome).__name__.removesuffix("Error").lower()


def time_ns(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000) * (SECOND_NS // 1000)


# --- what is sent -----------------------------------------------------------------------------------------------------
async def test_an_alert_as_alertmanager_gets_it(tmp_path: Path, stub: WebhookStub, clock: StandingClock) -> None:
    sink = new_sink(tmp_path, stub.port, clock, labels={"team": "soc"}, link="https://s.example/?q={alert_id}")
    await sink.start()
    await delivered(sink, THREE[0]._replace(source="audit"))
    await sink.stop()
    (posted,) = stub.accepted
    assert posted.line == "POST /am/api/v2/alerts HTTP/1.1"
    (alert,) = posted.document
    summary = alert["annotations"].pop("summary")
    assert summary.startswith("Shell In A Pod: mara did get on pods/exec shop/web-1")
    assert alert == {
        "labels": {
            "alertname": "Shell In A Pod",
            "severity": "high",
            "cluster": "test",
            "namespace": "shop",
            "source": "audit",
            "rule_id": "5f1c0000-0000-4000-8000-000000000001",
            "alert_id": f"{1:032x}",
            "team": "soc",
        },
        "annotations": {
            "count": "1",
            "first_seen": "2026-03-27T12:00:01.000Z",
            "last_seen": "2026-03-27T12:00:01.000Z",
            "attack": "T1609",
            "revision": f"{1:032x}-0-1",
        },
        "startsAt": "2026-03-27T12:00:01.000Z",
        "endsAt": "2026-03-27T13:00:01.000Z",
        "generatorURL": f"https://s.example/?q={1:032x}",
    }


async def test_only_the_newest_revision_of_each_alert_is_sent(tmp_path: Path, stub: WebhookStub) -> None:
    revisions = [sample_revision(number, revision=revision) for revision in (1, 3, 2) for number in (1, 2)]
    assert await outcomes(new_sink(tmp_path, stub.port), revisions) == ["delivered"] * 6
    (posted,) = stub.accepted
    assert [alert["annotations"]["revision"][-2:] for alert in posted.document] == ["-3", "-3"]


async def test_a_batch_is_cut_into_requests(tmp_path: Path, stub: WebhookStub) -> None:
    revisions = [sample_revision(number + 1) for number in range(150)]
    assert set(await outcomes(new_sink(tmp_path, stub.port), revisions)) == {"delivered"}
    assert [len(posted.document) for posted in stub.accepted] == [64, 64, 22]
    sent = [alert["labels"]["alert_id"] for posted in stub.accepted for alert in posted.document]
    assert sent == [revision.alert_id for revision in revisions]


LABEL_NAMES = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
async def test_hostile_strings_stay_in_their_place(tmp_path: Path, stub: WebhookStub, text: str) -> None:
    facts = Facts(actor=text, namespace=text, name=text, command=text)
    rule = RuleInfo(f"falco:{text[:50]}", text, Level.LOW, text, attack=(text,), falsepositives=(text,) * 99)
    assert await outcomes(new_sink(tmp_path, stub.port), [sample_revision(facts=facts, rule=rule)]) == ["delivered"]
    (alert,) = stub.documents
    assert set(alert["labels"]) <= set(OWN_LABELS)
    for value in (*alert["labels"].values(), *alert["annotations"].values()):
        assert value.isprintable()
    assert max(map(len, alert["labels"].values())) <= LABEL_CHARS_MAX
    assert len(orjson.dumps(alert)) < 40_000


# --- until when -------------------------------------------------------------------------------------------------------
async def ends_at(stub: WebhookStub, sink: AlertmanagerSink, *revisions: AlertRevision) -> int:
    """When the last alert of the last request ends, ns since its opening."""
    await delivered(sink, *revisions)
    return (time_ns(stub.accepted[-1].document[-1]["endsAt"]) - revisions[-1].opened_ns) // SECOND_NS


async def test_an_alert_holds_until_its_window_ends(tmp_path: Path, stub: WebhookStub, clock: StandingClock) -> None:
    sink = new_sink(tmp_path, stub.port, clock)
    await sink.start()
    assert await ends_at(stub, sink, THREE[0]) == 3600
    clock.time_ns = THREE[0].opened_ns + 3599 * SECOND_NS
    assert await ends_at(stub, sink, changed(THREE[0], Activity.UPDATE)) == 3600
    await sink.stop()


async def test_one_that_waited_out_an_outage_is_still_notified(
    tmp_path: Path, stub: WebhookStub, clock: StandingClock
) -> None:
    clock.time_ns = THREE[0].opened_ns + 7200 * SECOND_NS
    sink = new_sink(tmp_path, stub.port, clock, hold_s=600)
    await sink.start()
    assert await ends_at(stub, sink, THREE[0]) == 7200 + 600
    await sink.stop()


async def test_one_that_closes_ends_at_once(tmp_path: Path, stub: WebhookStub, clock: StandingClock) -> None:
    sink = new_sink(tmp_path, stub.port, clock)
    await sink.start()
    await delivered(sink, THREE[0])
    clock.time_ns += 3600 * SECOND_NS
    closed = changed(THREE[0], Activity.CLOSE, after_s=3600)
    for _ in ("first", "again"):
        assert await ends_at(stub, sink, closed) == 3600
        assert time_ns(stub.accepted[-1].document[0]["endsAt"]) <= clock.time_ns
    await sink.stop()


@pytest.mark.parametrize("case", ["sent just before", "never sent", "another process sent it"])
async def test_one_that_closes_is_held_until_it_can_have_been_notified(
    tmp_path: Path, stub: WebhookStub, clock: StandingClock, case: str
) -> None:
    """An Alertmanager tells nobody of an alert that is over when its group's turn comes."""
    if case == "another process sent it":
        await outcomes(new_sink(tmp_path, stub.port, clock), THREE[:1])
    sink = new_sink(tmp_path, stub.port, clock, hold_s=900)
    await sink.start()
    sent_ns = clock.time_ns
    if case == "sent just before":
        await delivered(sink, THREE[0])
    clock.time_ns += 40 * SECOND_NS
    held_ns = (sent_ns if case == "sent just before" else clock.time_ns) + 900 * SECOND_NS
    found = await ends_at(stub, sink, changed(THREE[0], Activity.CLOSE, after_s=99))
    assert found == (held_ns - THREE[0].opened_ns) // SECOND_NS
    await sink.stop()


async def test_an_alert_that_closes_as_it_opens_ends_after_it_began(
    tmp_path: Path, stub: WebhookStub, clock: StandingClock
) -> None:
    sink = new_sink(tmp_path, stub.port, clock)
    await sink.start()
    await delivered(sink, THREE[0])
    clock.time_ns += 3600 * SECOND_NS
    await delivered(sink, changed(THREE[0], Activity.CLOSE))
    (alert,) = stub.accepted[-1].document
    assert time_ns(alert["startsAt"]) < time_ns(alert["endsAt"]) <= clock.time_ns
    await sink.stop()


VERDICT = {"judgement": "benign", "analyst": "sam", "reason": "", "time_ns": THREE[0].opened_ns + 40 * SECOND_NS}


@pytest.mark.parametrize("activity", [Activity.UPDATE, Activity.CLOSE], ids=["while it is open", "when it is over"])
@pytest.mark.parametrize("sent", [True, False], ids=["sent just before", "never sent"])
async def test_one_that_was_judged_ends_at_once(
    tmp_path: Path, stub: WebhookStub, clock: StandingClock, activity: Activity, sent: bool
) -> None:
    sink = new_sink(tmp_path, stub.port, clock)
    await sink.start()
    if sent:
        await delivered(sink, THREE[0])
    judged = changed(THREE[0], activity, after_s=40, verdict=VERDICT)
    later = changed(THREE[0], activity, after_s=50, verdict=VERDICT)
    assert [await ends_at(stub, sink, revision) for revision in (judged, judged, later)] == [40, 40, 40]
    await sink.stop()


async def test_a_judged_alert_that_became_more_severe_fires_again(
    tmp_path: Path, stub: WebhookStub, clock: StandingClock
) -> None:
    sink = new_sink(tmp_path, stub.port, clock)
    await sink.start()
    await delivered(sink, shared(Activity.CREATE, "low", "low"))
    await delivered(sink, shared(Activity.UPDATE, "low", "low", verdict=VERDICT))
    await delivered(sink, shared(Activity.UPDATE, "high", "low", "high"))
    await delivered(sink, shared(Activity.UPDATE, "high", "low", "high", verdict=VERDICT))
    await sink.stop()
    told = [
        [(alert["labels"]["severity"], time_ns(alert["endsAt"]) > clock.time_ns) for alert in posted.document]
        for posted in stub.accepted
    ]
    assert told == [
        [("low", True)],
        [("low", False)],
        [("low", False), ("high", True)],
        [("low", False), ("high", False)],
    ]


def shared(activity: Activity, leading: str, *levels: str, **unmapped: Any) -> AlertRevision:
    """An alert of rules of these levels, in the order in which they came."""
    rules = [{"id": f"r-{level}", "title": f"Rule {level}", "level": level, "source": level} for level in levels]
    rule = orjson.loads(THREE[0].document)["unmapped"]["rule"] | rules[levels.index(leading)]
    return changed(THREE[0], activity, after_s=30, rules=rules, rule=rule, **unmapped)._replace(
        source=leading, level=leading
    )


async def test_an_alert_that_became_more_severe_is_one_alert(
    tmp_path: Path, stub: WebhookStub, clock: StandingClock
) -> None:
    sink = new_sink(tmp_path, stub.port, clock)
    await sink.start()
    await delivered(sink, shared(Activity.CREATE, "low", "low"))
    await delivered(sink, shared(Activity.UPDATE, "high", "low", "medium", "low", "high", "medium"))
    await sink.stop()
    (before,), (low, medium, high) = (posted.document for posted in stub.accepted)
    assert before["labels"] == low["labels"]
    assert [alert["labels"]["severity"] for alert in (low, medium, high)] == ["low", "medium", "high"]
    assert [alert["labels"]["alertname"] for alert in (low, medium, high)] == ["Rule low", "Rule medium", "Rule high"]
    assert [time_ns(alert["endsAt"]) <= clock.time_ns for alert in (low, medium, high)] == [True, True, False]
    assert time_ns(high["endsAt"]) == THREE[0].opened_ns + 3600 * SECOND_NS


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from([level.value for level in Level]), min_size=1, max_size=8))
def test_what_it_was_known_by_is_ended_whatever_the_order_of_rules(levels: list[str]) -> None:
    keys = AlertmanagerSettings(url="http://a")
    known: set[str] = set()
    for count in range(1, len(levels) + 1):
        came = levels[:count]
        leading = max(came, key=lambda level: Level(level).rank)
        revision = shared(Activity.UPDATE, leading, *came)
        *ended, fires = postable(revision, READER.decode(revision.document), keys, NOW_NS)
        now = repr(fires["labels"])
        assert {repr(alert["labels"]) for alert in ended} == known - {now}
        known.add(now)


# --- what answers mean ------------------------------------------------------------------------------------------------
MEANINGS = {
    "delivered": (200, 201, 202, 299),
    "transient": (300, 301, 302, 307, 308, 401, 403, 404, 405, 407, 408, 425, 429, 500, 501, 502, 503, 504, 599, 999),
    "permanent": (400, 402, 406, 409, 411, 413, 414, 415, 422, 431, 451, 499),
}


def bare(code: int, fields: str = "") -> bytes:
    return f"HTTP/1.1 {code} Reason\r\nContent-Length: 0\r\n{fields}\r\n".encode()


@pytest.mark.parametrize(
    ("code", "meaning"), [(code, meaning) for meaning, codes in MEANINGS.items() for code in codes]
)
async def test_what_a_status_means(tmp_path: Path, stub: WebhookStub, code: int, meaning: str) -> None:
    stub.answer = lambda _: bare(code)
    assert kind(await one_outcome(new_sink(tmp_path, stub.port))) == meaning


@pytest.mark.parametrize(
    ("code", "fields", "seconds"),
    [
        (429, "Retry-After: 17\r\n", 17),
        (503, "Retry-After: 99999999999999999999\r\n", 300),
        (503, "Retry-After: soon\r\n", 1),
        (503, "", 1),
        (401, "", SETUP_RETRY_S),
        (302, "Location: /login\r\n", SETUP_RETRY_S),
    ],
)
async def test_when_it_is_tried_again(
    tmp_path: Path, stub: WebhookStub, code: int, fields: str, seconds: float
) -> None:
    stub.answer = lambda _: bare(code, fields)
    assert (await one_outcome(new_sink(tmp_path, stub.port))).retry_after_s == seconds


@pytest.mark.parametrize("bad", [set[int](), {0}, {3}, {6}, {2, 3}, set(range(7))], ids=str)
async def test_one_that_is_refused_costs_its_batch_nothing(tmp_path: Path, stub: WebhookStub, bad: set[int]) -> None:
    revisions = [sample_revision(number + 1) for number in range(7)]
    refused = {revisions[number].alert_id for number in bad}

    def judged(posted: Posted) -> bytes:
        return bare(400 if refused & {alert["labels"]["alert_id"] for alert in posted.document} else 200)

    stub.answer = judged
    found = await outcomes(new_sink(tmp_path, stub.port), revisions)
    assert found == ["permanent" if number in bad else "delivered" for number in range(7)]


async def test_an_outage_in_the_middle_of_halving(tmp_path: Path, stub: WebhookStub) -> None:
    stub.answer = lambda _: bare([400, 200, 503][len(stub.requests) - 1])
    assert await outcomes(new_sink(tmp_path, stub.port)) == ["delivered", "transient", "transient"]


async def test_answers_are_quoted_safely(tmp_path: Path, stub: WebhookStub) -> None:
    stub.answer = lambda _: kept_open(422, b"no \x1b[2J label \xe2\x80\xae\r\n" + b"z" * 5000)
    outcome = await one_outcome(new_sink(tmp_path, stub.port))
    assert isinstance(outcome, PermanentError)
    assert "answered 422 (no \\x1b[2J label \\u202e\\x0d\\x0azzz" in str(outcome)
    assert len(str(outcome)) < 500


FAULTS: dict[str, Behaviour | None] = {
    "refuse": refuse,
    "hang": hang,
    "drip": drip(0.02),
    "reset": reset,
    "apply then hang": apply_then(hang),
    "apply then reset": apply_then(reset),
    "500": status(500, body=b"\x1b[31m" * 10_000),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_alerts_wait_for_a_destination_that_misbehaves(
    tmp_path: Path, stub: WebhookStub, proxy: FaultProxy, fault: Behaviour | None
) -> None:
    sink = new_sink(tmp_path, proxy.port, timeout_s=0.4)
    await sink.start()
    await proxy.switch(fault)
    assert [kind(outcome) for outcome in await sink.deliver(THREE)] == ["transient"] * 3
    await proxy.switch(passing)
    await delivered(sink, *THREE)
    await sink.stop()
    assert {alert["labels"]["alert_id"] for alert in stub.documents} == {revision.alert_id for revision in THREE}


@pytest.mark.parametrize("content", GARBAGE.values(), ids=GARBAGE.keys())
async def test_garbage_is_judged_by_its_status_alone(tmp_path: Path, proxy: FaultProxy, content: bytes) -> None:
    sink = new_sink(tmp_path, proxy.port)
    await proxy.switch(answer(content))
    whole_head = content.startswith(b"HTTP/1.1 200 ") and b"\r\n\r\n" in content
    outcome = await one_outcome(sink)
    assert kind(outcome) == ("delivered" if whole_head else "transient")
    assert str(outcome).isprintable()
    (check,) = await sink.probe()
    assert not check.ok, "it is no Alertmanager"


# --- logging in, TLS, settings ----------------------------------------------------------------------------------------
BASIC = "Basic " + base64.b64encode(f"vedette:{SECRET}".encode()).decode()


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, None),
        ({"username": "vedette", "password": SECRET}, BASIC),
        ({"username": "vedette", "password_file": "secret"}, BASIC),
        ({"token": SECRET}, f"Bearer {SECRET}"),
        ({"token_file": "secret"}, f"Bearer {SECRET}"),
    ],
    ids=str,
)
async def test_logging_in(tmp_path: Path, stub: WebhookStub, keys: dict[str, Any], expected: str | None) -> None:
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    assert await outcomes(new_sink(tmp_path, stub.port, **keys)) == ["delivered"] * 3
    assert stub.accepted[0].fields.get("authorization") == expected


async def test_a_rotated_secret_counts_at_once(tmp_path: Path, stub: WebhookStub) -> None:
    file = tmp_path / "token"
    file.write_text("old")
    sink = new_sink(tmp_path, stub.port, token_file="token")
    await sink.start()
    await delivered(sink, THREE[0])
    file.write_text("new\n")
    await delivered(sink, THREE[1])
    file.unlink()
    with pytest.raises(TransientError, match="cannot read"):
        await sink.deliver(THREE[2:])
    await sink.stop()
    assert [posted.fields["authorization"] for posted in stub.accepted] == ["Bearer old", "Bearer new"]


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"url": ""},
        {"url": "ftp://x"},
        {"url": "http://"},
        {"url": "http://x:0"},
        {"url": "http://x:99999"},
        {"url": "http://x y"},
        {"url": f"http://u:{SECRET}@x"},
        {"url": "http://x/?q"},
        {"url": "http://x", "username": "u"},
        {"url": "http://x", "password": SECRET},
        {"url": "http://x", "username": "u", "password": SECRET, "password_file": "f"},
        {"url": "http://x", "username": "u", "password": SECRET, "token": SECRET},
        {"url": "http://x", "username": "u:v", "password": SECRET},
        {"url": "http://x", "token": SECRET, "token_file": "f"},
        {"url": "http://x", "client_cert_file": "f"},
        {"url": "http://x", "labels": {"a-b": "c"}},
        {"url": "http://x", "labels": {"": "c"}},
        {"url": "http://x", "labels": {"__a": "c"}},
        {"url": "http://x", "labels": {"severity": "c"}},
        {"url": "http://x", "labels": {"a": ""}},
        {"url": "http://x", "labels": {"a": "b\nc"}},
        {"url": "http://x", "labels": {f"a{number}": "b" for number in range(21)}},
        {"url": "http://x", "link": "javascript:alert(1)"},
        {"url": "http://x", "hold_s": 59},
        {"url": "http://x", "timeout_s": 0},
        {"url": "http://x", "surl": "x"},
    ],
    ids=str,
)
def test_settings_that_can_not_work(keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        AlertmanagerSettings.model_validate(keys)
    assert SECRET not in str(caught.value)


def test_a_url_may_be_that_of_the_api() -> None:
    assert AlertmanagerSettings(url="http://x:9093/prefix/api/v2/").url == "http://x:9093/prefix"


@pytest.mark.parametrize(
    ("keys", "place"),
    [
        ({"token_file": "missing"}, "token_file: cannot read"),
        ({"token_file": "binary"}, r"token_file: cannot read .* \(not text\)"),
        ({"token_file": "empty"}, "token: it is empty"),
        ({"token": f"{SECRET}\r\nX-B: 1"}, "token: it is empty, or no header"),
        ({"username": "u", "password_file": "missing"}, "password_file: cannot read"),
        ({"ca_file": "missing"}, "ca_file: cannot use .*No such file"),
        ({"ca_file": "empty"}, "ca_file: cannot use"),
        ({"client_cert_file": "empty", "client_key_file": "empty"}, "client_cert_file: cannot use"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_files_and_values_that_can_not_be_used(tmp_path: Path, keys: dict[str, Any], place: str) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\xff")
    (tmp_path / "empty").write_text("")
    sink = new_sink(tmp_path, 1, **keys)
    with pytest.raises(ConfigError, match=f"sinks.oncall.alertmanager.{place}") as caught:
        await sink.start()
    assert SECRET not in str(caught.value)
    (check,) = await sink.probe()
    assert (check.problem, bool(check.remedy)) == (str(caught.value), True)
    await sink.stop()


async def test_certificates_of_ones_own_authority_both_ways(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    mine = authority.issue_cert("vedette@example.test")
    mine.cert_chain_pems[0].write_to_path(tmp_path / "me.pem")
    mine.private_key_pem.write_to_path(tmp_path / "me.key")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    me: dict[str, Any] = {"client_cert_file": "me.pem", "client_key_file": "me.key"}
    async with WebhookStub(context) as stub:
        assert (
            await outcomes(new_sink(tmp_path, stub.port, scheme="https", ca_file="ca.pem", **me)) == ["delivered"] * 3
        )
        stranger = await one_outcome(new_sink(tmp_path, stub.port, scheme="https", ca_file="ca.pem"))
        other = await one_outcome(new_sink(tmp_path, stub.port, scheme="https", ca_file="other.pem", **me))
    assert [kind(stranger), kind(other)] == ["transient", "transient"]
    assert "Set ca_file" in str(other)


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
async def test_proxies_of_the_environment_are_not_used(
    tmp_path: Path, stub: WebhookStub, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    async with WebhookStub() as other:
        monkeypatch.setenv(variable, f"http://127.0.0.1:{other.port}")
        assert await outcomes(new_sink(tmp_path, stub.port)) == ["delivered"] * 3
    assert other.connections == 0


# --- probing and docs -------------------------------------------------------------------------------------------------
async def test_a_probe_asks_for_the_status_and_sends_no_alert(tmp_path: Path, stub: WebhookStub) -> None:
    stub.answer = lambda _: kept_open(
        200, b'{"versionInfo": {"version": "0.25.0\\u001b[2J", "branch": ""}, "uptime": ""}'
    )
    (check,) = await new_sink(tmp_path, stub.port, token=SECRET).probe()
    assert check.ok
    assert check.what.endswith("(version 0.25.0\\x1b[2J)")
    assert [posted.line for posted in stub.requests] == ["GET /am/api/v2/status HTTP/1.1"]
    assert stub.requests[0].fields["authorization"] == f"Bearer {SECRET}"


async def test_a_probe_says_what_is_wrong(tmp_path: Path, proxy: FaultProxy) -> None:
    sink = new_sink(tmp_path, proxy.port, timeout_s=0.5)
    for fault, problem in ((refuse, "can't be spoken to"), (hang, "did not answer"), (status(401), "mend username")):
        await proxy.switch(fault)
        (check,) = await sink.probe()
        assert problem in check.problem
        assert check.remedy


def test_the_docs_name_every_setting_label_and_annotation() -> None:
    page = PAGE.read_text()
    keys = set(AlertmanagerSettings.model_fields)
    revision = sample_revision(rule=RuleInfo("r", "t", Level.LOW, "d", ("T1",), falsepositives=("f",)))
    (alert,) = postable(revision, READER.decode(revision.document), AlertmanagerSettings(url="http://x"), NOW_NS)
    assert {key for key in (*keys, *OWN_LABELS, *alert["annotations"]) if f"`{key}`" not in page} == set()


def test_the_configuration_of_the_docs_is_one() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    config = parse_config(text, "docs", environment={}, folder=Path("/etc/vedette"))
    assert config.sinks["oncall"].kind == "alertmanager"
