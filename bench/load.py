"""Load for the benches: keep-alive HTTP clients over raw sockets, as cheap as Python allows.

`python bench/load.py audit|falco HOST:PORT …` is run by the benches as a process of its own, so that its CPU time is
not mistaken for Vedette's. Prints one JSON line with what was sent and answered, and the latencies.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import gzip
import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

if TYPE_CHECKING:
    from collections.abc import Iterator

BATCH = 400
FALCO_RULES = 20
FALCO_PODS = 50


def audit_lap(lines: list[bytes], lap: int, lap_minutes: int) -> list[bytes]:
    """EventList bodies of one lap: auditIDs and times are its own and go on, so that nothing is a duplicate or late."""
    shift = dt.timedelta(minutes=lap * lap_minutes % (5_000 * 1_440))
    identity = re.compile(rb'"auditID":"[0-9a-f]{8}')
    stamps = re.compile(rb'("(?:stage|requestReceived)Timestamp":")\d{4}-\d\d-\d\d(T\d\d:\d\d)')
    minutes: dict[bytes, bytes] = {}

    def later(found: re.Match[bytes]) -> bytes:
        if found[2] not in minutes:
            minute = dt.datetime.fromisoformat(f"2013-01-01{found[2].decode()}") + shift
            minutes[found[2]] = f"{minute:%Y-%m-%dT%H:%M}".encode()
        return found[1] + minutes[found[2]]

    bodies: list[bytes] = []
    for start in range(0, len(lines), BATCH):
        body = b",".join(lines[start : start + BATCH])
        body = identity.sub(b'"auditID":"%08x' % lap, body)
        body = stamps.sub(later, body)
        bodies.append(b'{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[' + body + b"]}")
    return bodies


def falco_alert(number: int) -> bytes:
    """One Falco alert of about 700 bytes; every one differs, over FALCO_RULES rules and FALCO_PODS pods."""
    pod = number // FALCO_RULES % FALCO_PODS
    stamp = f"2026-11-20T{number // 3600 % 24:02d}:{number // 60 % 60:02d}:{number % 60:02d}.{number % 10**9:09d}Z"
    return json.dumps(
        {
            "hostname": f"node-{pod % 5}",
            "output": f"{stamp}: Notice A shell was spawned in a container with an attached terminal (evt_type=execve"
            f" user=root proc=sh cmdline=sh -c run-{number} terminal=34816 container_id=3ad7b26ded6d)",
            "priority": "Notice",
            "rule": f"Bench rule {number % FALCO_RULES}",
            "source": "syscall",
            "tags": ["T1059", "container", "mitre_execution", "shell"],
            "time": stamp,
            "output_fields": {
                "container.id": "3ad7b26ded6d",
                "container.image.repository": "registry.example/shop/cart",
                "evt.time": 1763640000000000000 + number,
                "k8s.ns.name": "shop",
                "k8s.pod.name": f"cart-7d4f9c6b5-{pod:05d}",
                "proc.cmdline": f"sh -c run-{number}",
                "proc.name": "sh",
                "user.name": "root",
            },
        }
    ).encode()


def request(host: str, path: str, body: bytes) -> bytes:
    """A POST as Falco and the API server send it."""
    lines = (f"POST {path} HTTP/1.1", f"Host: {host}", "Content-Type: application/json", f"Content-Length: {len(body)}")
    return "\r\n".join((*lines, "", "")).encode() + body


class Client(asyncio.Protocol):
    """One connection that sends the next request as soon as the last one is answered (or when told to)."""

    def __init__(self, supply: Supply) -> None:
        self.supply = supply
        self.answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.next()

    def next(self) -> None:
        taken = self.supply.take()
        if taken is None:
            self.transport.close()  # type: ignore[attr-defined]
            return
        delay_s, payload = taken
        if delay_s > 0:
            asyncio.get_running_loop().call_later(delay_s, self.send, payload)
        else:
            self.send(payload)

    def send(self, payload: bytes) -> None:
        self.sent_at = time.perf_counter()
        self.transport.write(payload)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self.answer += data
        if b"\r\n\r\n" in self.answer:
            self.supply.answered(self.answer.split(b" ", 2)[1], time.perf_counter() - self.sent_at)
            self.answer = b""
            self.next()

    def connection_lost(self, exc: Exception | None) -> None:
        self.supply.closed(exc)


class Supply:
    """Hands out requests, at a fixed rate if asked to, and collects the answers."""

    def __init__(self, payloads: Iterator[bytes], connections: int, rate: float) -> None:
        self.payloads = payloads
        self.open = connections
        self.done = asyncio.get_running_loop().create_future()
        self.latencies: list[float] = []
        self.statuses: dict[str, int] = {}
        self.rate = rate
        self.began = time.perf_counter()
        self.taken = 0

    def take(self) -> tuple[float, bytes] | None:
        payload = next(self.payloads, None)
        if payload is None:
            return None
        due_s = self.began + self.taken / self.rate - time.perf_counter() if self.rate else 0.0
        self.taken += 1
        return due_s, payload

    def answered(self, status: bytes, latency_s: float) -> None:
        key = status.decode()
        self.statuses[key] = self.statuses.get(key, 0) + 1
        self.latencies.append(latency_s)

    def closed(self, exc: Exception | None) -> None:
        self.open -= 1
        if exc is not None:
            self.statuses["error"] = self.statuses.get("error", 0) + 1
        if self.open == 0 and not self.done.done():
            self.done.set_result(None)


async def drive(host: str, payloads: Iterator[bytes], connections: int, rate: float) -> Supply:
    """Send all payloads over some connections."""
    name, port = host.rsplit(":", 1)
    supply = Supply(payloads, connections, rate)
    loop = asyncio.get_running_loop()
    for _ in range(connections):
        await loop.create_connection(lambda: Client(supply), name, int(port))
    await supply.done
    return supply


def main() -> None:
    """Parse the arguments, drive, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=["audit", "falco"])
    parser.add_argument("host")
    parser.add_argument("--events", type=int, required=True)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--rate", type=float, default=0.0, help="requests a second; 0: as fast as answered")
    parser.add_argument("--log", type=Path, help="kube-audit log (.jsonl.gz)")
    parser.add_argument("--first", type=int, default=0, help="first lap or first alert number")
    parser.add_argument("--lap-minutes", type=int, default=1_440, help="event time from one lap of the log to the next")
    args = parser.parse_args()
    if args.kind == "audit":
        lines = gzip.decompress(args.log.read_bytes()).splitlines()
        laps = -(-args.events // len(lines))
        payloads = (
            request(args.host, "/k8s-audit", body)
            for lap in range(args.first, args.first + laps)
            for body in audit_lap(lines, lap, args.lap_minutes)
        )
        events = laps * len(lines)
    else:
        payloads = (request(args.host, "/", falco_alert(args.first + n)) for n in range(args.events))
        events = args.events
    began = time.perf_counter()
    supply = uvloop.run(drive(args.host, payloads, args.connections, args.rate))
    latencies = sorted(supply.latencies)
    print(
        json.dumps(
            {
                "events": events,
                "requests": len(latencies),
                "statuses": supply.statuses,
                "seconds": round(time.perf_counter() - began, 3),
                "p50_ms": round(1e3 * latencies[len(latencies) // 2], 3),
                "p99_ms": round(1e3 * latencies[int(len(latencies) * 0.99)], 3),
            }
        )
    )


if __name__ == "__main__":
    main()
