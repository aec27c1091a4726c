"""The Alertmanager sink against a real one: alerts appear, are told, change, and are resolved."""

from __future__ import annotations

import asyncio
import re
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from sinks import SinkContext
from sinks.alertmanager import AlertmanagerSettings, AlertmanagerSink
from tests.servers.alertmanager import PASSWORD, Alertmanager, amtool
from tests.servers.fetch import ALERTMANAGER
from vedette.pipeline.document import build_document, encode_document
from vedette.schema.alert import Activity, AlertRevision, AlertState, Contribution, Evidence
from vedette.schema.event import Facts
from vedette.schema.level import Level
from vedette.schema.limits import SECOND_NS
from vedette.schema.rule import RuleInfo
from vedette.schema.verdict import Judgement, make_verdict
from vedette.testing.sinks import HOSTILE, RULE, StandingClock

from .webhook_stub import WebhookStub

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.servers.fixtures import StartAlertmanager

pytestmark = [pytest.mark.server, pytest.mark.timeout(120)]
PAGE = Path(__file__).parents[2] / "docs" / "sinks" / "alertmanager.md"
SHOP = Facts(actor="mara", action="get", resource="pods/exec", namespace="shop", name="web-1")


@pytest.fixture
async def receiver() -> AsyncIterator[WebhookStub]:
    async with WebhookStub() as stub:
        yield stub


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock(time.time_ns())


@pytest.fixture
def server(alertmanager: StartAlertmanager, receiver: WebhookStub) -> Alertmanager:
    return alertmanager(f"http://127.0.0.1:{receiver.port}/")


def new_sink(server: Alertmanager, folder: Path, clock: StandingClock, **changes: Any) -> AlertmanagerSink:
    keys = {"url": server.url, **changes}
    return AlertmanagerSink("oncall", AlertmanagerSettings.model_validate(keys), SinkContext(folder, clock))


def revision_of(
    number: int,
    activity: Activity = Activity.CREATE,
    *,
    facts: Facts = SHOP,
    rules: tuple[RuleInfo, ...] = (RULE,),
    now_ns: int | None = None,
    judged: bool = False,
) -> AlertRevision:
    """A revision of an alert that opened a moment ago."""
    at_ns = time.time_ns() if now_ns is None else now_ns
    opened_ns = at_ns - 5 * SECOND_NS
    leading = max(rules, key=lambda rule: rule.level.rank)
    contributions = [Contribution(rule, number, "audit", "what", (), opened_ns, opened_ns) for rule in rules]
    state = AlertState(
        alert_id=f"{number:032x}",
        rule=leading,
        dedup_values=("mara",),
        cluster="prod",
        labels={},
        seq=number,
        opened_ns=opened_ns,
        closes_ns=opened_ns + 3600 * SECOND_NS,
        first_seen_ns=opened_ns,
        last_seen_ns=opened_ns,
        facts=facts,
        clauses=(),
        count=activity.value,
        revision=activity.value,
        evidence=[Evidence(number, opened_ns, opened_ns, "audit", "kube_audit", "0")],
        dedup_as="shared" if len(rules) > 1 else "",
        contributions=contributions,
        verdict=make_verdict(Judgement.BENIGN, "sam", "on call", at_ns) if judged else None,
    )
    document = build_document(state, generation=0, activity=activity, now_ns=at_ns)
    return AlertRevision(
        state.alert_id,
        0,
        activity.value,
        opened_ns,
        leading.level.value,
        leading.rule_id,
        encode_document(document),
        "audit",
        "prod",
    )


async def delivered(sink: AlertmanagerSink, *revisions: AlertRevision) -> None:
    await sink.start()
    assert list(await sink.deliver(revisions)) == [None] * len(revisions)


async def until(condition: Callable[[], object]) -> None:
    """Wait; the test's timeout bounds it. The receiver answers meanwhile."""
    while not await asyncio.to_thread(condition):  # noqa: ASYNC110 - another process changes it
        await asyncio.sleep(0.05)


def told(receiver: WebhookStub) -> list[tuple[str, str]]:
    """Status and severity of each alert in the notifications so far, in their order."""
    return [(alert["status"], alert["labels"]["severity"]) for group in receiver.documents for alert in group["alerts"]]


