"""Destinations misbehave in every way while events come in and the agent is killed.

Intake and the store never notice, and in the end each destination has each alert once, in its newest version. A real
agent has four sinks: the store is the witness; OpenSearch, Request Tracker and a webhook are stubs behind proxies that
refuse, hang, drip, answer nonsense, or carry a request out and never say so. Audited writes are an alert each; Falco
alerts roll up into one for each pod, so that there are newer versions, and those have tickets.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections import Counter
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final

import pytest

from sinks.rt.text import Mark, read_mark
from sinks.store import AlertFilter, StoreReader
from tests.sinks.fault_proxy import (
    GARBAGE,
    Behaviour,
    FaultProxy,
    answer,
    apply_then,
    drip,
    hang,
    on,
    passing,
    refuse,
    reset,
    status,
)
from tests.sinks.opensearch_stub import OpenSearchStub, Refusal
from tests.sinks.rt_stub import Fault, Request, RtStub, StubTicket
from tests.sinks.webhook_stub import WebhookStub
from vedette.app.ledger import read_ledger

from .agent import AUDIT_RULE, POLL_S, Agent, audit_event, event_ids, event_list, falco_alert, post, titled, until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable
    from pathlib import Path

pytestmark = [pytest.mark.simulation, pytest.mark.timeout(300)]

SEED: Final = 20261121
PODS: Final = 12
BATCH: Final = 4
SINK_TIMEOUT_S: Final = 1.0
ANSWER_S_MAX: Final = 5.0
"""An answer of intake that takes longer waited for a sink. (A healthy one takes milliseconds.)"""
STORED_S_MAX: Final = 5.0
"""So does an alert that is not in the store by then."""

WRITES: Final = {"search": b"/_bulk", "tickets": b"POST /REST/2.0/ticket", "hook": b"POST /"}
"""The requests of each sink that write."""


def garbage(rng: random.Random, name: str) -> Behaviour:
    """Something else each time; for the webhook, whose contract is any 2xx, nothing that begins like one."""
    choice = [content for content in GARBAGE.values() if name != "hook" or not content.startswith(b"HTTP/1.1 2")]

    async def behave(client: Any, proxy: FaultProxy) -> None:
        await answer(rng.choice(choice))(client, proxy)

    return behave


FAULTS: Final[dict[str, Callable[[random.Random, str], Behaviour | None]]] = {
    "refuse": lambda rng, name: refuse,
    "hang": lambda rng, name: hang,
    "apply then hang": lambda rng, name: apply_then(hang),
    "429": lambda rng, name: status(429, {"Retry-After": "1"}),
    "garbage": garbage,
    "apply then reset": lambda rng, name: apply_then(reset),
    "drip": lambda rng, name: drip(0.02),
    "500": lambda rng, name: status(500, body=b"<h1>\x1b[2J</h1>"),
}


class World:
    """The agent, its destinations, and who sends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rng = random.Random(SEED)
        self.search, self.tickets, self.hook = OpenSearchStub(), RtStub(), WebhookStub()
        self.proxies: dict[str, FaultProxy] = {}
        self.sending = True
        self.audit_ids: list[str] = []
        self.falco_alerts = 0
        self.answers: list[tuple[int, float]] = []
        self.stored_s: list[float] = []
        self.kills = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        async with AsyncExitStack() as stack:
            stack.enter_context(self.search)
            await stack.enter_async_context(self.tickets)
            await stack.enter_async_context(self.hook)
            for name, stub in (("search", self.search), ("tickets", self.tickets), ("hook", self.hook)):
                self.proxies[name] = await stack.enter_async_context(FaultProxy(stub.port))
            self.agent = self._new_agent()
            await self.agent.start()
            try:
                yield
            finally:
                if self.agent.alive:
                    self.agent.kill()

    def _new_agent(self) -> Agent:
        url = {name: f"http://127.0.0.1:{proxy.port}" for name, proxy in self.proxies.items()}
        tracker = {"url": url["tickets"], "queue": "SOC", "token": self.tickets.token, "timeout_s": SINK_TIMEOUT_S}
        return Agent(
            self.folder,
            rules=AUDIT_RULE,
            journal={"checkpoint_interval_s": 0.2},
            alerts={"revision_interval_s": 0.3, "revision_interval_s_max": 1},
            sinks={
                "store": {"store": {}},
                "search": {"opensearch": {"url": url["search"], "timeout_s": SINK_TIMEOUT_S}},
                "tickets": {"filter": {"rules": ["falco:*"]}, "rt": tracker},
                "hook": {"webhook": {"url": url["hook"], "timeout_s": SINK_TIMEOUT_S}},
            },
        )

    # --- load ---------------------------------------------------------------------------------------------------------
    @contextlib.asynccontextmanager
    async def load(self) -> AsyncGenerator[None]:
        """Let events come; at the end, what was begun is finished."""
        async with asyncio.TaskGroup() as clients:
            clients.create_task(self.send_audit())
            clients.create_task(self.send_falco())
            yield
            self.sending = False

    async def send_audit(self) -> None:
        number = 0
        while self.sending:
            ids = [f"a-{number}-{item}" for item in range(BATCH)]
            body = event_list([json.dumps(audit_event(audit_id)).encode() for audit_id in ids])
            await self.insist(self.agent.audit, "/k8s-audit", body)
            self.audit_ids += ids
            number += 1
            await asyncio.sleep(0.1)

    async def send_falco(self) -> None:
        while self.sending:
            pod = {"k8s.ns.name": "shop", "k8s.pod.name": f"cart-{self.falco_alerts % PODS}"}
            alert = falco_alert(f"shell {self.falco_alerts}", output_fields=pod)
            await self.insist(self.agent.falco, "/", json.dumps(alert).encode())
            self.falco_alerts += 1
            await asyncio.sleep(0.05)

    async def insist(self, port: int, path: str, body: bytes) -> None:
        """Send until it is taken; what the agent answers, it answers with a 2xx, and soon."""
        while True:
            began = time.monotonic()
            reply = await post(port, path, body)
            if reply.status:
                self.answers.append((reply.status, time.monotonic() - began))
            if reply.accepted:
                return
            await asyncio.sleep(POLL_S)

    # --- what happens to it -------------------------------------------------------------------------------------------
    async def switch(self, fault: str, *, writes_alone: bool) -> int:
        """Let all destinations misbehave, and say where the agent's log ended then."""
        for name, proxy in self.proxies.items():
            behaviour = FAULTS[fault](self.rng, name)
            await proxy.switch(on(WRITES[name], behaviour) if writes_alone and behaviour is not None else behaviour)
        return self.agent.log.stat().st_size

    async def heal(self) -> None:
        for proxy in self.proxies.values():
            await proxy.switch(passing)

    async def felt(self, since: int, sinks: Iterable[str] = tuple(WRITES)) -> None:
        """Return when each of these sinks has failed since the log was so long."""
        missing = set(sinks)
        while missing:
            assert self.agent.alive, self.agent.tail()
            failing = [line for line in self.agent.logged(since) if line["message"].startswith("a sink can't")]
            missing -= {line["sink"] for line in failing}
            await asyncio.sleep(POLL_S)

    async def stored(self) -> None:
        """Send an event of its own, and return when the store has its alert: the others are down meanwhile."""
        actor = f"probe-{len(self.stored_s)}"
        event = json.dumps(audit_event(actor, user={"username": actor})).encode()
        await self.insist(self.agent.audit, "/k8s-audit", event_list([event]))
        began = time.monotonic()
        self.audit_ids.append(actor)
        with contextlib.closing(StoreReader(self.agent.data.store)) as store:
            await until(lambda: store.list(AlertFilter(actor=actor)))
        self.stored_s.append(time.monotonic() - began)

    async def kill(self) -> None:
        await asyncio.sleep(self.rng.uniform(0, 0.3))
        self.agent.kill()
        self.kills += 1
        await self.agent.start()

    async def delivered(self) -> None:
        """Return when every sink has delivered something more."""
        before = self._delivered()
        while any((now := self._delivered())[name] <= before[name] for name in self.agent.settings["sinks"]):
            assert self.agent.alive, (now, self.agent.tail())
            await asyncio.sleep(POLL_S)

    def _delivered(self) -> Counter[str]:
        accounts = read_ledger(self.agent.data).deliveries
        return Counter({account.delivery: account.delivered + account.superseded for account in accounts})

    async def settled(self) -> None:
        """Return when all that was sent is in the store, and everything in the store is everywhere."""
        while sum(alert["count"] for alert in self.agent.alerts()) < len(self.audit_ids) + self.falco_alerts:
            assert self.agent.alive, self.agent.tail()
            await asyncio.sleep(0.2)
        await self.agent.settled()


