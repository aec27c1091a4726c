"""Roles and policies of what a real agent learned of a simulated cluster, held against its archive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from detectors.packs import shipped_pack_texts
from vedette.testing.simulator import Simulation, SimulationConfig

from .agent import Agent
from .test_behaviour_kill import requests_of, send

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = SimulationConfig(pods=12, days=1, seed=43, learning_days=0)

pytestmark = [pytest.mark.simulation, pytest.mark.timeout(300)]


def permissions_of(agent: Agent, *command: str) -> tuple[int, list[dict[str, Any]], str]:
    done = agent.run("profiles", *command)
    assert done.status in (0, 1), done.err
    return done.status, list(yaml.safe_load_all(done.out)), done.out


async def test_what_was_learned_becomes_permissions(tmp_path: Path) -> None:
    rules = "\n---\n".join(text.text for text in shipped_pack_texts() if text.pack == "behaviour")
    agent = Agent(tmp_path, rules=rules)
    await agent.start()
    await send(agent, requests_of(Simulation(CONFIG)))
    await agent.settled()

    listed = agent.run("profiles", "list", "--aspect", "calls", "--kind", "service_account", "--format", "json").lines
    busiest = max(listed, key=lambda one: one["values"])["names"][0]
    status, documents, text = permissions_of(agent, "role", busiest)
    assert {document["kind"] for document in documents} <= {"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}
    assert all(rule["verbs"] for document in documents for rule in document.get("rules", []))
    assert status == 0, "all that it did is in the archive, and allowed"
    assert "0 of" in text.split("Dry run over the archive")[1]
    assert "# Made by Vedette of the profile of the service account system:serviceaccount:" in text

    peers = agent.run("profiles", "list", "--aspect", "peers", "--kind", "workload", "--format", "json").lines
    namespace, workload = max(peers, key=lambda one: one["values"])["names"]
    _, (policy,), text = permissions_of(
        agent, "network-policy", f"{namespace}/{workload}", "--label", "app.kubernetes.io/name"
    )
    assert policy["spec"]["podSelector"] == {"matchLabels": {"app.kubernetes.io/name": workload}}
    assert len(policy["spec"]["egress"]) > 1
    assert "Dry run over the archive" in text

    assert agent.end() == 0
    again = permissions_of(agent, "role", busiest)
    assert (again[0], again[1]) == (status, documents), "without a running agent, of what it left"
    missing = agent.run("profiles", "role", "shop/nobody")
    assert missing.status == 2
    assert "nothing was learned of" in missing.err
