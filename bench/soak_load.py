"""Load for the soak: audit EventLists and Falco alerts in the shapes of the sample day, closed loop or open loop.

`python bench/soak_load.py FALCO_HOST AUDIT_HOST --seconds S [--rate RECORDS_PER_S]` runs as a process of its own. Half
of the records are audit events, in lists; half are Falco alerts, one a request. No two records are equal, and Falco's
pods have new names from time to time, as rollouts give them. Events happen now, or, with `--speed`, as many times as
fast, in a past that ends with `--until`: so hours of event time pass in minutes, and long windows fill and empty.

Without a rate, each connection sends when it was answered. With one, requests are due at fixed moments whatever the
answers do, and latency counts from the moment that a request was due: waiting for a free connection is part of it.
Prints a JSON line each second, and one with everything at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import itertools
import json
import re
import time
from collections import Counter, deque
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import uvloop
from load import request

if TYPE_CHECKING:
    from collections.abc import Iterator

DAY = Path(__file__).parent.parent / "vedette" / "app" / "sample_day" / "data"
LIST_EVENTS = 87
"""Events of an EventList, and Falco alerts that come with it: a sixth of the sample day's audit log."""
PODS = 20
FALCO_CONNECTIONS = 64
AUDIT_CONNECTIONS = 8
AHEAD = 2 * LIST_EVENTS
"""Requests that may be held back for want of a connection in a closed loop, so that neither kind stops the other."""
TICK_S = 0.001
SECOND_NS = 1_000_000_000


class Template:
    """Bytes with slots: `@NAME@`."""

    def __init__(self, text: bytes) -> None:
        self.parts = re.split(rb"@([A-Z]+)@", text)

    def fill(self, **values: bytes) -> bytes:
        parts = self.parts.copy()
        parts[1::2] = [values[name.decode()] for name in parts[1::2]]
        return b"".join(parts)


class Request(NamedTuple):
    """What is sent: `kind` is `falco` or `audit`."""

    kind: str
    template: Template
    number: int
    """Of the audit log, which lap; of Falco alerts, which one."""


def _lines(name: str) -> list[bytes]:
    return gzip.decompress((DAY / name).read_bytes()).splitlines()


def audit_lists() -> list[Template]:
    """The sample day's audit log as EventLists whose ids and times are slots."""
    lines = _lines("kube_audit.jsonl.gz")
    found = []
    for start in range(0, len(lines), LIST_EVENTS):
        body = b",".join(lines[start : start + LIST_EVENTS])
        body = re.sub(rb'"auditID":"[0-9a-f]{8}', b'"auditID":"@LAP@', body)
        body = re.sub(rb'("(?:stage|requestReceived)Timestamp":")[^"]*', rb"\1@TIME@", body)
        found.append(
            Template(b'{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[' + body + b"]}")
        )
    return found


def falco_alerts() -> list[Template]:
    """The sample day's Falco alerts with pod and times as slots."""
    found = []
    for line in _lines("falco.jsonl.gz"):
        alert: dict[str, Any] = json.loads(line)
        fields = alert["output_fields"]
        alert["output"] = "@CLOCK@" + alert["output"][18:].replace(fields["k8s.pod.name"], "@POD@")
        fields |= {"evt.time": "@NS@", "k8s.pod.name": "@POD@"}
        alert["time"] = "@TIME@"
        found.append(Template(json.dumps(alert, separators=(",", ":")).replace('"@NS@"', "@NS@").encode()))
    return found


def requests(first: int) -> Iterator[Request]:
    """Lists and alerts in turn, for ever."""
    lists, alerts = audit_lists(), falco_alerts()
    for number in itertools.count(first):
        lap, part = divmod(number, len(lists))
        yield Request("audit", lists[part], lap)
        for alert in range(number * LIST_EVENTS, (number + 1) * LIST_EVENTS):
            yield Request("falco", alerts[alert % len(alerts)], alert)


class Connection(asyncio.Protocol):
    """One keep-alive connection of one kind."""

    def __init__(self, load: Load, kind: str) -> None:
        self.load, self.kind = load, kind
        self.answer = b""
        self.due_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.load.idle[self.kind].append(self)

    def send(self, payload: bytes, due_s: float) -> None:
        self.due_s = due_s
        self.transport.write(payload)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self.answer += data
        if b"\r\n\r\n" in self.answer:
            status, self.answer = self.answer.split(b" ", 2)[1].decode(), b""
            self.load.answered(self, status)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        if not self.load.closing:
            self.load.lost()


