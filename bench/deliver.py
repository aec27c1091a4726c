"""What delivery costs, measured: HTTP → durable intake → detection → OpenSearch's bulk API; and an outage of it.

Falco alerts come one a request over 64 connections from another process, and go to a stub of OpenSearch's bulk API
outside of the agent. Three agents, each on a folder of its own, take the same load in turn, side by side:

    store       the embedded store alone: the baseline
    alerts      OpenSearch alone, alerts rolled up
    events      OpenSearch alone, every event forwarded (`log: events`)

Then the outage: 500 events/s for 30 s, while the stub is away for the middle 10 s. Afterwards every event is accounted
for.

    python bench/deliver.py            # about five minutes
Results are printed and kept in bench/results/deliver.json with the machine's description and load.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import yaml
from load import falco_alert
from pipeline import Agent, baseline_s, free_port, load

from vedette.app.ledger import read_ledger
from vedette.journal.sqlite import DataFolder
from vedette.schema.errors import TransientError

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests" / "sinks"))
from opensearch_stub import OpenSearchStub  # noqa: E402 - a stub of the tests, which are no package

RATE = 500
PHASE_S = 10
CONNECTIONS = 64
NUMBER = re.compile(r"run-(\d+)")
PROMPT_REVISIONS = {"revision_interval_s": 5, "revision_interval_s_max": 5}
"""So that an alert's last count comes soon; a busy alert's next revision may else take five minutes."""


class Stub:
    """An OpenSearch that can go away and come back with what it had."""

    def __init__(self) -> None:
        self.now = OpenSearchStub(free_port())
        self.now.keep_bodies = False
        self.now.__enter__()

    def leave(self) -> None:
        self.now.__exit__()

    def come_back(self) -> None:
        old, self.now = self.now, OpenSearchStub(self.now.port)
        self.now.keep_bodies = False
        self.now.indices, self.now.templates = old.indices, old.templates
        self.now.__enter__()


class DeliverAgent(Agent):
    """A `vedette run` that delivers to one sink."""

    def __init__(self, folder: Path, kind: str, **settings: object) -> None:
        folder.mkdir()
        self.folder = folder
        self.kind = kind
        self.stub = Stub()
        self.falco = self.audit = f"127.0.0.1:{free_port()}"
        opensearch = {"opensearch": {"url": self.stub.now.url}}
        sinks = {"store": {"store": {}}, "alerts": opensearch, "events": {"log": "events", **opensearch}}
        config = {
            "data_dir": str(folder / "data"),
            "rules": {"packs": ["starter"]},
            "sources": {"falco": {"http": {"listen": self.falco, "routes": {"/": "falco"}}}},
            "sinks": {"destination": sinks[kind]},
            "metrics": {"listen": ""},
            **settings,
        }
        (folder / "vedette.yaml").write_text(yaml.safe_dump(config))
        self.errors = (folder / "vedette.log").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "vedette", "run", "--config", str(folder / "vedette.yaml")],
            stderr=self.errors,
            stdout=self.errors,
        )
        self.wait_ready()

    def settle(self, events: int) -> int:
        """Wait until so many events are detected and everything is delivered; return the revisions logged."""
        until = time.monotonic() + 300
        while time.monotonic() < until:
            time.sleep(0.1)
            try:
                ledger = read_ledger(DataFolder(self.folder / "data"))
            except TransientError:
                continue
            waiting = sum(account.waiting for account in (*ledger.sources, *ledger.deliveries))
            if waiting == 0 and sum(source.received for source in ledger.sources) >= events:
                assert ledger.balanced, ledger
                return self.revisions()
        sys.exit(f"not everything was delivered; see {self.folder}/vedette.log: {ledger}")

    def revisions(self) -> int:
        core = sqlite3.connect(f"file:{self.folder}/data/core.db?mode=ro", uri=True)
        (position,) = core.execute("SELECT coalesce(max(position), 0) FROM alert").fetchone()
        core.close()
        return position

    def end(self) -> None:
        self.stop()
        self.stub.leave()


# --- cost -------------------------------------------------------------------------------------------------------------
def measure(folder: Path, events: int, rounds: int) -> dict:
    """Let each kind take each round's load; medians over the rounds."""
    lines = [falco_alert(number) for number in range(20_000)]
    agents = [DeliverAgent(folder / kind, kind) for kind in ("store", "alerts", "events")]
    results: dict[str, list[dict]] = {agent.kind: [] for agent in agents}
    for agent in agents:
        load("falco", agent.falco, 20_000, first=900_000_000, connections=CONNECTIONS)
        agent.settle(20_000)
    for number in range(rounds):
        for agent in agents:
            results[agent.kind].append(one_round(agent, number, events, lines))
            print(agent.kind, json.dumps(results[agent.kind][-1]), flush=True)
    for agent in agents:
        agent.end()
    found = {}
    for kind, done in results.items():
        middle = sorted(done, key=lambda result: result["us_per_event"])[len(done) // 2]
        found[kind] = {"rounds": done, "median": middle}
    baseline = found["store"]["median"]["us_per_event"]
    for one in found.values():
        one["ratio_to_store"] = round(one["median"]["us_per_event"] / baseline, 3)
    return found


def one_round(agent: DeliverAgent, number: int, events: int, lines: list[bytes]) -> dict:
    bare = baseline_s(lines)
    before = agent.settle(0)
    cpu_s = agent.cpu_s()
    sent = load("falco", agent.falco, events, first=number * events, connections=CONNECTIONS)
    after = agent.settle(20_000 + (number + 1) * events)
    spent = (agent.cpu_s() - cpu_s) / events
    return {
        "us_per_event": round(1e6 * spent, 2),
        "events_per_cpu_s": round(1 / spent),
        "bare_decode_us": round(1e6 * bare, 2),
        "revisions_per_event": round((after - before) / events, 5),
        "bulk_requests": len(agent.stub.now.bulks()),
        "seconds": sent["seconds"],
        "p99_ms": sent["p99_ms"],
        "statuses": sent["statuses"],
        "load_average": round(os.getloadavg()[0], 2),
    }


# --- the outage -------------------------------------------------------------------------------------------------------
def outage(folder: Path, kind: str) -> dict:
    """500 events/s for three times 10 s; the stub is away for the second."""
    agent = DeliverAgent(folder / f"outage-{kind}", kind, alerts=PROMPT_REVISIONS)
    load("falco", agent.falco, 5_000, rate=RATE, first=900_000_000, connections=CONNECTIONS)
    agent.settle(5_000)
    agent.stub.now.indices.clear()
    found: dict = {}
    cpu_s, before = agent.cpu_s(), agent.revisions()
    for phase, name in enumerate(("before", "away", "after")):
        if name == "away":
            agent.stub.leave()
        elif name == "after":
            agent.stub.come_back()
        sent = load(
            "falco", agent.falco, RATE * PHASE_S, rate=RATE, first=phase * RATE * PHASE_S, connections=CONNECTIONS
        )
        found[name] = {key: sent[key] for key in ("p50_ms", "p99_ms", "statuses")}
        found[name]["load_average"] = round(os.getloadavg()[0], 2)
    events = 3 * RATE * PHASE_S
    began = time.monotonic()
    agent.settle(5_000 + events)
    missing = account(agent, events)
    while any(missing.values()) and time.monotonic() - began < 60:  # the last revision of each alert is due within 5 s
        time.sleep(0.5)
        missing = account(agent, events)
    found |= {
        "events": events,
        **missing,
        "revisions_per_event": round((agent.revisions() - before) / events, 5),
        "us_per_event": round(1e6 * (agent.cpu_s() - cpu_s) / events, 2),
        "settled_after_s": round(time.monotonic() - began, 1),
    }
    agent.end()
    print("outage", kind, json.dumps(found), flush=True)
    return found


def account(agent: DeliverAgent, events: int) -> dict:
    """What is missing or too much at the stub."""
    documents = agent.stub.now.documents()
    if agent.kind == "events":
        seen = Counter(int(NUMBER.search(document["event"]["original"])[1]) for document in documents)
        wanted = Counter(range(events))
        return {"missing": (wanted - seen).total(), "too_many": (seen - wanted).total()}
    # The warm-up's events joined alerts that are open still.
    counted = sum(document["count"] for document in documents) - 5_000
    return {"missing": max(events - counted, 0), "too_many": max(counted - events, 0)}


def main() -> None:
    """Measure, and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=60_000, help="per round")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    result: dict = {
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "machine": {
            "cpu": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "load_before": os.getloadavg(),
        },
    }
    with tempfile.TemporaryDirectory(prefix="vedette-bench-") as folder:
        result["cost"] = measure(Path(folder), args.events, args.rounds)
        result["outage"] = {kind: outage(Path(folder), kind) for kind in ("alerts", "events")}
    (HERE / "results" / "deliver.json").write_text(json.dumps(result, indent=1) + "\n")
    for kind, found in result["cost"].items():
        print(kind, json.dumps(found["median"]), "x store:", found["ratio_to_store"])


if __name__ == "__main__":
    main()
