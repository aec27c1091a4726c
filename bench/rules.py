"""The rule engine beside its peers: thousands of Sigma rules on synthetic events, in one run.

Ours (`rules_worker.py`) and the peers (rsigma and sigma-rust, by small drivers in Rust) run in turn, on the same slices
of the same corpora; no engine sees an event twice. CPU seconds of one thread, decoding included, loading not; medians
over the rounds. sigma-rust tries each rule on each event, so it gets the first few of each slice. Everything is made
in a folder outside the repository, from `../shared/peers` beside it: corpora and rules with Python, drivers with cargo.

    python bench/rules.py                       # all cases
    python bench/rules.py --case windows --rounds 3
    python bench/rules.py --case load           # loading and memory alone
Results are printed and kept in bench/results/rules.json with the machine's description.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path
from statistics import median
from typing import IO, Any, NamedTuple, Self

HERE = Path(__file__).parent
PEERS = HERE.parent.parent / "shared" / "peers"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vedette-bench"
RESULTS = HERE / "results" / "rules.json"
KINDS = ("audit", "proc", "win")
ENGINES = ("ours", "rsigma", "sigma_rust")
SEED = 42


class Case(NamedTuple):
    """One rule set on one kind of events.

    `rsigma` is its driver's mode: `r` routes by log source, `d` does not. sigma-rust never routes.
    """

    name: str
    rules: str
    events: str
    route: str
    rsigma: str
    sigma_rust_events: int


CASES = (
    Case("windows: their rules alone", "win_1183", "win", "win", "r", 300),
    Case("windows: all rules loaded", "all", "win", "win", "r", 200),
    Case("linux: all rules loaded", "all", "proc", "proc", "r", 200),
    Case("audit: 1,000 rules, unrouted", "audit_1000", "audit", "none", "d", 4000),
    Case("audit: 10 rules loaded", "audit_10", "audit", "audit", "r", 20000),
    Case("audit: all rules loaded", "all", "audit", "audit", "r", 400),
)


class Target(NamedTuple):
    """A bound that the figures are held against: at least, unless `at_most`."""

    name: str
    value: float
    bound: float
    aim: float | None = None
    at_most: bool = False

    def line(self) -> str:
        met = self.value <= self.bound if self.at_most else self.value >= self.bound
        aim = "" if self.aim is None else f", aim {self.aim}"
        word = "at most" if self.at_most else "at least"
        return f"  {'met ' if met else 'MISS'}  {self.name}: {self.value:.2f} ({word} {self.bound}{aim})"


# --- what is needed ---------------------------------------------------------------------------------------------------
class Material:
    """Corpora in slices, rule sets and drivers, made once for each cache folder."""

    def __init__(self, peers: Path, cache: Path, *, events: int, rounds: int) -> None:
        self._peers, self._cache = peers, cache
        self.rules = cache / "rules"
        self.slices = cache / f"slices-{events}"
        self._events, self._rounds = events, rounds

    def make(self) -> None:
        """Make what is not there yet."""
        self._cache.mkdir(parents=True, exist_ok=True)
        if not self.rules.exists():
            fresh = self._cache / "rules.new"
            shutil.rmtree(fresh, ignore_errors=True)
            run([sys.executable, str(self._peers / "mkrules.py"), str(fresh)])
            fresh.rename(self.rules)
        for kind in KINDS:
            self._slice(kind)
        self._build()

    def events(self, kind: str, number: int) -> Path:
        """The events of one round; rsigma's driver tells log sources by this name."""
        return self.slices / f"{kind}-{number}.jsonl"

    def driver(self, name: str) -> str:
        return str(self._cache / "rs" / "target" / "release" / name)

    def _slice(self, kind: str) -> None:
        if all(self.events(kind, number).exists() for number in range(self._rounds)):
            return
        self.slices.mkdir(exist_ok=True)
        corpus = self.slices / f"{kind}.whole"
        run(
            [
                sys.executable,
                str(self._peers / "gen.py"),
                kind,
                str(corpus),
                str(self._events * self._rounds),
                str(SEED),
            ]
        )
        with corpus.open("rb") as lines:
            for number in range(self._rounds):
                fresh = self.slices / "new"
                fresh.write_bytes(b"".join(islice(lines, self._events)))
                fresh.rename(self.events(kind, number))
        corpus.unlink()

    def _build(self) -> None:
        for source in sorted((self._peers / "rs").rglob("*")):
            target = self._cache / "rs" / source.relative_to(self._peers / "rs")
            if source.is_file() and not (target.exists() and target.read_bytes() == source.read_bytes()):
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(source.read_bytes())
        run(["cargo", "build", "--release", "--quiet"], cwd=self._cache / "rs")