class Load:
    """Hands requests to free connections when they are due, and counts what comes back."""

    def __init__(self, hosts: dict[str, str], args: argparse.Namespace) -> None:
        self.hosts = hosts
        self.rate, self.churn_s = args.rate, args.churn_seconds
        self.speed, self.until_ns = args.speed, round(args.until * SECOND_NS)
        self.requests = requests(args.first)
        self.idle: dict[str, deque[Connection]] = {"falco": deque(), "audit": deque()}
        self.held: dict[str, deque[tuple[Request, float]]] = {"falco": deque(), "audit": deque()}
        self.total, self.second = Counter[str](), Counter[str]()
        self.latencies: list[float] = []
        self.records_due = 0
        self.began_s = time.perf_counter()
        self.next: Request = next(self.requests)
        self.stopping = self.closing = False

    # --- sending ------------------------------------------------------------------------------------------------------
    def pump(self) -> None:
        """Send all that is due."""
        while not self.stopping:
            due_s = self.began_s + self.records_due / self.rate if self.rate else time.perf_counter()
            if (due_s > time.perf_counter()) if self.rate else sum(map(len, self.held.values())) >= AHEAD:
                return
            kind = self.next.kind
            self.records_due += 2 if kind == "falco" else 0  # each alert brings its share of the list with it
            self.held[kind].append((self.next, due_s))
            self.next = next(self.requests)
            self.drain(kind)

    def drain(self, kind: str) -> None:
        while self.held[kind] and self.idle[kind]:
            wanted, due_s = self.held[kind].popleft()
            self.idle[kind].popleft().send(self.render(wanted), due_s)

    def render(self, wanted: Request) -> bytes:
        now_ns = self.event_time_ns()
        instant = f"{datetime.fromtimestamp(now_ns // SECOND_NS, UTC):%Y-%m-%dT%H:%M:%S}.{now_ns % SECOND_NS:09d}"
        if wanted.kind == "audit":
            body = wanted.template.fill(LAP=b"%08x" % wanted.number, TIME=instant[:-3].encode() + b"Z")
            return request(self.hosts["audit"], "/k8s-audit", body)
        rollout = int(time.time() / self.churn_s)
        body = wanted.template.fill(
            POD=b"web-%x-%05d" % (rollout, wanted.number // 7 % PODS),
            NS=b"%d" % (now_ns // 1000 * 1000 + wanted.number % 1000),
            CLOCK=instant[11:].encode(),
            TIME=instant.encode() + b"Z",
        )
        return request(self.hosts["falco"], "/", body)

    def event_time_ns(self) -> int:
        """When what is sent now happened."""
        now_ns = time.time_ns()
        return min(now_ns, self.until_ns - round((self.until_ns - now_ns) * self.speed)) if self.until_ns else now_ns

    # --- answers ------------------------------------------------------------------------------------------------------
    def answered(self, connection: Connection, status: str) -> None:
        self.latencies.append(time.perf_counter() - connection.due_s)
        self.second[status] += 1
        if status == "200":
            self.second["records"] += 1 if connection.kind == "falco" else LIST_EVENTS
        self.idle[connection.kind].append(connection)
        self.drain(connection.kind)
        if not self.rate:
            self.pump()

    @property
    def broken(self) -> bool:
        return "connections lost" in self.total

    def lost(self) -> None:
        self.total["connections lost"] += 1

    def report(self) -> dict[str, Any]:
        """What happened since the last report."""
        counts, self.second = self.second, Counter()
        latencies, self.latencies = sorted(self.latencies), []
        self.total += counts
        middle, slow = (latencies[int(len(latencies) * part)] if latencies else 0.0 for part in (0.5, 0.99))
        return {
            "time": round(time.time(), 3),
            "records": counts.pop("records", 0),
            "p50_ms": round(1e3 * middle, 3),
            "p99_ms": round(1e3 * slow, 3),
            "held": sum(map(len, self.held.values())),
            "statuses": counts,
        }


async def drive(args: argparse.Namespace) -> None:
    """Connect, send for so many seconds, wait for the last answers."""
    hosts = {"falco": args.falco, "audit": args.audit}
    load = Load(hosts, args)
    loop = asyncio.get_running_loop()
    wanted = {"falco": FALCO_CONNECTIONS, "audit": AUDIT_CONNECTIONS}
    for kind, count in wanted.items():
        name, port = hosts[kind].rsplit(":", 1)
        for _ in range(count):
            await loop.create_connection(lambda kind=kind: Connection(load, kind), name, int(port))
    load.began_s = time.perf_counter()
    for second in range(1, args.seconds + 1):
        while time.perf_counter() < load.began_s + second and not load.broken:
            load.pump()
            await asyncio.sleep(TICK_S)
        print(json.dumps(load.report()), flush=True)
    load.stopping = True
    seconds = time.perf_counter() - load.began_s
    while {kind: len(idle) for kind, idle in load.idle.items()} != wanted and not load.broken:  # noqa: ASYNC110
        await asyncio.sleep(TICK_S)
    load.closing = True
    load.report()
    total = {"records": load.total.pop("records", 0), "seconds": round(seconds, 3), "statuses": load.total}
    print(json.dumps({"total": total}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("falco")
    parser.add_argument("audit")
    parser.add_argument("--seconds", type=int, required=True)
    parser.add_argument("--rate", type=float, default=0.0, help="records a second; 0: as fast as answered")
    parser.add_argument("--first", type=int, default=0, help="number of the first list: others give other records")
    parser.add_argument("--churn-seconds", type=float, default=60.0, help="after which pods have new names")
    parser.add_argument("--speed", type=float, default=1.0, help="seconds of event time a second")
    parser.add_argument("--until", type=float, default=0.0, help="when event time is the present, s since the epoch")
    uvloop.run(drive(parser.parse_args()))


if __name__ == "__main__":
    main()
