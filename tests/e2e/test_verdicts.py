"""Verdicts, as an analyst gives them: on alerts that are open or over, through restarts, to the back-test."""

from __future__ import annotations

import json
import re
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from .agent import Agent, audit_event, event_list, post, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .agent import Outcome

DOCS: Final = Path(__file__).parents[2] / "docs/rules"
BACKTEST: Final = (DOCS / "backtest.md").read_text(encoding="utf-8")
TUNING: Final = (DOCS / "tuning.md").read_text(encoding="utf-8")
CLOSE: Final = re.compile(r"^vedette (alerts close) (\w{8}) (.*)$", re.MULTILINE)
RULE: Final = """
title: Exec into a pod
id: 5c9f5a3e-3d0c-4a50-8a55-8f1c70a0c001
logsource: {product: kubernetes, service: audit}
detection: {selection: {objectRef.subresource: exec}, condition: selection}
level: high
vedette: {dedup_by: [user.username, objectRef.name]}
"""
NOT_BY_OPS: Final = RULE.replace("condition: selection", "ops: {user.username: ops}, condition: selection and not ops")
HOSTILE: Final = "nothing \x1b]0;owned\x07 \u202eto see\n\x00{{7*7}}<script>\udc80"

pytestmark = [pytest.mark.simulation, pytest.mark.timeout(180)]


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Agent]:
    agent = Agent(tmp_path, rules=RULE, sinks={"store": {"store": {}}, "second": {"store": {"path": "second.db"}}})
    await agent.start()
    yield agent
    if agent.alive:
        assert agent.end() == 0
    agent.assert_balanced()


async def enter(agent: Agent, *users: str) -> dict[str, str]:
    """Let users enter a pod; return the ids of the alerts on each."""
    target = {"resource": "pods", "subresource": "exec", "namespace": "payment", "name": "cart-0"}
    events = [
        audit_event(f"exec-{user}-{time.monotonic_ns()}", user={"username": user}, objectRef=target) for user in users
    ]
    batch = event_list([json.dumps(event).encode() for event in events])
    assert (await post(agent.audit, "/k8s-audit", batch)).accepted
    await agent.settled()
    return {row["actor"]: row["alert_id"] for row in agent.run("alerts", "list", "--format", "json").lines}


def close(agent: Agent, alert_id: str, verdict: str, *more: str) -> Outcome:
    return agent.run("alerts", "close", alert_id, "--verdict", verdict, "--analyst", "ann", *more)


def shown(agent: Agent, alert_id: str, *more: str) -> dict[str, Any]:
    (document,) = agent.run("alerts", "show", alert_id, "--format", "json", *more).lines
    return document


def told(document: dict[str, Any]) -> tuple[Any, ...]:
    """What a document says of its verdict, in OCSF's words and in ours."""
    verdict = document["unmapped"].get("verdict", {})
    (captions,) = {sample.get("verdict") for sample in document["evidences"]}
    return document["status"], captions, document.get("comment"), verdict.get("judgement"), verdict.get("analyst")


OPEN: Final = ("New", None, None, None, None)
BENIGN: Final = ("Resolved", "Benign", "planned", "benign", "ann")
CONFIRMED: Final = ("Resolved", "True Positive", "INC-204", "true_positive", "ann")


async def test_an_open_alert_is_closed_in_every_store_and_stays_so_through_a_restart(agent: Agent) -> None:
    alerts = await enter(agent, "ops", "eve")
    before = shown(agent, alerts["ops"])
    assert told(before) == OPEN
    assert close(agent, alerts["ops"][:8], "benign", "--reason", "planned").out.startswith(
        f"{alerts['ops']} is closed as benign: Exec into a pod"
    )
    await agent.settled()
    for sink in ("store", "second"):
        assert told(shown(agent, alerts["ops"], "--sink", sink)) == BENIGN
        assert told(shown(agent, alerts["eve"], "--sink", sink)) == OPEN
    assert shown(agent, alerts["ops"])["unmapped"]["version"] > before["unmapped"]["version"]
    new = agent.run("alerts", "list", "--status", "new", "--format", "json").lines
    assert [row["actor"] for row in new] == ["eve"]

    agent.kill()
    await agent.start()
    await enter(agent, "ops")
    assert agent.end() == 0
    again = shown(agent, alerts["ops"])
    assert (again["count"], again["unmapped"]["generation"], told(again)) == (2, 1, BENIGN)