def run(command: list[str], cwd: Path | None = None) -> None:
    print("making:", " ".join(command), file=sys.stderr, flush=True)
    subprocess.run(command, check=True, cwd=cwd, stdout=sys.stderr)


# --- the engines ------------------------------------------------------------------------------------------------------
class Worker:
    """Ours, loaded once, asked once a round."""

    def __init__(self, rules: Path, route: str, *extra: str) -> None:
        command = [sys.executable, str(HERE / "rules_worker.py"), str(rules), route, *extra]
        began = time.monotonic()
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.load = {**self._answer(), "wall_s": 0.0}
        self.load["wall_s"] = time.monotonic() - began

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe(self._process.stdin).close()
        self._process.wait()

    def ask(self, work: str, events: Path, limit: int | None = None) -> dict[str, Any]:
        requests = self._pipe(self._process.stdin)
        requests.write(json.dumps([work, str(events), limit]) + "\n")
        requests.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self._pipe(self._process.stdout).readline()
        if not line:
            raise SystemExit("our worker ended; what it said stands above")
        answer: dict[str, Any] = json.loads(line)
        return answer

    @staticmethod
    def _pipe(pipe: IO[str] | None) -> IO[str]:
        assert pipe is not None, "both are asked for"
        return pipe


def peer(command: list[str]) -> tuple[dict[str, Any], dict[str, int]]:
    """Run a driver; return its figures, and its hits by what it calls its rules."""
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, "H": "1"})
    hits = {}
    for line in done.stderr.splitlines():
        if line.startswith("HIT "):
            name, _, count = line.removeprefix("HIT ").rpartition(" ")
            hits[name] = int(count)
    figures = json.loads(done.stdout)
    return {
        "loaded": figures["loaded"],
        "refused": figures["failed"],
        "events": figures["events"],
        "hits": figures["hits"],
        "decode_s": figures["deccpu"],
        "cpu_s": figures["cpu"],
        "load_s": figures["load_s"],
        "peak_rss_mb": figures["rss_mb"],
    }, hits


# --- the cases --------------------------------------------------------------------------------------------------------
class Measured(NamedTuple):
    """What the rounds of a case came to."""

    case: Case
    load: dict[str, Any]
    rounds: list[dict[str, Any]]
    check: dict[str, Any]

    def us(self, engine: str, what: str = "cpu_s") -> float:
        """Median of CPU microseconds an event."""
        return median(lap[engine][what] / lap[engine]["events"] * 1e6 for lap in self.rounds)

    def times(self, engine: str, other: str, what: str = "cpu_s") -> float:
        """How many times `engine` costs of what `other` does: the median of the rounds' own ratios."""
        return median(
            (lap[engine][what] / lap[engine]["events"]) / (lap[other]["cpu_s"] / lap[other]["events"])
            for lap in self.rounds
        )

    def as_json(self) -> dict[str, Any]:
        return {
            "rules": self.case.rules,
            "routed": self.case.route != "none",
            "ours_loading": self.load,
            "us_per_event": {engine: round(self.us(engine), 3) for engine in ENGINES},
            "events_per_cpu_s": {engine: round(1e6 / self.us(engine)) for engine in ENGINES},
            "bare_orjson_us": round(self.us("ours", "decode_s"), 3),
            "times_the_rate_of": {engine: round(self.times(engine, "ours"), 2) for engine in ENGINES[1:]},
            "decode_by_ours": round(self.times("ours", "ours", "decode_s"), 3),
            "hits": self.check,
            "rounds": self.rounds,
        }


