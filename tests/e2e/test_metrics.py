"""The metrics of a real agent: the ledger's numbers, also after a kill, and no series that an attacker makes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.vedette.app.metrics.budget import counted as series_of
from tests.vedette.app.metrics.budget import series_max
from vedette.app.ledger import read_ledger

from .agent import POLL_S, Agent, audit_event, event_list, falco_alert, post

HOSTILE = '"}\n\\ \x1b[2J\u202e vedette_up{x="'


def metrics_url(agent: Agent) -> str:
    (urls,) = [line["urls"] for line in agent.logged() if line["message"] == "Taking scrapes"][-1:]
    url: str = urls[0]
    return url


async def scrape(agent: Agent) -> list[Sample]:
    """All series, as soon as the page (good for a second) shows what the journal holds."""
    done = sum(source.processed + source.dead_lettered for source in read_ledger(agent.data).sources)
    async with httpx.AsyncClient(trust_env=False, verify=False) as client:
        while True:
            found = parsed((await client.get(metrics_url(agent))).text)
            if total(found) >= done:
                return found
            await asyncio.sleep(POLL_S)


def parsed(page: str) -> list[Sample]:
    return [sample for family in text_string_to_metric_families(page) for sample in family.samples]


def total(samples: Sequence[Sample]) -> float:
    done = ("vedette_records_processed_total", "vedette_records_dead_lettered_total")
    return sum(sample.value for sample in samples if sample.name in done)


def series(samples: Sequence[Sample]) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    return {(sample.name, tuple(sorted(sample.labels.items()))) for sample in samples}


def counted(samples: Sequence[Sample], prefix: str, label: str) -> dict[str, dict[str, float]]:
    """Values below a prefix, by a label's value and the rest of the name, as the ledger has them."""
    found: dict[str, dict[str, float]] = {}
    for sample in samples:
        if sample.name.startswith(prefix) and set(sample.labels) == {label} and "seconds" not in sample.name:
            name = sample.name.removeprefix(prefix).removesuffix("_total")
            found.setdefault(sample.labels[label], {})[name] = sample.value
    return found


def ledger(agent: Agent) -> dict[str, Any]:
    (found,) = agent.run("ledger", "--format", "json").lines
    return found


async def scrape_like_the_ledger(agent: Agent) -> list[Sample]:
    """Scrape until the page says what `vedette ledger` says: alerts are revised, and delivered, as time goes by."""
    while True:
        samples, accounts = await scrape(agent), ledger(agent)
        assert accounts["balanced"]
        beside = {"source", "delivery", "missing", "losses", "log"}
        expected = {
            row.get("source") or row["delivery"]: {name: row[name] for name in row.keys() - beside}
            for row in (*accounts["sources"], *accounts["deliveries"])
        }
        found = {**counted(samples, "vedette_records_", "source"), **counted(samples, "vedette_deliveries_", "sink")}
        if found == expected:
            return samples


async def send(agent: Agent, number: int) -> None:
    audits = [json.dumps(audit_event(f"{number}-{item}")).encode() for item in range(20)]
    assert (await post(agent.audit, "/k8s-audit", event_list(audits))).accepted
    for item in range(5):
        body = json.dumps(falco_alert(f"{number}-{item}")).encode()
        for _ in ("once", "again: a duplicate"):
            assert (await post(agent.falco, "/", body)).accepted
    assert (await post(agent.falco, "/", b"no JSON %d" % number)).status < 500


@pytest.mark.timeout(120)
async def test_it_shows_the_ledger_and_goes_on_after_a_kill(tmp_path: Path) -> None:
    agent = Agent(tmp_path)
    await agent.start()
    await send(agent, 1)
    await agent.settled()
    before = await scrape_like_the_ledger(agent)
    agent.kill()
    await agent.start()
    assert totals(await scrape_like_the_ledger(agent)) == totals(before), "replay counts nothing twice"
    await send(agent, 2)
    await agent.settled()
    after = await scrape_like_the_ledger(agent)
    assert all(after_value >= before_value for after_value, before_value in paired(totals(after), totals(before)))
    assert summed(after, "vedette_alerts_opened_total") == len(agent.alerts())
    assert_stages_are_timed(after)
    assert agent.end() == 0


def summed(samples: Sequence[Sample], name: str) -> float:
    return sum(sample.value for sample in samples if sample.name == name)


