"""Rules in Falco's language on a running agent: found, reloaded all or none, and kept over a restart."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from .agent import Agent, Outcome, audit_event, event_ids, event_list, falco_alert, post

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Vedette = Callable[..., Outcome]

pytestmark = [pytest.mark.simulation, pytest.mark.timeout(60)]

RULES = """
- macro: kcreate
  condition: ka.verb = create
- rule: Written By Falco's Rule
  desc: A write
  condition: kcreate and not ka.user.name startswith "system:"
  output: write
  priority: CRITICAL
  source: k8s_audit
  tags: [T1609]
- rule: Any Write
  desc: A write
  condition: kcreate
  output: write
  priority: NOTICE
  source: k8s_audit
- rule: Shell In A Container
  desc: What a real Falco reports
  condition: evt.type = execve and proc.name = bash
  output: shell
  priority: NOTICE
"""
APPENDED = """
- rule: Any Write
  condition: and ka.verb = never
  override: {condition: append}
"""
BROKEN = """
- rule: Any Write
  condition: and ka.nope = 1
  override: {condition: append}
"""


async def titles(agent: Agent, name: str) -> set[str]:
    """Return which rules match a write that is sent now, by somebody else each time: alerts roll up by user."""
    body = event_list([json.dumps(audit_event(name, verb="create", user={"username": name})).encode()])
    assert (await post(agent.audit, "/k8s-audit", body)).accepted
    await agent.settled()
    return {alert["finding_info"]["title"] for alert in found(agent, name)}


def found(agent: Agent, name: str) -> list[dict[str, Any]]:
    return [alert for alert in agent.alerts() if name in event_ids([alert])]


async def test_falco_rules_run_and_are_reloaded(tmp_path: Path, vedette: Vedette) -> None:
    agent = Agent(tmp_path, rules=RULES)
    await agent.start()
    assert await titles(agent, "before") == {"Written By Falco's Rule", "Any Write"}
    alert = next(each for each in found(agent, "before") if each["severity"] == "Critical")
    assert alert["finding_info"]["analytic"]["uid"] == "falco:Written By Falco's Rule"
    assert {clause["field"] for clause in alert["unmapped"]["explanation"]} == {"ka.verb", "ka.user.name"}

    agent.rules.write_text(RULES + BROKEN)
    refused = await asyncio.to_thread(vedette, "reload", "--config", agent.config)
    assert refused.status == 2
    assert refused.err.startswith(f"vedette: {agent.rules}:{RULES.count(chr(10)) + 3}:")
    assert "ka.nope" in refused.err

    agent.rules.write_text(RULES + APPENDED)
    taken = await asyncio.to_thread(vedette, "reload", "--config", agent.config)
    assert taken.status == 0
    assert agent.end() == 0
    await agent.start()
    assert (
        await post(agent.falco, "/", json.dumps(falco_alert("shell", rule="Shell In A Container")).encode())
    ).accepted
    assert await titles(agent, "after") == {"Written By Falco's Rule"}
    assert agent.end() == 0
    agent.assert_balanced()