async def test_an_alert_appears_changes_and_is_resolved(
    server: Alertmanager, receiver: WebhookStub, tmp_path: Path, clock: StandingClock
) -> None:
    sink = new_sink(server, tmp_path, clock, labels={"team": "soc"}, link="http://x/{alert_id}", hold_s=60)
    await delivered(sink, revision_of(1))
    await until(lambda: told(receiver) == [("firing", "high")])
    (alert,) = await asyncio.to_thread(server.alerts)
    assert alert["labels"] == {
        "alertname": "Shell In A Pod",
        "severity": "high",
        "cluster": "prod",
        "namespace": "shop",
        "source": "audit",
        "rule_id": RULE.rule_id,
        "alert_id": f"{1:032x}",
        "team": "soc",
    }
    assert alert["generatorURL"] == f"http://x/{1:032x}"

    await delivered(sink, revision_of(1, Activity.UPDATE))
    (alert,) = await asyncio.to_thread(server.alerts)
    assert alert["annotations"]["count"] == "2"

    clock.time_ns += 61 * SECOND_NS
    await delivered(sink, revision_of(1, Activity.CLOSE))
    assert await asyncio.to_thread(server.alerts) == []
    await until(lambda: told(receiver)[-1] == ("resolved", "high"))


async def test_repeats_and_restarts_make_no_second_alert(
    server: Alertmanager, receiver: WebhookStub, tmp_path: Path, clock: StandingClock
) -> None:
    revisions = [revision_of(number, facts=Facts(namespace=f"n{number}")) for number in (1, 2, 3)]
    for _ in range(3):
        sink = new_sink(server, tmp_path, clock)
        await delivered(sink, *revisions)
        await sink.stop()
    found = await asyncio.to_thread(server.alerts)
    assert sorted(alert["labels"]["alert_id"] for alert in found) == [f"{number:032x}" for number in (1, 2, 3)]
    await until(lambda: len(told(receiver)) == 3)
    assert {len(group["alerts"]) for group in receiver.documents} == {1}, "they are grouped by namespace"


async def test_a_close_that_comes_first_is_told_nevertheless(
    server: Alertmanager, receiver: WebhookStub, tmp_path: Path, clock: StandingClock
) -> None:
    """As after an outage: an Alertmanager would say nothing of an alert that is over when it hears of it."""
    sink = new_sink(server, tmp_path, clock)
    await delivered(sink, revision_of(1, Activity.CLOSE))
    await until(lambda: told(receiver) == [("firing", "high")])


async def test_a_more_severe_rule_replaces_the_alert(
    server: Alertmanager, receiver: WebhookStub, tmp_path: Path, clock: StandingClock
) -> None:
    low, high = RuleInfo("r1", "Exec", Level.LOW), RuleInfo("r2", "Shell", Level.CRITICAL)
    sink = new_sink(server, tmp_path, clock)
    await delivered(sink, revision_of(1, rules=(low, low)))
    await until(lambda: told(receiver) == [("firing", "low")])
    await delivered(sink, revision_of(1, Activity.UPDATE, rules=(low, low, high)))
    (alert,) = await asyncio.to_thread(server.alerts)
    assert (alert["labels"]["severity"], alert["labels"]["alertname"]) == ("critical", "Shell")
    await until(lambda: {("firing", "critical"), ("resolved", "low")} <= set(told(receiver)))


async def test_a_verdict_resolves_and_a_more_severe_rule_fires_again(
    server: Alertmanager, receiver: WebhookStub, tmp_path: Path, clock: StandingClock
) -> None:
    low, high = RuleInfo("r1", "Exec", Level.LOW), RuleInfo("r2", "Shell", Level.CRITICAL)
    sink = new_sink(server, tmp_path, clock)
    await delivered(sink, revision_of(1, rules=(low, low)))
    await until(lambda: told(receiver) == [("firing", "low")])

    await delivered(sink, revision_of(1, Activity.UPDATE, rules=(low, low), judged=True))
    assert await asyncio.to_thread(server.alerts) == []
    await until(lambda: told(receiver)[-1] == ("resolved", "low"))

    await delivered(sink, revision_of(1, Activity.UPDATE, rules=(low, low, high)))
    (alert,) = await asyncio.to_thread(server.alerts)
    assert alert["labels"]["severity"] == "critical"
    await until(lambda: ("firing", "critical") in told(receiver))


