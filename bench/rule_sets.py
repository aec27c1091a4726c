"""What more rules cost the whole path: agents with different rule sets take the same audit events in turn.

    python bench/rule_sets.py                      # 5 rounds, about ten minutes
    python bench/rule_sets.py --rounds 3 --events 47000

`starter` is the baseline; `public` adds SigmaHQ's rules for Kubernetes and Falco's audit rules, read in place from
`../shared`; `behaviour` adds the detectors of behaviour, `shipped` is what is on by default, `signatures` the same
without behaviour, `all` every shipped pack. Each agent is a process of its own, and its
CPU time alone counts. Rates are given as a share of the baseline's of the same round.
"""

import argparse
import datetime as dt
import gzip
import json
import os
import platform
import statistics
import tarfile
import tempfile
from contextlib import ExitStack
from pathlib import Path

import yaml
from pipeline import LOG, Agent, baseline_s, load, settle

from detectors.packs import shipped_pack_texts
from vedette.app.config import PACKS

HERE = Path(__file__).parent
SHARED = HERE.parent.parent / "shared"
FALCO = SHARED / "conformance/falco/k8s_audit/rules/k8s_audit_rules.yaml"
BASELINE = "starter"
LAP_MINUTES = 8
"""The log took seven and a half minutes. With a day from lap to lap, as in `pipeline.py`, whatever was learned would be
hours old at each event."""


def public_rules(folder: Path) -> list[str]:
    """Lay out the public rules for Kubernetes audit events."""
    with tarfile.open(SHARED / "peers/sigmahq-rules.tar.gz") as archive:
        archive.extractall(folder / "sigmahq", filter="data")
    chosen = folder / "kubernetes"
    chosen.mkdir()
    for path in sorted(folder.glob("sigmahq/rules/**/*.yml")):
        if yaml.safe_load(path.read_text(encoding="utf-8")).get("logsource", {}).get("product") == "kubernetes":
            (chosen / path.name).write_bytes(path.read_bytes())
    return [str(chosen), str(FALCO)]


def rule_sets(folder: Path) -> dict[str, dict]:
    return {
        BASELINE: {"packs": ["starter"]},
        "public": {"packs": ["starter"], "paths": public_rules(folder)},
        "behaviour": {"packs": ["starter", "behaviour"]},
        "signatures": {"packs": [pack for pack in PACKS if pack != "behaviour"]},
        "shipped": {"packs": [*PACKS]},
        "all": {"packs": sorted({text.pack for text in shipped_pack_texts()})},
    }


def measure(events: int, rounds: int, only: list[str]) -> dict[str, list[dict]]:
    lines = gzip.decompress(LOG.read_bytes()).splitlines()
    results: dict[str, list[dict]] = {}
    with tempfile.TemporaryDirectory(prefix="vedette-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        agents: dict[str, Agent] = {}
        for kind, rules in rule_sets(folder).items():
            if kind == BASELINE or not only or kind in only:
                (folder / kind).mkdir()
                agents[kind] = Agent(folder / kind, rules)
                stack.callback(agents[kind].stop)
                load("audit", agents[kind].audit, min(events, 20_000), first=0, lap_minutes=LAP_MINUTES)  # warm up
        done = {kind: agent.detected()[0] for kind, agent in agents.items()}
        for number in range(rounds):
            bare = baseline_s(lines)
            for kind, agent in agents.items():
                revisions = settle(agent, done[kind])
                cpu = agent.cpu_s()
                first = 100 * (number + 1)
                sent = load("audit", agent.audit, events, first=first, connections=8, lap_minutes=LAP_MINUTES)
                done[kind] += sent["events"]
                after = settle(agent, done[kind])
                spent = (agent.cpu_s() - cpu) / sent["events"]
                base = results[BASELINE][number]["us_per_event"] if BASELINE in results and kind != BASELINE else None
                row = {
                    "us_per_event": round(1e6 * spent, 2),
                    "ratio_to_bare_decode": round(bare / spent, 3),
                    "share_of_rate": None if base is None else round(base / (1e6 * spent), 3),
                    "revisions_per_event": round((after - revisions) / sent["events"], 5),
                    "rss_anon_mib": round(agent.rss_mib(), 1),
                }
                results.setdefault(kind, []).append(row)
                print(f"{kind:8}", json.dumps(row), flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=94_000, help="per agent and round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--only", action="append", default=[], choices=["public", "behaviour", "signatures", "shipped", "all"]
    )
    args = parser.parse_args()
    load_before = os.getloadavg()
    results = measure(args.events, args.rounds, args.only)
    medians = {
        kind: {
            "us_per_event": statistics.median(row["us_per_event"] for row in rows),
            "share_of_rate": statistics.median(row["share_of_rate"] or 1.0 for row in rows),
        }
        for kind, rows in results.items()
    }
    kept = {
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "machine": {
            "cpu": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "load_before": load_before,
        },
        "medians": medians,
        "rounds": results,
    }
    (HERE / "results" / "rule_sets.json").write_text(json.dumps(kept, indent=1) + "\n")
    print(json.dumps(medians, indent=1))


if __name__ == "__main__":
    main()
