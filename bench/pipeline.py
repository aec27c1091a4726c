"""The whole path, measured: HTTP → durable intake → decode → starter rules → alerts in the store.

For each kind of load: start `vedette run` on an empty folder, send the load from another process, wait until the ledger
says that nothing waits, and read the CPU seconds that the kernel charged to the agent. Beside it, in the same run and
alternating with it, the baseline: a bare orjson decode of the same events line by line, result discarded, gc off.

    python bench/pipeline.py                    # both loads, short
    python bench/pipeline.py --audit-events 2000000   # with the memory curve
Results are printed and kept in bench/results/pipeline.json with the machine's description.
"""

from __future__ import annotations

import argparse
import datetime as dt
import gc
import gzip
import json
import os
import platform
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import orjson
import yaml
from load import falco_alert

HERE = Path(__file__).parent
LOG = HERE.parent.parent / "shared" / "kube-audit" / "A" / "audit.jsonl.gz"
TICKS = os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Agent:
    """A `vedette run` of the bench's own, on an empty folder."""

    def __init__(self, folder: Path, rules: dict | None = None) -> None:
        self.folder = folder
        self.falco, self.audit = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        config = folder / "vedette.yaml"
        config.write_text(
            yaml.safe_dump(
                {
                    "data_dir": str(folder / "data"),
                    "rules": rules or {"packs": ["starter"]},
                    "sources": {
                        "falco": {"http": {"listen": self.falco, "routes": {"/": "falco"}}},
                        "audit": {"http": {"listen": self.audit, "routes": {"/k8s-audit": "kube_audit"}}},
                    },
                    "sinks": {"store": {"store": {}}},
                    "metrics": {"listen": "127.0.0.1:0"},
                }
            )
        )
        self.errors = (folder / "vedette.log").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "vedette", "run", "--config", str(config)], stderr=self.errors, stdout=self.errors
        )
        self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until both ports answer."""
        for host in (self.falco, self.audit):
            name, port = host.split(":")
            until = time.monotonic() + 60
            while True:
                try:
                    socket.create_connection((name, int(port)), 1).close()
                    break
                except OSError:
                    if time.monotonic() > until or self.process.poll() is not None:
                        sys.exit(f"the agent did not start; see {self.folder}/vedette.log")
                    time.sleep(0.05)

    def cpu_s(self) -> float:
        """User and system seconds of all its threads so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def rss_mib(self) -> float:
        """Resident memory without file pages, in MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon")) / 1024

    def detected(self) -> tuple[int, int]:
        """Records processed, and alert revisions logged."""
        core = sqlite3.connect(f"file:{self.folder}/data/core.db?mode=ro", uri=True)
        processed = core.execute("SELECT coalesce(sum(processed + filtered + dead_lettered), 0) FROM ledger").fetchone()
        revisions = core.execute("SELECT coalesce(max(position), 0) FROM alert").fetchone()
        delivered = core.execute("SELECT coalesce(sum(delivered + superseded), 0) FROM delivery").fetchone()
        core.close()
        return processed[0], revisions[0] if delivered[0] == revisions[0] else -1

    def stop(self) -> None:
        """End it cleanly."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        self.errors.close()


def baseline_s(lines: list[bytes]) -> float:
    """CPU seconds of a bare orjson decode of each line."""
    gc.collect()
    gc.disable()
    began = time.process_time()
    for line in lines:
        orjson.loads(line)
    taken = time.process_time() - began
    gc.enable()
    return taken / len(lines)