def measure(case: Case, material: Material, rounds: int, sample: int) -> Measured:
    """Run the engines in turn, on a slice of their own each round; hold the hits of the last against each other."""
    rules = material.rules / case.rules
    laps: list[dict[str, Any]] = []
    peers: dict[str, dict[str, int]] = {}
    with Worker(rules, case.route) as ours:
        for number in range(rounds):
            events = material.events(case.events, number)
            lap: dict[str, Any] = {"load": round(os.getloadavg()[0], 2), "ours": ours.ask("time", events)}
            few = min(case.sigma_rust_events, lap["ours"]["events"])
            commands = {
                "rsigma": [material.driver("rsig"), str(rules), str(events), case.rsigma, str(lap["ours"]["events"])],
                "sigma_rust": [material.driver("sigmars"), str(rules), str(events), str(few)],
            }
            for engine, command in commands.items():
                lap[engine], peers[engine] = peer(command)
            laps.append(lap)
            show(case, laps[-1])
        check = checked(ours, events, sample, few, peers)
    return Measured(case, ours.load, laps, check)


def checked(ours: Worker, events: Path, sample: int, few: int, peers: dict[str, dict[str, int]]) -> dict[str, Any]:
    """Hold our hits against the meaning of our predicates, and against the peers' by rule."""
    meant = ours.ask("verify", events, sample)
    assert not meant["wrong"], f"{meant['wrong']} of {meant['events']} events match otherwise than they are interpreted"
    return {
        "as_interpreted": {"events": meant["events"], "hits": meant["hits"]},
        "rsigma": difference(ours.ask("count", events)["by_title"], peers["rsigma"]),
        "sigma_rust": difference(ours.ask("count", events, few)["by_file"], peers["sigma_rust"]),
    }


def difference(ours: dict[str, int], theirs: dict[str, int]) -> dict[str, Any]:
    """Both totals, and both counts of each rule that has others."""
    names = sorted({*ours, *theirs})
    other = {name: [ours.get(name, 0), theirs.get(name, 0)] for name in names if ours.get(name) != theirs.get(name)}
    return {"ours": sum(ours.values()), "theirs": sum(theirs.values()), "rules_that_differ": other}


def show(case: Case, lap: dict[str, Any]) -> None:
    figures = " ".join(f"{engine} {lap[engine]['cpu_s'] / lap[engine]['events'] * 1e6:.1f}" for engine in ENGINES)
    print(f"{case.name}: µs an event: {figures}; load {lap['load']}", file=sys.stderr, flush=True)


# --- loading ----------------------------------------------------------------------------------------------------------
def measure_load(material: Material, rounds: int) -> dict[str, list[dict[str, Any]]]:
    """Load all rules in fresh processes, without and with the cache, every rule compiled; then match a slice."""
    rules, cache = material.rules / "all", material.rules.parent / "compiled"
    found: dict[str, list[dict[str, Any]]] = {"cold": [], "cached": []}
    shutil.rmtree(cache, ignore_errors=True)
    with Worker(rules, "none", "--cache", str(cache)):
        pass
    for _ in range(rounds):
        for name, extra in (("cold", ()), ("cached", ("--cache", str(cache)))):
            with Worker(rules, "none", *extra) as ours:
                after = ours.ask("time", material.events("win", 0))
                found[name].append(
                    {**ours.load, "peak_rss_matched_mb": after["peak_rss_mb"], "events": after["events"]}
                )
    return found


def middle(laps: list[dict[str, Any]], what: str) -> float:
    return median(lap[what] for lap in laps)


