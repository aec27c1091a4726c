"""Profiles, as an operator sees and decides them: with the running agent, through restarts, and from what it left."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from vedette.schema.limits import SECOND_NS
from vedette.testing.simulator.falco import Program, make_box, program_started

from .agent import Agent, post

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

HOUR_NS: Final = 3_600 * SECOND_NS
DAYS: Final = 6
HOSTILE: Final = "/tmp/\x1b]0;owned\x07\u202e<script>"
RULE: Final = """
title: Program outside
id: 5c9f5a3e-3d0c-4a50-8a55-8f1c70a0c0a1
level: medium
logsource: {product: vedette, category: process}
detection: {programs: {workload|re: .}, condition: programs}
behaviour: {type: profile, aspect: programs}
"""

pytestmark = [pytest.mark.simulation, pytest.mark.timeout(180)]


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Agent]:
    agent = Agent(tmp_path, rules=RULE)
    await agent.start()
    yield agent
    if agent.alive:
        assert agent.end() == 0
    agent.assert_balanced()


async def run_program(agent: Agent, hour: int, program: str, parent: str = "node") -> None:
    """Let a container run a program, `hour` hours after the first of March."""
    image = ("registry.example.com/shop/cart", "1.0", "sha256:aa")
    box = make_box("node-1", "0123456789ab", "cart", image, ("shop", "cart-7d9f8b6c5-x2x4z"), "node:1000")
    time_ns = 1_772_323_200 * SECOND_NS + hour * HOUR_NS
    emission = program_started(box, time_ns, Program("/bin/x", "x", parent))
    record = json.loads(emission.payload)
    record["output_fields"]["proc.exepath"] = program
    reply = await post(agent.falco, "/", json.dumps(record).encode())
    assert reply.accepted


async def learned(agent: Agent) -> dict[str, Any]:
    """Let a profile of programs be learned; return it as `list` has it."""
    for hour in range(24 * DAYS):
        await run_program(agent, hour, "/usr/bin/node", "containerd-shim")
    await agent.settled()
    (one,) = agent.run("profiles", "list", "--aspect", "programs", "--format", "json").lines
    return one


def alerts(agent: Agent) -> list[str]:
    return [row["message"] for row in agent.run("alerts", "list", "--format", "json").lines]


async def test_a_locked_profile_tells_what_is_outside_and_stays_locked_through_a_restart(agent: Agent) -> None:
    one = await learned(agent)
    assert (one["kind"], one["names"], one["state"]) == (
        "container",
        ["shop", "Deployment", "cart", "cart"],
        "proposed",
    )
    locked = agent.run("profiles", "lock", one["profile_id"][:8], "--analyst", "ann\x1b[31m")
    assert (locked.status, locked.err) == (0, "")
    await run_program(agent, 24 * DAYS, HOSTILE)
    await agent.settled()
    assert len([message for message in alerts(agent) if message.startswith("Program outside: ")]) == 1
    assert agent.end() == 0
    left = agent.run("profiles", "show", one["profile_id"])  # nobody runs: the checkpoint says it
    assert (left.status, left.err) == (0, "")
    assert "\x1b" not in left.out
    assert "\u202e" not in left.out
    assert "locked" in left.out
    assert "outside" in left.out
    await agent.start()
    (shown,) = agent.run("profiles", "show", one["profile_id"], "--format", "json").lines
    assert [value["parts"][0] for value in shown["values"]] == ["/usr/bin/node"]
    assert (shown["state"], shown["locked_by"], shown["outside_count"]) == ("locked", "ann\x1b[31m", 1)


async def test_an_export_is_compared_forgotten_and_taken_in_again(agent: Agent, tmp_path: Path) -> None:
    one = await learned(agent)
    file = tmp_path / "shop.json"
    assert agent.run("profiles", "export", "--name", "shop", "--aspect", "programs", "--file", str(file)).status == 0
    same = agent.run("profiles", "diff", str(file))
    assert same.status == 0
    await run_program(agent, 24 * DAYS, "/usr/bin/curl")
    await agent.settled()
    differs = agent.run("profiles", "diff", str(file), "--format", "json")
    assert (differs.status, [(each["change"], each["parts"]) for each in differs.lines]) == (
        1,
        [("outside", ["/usr/bin/curl", "node"])],
    )
    assert agent.run("profiles", "forget", one["profile_id"]).status == 0
    (forgotten,) = agent.run("profiles", "list", "--aspect", "programs", "--format", "json").lines
    assert (forgotten["state"], forgotten["values"]) == ("learning", 0)
    taken = agent.run("profiles", "import", str(file))
    assert (taken.status, taken.out) == (0, "1 profile imported\n")
    (again,) = agent.run("profiles", "list", "--aspect", "programs", "--format", "json").lines
    assert (again["profile_id"], again["state"], again["values"]) == (one["profile_id"], "proposed", one["values"])
    assert not list(agent.data.path.glob("*.import"))


async def test_what_is_no_export_or_no_profile_is_refused(agent: Agent, tmp_path: Path) -> None:
    one = await learned(agent)
    file = tmp_path / "shop.json"
    agent.run("profiles", "export", one["profile_id"], "--file", str(file))
    file.write_text(file.read_text().replace("/usr/bin/node", "/usr/bin/evil"))
    changed = agent.run("profiles", "import", str(file))
    assert (changed.status, "checksum" in changed.err) == (2, True)
    nobody = agent.run("profiles", "lock", "ffffffffffff")
    assert (nobody.status, "names no profile" in nobody.err) == (2, True)
    assert agent.end() == 0
    stopped = agent.run("profiles", "lock", one["profile_id"])
    assert stopped.status == 3