def load(
    kind: str,
    host: str,
    events: int,
    *,
    rate: float = 0.0,
    first: int = 0,
    connections: int = 64,
    lap_minutes: int = 1_440,
) -> dict:
    """Send a load from another process."""
    command = [sys.executable, str(HERE / "load.py"), kind, host, "--events", str(events), "--first", str(first)]
    command += ["--rate", str(rate), "--connections", str(connections), "--log", str(LOG)]
    command += ["--lap-minutes", str(lap_minutes)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def settle(agent: Agent, events: int) -> int:
    """Wait until everything is detected and stored; return the revisions logged."""
    until = time.monotonic() + 600
    while time.monotonic() < until:
        processed, revisions = agent.detected()
        if processed >= events and revisions >= 0:
            return revisions
        time.sleep(0.05)
    sys.exit(f"not all events were detected: {agent.detected()} of {events}")


def latency(agent: Agent, rate: float, seconds: int) -> dict:
    """From request to stored alert: probes of their own rule, one after another, while Falco alerts come at a rate."""
    command = [sys.executable, str(HERE / "load.py"), "falco", agent.falco, "--rate", str(rate)]
    command += ["--events", str(int(rate * seconds)), "--first", "500000000"]
    store = sqlite3.connect(f"file:{agent.folder}/data/store.db?mode=ro", uri=True)
    taken = []
    with subprocess.Popen(command, stdout=subprocess.PIPE) as running:
        while running.poll() is None:
            rule = f"Probe {len(taken)}"
            alert = json.loads(falco_alert(len(taken))) | {"rule": rule}
            began = time.perf_counter()
            urllib.request.urlopen(f"http://{agent.falco}/", json.dumps(alert).encode()).close()
            while not store.execute("SELECT 1 FROM alert WHERE rule_id = ?", (f"falco:{rule}",)).fetchone():
                time.sleep(0.0005)
            taken.append(1e3 * (time.perf_counter() - began))
            time.sleep(0.01)
        answered = json.loads(running.communicate()[0])
    taken.sort()
    return {
        "events_per_s": round(rate),
        "probes": len(taken),
        "stored_p50_ms": round(taken[len(taken) // 2], 2),
        "stored_p99_ms": round(taken[int(len(taken) * 0.99)], 2),
        "answer_p99_ms": answered["p99_ms"],
    }


def measure(kind: str, events: int, lines: list[bytes], rounds: int) -> dict:
    """Alternate baseline and load; medians over the rounds."""
    results = []
    half_load: dict = {}
    with tempfile.TemporaryDirectory(prefix="vedette-bench-") as folder:
        agent = Agent(Path(folder))
        host = agent.audit if kind == "audit" else agent.falco
        load(kind, host, min(events, 20_000), first=0 if kind == "audit" else 900_000_000)  # warm up
        done = agent.detected()[0]
        memory = []
        for number in range(rounds):
            bare = baseline_s(lines)
            cpu = agent.cpu_s()
            revisions = settle(agent, done)
            first = 100 * (number + 1) if kind == "audit" else number * events
            per_round = load(kind, host, events, first=first, connections=8 if kind == "audit" else 64)
            done += per_round["events"]
            after = settle(agent, done)
            spent = (agent.cpu_s() - cpu) / per_round["events"]
            memory.append(round(agent.rss_mib(), 1))
            results.append(
                {
                    "us_per_event": round(1e6 * spent, 2),
                    "events_per_cpu_s": round(1 / spent),
                    "bare_decode_us": round(1e6 * bare, 2),
                    "ratio_to_bare_decode": round(bare / spent, 3),
                    "revisions_per_event": round((after - revisions) / per_round["events"], 5),
                    "seconds": per_round["seconds"],
                    "p99_ms": per_round["p99_ms"],
                    "rss_anon_mib": memory[-1],
                    "statuses": per_round["statuses"],
                }
            )
            print(kind, json.dumps(results[-1]), flush=True)
        if kind == "falco":
            fastest = max(events / result["seconds"] for result in results)
            half_load = latency(agent, fastest / 2, seconds=10)
            print("half load", json.dumps(half_load), flush=True)
        agent.stop()
    middle = sorted(results, key=lambda result: result["us_per_event"])[len(results) // 2]
    return {"rounds": results, "median": middle, "rss_anon_mib": memory, "half_load": half_load}


def main() -> None:
    """Measure both loads and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audit-events", type=int, default=94_000, help="per round")
    parser.add_argument("--falco-events", type=int, default=60_000, help="per round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=["audit", "falco"])
    args = parser.parse_args()
    lines = gzip.decompress(LOG.read_bytes()).splitlines()
    result = {
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "machine": {
            "cpu": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "load_before": os.getloadavg(),
        },
    }
    if args.only != "falco":
        result["audit"] = measure("audit", args.audit_events, lines, args.rounds)
    if args.only != "audit":
        result["falco"] = measure("falco", args.falco_events, [falco_alert(n) for n in range(20_000)], args.rounds)
    kept = HERE / "results" / "pipeline.json"
    kept.parent.mkdir(exist_ok=True)
    kept.write_text(json.dumps(result, indent=1) + "\n")
    for kind in ("audit", "falco"):
        if kind in result:
            print(kind, json.dumps(result[kind]["median"]))


if __name__ == "__main__":
    main()
