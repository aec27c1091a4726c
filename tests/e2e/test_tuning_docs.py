"""The commands of docs/rules/tuning.md do what the page says, against a running agent."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from .agent import Agent, audit_event, event_list, post

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PAGE = (Path(__file__).parents[2] / "docs/rules/tuning.md").read_text(encoding="utf-8")
SNIPPETS = dict(re.findall(r"^```(?:yaml|sh) (\S+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
BACKUP = "system:serviceaccount:backup:runner"

pytestmark = [pytest.mark.simulation, pytest.mark.timeout(180)]


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Agent]:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "exec.yml").write_text(SNIPPETS["rules/exec.yml"])
    agent = Agent(tmp_path, rules="")
    agent.settings |= yaml.safe_load(SNIPPETS["vedette.yaml"])
    agent.configure()
    await agent.start()
    yield agent
    if agent.alive:
        assert agent.end() == 0
    agent.assert_balanced()


def type_(agent: Agent, snippet: str) -> subprocess.CompletedProcess[str]:
    """Type a snippet into a shell, as a reader of the page would."""
    (agent.folder / "bin").mkdir(exist_ok=True)
    vedette = agent.folder / "bin" / "vedette"
    vedette.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m vedette "$@"\n')
    vedette.chmod(0o755)
    path = f"{vedette.parent}:{os.environ['PATH']}"
    environment = {**agent.environment, "PATH": path, "VEDETTE_CONFIG": str(agent.config)}
    done = subprocess.run(
        ["/bin/sh", "-e"], input=SNIPPETS[snippet], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


async def exec_into(agent: Agent, audit_id: str, user: str, pod: str = "cart-0") -> None:
    target = {"resource": "pods", "subresource": "exec", "namespace": "payment", "name": pod}
    event = audit_event(audit_id, user={"username": user}, verb="create", objectRef=target)
    assert (await post(agent.audit, "/k8s-audit", event_list([json.dumps(event).encode()]))).accepted
    await agent.settled()


def listed(agent: Agent, *command: str) -> list[dict[str, Any]]:
    return agent.run(*command, "--format", "json").lines


async def test_the_page(agent: Agent) -> None:
    rules = agent.folder / "rules"
    await exec_into(agent, "one", BACKUP)
    await exec_into(agent, "two", "ann")
    assert {alert["finding_info"]["title"] for alert in agent.alerts()} == {"Exec into a pod of the payment namespace"}

    tried = await asyncio.to_thread(type_, agent, "try")
    assert "It would have hidden 1 of 2 alerts of this rule" in tried.stderr
    assert "Nothing was written" in tried.stderr
    assert [file.name for file in rules.iterdir()] == ["exec.yml"]

    added = await asyncio.to_thread(type_, agent, "add")
    assert (
        "  1 exception added: Exec into a pod of the payment namespace: system:serviceaccount:backup:runner"
        in added.stderr
    )
    written = yaml.safe_load(next(rules.glob("exception-*.yml")).read_text())
    last_day = datetime.now(UTC).date() + timedelta(days=90)
    assert written["vedette"] == {
        "owner": "platform team",
        "ticket": "SEC-123",
        "reason": "the nightly backup calls pg_dump",
        "expires": last_day.isoformat(),
    }
    assert listed(agent, "exceptions", "list")[0]["state"] == "never hit"

    before = {alert["unmapped"]["alert_id"]: alert["count"] for alert in agent.alerts()}
    await exec_into(agent, "three", BACKUP, "cart-1")
    assert {alert["unmapped"]["alert_id"]: alert["count"] for alert in agent.alerts()} == before
    shown = await asyncio.to_thread(type_, agent, "list")
    assert re.search(r"platform team +SEC-123 .* 1 .* active", shown.stdout)
    (exception,) = listed(agent, "exceptions", "list")
    assert (exception["hits"], exception["rules"][0]["title"]) == (1, "Exec into a pod of the payment namespace")

    shadow = await asyncio.to_thread(type_, agent, "shadow")
    assert re.search(r"^low +Any exec .* 3 +2 ", shadow.stdout, re.MULTILINE)

    expired = await asyncio.to_thread(type_, agent, "expire")
    assert "holds until the end of" in expired.stderr
    (exception,) = listed(agent, "exceptions", "list")
    assert (exception["expires"], exception["state"]) == (datetime.now(UTC).date().isoformat(), "active")

    agent.settings["rules"]["shadow"] = []
    agent.configure()
    reloaded = await asyncio.to_thread(type_, agent, "reload")
    assert reloaded.stderr.count("  1 name out of shadow: Any exec") == 2, "a trial changes nothing"
    logged = [line for line in agent.logged() if line["message"] == "rules reloaded"]
    assert logged[-1]["changes"] == {"shadow_removed": {"count": 1, "names": ["Any exec"]}}
    await exec_into(agent, "four", "bob")
    assert "Any exec" in {alert["finding_info"]["title"] for alert in agent.alerts()}

    hits = listed(agent, "exceptions", "list")[0]["hits"]
    agent.kill()
    await agent.start()
    assert listed(agent, "exceptions", "list")[0]["hits"] == hits, "counts survive a crash"


async def test_what_the_agent_refuses_is_not_kept(agent: Agent) -> None:
    """A rule file that broke in the meantime: the exception is refused with its reason, and no file stays."""
    rules = agent.folder / "rules"
    (rules / "broken.yml").write_text("title: [")
    command = (
        "exceptions",
        "add",
        "Any exec",
        "--field",
        "verb=x",
        "--owner",
        "me",
        "--reason",
        "r",
        "--expires",
        "9d",
    )
    told = agent.run(*command, "--yes")
    assert told.status == 2
    assert "broken.yml:" in told.err
    assert sorted(file.name for file in rules.iterdir()) == ["broken.yml", "exec.yml"]