# --- the report -------------------------------------------------------------------------------------------------------
def targets(cases: dict[str, Measured], load: dict[str, list[dict[str, Any]]]) -> list[Target]:
    """What was measured, beside what is wanted."""
    found = []
    for name, bound, aim in (
        ("windows: their rules alone", 2, 4),
        ("windows: all rules loaded", 2, 4),
        ("linux: all rules loaded", 3, None),
        ("audit: 1,000 rules, unrouted", 1.3, None),
    ):
        if name in cases:
            found.append(Target(f"{name}, times the rate of rsigma", cases[name].times("rsigma", "ours"), bound, aim))
    unrouted = cases.get("audit: 1,000 rules, unrouted")
    if unrouted is not None:
        rate = unrouted.times("ours", "ours", "decode_s")
        found.append(Target("audit: 1,000 rules, unrouted, times the rate of a bare orjson decode (an aim)", rate, 0.6))
    few, many = cases.get("audit: 10 rules loaded"), cases.get("audit: all rules loaded")
    if few is not None and many is not None:
        dearer = many.us("ours") / few.us("ours")
        found.append(Target("audit: all rules loaded, times the cost with 10", dearer, 1.5, at_most=True))
    if load:
        for name, bound in (("cold", 20), ("cached", 2)):
            found.append(Target(f"load, {name}, CPU seconds", middle(load[name], "cpu_s"), bound, at_most=True))
            found.append(Target(f"load, {name}, seconds", middle(load[name], "wall_s"), bound, at_most=True))
        for name in ("cold", "cached"):
            peak = max(lap["peak_rss_matched_mb"] for lap in load[name])
            found.append(Target(f"memory, {name}, MB at most", peak, 300, at_most=True))
    return found


def table(cases: dict[str, Measured]) -> None:
    print("| case | applicable of loaded | bare orjson | ours | rsigma | sigma-rust | rate, in rsigma's |")
    print("|---|---|---|---|---|---|---|")
    for name, found in cases.items():
        costs = [
            f"{found.us('ours', 'decode_s'):.1f}",
            *(f"{found.us(e):.1f}" for e in ENGINES),
        ]
        rules = f"{found.load['applicable']:,} of {found.load['loaded']:,}"
        print(f"| {name} | {rules} | {' | '.join(costs)} | {found.times('rsigma', 'ours'):.2f} |")


def hits(cases: dict[str, Measured]) -> None:
    for name, found in cases.items():
        print(f"{name}: as interpreted on {found.check['as_interpreted']['events']} events")
        for engine in ENGINES[1:] if found.case.rules != "all" else ["rsigma"]:  # sigma-rust asks all rules
            check = found.check[engine]
            print(f"  hits: ours {check['ours']}, {engine} {check['theirs']}")
            for rule, (ours, theirs) in list(check["rules_that_differ"].items())[:8]:
                print(f"    {rule}: {ours}, {theirs}")


def machine() -> dict[str, Any]:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return {
        "cpu": model or platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load": [round(value, 2) for value in os.getloadavg()],
    }


def main() -> None:
    """Make what is missing, measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, default=PEERS, help="corpora, rules and drivers (default: %(default)s)")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder for what is made (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--events", type=int, default=20_000, help="events a round")
    parser.add_argument("--sample", type=int, default=500, help="events that are held against the interpreter")
    parser.add_argument("--case", default="", help="only those whose name has this in it; `load` for loading")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    material = Material(args.peers.resolve(), args.cache.resolve(), events=args.events, rounds=args.rounds)
    material.make()
    before = machine()
    chosen = [case for case in CASES if args.case in case.name and args.case != "load"]
    cases = {case.name: measure(case, material, args.rounds, args.sample) for case in chosen}
    load = measure_load(material, args.rounds) if args.case in ("", "load") else {}
    found = targets(cases, load)
    table(cases)
    hits(cases)
    print("\n".join(target.line() for target in found))
    result = {
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "machine": before,
        "targets": [{**target._asdict(), "value": round(target.value, 3)} for target in found],
        "cases": {name: measured.as_json() for name, measured in cases.items()},
        "load": load,
    }
    args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
