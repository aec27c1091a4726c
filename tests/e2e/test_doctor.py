"""`vedette doctor` beside a real agent, and after it."""

from __future__ import annotations

import json
from pathlib import Path

from .agent import Agent, audit_event, event_list, free_port, post


async def test_beside_a_running_agent_it_asks_and_afterwards_it_tries(tmp_path: Path) -> None:
    agent = Agent(tmp_path, metrics={"listen": f"127.0.0.1:{free_port()}"}, journal={"keep_bytes": 1_048_576})
    await agent.start()
    event = json.dumps(audit_event("one")).encode()
    assert (await post(agent.audit, "/k8s-audit", event_list([event, b'{"kind":"none"}']))).accepted
    await agent.settled()
    running = agent.run("doctor", "--format", "json")
    assert (running.status, running.err) == (0, "")
    said = {(line["component"], line["what"]) for line in running.lines}
    assert ("sources.audit", f"reach the agent at 127.0.0.1:{agent.audit}") in said
    assert ("metrics", f"reach the agent at {agent.settings['metrics']['listen']}") in said
    assert ("sinks.store", "deliveries: 1 delivered, 0 waiting") in said
    assert any(what.startswith("records that could not be used: ") for _, what in said)
    assert agent.end() == 0

    stopped = agent.run("doctor")
    assert (stopped.status, stopped.err) == (0, "")
    assert "agent\n  ok       none is running on this folder\n" in stopped.out
    assert f"sources.audit\n  ok       listen on 127.0.0.1:{agent.audit}\n" in stopped.out


async def test_a_changed_configuration_shows_beside_the_agent_that_has_the_former_one(tmp_path: Path) -> None:
    agent = Agent(tmp_path, journal={"keep_bytes": 1_048_576})
    await agent.start()
    agent.settings["sources"]["falco"]["http"]["listen"] = f"127.0.0.1:{free_port()}"
    agent.configure()
    told = agent.run("doctor", "--format", "json")
    assert told.status == 1
    (problem,) = [line for line in told.lines if not line["ok"]]
    assert (problem["component"], problem["problem"]) == ("sources.falco", "no connection: Connection refused")
    assert "restart the agent" in problem["remedy"]
    assert agent.end() == 0