def assert_stages_are_timed(samples: Sequence[Sample]) -> None:
    """Each record and each delivery has its latency, kept over the kill; each stage says how long it took."""
    done = ("processed", "filtered", "dead_lettered")
    assert summed(samples, "vedette_detection_latency_seconds_count") == sum(
        summed(samples, f"vedette_records_{name}_total") for name in done
    )
    delivered = summed(samples, "vedette_deliveries_delivered_total")
    assert summed(samples, "vedette_delivery_latency_seconds_count") == delivered
    for name in ("intake_commit_seconds", "detection_commit_seconds", "delivery_send_seconds"):
        assert summed(samples, f"vedette_{name}_count") > 0, name
        assert summed(samples, f"vedette_{name}_sum") > 0, name
    assert summed(samples, "vedette_detection_busy_seconds_total") > 0
    for name in ("ledger_missing_records", "ledger_missing_deliveries"):
        assert {sample.value for sample in samples if sample.name == f"vedette_{name}"} == {0}, name


def totals(samples: Sequence[Sample]) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """What detection committed; deliveries go on by themselves, because alerts are revised as time goes by."""
    prefixes = ("vedette_records_", "vedette_alerts_opened", "vedette_findings")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for sample in samples
        if sample.name.startswith(prefixes) and sample.name.endswith("_total")
    }


def paired(after: dict[Any, float], before: dict[Any, float]) -> list[tuple[float, float]]:
    return [(after[key], value) for key, value in before.items()]


@pytest.mark.timeout(300)
async def test_ten_thousand_hostile_events_make_no_series_of_their_own(tmp_path: Path) -> None:
    agent = Agent(tmp_path)
    await agent.start()
    levels = ("Emergency", "Error", "Warning", "Notice", "Informational", "Debug")
    for level in levels:
        alert = falco_alert("one of each level", rule=level, priority=level)
        assert (await post(agent.falco, "/", json.dumps(alert).encode())).accepted
    await send(agent, 1)
    assert (await post(agent.falco, "/nowhere", b"{}")).status == 404
    assert (await post(agent.falco, "/intake/nothing", b"{}")).status == 404
    await agent.settled()
    while "unknown_path" not in outcomes(before := await scrape(agent)):  # noqa: ASYNC110 - reported once a second
        await asyncio.sleep(POLL_S)

    for batch in range(10):
        alerts = [
            falco_alert(
                f"{batch} {item} {HOSTILE}",
                rule=f"rule {batch} {item} {HOSTILE}",
                source=f"source {item} {HOSTILE}",
                priority=levels[item % len(levels)],
                hostname=f"node {item}{HOSTILE}",
                tags=[f"tag {item}{HOSTILE}"],
                output_fields={f"field {item}{HOSTILE}": HOSTILE, "user.name": f"{HOSTILE}{item}"},
            )
            for item in range(900)
        ]
        assert (await post(agent.falco, "/intake/falco", json.dumps(alerts).encode())).accepted
        audits = [
            audit_event(f"{HOSTILE} {batch} {item}", user={"username": f"{item}{HOSTILE}"}, verb="create")
            for item in range(100)
        ]
        body = event_list([json.dumps(event).encode() for event in audits])
        assert (await post(agent.audit, "/k8s-audit", body)).accepted
        for path in (f"/intake/{batch}", f"/path{batch}", f"/intake/falco%22{batch}"):
            assert (await post(agent.falco, path, b"{}")).status == 404
    await agent.settled()
    after = await scrape(agent)
    budget = series_max(s=2, d=1, r=3, e=0)
    found = {name: count for name, count in series_of(after).items() if name.startswith("vedette_")}
    assert series(after) - series(before) == set()
    assert {name: count for name, count in found.items() if count > budget[name]} == {}
    assert agent.end() == 0


def outcomes(samples: Sequence[Sample]) -> set[str]:
    return {
        s.labels["outcome"]
        for s in samples
        if s.name == "vedette_http_requests_total" and s.labels["source"] == "falco"
    }


async def test_a_port_that_is_taken_ends_the_start(tmp_path: Path) -> None:
    first, second = Agent(tmp_path), None
    await first.start()
    taken = metrics_url(first).removeprefix("http://").removesuffix("/metrics")
    (tmp_path / "second").mkdir()
    second = Agent(tmp_path / "second", metrics={"listen": taken})
    told = second.run("run")
    assert told.status == 2
    assert f"metrics.listen: cannot listen on {taken}" in told.err
    assert first.end() == 0


async def test_it_can_be_switched_off(tmp_path: Path) -> None:
    agent = Agent(tmp_path, metrics={"listen": ""})
    await agent.start()
    assert json.loads(agent.run("status", "--format", "json").out)["metrics"] == []
    assert not [line for line in agent.logged() if line["message"] == "Taking scrapes"]
    assert agent.end() == 0
