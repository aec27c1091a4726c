"""A storm of 20,000 alerts over a real OpenSearch and a real Request Tracker, with kills in between.

The agent is killed at random moments, and OpenSearch once, to come back much later. In the end the documents in
OpenSearch are those of the store, and the tickets are the alerts that were routed to Request Tracker, one each.

A ticket costs Request Tracker about half a second, so only critical alerts are routed there: 80 that happen once, and
20 (one for each pod of the Falco alerts) that go on, and so get comments.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from typing import TYPE_CHECKING, Any, Final

import pytest

from sinks.rt.text import Mark, read_mark
from vedette.app.ledger import read_ledger

from .agent import POLL_S, Agent, audit_event, event_ids, event_list, falco_alert, post, titled, until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

    from tests.servers.opensearch import OpenSearch
    from tests.servers.request_tracker import RequestTracker, Ticket

pytestmark = [pytest.mark.server, pytest.mark.timeout(600)]

SEED: Final = 20261121
ALERTS: Final = 20_000
BATCH: Final = 100
CRITICAL_EVERY: Final = ALERTS // 80
PODS: Final = 20
KILLS: Final = 12
PAGE: Final = 5000

RULES: Final = """
title: A secret of the shop is read
id: 0f6f1a52-2c29-4f7c-8c61-5b8a5d3f1b01
logsource: {product: kubernetes, service: audit}
detection: {selection: {objectRef.namespace: shop}, condition: selection}
level: low
vedette: {dedup_by: ['@event']}
---
title: A secret of the vault is read
id: 0f6f1a52-2c29-4f7c-8c61-5b8a5d3f1b02
logsource: {product: kubernetes, service: audit}
detection: {selection: {objectRef.namespace: vault}, condition: selection}
level: critical
vedette: {dedup_by: ['@event']}
"""


class Storm:
    """20,000 audited reads, each an alert, and Falco alerts of 20 pods as long as they come."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.sent = 0
        self.falco_alerts = 0

    @contextlib.asynccontextmanager
    async def blowing(self) -> AsyncGenerator[None]:
        """At the end, all was taken."""
        async with asyncio.TaskGroup() as clients:
            audit = clients.create_task(self._audit())
            clients.create_task(self._falco(audit))
            yield

    async def _audit(self) -> None:
        for first in range(0, ALERTS, BATCH):
            events = [self._event(number) for number in range(first, first + BATCH)]
            await self._insist(self.agent.audit, "/k8s-audit", event_list(events))
            self.sent += BATCH

    @staticmethod
    def _event(number: int) -> bytes:
        namespace = "vault" if number % CRITICAL_EVERY == 0 else "shop"
        reference = {"resource": "secrets", "namespace": namespace, "name": f"key-{number}"}
        return json.dumps(audit_event(f"a-{number}", verb="get", objectRef=reference)).encode()

    async def _falco(self, audit: asyncio.Task[None]) -> None:
        while not audit.done():
            pod = {"k8s.ns.name": "shop", "k8s.pod.name": f"cart-{self.falco_alerts % PODS}"}
            alert = falco_alert(f"shell {self.falco_alerts}", priority="Critical", output_fields=pod)
            await self._insist(self.agent.falco, "/", json.dumps(alert).encode())
            self.falco_alerts += 1
            await asyncio.sleep(0.02)

    async def _insist(self, port: int, path: str, body: bytes) -> None:
        while not (await post(port, path, body)).accepted:  # noqa: ASYNC110 - by another process
            await asyncio.sleep(POLL_S)

    async def reached(self, share: float) -> None:
        await until(lambda: self.sent >= share * ALERTS)


def new_agent(folder: Path, opensearch: OpenSearch, tracker: RequestTracker) -> Agent:
    search = {"url": opensearch.url, "username": opensearch.user, "password": opensearch.password}
    account = {"username": tracker.user, "password": tracker.password, "reference_field": tracker.field}
    return Agent(
        folder,
        rules=RULES,
        journal={"checkpoint_interval_s": 1},
        alerts={"revision_interval_s": 5, "revision_interval_s_max": 20},
        sinks={
            "store": {"store": {}},
            "search": {"opensearch": {**search, "ca_file": str(opensearch.ca)}},
            "tickets": {"min_level": "critical", "rt": {"url": tracker.url, "queue": tracker.queue, **account}},
        },
    )