async def test_hostile_strings_arrive(server: Alertmanager, tmp_path: Path, clock: StandingClock) -> None:
    revisions = [
        revision_of(
            number,
            facts=Facts(actor=text, namespace=text, name=text, command=text),
            rules=(RuleInfo(text[:99], text, Level.LOW, text, attack=(text,), falsepositives=(text,)),),
        )
        for number, text in enumerate(HOSTILE.values(), start=1)
    ]
    await delivered(new_sink(server, tmp_path, clock, document=True), *revisions)
    found = {alert["labels"]["alert_id"]: alert for alert in await asyncio.to_thread(server.alerts)}
    assert set(found) == {revision.alert_id for revision in revisions}
    for revision in revisions:
        assert found[revision.alert_id]["annotations"]["document"].encode() == revision.document


async def test_alerts_wait_while_it_is_down(
    server: Alertmanager, receiver: WebhookStub, tmp_path: Path, clock: StandingClock
) -> None:
    sink = new_sink(server, tmp_path, clock, timeout_s=0.5)
    await sink.start()
    await asyncio.to_thread(server.kill)
    (outcome,) = await sink.deliver([revision_of(1)])
    assert "can't be spoken to" in str(outcome)
    await asyncio.to_thread(server.start)
    await delivered(sink, revision_of(1))
    await until(lambda: told(receiver) == [("firing", "high")])


async def test_tls_a_password_and_the_probe(
    alertmanager: StartAlertmanager, receiver: WebhookStub, tmp_path: Path, clock: StandingClock
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    issued = authority.issue_cert("127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "server.pem")
    issued.private_key_pem.write_to_path(tmp_path / "server.key")
    (tmp_path / "server.key").chmod(0o644)  # the server runs as another user
    server = await asyncio.to_thread(
        alertmanager,
        f"http://127.0.0.1:{receiver.port}/",
        certificate=tmp_path / "server.pem",
        key=tmp_path / "server.key",
    )
    login = {"ca_file": "ca.pem", "username": "vedette"}
    sink = new_sink(server, tmp_path, clock, **login, password=PASSWORD)
    await delivered(sink, revision_of(1))
    assert len(await asyncio.to_thread(server.alerts)) == 1
    (check,) = await sink.probe()
    assert check.ok
    assert "(version 0." in check.what
    for keys, problem in (
        ({**login, "password": "wrong"}, "answered 401"),
        ({"username": "vedette", "password": PASSWORD}, "CERTIFICATE_VERIFY_FAILED"),
    ):
        (check,) = await new_sink(server, tmp_path, clock, **keys).probe()
        assert problem in check.problem


# --- the docs ---------------------------------------------------------------------------------------------------------
def snippet(head: str) -> str:
    (text,) = re.findall(rf"```{re.escape(head)}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return str(text)


def test_alertmanager_takes_the_routes_of_the_docs(tmp_path: Path) -> None:
    file = tmp_path / "alertmanager.yml"
    file.write_text(snippet("yaml alertmanager.yml"))
    done = amtool("check-config", file)
    assert done.returncode == 0, done.stdout + done.stderr
    for severity, receivers in (("critical", "pager,soc"), ("high", "soc")):
        done = amtool("config", "routes", "test", "--config.file", file, f"severity={severity}")
        assert done.stdout.strip() == receivers, done.stderr


async def test_the_silence_of_the_docs_silences(server: Alertmanager, tmp_path: Path, clock: StandingClock) -> None:
    await delivered(new_sink(server, tmp_path, clock), revision_of(1), revision_of(2, facts=Facts(namespace="bank")))
    command = snippet("sh silence").replace("amtool", f"{ALERTMANAGER}/amtool --alertmanager.url={server.url}", 1)
    done = await asyncio.to_thread(subprocess.run, ["sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    await until(
        lambda: (
            {alert["labels"]["namespace"]: alert["status"]["state"] for alert in server.alerts()}
            == {"shop": "suppressed", "bank": "active"}
        )
    )
