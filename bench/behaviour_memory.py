"""Memory of the detectors of behaviour: a large cluster learned, then a flood of made-up names.

Called by `bench/behaviour.py memory`. All definitions that ship are in force. First a cluster of 10,000 workloads is
learned, each with 26 programs, files, peers and requests of its own (a million tuples, about 100,000 groups); then
somebody sends two million observations with random user agents, image tags, paths and ports; in the middle of the flood
a real attack is played on a workload that has been there all the time. Memory is what the kernel counts as anonymous.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from detectors.behaviour.flow_view import FlowView
from detectors.behaviour.watch import Watch
from vedette.schema.limits import SECOND_NS
from vedette.schema.observation import Kind, Observation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from detectors.behaviour.definition import Definition

WORKLOADS, EACH = 10_000, 26
FLOOD = 2_000_000
CHECKPOINT = 50_000
"""Observations between two checkpoints: an agent makes one each minute."""
START_NS = 1_767_225_600 * SECOND_NS
DAY_NS = 86_400 * SECOND_NS
MIB = 1024 * 1024


def anonymous_mib() -> float:
    """Memory that belongs to this process alone."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("the kernel does not say RssAnon")


def workload(number: int) -> dict[str, Any]:
    """Name a workload that exists."""
    return {
        "namespace": f"team-{number % 400}",
        "workload_kind": "Deployment",
        "workload": f"service-{number}",
        "container": f"service-{number}",
        "image": f"registry.example.com/team/service-{number}",
        "digest": f"sha256:{number:064x}",
        "pod": f"service-{number}-6b7c9d8f5-abcde",
        "node": f"node-{number % 500}",
        "address": f"10.{number // 65536 % 256}.{number // 256 % 256}.{number % 256}",
    }


def deeds(number: int, turn: int) -> Iterator[Observation]:
    """What a workload does: programs, files, connections and calls of its own."""
    own = workload(number)
    actor = f"system:serviceaccount:{own['namespace']}:{own['workload']}"
    what = f"{number}-{turn}"
    yield msgspec.convert(
        {"kind": "process", "process": f"/opt/{number}/bin/tool-{turn}", "parent": "sh", **own}, Observation
    )
    yield msgspec.convert(
        {"kind": "file", "file": f"/data/{number}/part{'abcdefghij'[turn % 10]}{turn // 10}", **own}, Observation
    )
    peer = workload((number + turn * 7) % WORKLOADS)
    ends = {"peer": peer["address"], "peer_namespace": peer["namespace"], "peer_workload": peer["workload"]}
    yield msgspec.convert(
        {"kind": "connection", **ends, "port": 8000 + turn, "direction": "egress", "protocol": "tcp", **own},
        Observation,
    )
    call = {"verb": "get", "resource": "configmaps", "name": f"c-{what}", "outcome": "allow", "code": 200}
    call |= {"actor": actor, "user_agent": f"client-{turn % 3}/v1", "credential": f"JTI={number}"}
    yield msgspec.convert({"kind": "call", **call, **own}, Observation)


def noise(chance: random.Random) -> Observation:
    """One of a flood: everything that a sender may choose is random."""
    draw = chance.getrandbits
    base = {"namespace": "evil", "workload_kind": "Deployment", "workload": f"w{draw(24):x}", "container": "c"}
    return msgspec.convert(
        chance.choice(
            (
                {
                    "kind": "call",
                    "actor": f"u{draw(40):x}",
                    "user_agent": f"a{draw(40):x}/1",
                    "verb": "get",
                    "resource": f"r{draw(20)}",
                },
                {"kind": "process", "process": f"/tmp/{draw(60):x}", "image": f"i{draw(40):x}", **base},
                {"kind": "file", "file": f"/tmp/{draw(40):x}/{draw(40):x}", **base},
                {
                    "kind": "connection",
                    "address": f"10.250.{draw(8)}.{draw(8)}",
                    "peer": f"203.0.113.{draw(8)}",
                    "port": draw(16),
                    **base,
                },
            )
        ),
        Observation,
    )


