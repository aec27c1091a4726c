"""What an operator does to a running agent: rules, status, stop, restarts; and the sources that are not ports."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from .agent import AUDIT_RULE, FALCO_RULE, Agent, Outcome, audit_event, event_ids, event_list, falco_alert, post, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    Vedette = Callable[..., Outcome]

pytestmark = [pytest.mark.simulation, pytest.mark.timeout(60)]

OTHER_RULE = AUDIT_RULE.replace("Each audited write", "Each deletion").replace("a01", "a09").replace("create", "delete")
BROKEN_RULES = {
    "yaml": "title: [unclosed\n",
    "condition": AUDIT_RULE.replace("condition: selection", "condition: selection and nothing"),
    "modifier": AUDIT_RULE.replace("verb: create", "verb|shouts: create"),
    "no-detection": AUDIT_RULE.replace("detection:", "detektion:"),
}
RELOADED, REFUSED = "rules reloaded", "rules not reloaded; those in force stay"


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Agent]:
    agent = Agent(tmp_path, rules=AUDIT_RULE)
    await agent.start()
    yield agent
    if agent.alive:
        assert agent.end() == 0
    agent.assert_balanced()


async def write(agent: Agent, audit_id: str, verb: str) -> None:
    body = event_list([json.dumps(audit_event(audit_id, verb=verb)).encode()])
    assert (await post(agent.audit, "/k8s-audit", body)).accepted


async def matched(agent: Agent, name: str) -> set[tuple[str, str]]:
    """Which rules match a write and a deletion that are sent now."""
    await write(agent, f"{name}-create", "create")
    await write(agent, f"{name}-delete", "delete")
    await agent.settled()
    return {
        (alert["finding_info"]["title"], event_id)
        for alert in agent.alerts()
        for event_id in event_ids([alert])
        if event_id.startswith(f"{name}-")
    }


def of_first(name: str) -> set[tuple[str, str]]:
    return {("Each audited write", f"{name}-create")}


def of_other(name: str) -> set[tuple[str, str]]:
    return {("Each deletion", f"{name}-delete")}


# --- rules ------------------------------------------------------------------------------------------------------------
async def test_reload_puts_other_rules_in_force(agent: Agent, vedette: Vedette) -> None:
    assert await matched(agent, "before") == of_first("before")

    agent.rules.write_text(OTHER_RULE)
    told = await asyncio.to_thread(vedette, "reload", "--config", agent.config)

    changes = "  1 rule added: Each deletion\n  1 rule removed: Each audited write\n"
    assert (told.status, told.err) == (0, f"1 rule in force\n{changes}")
    logged = next(line for line in agent.logged() if line["message"] == RELOADED)
    assert logged["changes"]["rules_removed"] == {"count": 1, "names": ["Each audited write"]}
    assert await matched(agent, "after") == of_other("after")
    again = await asyncio.to_thread(vedette, "reload", "--config", agent.config)
    assert again.err == "1 rule in force; nothing had changed\n"
    assert agent.end() == 0
    await agent.start()
    assert await matched(agent, "restarted") == of_other("restarted")


@pytest.mark.parametrize("broken", BROKEN_RULES)
async def test_broken_rules_leave_the_former_in_force(broken: str, agent: Agent, vedette: Vedette) -> None:
    agent.rules.write_text(f"{OTHER_RULE}---\n{BROKEN_RULES[broken]}")

    told = await asyncio.to_thread(vedette, "reload", "--config", agent.config)

    assert told.status == 2
    place = told.err.removeprefix("vedette: ").removeprefix(str(agent.rules)).split(":")
    assert place[0] == "", told.err
    assert int(place[1]) > OTHER_RULE.count("\n"), told.err
    assert await matched(agent, "after") == of_first("after")
    assert REFUSED in {line["message"] for line in agent.logged()}


async def test_hangup_reloads(agent: Agent) -> None:
    assert agent.process is not None
    agent.rules.write_text(OTHER_RULE)
    agent.process.send_signal(signal.SIGHUP)
    await until(lambda: said(agent)[RELOADED] == 1)
    assert await matched(agent, "after") == of_other("after")

    agent.rules.write_text(BROKEN_RULES["yaml"])
    agent.process.send_signal(signal.SIGHUP)
    await until(lambda: said(agent)[REFUSED] == 1)
    assert await matched(agent, "still") == of_other("still")
    refused = next(line for line in agent.logged() if line["message"] == REFUSED)
    assert refused["error"].startswith(f"{agent.rules}:")


async def test_no_record_is_without_rules_while_they_change(agent: Agent, vedette: Vedette) -> None:
    """Under load, each record is looked at by the one set or the other, and each set's alerts come in one stretch."""
    agent.rules.write_text(f"{AUDIT_RULE}---{AUDIT_RULE.replace('Each', 'Again each').replace('a01', 'a08')}")
    ids: list[str] = []
    reloads = asyncio.create_task(asyncio.to_thread(vedette, "reload", "--config", agent.config))
    while not reloads.done() or len(ids) < 50:
        ids.append(f"w{len(ids)}")
        await write(agent, ids[-1], "create")
    assert (await reloads).status == 0
    await write(agent, "last", "create")

    await agent.settled()
    by_rule: dict[str, Counter[str]] = {}
    for alert in agent.alerts():
        by_rule.setdefault(alert["finding_info"]["title"], Counter()).update(event_ids([alert]))
    assert by_rule["Each audited write"] == Counter([*ids, "last"])
    later = by_rule["Again each audited write"]
    assert later == Counter([*ids[len(ids) + 1 - later.total() :], "last"])


