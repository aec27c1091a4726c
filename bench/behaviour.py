"""What detectors of behaviour find, miss and cry wolf about, on simulated days; and what they cost.

    python bench/behaviour.py benign             # 1,000 pods: 7 days of learning, then 14 that are judged
    python bench/behaviour.py attacks            # 200 seeded runs with attacks, in the reporting range
    python bench/behaviour.py memory             # a million tuples, 100,000 groups, then a flood of made-up names
    python bench/behaviour.py report             # tables out of what was kept

Each run is kept as a line of JSON in bench/results/behaviour-<what>.jsonl as soon as it is done, and not run again: so
what was interrupted goes on where it stopped. Options make runs smaller (`--pods 50 --days 5`); then they are others.
Runs are spread over the processors (`--jobs`).
"""

from __future__ import annotations

import argparse
import concurrent.futures
import hashlib
import json
import os
import platform
import statistics
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detectors.loading import load_rules
from detectors.packs import shipped_pack_texts
from vedette.schema.level import Level
from vedette.schema.limits import SECOND_NS
from vedette.testing.behaviour_score import play
from vedette.testing.simulator import REPORTING_SEEDS_FROM, SCENARIOS, SimulationConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from detectors.behaviour.definition import Definition

RESULTS = Path(__file__).parent / "results"
FIRST_SEED = REPORTING_SEEDS_FROM + 100
SCENARIOS_A_RUN = 5
"""Attacks played in one run; which ones goes round from seed to seed."""
JUDGED_LEVEL = Level.LOW
"""Alerts of lower levels are context."""


def definitions() -> list[Definition]:
    """Load what ships."""
    texts = [text for text in shipped_pack_texts() if text.pack == "behaviour"]
    loaded = load_rules(texts)
    assert not loaded.errors, loaded.errors
    return list(loaded.definitions)


