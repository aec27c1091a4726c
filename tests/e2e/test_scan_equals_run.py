"""`vedette scan` over a file finds what the agent finds when it is sent the same records."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from detectors.packs import shipped_pack_texts

from .agent import AUDIT_RULE, VEDETTE, Agent, event_list, post, run

RECORDED = Path(__file__).parents[3] / "shared/kube-audit/A/audit.jsonl.gz"
BATCH = 400
CONNECTIONS = 3

pytestmark = [pytest.mark.simulation, pytest.mark.timeout(180)]


def rules() -> str:
    """All shipped rules and one that matches much, each with an alert for every event of its own.

    Correlations are left out: they go by the order of arrival in the one, and by event time in the other.
    """
    texts = [
        text.text for text in shipped_pack_texts() if text.pack != "behaviour"
    ]  # no file is a stream to learn from
    shipped = [document for text in texts for document in yaml.safe_load_all(text)]
    alone = {"dedup_by": ["@event"], "dedup_as": ""}
    singly = [each | {"vedette": each.get("vedette", {}) | alone} for each in shipped if "detection" in each]
    lists = [each for each in shipped if "transformations" in each]
    return yaml.safe_dump_all(singly + lists) + "---" + AUDIT_RULE


async def send(agent: Agent, records: list[bytes]) -> None:
    batches = [event_list(records[at : at + BATCH]) for at in range(0, len(records), BATCH)]

    async def client() -> None:
        while batches:
            assert (await post(agent.audit, "/k8s-audit?timeout=30s", batches.pop())).accepted

    async with asyncio.TaskGroup() as clients:
        for _ in range(CONNECTIONS):
            clients.create_task(client())


def explained(clauses: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """An alert has values as text, so that its keys have one type each."""
    return [(clause["where"], clause["test"], clause["path"], as_text(clause["value"])) for clause in clauses]


def as_text(value: Any) -> Any:
    return value if value is None or isinstance(value, str) else json.dumps(value)


async def test_scan_finds_what_the_agent_finds(tmp_path: Path) -> None:
    if not RECORDED.exists():
        pytest.skip("no ../shared beside the repository, so no recorded audit log to read")
    agent = Agent(tmp_path, rules=rules())
    records = gzip.decompress(RECORDED.read_bytes()).splitlines()
    await agent.start()

    scan = [*VEDETTE, "scan", "--no-default-rules", "--rules", agent.rules, "--format", "json", RECORDED]
    scanning = asyncio.create_task(asyncio.to_thread(run, scan))
    await send(agent, records)
    scanned = await scanning
    await agent.settled()

    assert scanned.status == 0
    by_scan = {(found["rule_id"], found["event_uids"][0]): found for found in scanned.lines}
    alerts = agent.alerts()
    by_agent = {(alert["unmapped"]["rule"]["id"], alert["evidences"][0]["data"]["uid"]): alert for alert in alerts}
    assert len(by_scan) == len(scanned.lines) == len(alerts) > len(records) / 10
    assert Counter(rule for rule, _ in by_scan) == Counter(rule for rule, _ in by_agent)
    assert by_scan.keys() == by_agent.keys()
    for pair, found in by_scan.items():
        alert = by_agent[pair]
        assert found["event_ids"] == alert["evidences"][0]["data"]["event_ids"]
        assert explained(found["explanation"]) == explained(alert["unmapped"]["explanation"])
    assert agent.end() == 0
    agent.assert_balanced()