def said(agent: Agent) -> Counter[str]:
    return Counter(line["message"] for line in agent.logged())


# --- status and stop --------------------------------------------------------------------------------------------------
async def test_status_stop_and_what_can_be_read_meanwhile(agent: Agent, vedette: Vedette) -> None:
    await matched(agent, "one")
    config = ("--config", agent.config)

    status = (await asyncio.to_thread(vedette, "status", "--format", "json", *config)).lines[0]
    assert status["rules"] == 1
    assert status["open_alerts"] == 1
    assert status["intake_failure"] is None
    assert status["urls"] == [
        f"http://127.0.0.1:{agent.audit}/k8s-audit",
        f"http://127.0.0.1:{agent.falco}/",
        f"http://127.0.0.1:{agent.falco}/intake/<format>",
    ]
    while_running = read(vedette, agent)
    stop = await asyncio.to_thread(vedette, "stop", *config)
    assert (stop.status, stop.err) == (0, "stopped\n")
    assert agent.process is not None
    assert agent.process.wait(10) == 0
    assert read(vedette, agent) == while_running
    for command in ("status", "stop", "reload"):
        told = vedette(command, *config)
        assert told.status == 3
        assert "Is `vedette run` running" in told.err


def read(vedette: Vedette, agent: Agent) -> tuple[Any, Any, Any]:
    config = ("--format", "json", "--config", agent.config)
    ledger, alerts = vedette("ledger", "--recompute", *config), vedette("alerts", "list", *config)
    assert (ledger.status, alerts.status) == (0, 0)
    shown = vedette("alerts", "show", alerts.lines[0]["alert_id"], *config)
    sources = [source for source in ledger.lines[0]["sources"] if source["received"]]
    return sources, alerts.lines, shown.lines


# --- the data folder --------------------------------------------------------------------------------------------------
async def test_a_second_agent_is_refused(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    second = Agent(tmp_path / "second", data_dir=agent.settings["data_dir"])
    told = second.run("run")
    assert told.status == 2
    assert told.err == (
        f"vedette: another Vedette is running on {agent.settings['data_dir']}."
        " Stop it, or give this one its own --data-dir\n"
    )
    assert await matched(agent, "unharmed") == of_first("unharmed")


async def test_a_folder_of_a_newer_format_is_refused(agent: Agent) -> None:
    await matched(agent, "one")
    assert agent.end() == 0
    stamp = agent.data.path / "VERSION"
    ours = stamp.read_text()
    stamp.write_text(json.dumps({"format": json.loads(ours)["format"] + 1}))
    before = content(agent.data.path)

    for command in (["run"], ["status"], ["ledger"], ["dead-letters", "list"]):
        told = agent.run(*command)
        assert told.status == 2, told
        assert "newer Vedette" in told.err
    assert content(agent.data.path) == before
    stamp.write_text(ours)
    await agent.start()
    assert await matched(agent, "two") == of_first("two")


def content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


# --- other sources ----------------------------------------------------------------------------------------------------
async def test_standard_input_to_its_end(tmp_path: Path) -> None:
    """`falco | vedette run`: everything is detected, and the agent ends with its input."""
    agent = Agent(tmp_path, rules=FALCO_RULE, sources={"falco": {"stdin": {"format": "falco"}}})
    await agent.start(stdin=subprocess.PIPE)
    assert agent.process is not None
    assert agent.process.stdin is not None
    ids = [f"line-{number}" for number in range(3_000)]
    lines = [json.dumps(falco_alert("A shell", uuid=uuid)) for uuid in ids]
    lines[7:7] = ["no JSON", ""]

    agent.process.stdin.write("\n".join(lines).encode())  # the last one without a line end
    agent.process.stdin.close()

    assert await asyncio.to_thread(agent.process.wait) == 0
    each = [alert for alert in agent.alerts() if alert["finding_info"]["title"] == "Each Falco alert"]
    assert event_ids(each) == Counter(ids)
    agent.assert_balanced()
    letters = agent.run("dead-letters", "list", "--format", "json").lines
    assert [(letter["reason"], letter["record"]) for letter in letters] == [("not a JSON object", 8)]


async def test_files_are_followed_through_restarts(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    # The pattern names rotated files too: one that is renamed while nobody runs can only be found by its name.
    source = {"files": {"paths": [f"{log}*"], "format": "kube_audit", "poll_interval_s": 0.1}}
    agent = Agent(tmp_path, rules=AUDIT_RULE, sources={"audit": source})
    names = iter(range(10**6))
    ids: list[str] = []

    def grow(count: int) -> None:
        fresh = [f"line-{next(names)}" for _ in range(count)]
        with log.open("a") as file:
            file.writelines(json.dumps(audit_event(audit_id)) + "\n" for audit_id in fresh)
        ids.extend(fresh)

    async def caught_up() -> None:
        await until(lambda: agent.received() == len(ids))
        await agent.settled()

    grow(100)
    await agent.start()
    await caught_up()
    grow(100)
    assert agent.end() == 0
    grow(100)
    await agent.start()
    await caught_up()
    grow(100)
    agent.kill()
    log.rename(tmp_path / "audit.log.1")
    grow(100)
    await agent.start()
    await caught_up()
    assert agent.end() == 0
    assert event_ids(agent.alerts()) == Counter(ids)
    agent.assert_balanced()
