"""The soak: an agent at half of its maximum rate for a long time, and whether anything of it grows.

A real `vedette run` with the default packs, the embedded store and the metrics port takes audit EventLists and Falco
alerts in the shapes of the sample day (bench/soak_load.py, a process of its own). First as many as it can take, for
some seconds: the maximum rate is that at which records were detected, not only received. Then half of it, steadily,
while memory, open files, threads, disk, latency, CPU and what waits are sampled. What is claimed of them stands in
bench/soak_claims.py; a claim that does not hold makes the exit status 1.

    python bench/soak.py --minutes 20 --graph docs/soak.svg     # the run for the record
    python bench/soak.py --minutes 2 --share 0.2 --wide        # as in CI, beside other work

Limits are small enough to act within the run: event time passes so fast that the longest window of a correlation, an
hour, is over within the warm-up; roll-up windows are a tenth of the run, the intake log keeps 3 MiB for each of its
minutes, the store 1,000 alerts, and repeated records are remembered for a sixth of it.
Results are printed and kept in bench/results/soak.json with the machine's description.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import yaml
from pipeline import Agent, free_port
from soak_claims import WIDE, Claim, Limits, claims, thirds
from soak_graph import Panel, graph

from vedette.app.ledger import read_ledger
from vedette.journal.sqlite import DataFolder

HERE = Path(__file__).parent
MIB = 1024 * 1024
KEEP_BYTES_A_MINUTE = 3 * MIB
SEGMENTS_KEPT = 8
KEEP_ALERTS = 1_000
LONGEST_WINDOW_S = 3600
"""Of the correlations that are on by default."""
RETIRE_S = 60
"""Between two looks for what retention removes (vedette/pipeline/intake.py, sinks/store/sink.py)."""
PREPARE_S = 300
"""From the start to the soak, at most: event time is the present when it is over, and never the future."""
SAMPLES = 240
"""Of a whole run, at most one a second."""
PANELS = (
    Panel("memory, MiB", {"memory_bytes": "anonymous"}, MIB),
    Panel("open files", {"files": "open files", "threads": "threads"}),
    Panel("disk, MiB", {"log_bytes": "intake log", "store_bytes": "store", "core_bytes": "core log"}, MIB),
    Panel("from due to answered, ms", {"p99_ms": "p99", "p50_ms": "p50"}),
    Panel("records", {"waiting": "wait for detection"}),
    Panel("CPU, µs a record", {"us_per_record": "agent"}),
)


class SoakAgent(Agent):
    """A `vedette run` with the default packs, and limits that act within so many seconds."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self.folder = folder
        self.falco, self.audit, self.metrics = (f"127.0.0.1:{free_port()}" for _ in range(3))
        self.window_s = seconds / 10
        self.speed = max(1.0, LONGEST_WINDOW_S / (seconds / 3))
        self.until = time.time() + seconds + PREPARE_S
        self.checkpoint_s = min(30.0, seconds / 24)
        self.keep_bytes = round(KEEP_BYTES_A_MINUTE * seconds / 60)
        self.segment_bytes = max(MIB, self.keep_bytes // SEGMENTS_KEPT)
        self.settings = {
            "data_dir": str(folder / "data"),
            "sources": {
                "falco": {"http": {"listen": self.falco, "routes": {"/": "falco"}}},
                "audit": {"http": {"listen": self.audit, "routes": {"/k8s-audit": "kube_audit"}}},
            },
            "alerts": {"rollup_window_s": self.window_s},
            "sinks": {"store": {"store": {"keep_alerts": KEEP_ALERTS}}},
            "journal": {
                "segment_bytes_max": self.segment_bytes,
                "keep_bytes": self.keep_bytes,
                "dedup_horizon_s": min(900.0, seconds / 6),
                "checkpoint_interval_s": self.checkpoint_s,
            },
            "metrics": {"listen": self.metrics},
        }
        (folder / "vedette.yaml").write_text(yaml.safe_dump(self.settings))
        self.errors = (folder / "vedette.log").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "vedette", "run", "--config", str(folder / "vedette.yaml")],
            stderr=self.errors,
            stdout=self.errors,
        )
        self.wait_ready()

    def sample(self) -> dict[str, Any]:
        """What it takes now, by the kernel, and what waits, by its metrics."""
        proc = Path(f"/proc/{self.process.pid}")
        status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
        sizes: dict[str, int] = {}
        for file in (self.folder / "data").rglob("*"):
            try:
                sizes[file.relative_to(self.folder / "data").as_posix()] = file.stat().st_size
            except FileNotFoundError:
                continue  # retired in between
        page = self.page()
        return {
            "memory_bytes": int(status["RssAnon"].split()[0]) * 1024,
            "files": len(list((proc / "fd").iterdir())),
            "threads": int(status["Threads"]),
            "log_bytes": sum(size for name, size in sizes.items() if name.startswith("intake/")),
            "core_bytes": sum(size for name, size in sizes.items() if name.startswith("core.db")),
            "store_bytes": sum(size for name, size in sizes.items() if name.startswith("store.db")),
            "waiting": page["vedette_records_waiting"],
            "revisions": page["vedette_deliveries_routed"],
            "open_alerts": page["vedette_alerts_open"],
            "stored_alerts": self.stored_alerts(),
            "pruned": page.get("vedette_store_pruned_total", 0.0),
            "cpu_s": self.cpu_s(),
            "segments": sorted(name for name in sizes if name.startswith("intake/") and name.endswith(".db")),
        }

    def stored_alerts(self) -> int:
        store = sqlite3.connect(f"file:{self.folder}/data/store.db?mode=ro", uri=True)
        (count,) = store.execute("SELECT count(*) FROM alert").fetchone()
        store.close()
        return int(count)

    def page(self) -> dict[str, float]:
        """The metrics, summed over their labels."""
        found: dict[str, float] = {}
        with urllib.request.urlopen(f"http://{self.metrics}/metrics") as answer:
            for line in answer.read().decode().splitlines():
                if not line.startswith("#"):
                    series, value = line.rsplit(" ", 1)
                    name = series.partition("{")[0]
                    found[name] = found.get(name, 0.0) + float(value)
        return found

    def settle(self, records: int) -> float:
        """Wait until so many records are detected, and all alerts delivered; return when they were."""
        until = time.monotonic() + 600
        while time.monotonic() < until:
            processed, revisions = self.detected()
            if processed >= records and revisions >= 0:
                return time.monotonic()
            time.sleep(0.05)
        sys.exit(f"not all records were detected: {self.detected()} of {records}; see {self.folder}/vedette.log")