class Feeder:
    """Feeds observations, one a millisecond of event time unless told."""

    def __init__(self, definitions: Sequence[Definition]) -> None:
        self.watch, self.flows = Watch(), FlowView()
        self.watch.use(definitions)
        self.time_ns, self.seq = START_NS, 0
        self.found: Counter[str] = Counter()
        self.left_out: Counter[str] = Counter()

    def feed(self, seen: Observation, step_ns: int = 1_000_000) -> list[str]:
        """Feed one; return the titles of what found something."""
        self.time_ns += step_ns
        self.seq += 1
        seen.time_ns = seen.arrival_ns = self.time_ns
        seen.seq, seen.source, seen.format = self.seq, "bench", "bench"
        self.watch.advance(self.time_ns)
        shown = self.flows.take(seen)
        titles = [] if shown is None else [found.info.title for found in self.watch.observe(shown)]
        self.found.update(titles)
        if self.seq % CHECKPOINT == 0:
            self.checkpoint()
        return titles

    def checkpoint(self) -> None:
        """Let go of what a checkpoint of the agent takes: which keys were changed."""
        for reason, _, count in self.watch.take_left_out():
            self.left_out[reason] += count
        for operator in (*self.flows.operators, *self.watch.operators):
            operator.state.freeze()
            while operator.state.drain(1_000):
                pass


def measure(definitions: Sequence[Definition]) -> dict[str, Any]:
    """Learn, flood, attack; print and return what it took."""
    feeder, chance = Feeder(definitions), random.Random(1)
    before_mib, began = anonymous_mib(), time.process_time()
    for turn in range(EACH):
        for number in range(WORKLOADS):
            for seen in deeds(number, turn):
                feeder.feed(seen, 10 * DAY_NS // (4 * EACH * WORKLOADS))
    groups = {detector.name: len(detector.state) for detector in feeder.watch.detectors if len(detector.state)}
    learned_mib = anonymous_mib() - before_mib
    print(f"learned: {feeder.seq:,} observations, {sum(groups.values()):,} groups, {learned_mib:.0f} MiB")
    print(f"  {groups}; left out {dict(feeder.left_out)}")
    levels = []
    for step in range(FLOOD):
        feeder.feed(noise(chance))
        if step % (FLOOD // 10) == FLOOD // 10 - 1:
            levels.append(anonymous_mib() - before_mib)
    print(f"flood of {FLOOD:,}: {', '.join(f'{level:.0f}' for level in levels)} MiB; left out {dict(feeder.left_out)}")
    caught = attack(feeder, chance)
    print(f"attack inside the flood: {caught or 'MISSED'}")
    us = (time.process_time() - began) / feeder.seq * 1e6
    print(f"{us:.1f} us an observation, all of them new")
    return {"groups": groups, "learned_mib": learned_mib, "flood_mib": levels, "caught": caught, "us": us}


def attack(feeder: Feeder, chance: random.Random) -> list[str]:
    """Play a program that was never run, a service account's new request and a harvest of secrets, amid the flood."""
    own, caught = workload(7), []
    actor = f"system:serviceaccount:{own['namespace']}:{own['workload']}"
    steps: list[dict[str, Any]] = [{"kind": "process", "process": "/usr/bin/xmrig", "parent": "sh", **own}]
    steps += [
        {
            "kind": "call",
            "actor": actor,
            "verb": "get",
            "resource": "secrets",
            "name": f"s{number}",
            "outcome": "allow",
            **own,
        }
        for number in range(20)
    ]
    for step in steps:
        for _ in range(200):
            feeder.feed(noise(chance))
        caught += feeder.feed(msgspec.convert(step, Observation))
    assert Kind.CALL in {Kind(step["kind"]) for step in steps}
    return sorted(set(caught))