async def test_alerts_arrive_later_once_each_newest_last(tmp_path: Path) -> None:
    world = World(tmp_path)
    async with world.running():
        async with world.load():
            await without_a_restart(world)
            for number, fault in enumerate(FAULTS):
                await with_a_kill(world, fault, within=number % 3 == 0)
            await in_part(world)
        await world.settled()
        check(world)
        assert await asyncio.to_thread(world.agent.end) == 0
        world.agent.assert_balanced()


async def without_a_restart(world: World) -> None:
    await world.delivered()
    await world.felt(await world.switch("refuse", writes_alone=False))
    await world.heal()
    await world.delivered()


async def with_a_kill(world: World, fault: str, *, within: bool) -> None:
    """Kill the agent as the destinations come back, or in the middle of their absence."""
    await world.felt(await world.switch(fault, writes_alone=True))
    await world.stored()
    if within:
        await world.kill()
        await world.felt(await world.switch(fault, writes_alone=False))
        await world.stored()
        await world.heal()
    else:
        await world.heal()
        await world.kill()
    await world.delivered()


async def in_part(world: World) -> None:
    """Both servers answer, and do a part of what they are asked."""
    rng = random.Random(SEED)

    def refuse_some(index: str, document_id: str, source: bytes) -> Refusal | None:
        return Refusal(429, "rejected_execution_exception") if rng.random() < 0.3 else None

    def lose_some(request: Request) -> Fault | None:
        return rng.choice([None, None, Fault.DROP, Fault.LOSE, Fault.GARBAGE]) if request.writes else None

    world.search.refuse, world.tickets.fault = refuse_some, lose_some
    for _ in range(2):
        await world.felt(world.agent.log.stat().st_size, {"search", "tickets"})
        await world.kill()
    world.search.refuse, world.tickets.fault = lambda index, document_id, source: None, lambda request: None
    await world.kill()
    await world.delivered()