async def test_documents_and_tickets_are_those_of_the_store(
    tmp_path: Path, opensearch_secured: OpenSearch, request_tracker: RequestTracker
) -> None:
    rng = random.Random(SEED)
    agent = new_agent(tmp_path, opensearch_secured, request_tracker)
    storm = Storm(agent)
    await agent.start()
    async with storm.blowing():
        for kill in range(KILLS):
            await storm.reached((kill + rng.random()) / KILLS)
            if kill == KILLS // 3:
                await asyncio.to_thread(opensearch_secured.kill)
            agent.kill()
            await agent.start()
    assert {account.delivery: account.waiting for account in read_ledger(agent.data).deliveries}["search"]
    await asyncio.to_thread(opensearch_secured.start)
    agent.kill()
    await agent.start()
    await settled(agent, ALERTS + storm.falco_alerts)

    alerts = {alert["finding_info"]["uid"]: alert for alert in agent.alerts()}
    once = {
        uid: alert for uid, alert in alerts.items() if alert["finding_info"]["title"] != "Terminal shell in container"
    }
    assert event_ids(list(once.values())) == {f"a-{number}": 1 for number in range(ALERTS)}
    assert len(titled(list(alerts.values()), "Terminal shell in container")) == PODS
    check_documents(opensearch_secured, alerts)
    check_tickets(request_tracker.tickets(), alerts)
    ledger = read_ledger(agent.data)
    assert not [account for account in ledger.deliveries if account.dead_lettered or account.expired or account.waiting]
    assert agent.end() == 0
    agent.assert_balanced()


async def settled(agent: Agent, findings: int) -> None:
    """Return when all findings are in the store, and everything in the store is everywhere."""
    await agent.settled()
    while sum(alert["count"] for alert in agent.alerts()) < findings:  # a busy alert's next revision is due within 20 s
        assert agent.alive, agent.tail()
        await asyncio.sleep(1)
    await agent.settled()


def check_documents(opensearch: OpenSearch, alerts: dict[str, Any]) -> None:
    hits = everything(opensearch.request)
    assert len(hits) == len(alerts) == ALERTS + PODS
    assert {hit["_id"]: hit["_source"] for hit in hits} == alerts
    assert all(hit["_version"] == hit["_source"]["unmapped"]["version"] for hit in hits)


def everything(request: Callable[..., Any]) -> list[dict[str, Any]]:
    """All documents of alerts, a page at a time."""
    request("POST", "/vedette-alerts-*/_refresh")
    page = request("POST", "/vedette-alerts-*/_search?scroll=1m&version=true", json={"size": PAGE})
    hits: list[dict[str, Any]] = []
    while page["hits"]["hits"]:
        hits += page["hits"]["hits"]
        page = request("POST", "/_search/scroll", json={"scroll": "1m", "scroll_id": page["_scroll_id"]})
    return hits


def check_tickets(tickets: list[Ticket], alerts: dict[str, Any]) -> None:
    versions = {uid: found["unmapped"]["version"] for uid, found in alerts.items() if found["severity"] == "Critical"}
    assert len(versions) == ALERTS // CRITICAL_EVERY + PODS
    assert len(tickets) == len({ticket.reference for ticket in tickets}) == len(versions)
    marks = [marks_of(ticket) for ticket in tickets]
    assert {found[-1].alert_id: found[-1].version for found in marks} == versions, "the newest version stands last"
    assert all(len({mark.version for mark in found}) == len(found) for found in marks), "none is told of twice"
    assert sum(len(found) for found in marks) > len(marks), "there were updates"


def marks_of(ticket: Ticket) -> list[Mark]:
    """Which versions a ticket tells of, in its order."""
    texts = [entry.content for entry in ticket.history if entry.type in {"Create", "Comment"}]
    marks = [read_mark(text.splitlines()[0]) for text in texts]
    assert None not in marks
    return [mark for mark in marks if mark is not None]