class Run(NamedTuple):
    figures: dict[str, Any]
    samples: list[dict[str, Any]]
    claims: list[Claim]


class Load:
    """The load process, and what it says."""

    def __init__(self, agent: SoakAgent, seconds: int, first: int, rate: float = 0.0) -> None:
        command = [sys.executable, str(HERE / "soak_load.py"), agent.falco, agent.audit, "--seconds", str(seconds)]
        command += ["--first", str(first), "--rate", str(rate), "--churn-seconds", str(agent.window_s)]
        command += ["--speed", str(agent.speed), "--until", str(agent.until)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.lines: list[dict[str, Any]] = []
        self.total: dict[str, Any] = {}
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            said = json.loads(line)
            if "total" in said:
                self.total = said["total"]
            else:
                self.lines.append(said)

    def begun(self) -> float:
        """Wait for the first second to be over; return when it was."""
        while not self.lines and self.process.poll() is None:
            time.sleep(0.01)
        return time.monotonic()

    def take(self) -> list[dict[str, Any]]:
        """The seconds since the last call."""
        taken, self.lines = self.lines, []
        return taken

    def wait(self) -> dict[str, Any]:
        self.reader.join()
        if self.process.wait() or "connections lost" in self.total["statuses"]:
            sys.exit(f"the load broke: {self.total}")
        return self.total


def maximum_rate(agent: SoakAgent, seconds: int) -> tuple[float, int]:
    """Records a second in a closed loop, until all of them are detected; and how many were sent in all."""
    warm = Load(agent, 5, first=10**8).wait()["records"]
    agent.settle(warm)
    began = time.monotonic()
    sent = Load(agent, seconds, first=2 * 10**8).wait()["records"]
    return sent / (agent.settle(warm + sent) - began), warm + sent


def soak(agent: SoakAgent, seconds: int, rate: float) -> tuple[list[dict[str, Any]], dict[str, Any], int]:
    """Offer a rate; return the samples, what was sent, and how many segments were retired."""
    samples: list[dict[str, Any]] = []
    seen: set[str] = set()
    interval_s = max(1.0, seconds / SAMPLES)
    before = agent.sample()
    load = Load(agent, seconds, first=0, rate=rate)
    began = load.begun() + 0.2  # the load speaks once a second; it shall have spoken when it is asked
    for number in range(1, int((seconds - 2) / interval_s)):  # the last ones are its hanging up
        time.sleep(max(0.0, began + number * interval_s - time.monotonic()))
        now, told = agent.sample(), load.take()
        if not told:
            continue  # a busy machine
        segments = now.pop("segments")
        seen.update(segments)
        records = sum(second["records"] for second in told)
        samples.append(
            {
                "t": round(time.monotonic() - began, 2),
                **now,
                "records": records,
                "p50_ms": median(second["p50_ms"] for second in told),
                "p99_ms": max(second["p99_ms"] for second in told),
                "held": told[-1]["held"],
                "us_per_record": round(1e6 * (now["cpu_s"] - before["cpu_s"]) / max(records, 1), 2),
            }
        )
        before = now
        if len(samples) % 12 == 0:
            print(json.dumps(samples[-1]), flush=True)
    return samples, load.wait(), len(seen - set(agent.sample()["segments"]))


def account(agent: SoakAgent, received: int) -> dict[str, float]:
    """What the ledger says after the end."""
    ledger = read_ledger(DataFolder(agent.folder / "data"))
    counts = {name: sum(getattr(each, name) for each in ledger.sources) for name in ("duplicate", "dead_lettered")}
    counts["waiting"] = sum(account.waiting for account in (*ledger.sources, *ledger.deliveries))
    counts["imbalance"] = int(not ledger.balanced) + abs(sum(each.received for each in ledger.sources) - received)
    return counts


def run(folder: Path, args: argparse.Namespace) -> Run:
    """Measure, soak, account, judge."""
    seconds = round(args.minutes * 60)
    agent = SoakAgent(folder, seconds)
    try:
        return measured(agent, seconds, args)
    finally:
        agent.process.kill()


def measured(agent: SoakAgent, seconds: int, args: argparse.Namespace) -> Run:
    fastest, before = maximum_rate(agent, args.measure_seconds)
    rate = fastest * args.share
    print(f"at most {fastest:.0f} records/s; offering {rate:.0f} for {seconds} s", flush=True)
    samples, sent, retired = soak(agent, seconds, rate)
    agent.settle(before + sent["records"])
    whole = {
        "rate": rate,
        "seconds": sent["seconds"],
        "sent": sent["records"],
        "refused": sum(count for status, count in sent["statuses"].items() if status != "200"),
        "segments_retired": retired,
        "store_pruned": samples[-1]["pruned"],
        "log_bytes_max": log_bytes_max(agent, samples),
        "stored_alerts_max": KEEP_ALERTS + alerts_a_second(samples) * (RETIRE_S + 2 * agent.window_s),
    }
    agent.stop()
    whole |= account(agent, before + sent["records"])
    found = claims(samples, whole, WIDE if args.wide else Limits())
    figures: dict[str, Any] = {
        "maximum_rate": round(fastest),
        **{name: round(value, 1) for name, value in whole.items()},
    }
    return (
        figures | {"settings": settings(agent), "thirds": [summary(part) for part in thirds(samples)]},
        samples,
        found,
    )


def log_bytes_max(agent: SoakAgent, samples: list[dict[str, Any]]) -> float:
    """What the intake log may take: its limit, the open segment, and what comes until the next look, which the oldest
    checkpoint may hold back."""
    sizes = [each["log_bytes"] for each in samples]
    grown = sum(max(0, after - before) for before, after in pairwise(sizes))
    pace = grown / (samples[-1]["t"] - samples[0]["t"])
    return agent.keep_bytes + 2 * agent.segment_bytes + pace * (RETIRE_S + 2 * agent.checkpoint_s)


def alerts_a_second(samples: list[dict[str, Any]]) -> float:
    """How many alerts the store was given."""
    first, last = ({**each, "given": each["stored_alerts"] + each["pruned"]} for each in (samples[0], samples[-1]))
    return (last["given"] - first["given"]) / (last["t"] - first["t"])


def settings(agent: SoakAgent) -> dict[str, Any]:
    return {name: agent.settings[name] for name in ("alerts", "sinks", "journal")}


def summary(part: Any) -> dict[str, float]:
    """Medians of a third."""
    names = ("memory_bytes", "files", "threads", "log_bytes", "store_bytes", "core_bytes", "p50_ms", "p99_ms")
    return {name: round(median(each[name] for each in part), 3) for name in (*names, "waiting", "us_per_record")}


def main() -> int:
    """Soak, keep the result, and say which claims hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--share", type=float, default=0.5, help="of the maximum rate")
    parser.add_argument("--measure-seconds", type=int, default=20, help="for the maximum rate")
    parser.add_argument("--wide", action="store_true", help="claim less: for a short run beside other work")
    parser.add_argument("--results", type=Path, default=HERE / "results" / "soak.json")
    parser.add_argument("--graph", type=Path, help="SVG file to write")
    args = parser.parse_args()
    result: dict[str, Any] = {
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "machine": {
            "cpu": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "load_before": os.getloadavg(),
        },
    }
    with tempfile.TemporaryDirectory(prefix="vedette-bench-") as folder:
        figures, samples, found = run(Path(folder), args)
    result |= figures
    result["machine"]["load_after"] = os.getloadavg()
    result["claims"] = [{**claim._asdict(), "holds": claim.holds} for claim in found]
    args.results.parent.mkdir(exist_ok=True)
    args.results.write_text(json.dumps(result | {"samples": samples}, indent=None) + "\n")
    if args.graph:
        title = f"{args.minutes:g} minutes at {figures['rate']:,.0f} records/s, {args.share:g} of the maximum rate"
        args.graph.write_text(graph(samples, PANELS, title), "utf-8")
    print(json.dumps(figures, indent=1))
    for claim in found:
        said = f"{claim.name}: {claim.figure:.6g} {claim.unit}".rstrip()
        print(f"{'holds' if claim.holds else 'BROKEN'}  {said} (at most {claim.bound:.6g})")
    return 0 if all(claim.holds for claim in found) else 1


if __name__ == "__main__":
    sys.exit(main())