def marks_of(ticket: StubTicket) -> list[Mark]:
    """Which revisions a ticket tells of, in its order."""
    marks = [read_mark(text.content.splitlines()[0]) for text in ticket.texts]
    return [mark for mark in marks if mark is not None]


def check(world: World) -> None:
    alerts = {alert["finding_info"]["uid"]: alert for alert in world.agent.alerts()}
    assert event_ids(titled(list(alerts.values()), "Each audited write")) == dict.fromkeys(world.audit_ids, 1)
    rolled = {uid: alert for uid, alert in alerts.items() if alert["count"] > 1}
    assert sum(alert["count"] for alert in rolled.values()) == world.falco_alerts
    assert len(rolled) == PODS

    assert {code for code, _ in world.answers} <= {200}, "intake says yes whatever the sinks do"
    assert max(seconds for _, seconds in world.answers) < ANSWER_S_MAX
    assert max(world.stored_s) < STORED_S_MAX, "no sink waits for another"
    assert world.kills >= len(FAULTS)

    documents = world.search.documents("vedette-alerts-*")
    assert len(documents) == len(alerts)
    assert {document["finding_info"]["uid"]: document for document in documents} == alerts

    versions = {uid: alert["unmapped"]["version"] for uid, alert in alerts.items()}
    tickets = world.tickets.open_tickets()
    assert len({ticket.reference for ticket in tickets}) == len(tickets) == PODS
    marks = [marks_of(ticket) for ticket in tickets]
    assert {mark[-1].alert_id: max(one.version for one in mark) for mark in marks} == {
        uid: versions[uid] for uid in rolled
    }
    assert all(len({(one.alert_id, one.version) for one in mark}) == len(mark) for mark in marks), "no comment twice"

    last = {found["finding_info"]["uid"]: found["unmapped"]["version"] for found in world.hook.documents}
    assert last == versions

    ledger = read_ledger(world.agent.data)
    assert not [account for account in ledger.deliveries if account.dead_lettered or account.expired or account.waiting]
