"""The dashboards: the committed ones are those that are generated, and no query of the sample day comes back empty.

The recording rules are asked besides, and no alert fires on a day on which all goes well for Vedette itself.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from tests.e2e.agent import POLL_S, Agent, free_port
from tests.servers.fixtures import StartPrometheus
from tests.servers.prometheus import Prometheus
from tests.vedette.app.metrics.budget import described
from tools.grafana.generate import DASHBOARDS, FOLDER, render
from vedette.app.sample_day.day import CLUSTER
from vedette.app.sample_day.player import Player

EXCEPTION: Final = """
title: The back door is known
logsource: {product: kubernetes, service: audit}
filter:
  rules: [7f38868a-0889-4798-bcf1-ce52fbface36]  # Secrets Listed Across All Namespaces
  admin: {user.username: kubernetes-admin}
  condition: not admin
vedette: {owner: tests, reason: the dashboards show exceptions, expires: 2099-12-31}
"""
SHADOW: Final = "Own Permissions Listed"
RULES: Final = FOLDER.parent / "prometheus"
RECORDS: Final = re.findall(r"- record: (\S+)", (RULES / "recording.rules.yml").read_text("utf-8"))
INTERVAL: Final = "5m"
"""What Grafana's intervals stand for here: longer than the test, so that all of the day lies within."""
ANSWERED_S: Final = 5.0
PARTS: Final = re.compile(r"_(bucket|sum|count)$")


class Asked(NamedTuple):
    """A query, and who asks it."""

    board: str
    panel: str
    expression: str


def board(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / name).read_text("utf-8"))
    return found


def panels(name: str) -> list[dict[str, Any]]:
    return [panel for panel in board(name)["panels"] if panel["type"] != "row"]


def queries() -> Iterator[Asked]:
    for name in DASHBOARDS:
        for panel in panels(name):
            yield from (Asked(name, panel["title"], target["expr"]) for target in panel["targets"])
        for variable in board(name)["templating"]["list"]:
            if found := re.fullmatch(r"label_values\((.+), (\w+)\)", variable.get("query", "")):
                yield Asked(name, f"variable {variable['name']}", f"count by ({found[2]}) ({found[1]})")


QUERIES: Final = list(queries())


def filled(expression: str) -> str:
    """Fill in what Grafana fills in."""
    expression = re.sub(r"\$__(rate_interval|range|interval)", INTERVAL, expression)
    return re.sub(r"\$\w+", ".*", expression)


# --- what is committed ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", DASHBOARDS)
def test_the_committed_dashboard_is_the_generated_one(name: str) -> None:
    """Write it anew with `python -m tools.grafana.generate`."""
    assert (FOLDER / name).read_text("utf-8") == render(DASHBOARDS[name])


def test_no_dashboard_is_left_over() -> None:
    assert {path.name for path in FOLDER.glob("*.json")} == set(DASHBOARDS)
    assert len({board(name)["uid"] for name in DASHBOARDS}) == len(DASHBOARDS)


@pytest.mark.parametrize("name", DASHBOARDS)
def test_each_panel_says_what_it_shows_and_of_which_agents(name: str) -> None:
    titles = [panel["title"] for panel in panels(name)]
    assert len(set(titles)) == len(titles)
    for panel in panels(name):
        assert panel["description"], panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        for target in panel["targets"]:
            assert 'job=~"$job", instance=~"$instance"' in target["expr"], panel["title"]


@pytest.mark.parametrize("asked", QUERIES, ids=lambda asked: f"{asked.board} {asked.panel}")
def test_a_query_asks_for_metrics_that_the_docs_describe(asked: Asked) -> None:
    used = set(re.findall(r"\b(?:vedette|process|python)_\w+", asked.expression))
    assert used
    unknown = {name for name in used if name not in described() and PARTS.sub("", name) not in described()}
    assert {name for name in unknown if not name.startswith("process_")} == set()


# --- against a real Prometheus ----------------------------------------------------------------------------------------
@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Agent]:
    """An agent with correlations, a rule in shadow and an exception, so that there is something to draw of each."""
    made = Agent(tmp_path, rules=EXCEPTION, metrics={"listen": f"127.0.0.1:{free_port()}"}, cluster=CLUSTER)
    packs = ["starter", "chains", "flow", "falco"]
    made.settings["rules"] = {"packs": packs, "paths": [str(made.rules)], "shadow": [SHADOW]}
    made.configure()
    await made.start()
    yield made
    made.kill()


async def answer(server: Prometheus, expression: str) -> list[float]:
    """The values of an answer that Grafana would draw."""
    found = await asyncio.to_thread(server.query, expression)
    return [one.value for one in found if math.isfinite(one.value)]


async def until(server: Prometheus, expression: str) -> None:
    """Wait for an answer that is not empty; the test's timeout bounds it."""
    while not await answer(server, expression):  # noqa: ASYNC110 - in another process
        await asyncio.sleep(POLL_S)


@pytest.mark.server
@pytest.mark.timeout(180)
async def test_no_query_of_the_sample_day_comes_back_empty(agent: Agent, prometheus: StartPrometheus) -> None:
    rules = [str(path) for path in RULES.glob("*.rules.yml")]
    server = prometheus({"vedette": [agent.settings["metrics"]["listen"]]}, rule_files=rules)
    await until(server, 'up{job="vedette"} == 1')  # a rate needs samples from before the day
    falco, audit = (f"http://127.0.0.1:{port}" for port in (agent.falco, agent.audit))
    day = await Player([f"{falco}/", f"{falco}/intake/<format>", f"{audit}/k8s-audit"]).play(play_s=2)
    await agent.settled()
    await until(server, f"sum(vedette_records_processed_total) == {len(day.records)}")

    empty: list[str] = []
    for asked in (*QUERIES, *(Asked("recording rules", name, name) for name in RECORDS)):
        try:
            async with asyncio.timeout(ANSWERED_S):  # some counters are told once a second
                await until(server, filled(asked.expression))
        except TimeoutError:
            empty.append(f"{asked.board}: {asked.panel}: {filled(asked.expression)}")
    assert empty == []
    assert await answer(server, filled("sum(vedette_no_such_metric{job=~'$job'})")) == [], "this test can fail"
    assert await answer(server, 'ALERTS{alertstate="firing"}') == []
    (alerts,) = (asked for asked in QUERIES if (asked.board, asked.panel) == ("detections.json", "Alerts"))
    drawn = await answer(server, filled(alerts.expression))
    assert drawn == [len(agent.alerts())], "the first alert of each rule counts, too"
