"""A real Prometheus scrapes a real agent; promtool takes the page, and the rules and queries of the docs."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import yaml

from tests.e2e.agent import POLL_S, Agent, audit_event, event_list, falco_alert, free_port, post

from .fixtures import StartPrometheus
from .prometheus import Prometheus, promtool

pytestmark = [pytest.mark.server, pytest.mark.timeout(180)]
ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs" / "metrics.md"
HOSTILE_RULE = r"""
---
title: "Quoted \"title\", back\\slash, \u202e and\nbreak"
id: 0f6f1a52-2c29-4f7c-8c61-5b8a5d3f1a09
logsource: {product: falco}
detection: {selection: {rule: "never"}, condition: selection}
level: low
"""


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Agent]:
    made = Agent(tmp_path, metrics={"listen": f"127.0.0.1:{free_port()}"})
    made.rules.write_text(made.rules.read_text() + HOSTILE_RULE)
    await made.start()
    events = [json.dumps(audit_event(f"id {number}")).encode() for number in range(20)]
    assert (await post(made.audit, "/k8s-audit", event_list(events))).accepted
    assert (await post(made.falco, "/", json.dumps(falco_alert("one")).encode())).accepted
    await made.settled()
    yield made
    made.kill()


def block(language: str, start: str, page: Path = DOCS) -> str:
    """The block of the docs that begins so."""
    blocks: list[str] = re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    (found,) = [text for text in blocks if text.startswith(start)]
    return found


async def until(server: Prometheus, promql: str, values: dict[str, float], label: str) -> None:
    """Wait until a query answers these values, by one label."""
    found: dict[str, float] = {}
    try:
        async with asyncio.timeout(60):
            while found != values:
                await asyncio.sleep(POLL_S)
                series = await asyncio.to_thread(server.query, promql)
                found = {one.labels.get(label, ""): one.value for one in series}
    except TimeoutError:
        pytest.fail(f"{promql} answers {found}, not {values}")


async def test_prometheus_has_the_numbers_of_the_ledger(agent: Agent, prometheus: StartPrometheus) -> None:
    listen = agent.settings["metrics"]["listen"]
    server = prometheus({"vedette": [listen]})
    await until(server, 'up{job="vedette"}', {"vedette": 1}, "job")
    (ledger,) = agent.run("ledger", "--format", "json").lines
    for name in ("received_total", "duplicate_total", "processed_total", "filtered_total", "dead_lettered_total"):
        expected = {row["source"]: row[name.removesuffix("_total")] for row in ledger["sources"]}
        await until(server, f"vedette_records_{name}", expected, "source")
    await until(server, "sum(vedette_alerts_opened_total)", {"": len(agent.alerts())}, "")
    await until(server, "sum by (sink) (vedette_deliveries_waiting)", {"store": 0}, "sink")
    await until(server, 'vedette_rule_info{title=~"Quoted .title., back.*"}', {"low": 1}, "level")
    (target,) = server.targets()
    assert (target["health"], target["lastError"]) == ("up", "")
    for query in block("promql", "sum by (level)").splitlines():
        await asyncio.to_thread(server.query, query)


async def test_promtool_takes_the_page(agent: Agent) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        page = (await client.get(f"http://{agent.settings['metrics']['listen']}/metrics")).text
    checked = await asyncio.to_thread(promtool, "check", "metrics", text=page)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("page", "start"),
    [
        pytest.param("docs/metrics.md", "scrape_configs:", id="metrics"),
        pytest.param("deploy/prometheus/README.md", "rule_files:", id="rules"),
    ],
)
async def test_promtool_takes_the_configuration_of_the_docs(page: str, start: str, tmp_path: Path) -> None:
    config = yaml.safe_load(block("yaml", start, ROOT / page))
    config["scrape_configs"][0].pop("authorization", None)
    config["rule_files"] = [str(ROOT / "deploy" / "prometheus" / name) for name in config.get("rule_files", [])]
    written = tmp_path / "prometheus.yml"
    written.write_text(json.dumps(config))
    checked = await asyncio.to_thread(promtool, "check", "config", written)
    assert checked.returncode == 0, checked.stderr