async def test_an_alert_that_is_over_is_closed_and_a_later_verdict_takes_the_place(agent: Agent) -> None:
    agent.settings["alerts"] = {"rollup_window_s": 0.2}
    agent.configure()
    assert agent.end() == 0
    await agent.start()
    alerts = await enter(agent, "ops")
    closes_ns = shown(agent, alerts["ops"])["unmapped"]["closes_ns"]
    await until(lambda: time.time_ns() > closes_ns)
    await enter(agent, "zoe")
    over = shown(agent, alerts["ops"])
    assert close(agent, alerts["ops"], "benign", "--reason", "planned").status == 0
    assert close(agent, alerts["ops"], "true_positive", "--reason", "INC-204").status == 0
    await agent.settled()
    closed = shown(agent, alerts["ops"])
    assert told(closed) == CONFIRMED
    assert (closed["activity_name"], closed["count"]) == ("Close", over["count"])
    assert closed["unmapped"]["revision"] == over["unmapped"]["revision"] + 2
    assert [line for line in agent.logged() if line.get("level") == "error"] == []

    agent.kill()
    await agent.start()
    await agent.settled()
    assert shown(agent, alerts["ops"]) == closed


async def test_what_was_confirmed_and_a_change_would_hide_is_named_as_documented(agent: Agent) -> None:
    alerts = await enter(agent, "ops", "eve")
    (documented,) = CLOSE.findall(BACKTEST)
    options = shlex.split(documented[2])
    assert agent.run(*documented[0].split(), alerts["ops"][:8], *options).status == 0
    changed = agent.folder / "changed.yml"
    changed.write_text(NOT_BY_OPS)
    done = agent.run("rules", "backtest", "--diff", "running", changed)
    (named,) = (line for line in done.err.splitlines() if line.startswith("HIDDEN"))
    (example,) = re.findall(r"^HIDDEN: .*$", BACKTEST, re.MULTILINE)
    assert done.status == 1
    assert named.startswith(
        f"HIDDEN: {alerts['ops']}, confirmed as a true positive: high Exec into a pod (ops, cart-0), "
    )
    assert re.sub(r"\w{32}|20[-\d:.TZ]+| of the payment namespace", "", example) == re.sub(
        r"\w{32}|20[-\d:.TZ]+", "", named
    )

    (in_tuning,) = CLOSE.findall(TUNING)
    assert agent.run(*in_tuning[0].split(), alerts["ops"][:8], *shlex.split(in_tuning[2])).status == 0
    assert agent.run("rules", "backtest", "--diff", "running", changed).status == 0


async def test_a_hostile_reason_is_kept_and_shown_harmless(agent: Agent) -> None:
    alerts = await enter(agent, "ops")
    assert close(agent, alerts["ops"], "false_positive", "--reason", HOSTILE.replace("\x00", "")).status == 0
    assert close(agent, alerts["ops"], "benign", "--reason", "x" * 1025).status == 2
    await agent.settled()
    assert shown(agent, alerts["ops"])["comment"] == HOSTILE.replace("\x00", "").replace("\udc80", "\ufffd")
    text = agent.run("alerts", "show", alerts["ops"]).out
    assert r"reason" in text
    assert r"nothing \x1b]0;owned\x07 \u202eto see\x0a" in text
    assert not {"\x1b", "\x07", "\u202e"} & set(text)


async def test_what_is_wrong_is_refused_and_changes_nothing(agent: Agent) -> None:
    alerts = await enter(agent, "ops")
    assert agent.run("alerts", "close", alerts["ops"], "--verdict", "maybe").status != 0
    assert close(agent, "f" * 32, "benign").status == 2
    assert close(agent, alerts["ops"], "benign", "--sink", "third").status == 2
    await agent.settled()
    assert told(shown(agent, alerts["ops"])) == OPEN
    assert agent.end() == 0
    nobody = close(agent, alerts["ops"], "benign")
    assert nobody.status == 3
    assert "Is `vedette run` running" in nobody.err
