"""Back-tests, measured: CPU time of `vedette rules backtest` for a record, beside a bare orjson decode of the events.

The archive is the recorded audit log, again and again, written by the intake log itself. Baseline and back-tests
alternate; each back-test is a process of its own, and its CPU time is all that the kernel charged to it and to the
processes it started: reading, sifting, sending, roll-up, correlations, and starting up. The ratio is per core: a
back-test with twice the bare decode's CPU time has 0.5.

    python bench/backtest.py                     # a million events, three rounds
    python bench/backtest.py --laps 8 --rounds 1
Results are printed and kept in bench/results/backtest.json with the machine's description.
"""

from __future__ import annotations

import argparse
import datetime as dt
import functools
import gc
import gzip
import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import orjson

from detectors.packs import shipped_pack_texts
from vedette.journal.sqlite import DataFolder, SqliteIntakeLog
from vedette.pipeline.control_record import OP_RULES, OP_START, ControlRecord, encode_control
from vedette.pipeline.rulesets import encode_rules, hash_of
from vedette.runtime.parcel import Parcel
from vedette.schema.record import Run

HERE = Path(__file__).parent
LOG = HERE.parent.parent / "shared" / "kube-audit" / "A" / "audit.jsonl.gz"
BATCH = 400
WANTED = 0.4
LEARNING = "behaviour"
"""The pack whose detectors learn from every record: nothing can be let go for them, so it is no part of the claim."""
STAMP = re.compile(rb'("(?:stage|requestReceived)Timestamp":")(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)')
LAP = dt.timedelta(minutes=8)
"""The recorded events took seven and a half minutes."""


def later(line: bytes, laps: int) -> bytes:
    """Let an event happen some laps later: windows of correlations must not fill up with repetitions."""
    return STAMP.sub(lambda found: found[1] + shifted_second(found[2], laps), line)


@functools.lru_cache(maxsize=4096)
def shifted_second(second: bytes, laps: int) -> bytes:
    """Shift a time of whole seconds."""
    return (dt.datetime.fromisoformat(second.decode()) + laps * LAP).isoformat().encode()


def happened_ns(line: bytes) -> int:
    """When an event's stage ended, in whole seconds, as ns."""
    return int(dt.datetime.fromisoformat(orjson.loads(line)["stageTimestamp"][:19] + "+00:00").timestamp()) * 10**9


def make_archive(folder: DataFolder, lines: list[bytes], laps: int, packs: list[str]) -> int:
    """Write the events as an agent with these packs takes them in, a second after they happened; return how many."""
    folder.create()
    log = SqliteIntakeLog(folder.intake)
    now_ns = happened_ns(lines[0])
    rules = encode_rules([text for text in shipped_pack_texts() if text.pack in packs])
    log.append_control(encode_control(ControlRecord(OP_START)), now_ns=now_ns)
    change = ControlRecord(OP_RULES, hash=hash_of(rules))
    log.append_control(encode_control(change), now_ns=now_ns, blobs={"rules": rules})
    for lap in range(laps):
        shifted = [later(line, lap) for line in lines]
        for at in range(0, len(lines), BATCH):
            items = shifted[at : at + BATCH]
            now_ns = max(now_ns, happened_ns(items[-1]) + 10**9)
            run = Run("audit", "kube_audit", len(items))
            log.append([Parcel("audit", [run], items, lambda _: None, sum(map(len, items)))], now_ns=now_ns)
    log.close()
    return laps * len(lines)


def bare_us(lines: list[bytes]) -> float:
    """CPU microseconds of a bare decode of an event."""
    gc.collect()
    gc.disable()
    began = time.process_time()
    for line in lines:
        orjson.loads(line)
    taken = time.process_time() - began
    gc.enable()
    return taken / len(lines) * 1e6


def backtest(folder: DataFolder, *arguments: str) -> dict[str, float]:
    """Run one to its end; return its CPU and wall seconds, and how many alerts it told of."""
    command = [sys.executable, "-m", "vedette", "rules", "backtest", "--data-dir", str(folder.path), *arguments]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run([*command, "--format", "json"], capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    peak_mib = after.ru_maxrss / 1024
    return {"cpu_s": cpu_s, "wall_s": time.monotonic() - began, "alerts": done.stdout.count(b"\n"), "mib": peak_mib}


def main() -> None:
    """Measure one rule set and a comparison, with one process and with all cores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--laps", type=int, default=43, help="how often the recorded events are in the archive")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    lines = gzip.decompress(LOG.read_bytes()).splitlines()
    packs = sorted({text.pack for text in shipped_pack_texts()} - {LEARNING})
    cores = str(len(os.sched_getaffinity(0)))
    kinds = {
        "starter, one process": ["starter", "--processes", "1"],
        "starter, all cores": ["starter", "--processes", cores],
        "all packs, one process": [*packs, "--processes", "1"],
        "all packs, all cores": [*packs, "--processes", cores],
        "all packs as running against starter, all cores": ["--diff", "running", "starter", "--processes", cores],
    }
    rounds: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory(prefix="vedette-bench-") as path:
        folder = DataFolder(Path(path) / "data")
        events = make_archive(folder, lines, args.laps, packs)
        for _ in range(args.rounds):
            for kind, arguments in kinds.items():
                bare = bare_us(lines)
                spent = backtest(folder, *arguments)
                us = spent["cpu_s"] / events * 1e6
                rounds.append(
                    {
                        "kind": kind,
                        "bare_decode_us": round(bare, 2),
                        "us_per_event": round(us, 2),
                        "ratio_to_bare_decode": round(bare / us, 3),
                        "events_per_s": round(events / spent["wall_s"]),
                        "alerts": spent["alerts"],
                        "peak_mib": round(spent["mib"]),
                    }
                )
                print(json.dumps(rounds[-1]), flush=True)
    medians = {
        kind: statistics.median(float(str(each["ratio_to_bare_decode"])) for each in rounds if each["kind"] == kind)
        for kind in kinds
    }
    result = {
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "machine": {
            "cpu": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "load": os.getloadavg(),
        },
        "events": events,
        "packs": packs,
        "rules": sum(
            text.text.count("\ntitle:") + text.text.startswith("title:")
            for text in shipped_pack_texts()
            if text.pack in packs
        ),
        "wanted_ratio": WANTED,
        "median_ratio": medians,
        "rounds": rounds,
    }
    (HERE / "results" / "backtest.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({key: value for key, value in result.items() if key != "rounds"}, indent=1))


if __name__ == "__main__":
    main()