def fingerprint() -> str:
    """Name the definitions and the code that they run on: results of others are not theirs."""
    digest = hashlib.sha256()
    root = Path(__file__).parent.parent / "detectors"
    for path in sorted([*root.glob("behaviour/**/*.py"), *root.glob("packs/behaviour/*.yml")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


# --- one run ----------------------------------------------------------------------------------------------------------
def run(job: dict[str, Any]) -> dict[str, Any]:
    """Play one simulation and tell what came of it."""
    began = time.process_time()
    config = SimulationConfig(
        pods=job["pods"],
        days=job["days"],
        seed=job["seed"],
        learning_days=job["learning_days"],
        attacks=tuple(job["attacks"]),
    )
    score = play(definitions(), config, judge_after_days=job["learning_days"])
    false = score.false_alerts(JUDGED_LEVEL)
    return {
        **job,
        "records": score.records,
        "judged_days": score.judged_days,
        "cpu_s": round(time.process_time() - began, 1),
        "alerts": dict(Counter(alert.title for alert in score.alerts if alert.level.rank >= JUDGED_LEVEL.rank)),
        "false": dict(Counter(alert.title for alert in false)),
        "examples": [f"{alert.title}: {' '.join(alert.group)}: {alert.seen}"[:300] for alert in false[:10]],
        "attacks_played": [
            {
                "scenario": attack.scenario,
                "ended": attack.end_ns > 0,
                "lasted_s": round((attack.end_ns - attack.start_ns) / SECOND_NS),
                "found_by": {
                    alert.title: round((alert.time_ns - attack.start_ns) / SECOND_NS)
                    for alert in reversed(score.found(attack, JUDGED_LEVEL))
                },
            }
            for attack in score.attacks
        ],
    }


def benign_jobs(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield the runs without attacks."""
    learning = options.learning_days or 7
    for number in range(options.runs or 1):
        yield {
            "pods": options.pods or 1000,
            "days": (options.days or 14) + learning,
            "learning_days": learning,
            "seed": FIRST_SEED + number,
            "attacks": [],
        }


def attack_jobs(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield the runs with attacks: each scenario in turn."""
    names = list(SCENARIOS)
    learning = options.learning_days or 4
    for number in range(options.runs or 200):
        at = number * SCENARIOS_A_RUN
        yield {
            "pods": options.pods or 40,
            "days": (options.days or 4) + learning,
            "learning_days": learning,
            "seed": FIRST_SEED + 1000 + number,
            "attacks": [names[(at + step) % len(names)] for step in range(SCENARIOS_A_RUN)],
        }


JOBS: dict[str, Callable[[argparse.Namespace], Iterator[dict[str, Any]]]] = {
    "benign": benign_jobs,
    "attacks": attack_jobs,
}


def kept(what: str) -> list[dict[str, Any]]:
    """Return the runs that were kept."""
    path = RESULTS / f"behaviour-{what}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def run_all(what: str, options: argparse.Namespace) -> None:
    """Run what is not there yet, and keep each run."""
    code = fingerprint()
    jobs = [{**job, "code": code} for job in JOBS[what](options)]
    done = [{key: found.get(key) for key in jobs[0]} for found in kept(what)]
    open_jobs = [job for job in jobs if job not in done]
    print(f"{len(jobs)} runs, {len(open_jobs)} of them to do")
    path = RESULTS / f"behaviour-{what}.jsonl"
    with concurrent.futures.ProcessPoolExecutor(options.jobs) as pool, path.open("a") as file:
        for found in pool.map(run, open_jobs):
            file.write(json.dumps(found) + "\n")
            file.flush()
            print(f"seed {found['seed']}: {found['records']} records, {found['cpu_s']} s, false {found['false']}")
    report_runs([found for found in kept(what) if found["code"] == code])


# --- tables -----------------------------------------------------------------------------------------------------------
def report_runs(runs: list[dict[str, Any]]) -> None:
    """Print what came of runs."""
    if not runs:
        return
    pod_days = sum(found["pods"] * found["judged_days"] for found in runs)
    false: Counter[str] = Counter()
    for found in runs:
        false.update(found["false"])
    print(f"\n{len(runs)} runs, {pod_days:,.0f} judged pod-days; false alerts per 1,000 pods and day:")
    for title in sorted({definition.info.title for definition in definitions()}):
        print(f"  {title:60} {false[title]:5} {1000 * false[title] / pod_days:8.3f}")
    print(f"  {'all':60} {false.total():5} {1000 * false.total() / pod_days:8.3f}")
    report_attacks(runs, false)


def report_attacks(runs: list[dict[str, Any]], false: Counter[str]) -> None:
    """Print recall and time to detect by scenario, recall and precision by detector."""
    by_scenario: dict[str, list[dict[str, int]]] = defaultdict(list)
    by_detector: dict[str, Counter[str]] = defaultdict(Counter)
    for found in runs:
        for attack in found["attacks_played"]:
            if not attack["ended"]:
                continue
            by_scenario[attack["scenario"]].append(attack["found_by"])
            for title in attack["found_by"]:
                by_detector[title][attack["scenario"]] += 1
    if not by_scenario:
        return
    print(f"\n{'scenario':30} {'played':>7} {'found':>7} {'recall':>7} {'median':>9} {'worst':>9}  by")
    for scenario, plays in sorted(by_scenario.items()):
        times = [min(found.values()) for found in plays if found]
        by = Counter(title for found in plays for title in found)
        told = ", ".join(f"{title} {count}" for title, count in by.most_common(4))
        middle = f"{statistics.median(times):8.0f}s {max(times):8.0f}s" if times else f"{'-':>9} {'-':>9}"
        print(f"{scenario:30} {len(plays):7} {len(times):7} {len(times) / len(plays):7.2f} {middle}  {told}")
    print(f"\n{'detector':60} {'true':>6} {'false':>6} {'precision':>9}")
    for title, scenarios in sorted(by_detector.items()):
        true = scenarios.total()
        print(f"{title:60} {true:6} {false[title]:6} {true / (true + false[title]):9.3f}")


def machine() -> dict[str, Any]:
    """Describe where this ran."""
    return {"python": platform.python_version(), "cores": os.cpu_count(), "load": os.getloadavg()}


def main(arguments: Iterable[str]) -> int:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=[*JOBS, "memory", "report"])
    for name in ("pods", "days", "learning-days", "runs"):
        parser.add_argument(f"--{name}", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args(list(arguments))
    RESULTS.mkdir(exist_ok=True)
    print(json.dumps(machine()))
    if options.what == "report":
        for what in JOBS:
            report_runs([found for found in kept(what) if found["code"] == fingerprint()])
    elif options.what == "memory":
        from behaviour_memory import measure  # noqa: PLC0415 - a bench of its own, beside this one

        measure(definitions())
    else:
        run_all(options.what, options)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
