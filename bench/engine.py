"""The rule engine alone: CPU time of an event for 0, 10 and all starter rules, beside a bare orjson decode.

Each figure is the difference to decoding the same events and asking no engine: the head is decoded right before it is
matched, as on the stream, because a head that has left the processor's caches costs half as much again to read. Lines
are decoded, rules matched, laps alternate, and the best lap counts (a shared machine only ever adds). The last line is
what the pipeline spends on an event altogether: with a screen, most are not decoded at all.

    python bench/engine.py             # audit events of a recorded cluster, Falco alerts that never repeat
    python bench/engine.py --laps 15
"""

from __future__ import annotations

import argparse
import gc
import gzip
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from collector.decoders import DECODERS
from detectors.engine import Engine
from detectors.packs import shipped_pack_texts
from detectors.sigma import load_rules
from vedette.pipeline.examiner import Examiner
from vedette.schema.event import Event
from vedette.schema.limits import RECURSION_LIMIT
from vedette.schema.record import Record, Run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from detectors.rule import Rule
    from vedette.schema.event import Decoder

HERE = Path(__file__).parent
LOG = HERE.parent.parent / "shared" / "kube-audit" / "A" / "audit.jsonl.gz"
ALERTS = 20_000
FEW = 10


def timed_us(lines: list[bytes], work: Callable[[bytes], object]) -> float:
    """CPU microseconds of `work` on a line, without the collector."""
    gc.collect()
    gc.disable()
    began = time.process_time()
    for line in lines:
        work(line)
    taken = time.process_time() - began
    gc.enable()
    return taken / len(lines) * 1e6


def matching(decoder: Decoder, match: Callable[[Event], object]) -> Callable[[bytes], object]:
    """Decode a line and match it."""
    run = Run("bench", decoder.name, 1)
    return lambda line: match(Event(Record(1, 1, line, run, 1), decoder, decoder.decode(line, "")))


def examining(decoder: Decoder, examiner: Examiner) -> Callable[[bytes], object]:
    """Do with a line all that detection does before roll-up."""
    run = Run("bench", decoder.name, 1)
    return lambda line: examiner.examine(Record(1, 1, line, run, 1))


def rules_for(decoder: Decoder, rules: Sequence[Rule], count: int | None) -> Sequence[Rule]:
    """Some of the rules that meet this decoder's events, spread over the pack; None: all of the pack."""
    routed = [rule for rule in rules if not Engine([rule], {decoder.name: decoder}).dead]
    return rules if count is None else routed[:: -(-len(routed) // count) if count else 1][:count]


def measure(decoder: Decoder, laps: list[list[bytes]], rules: Sequence[Rule]) -> None:
    """Print one line for each number of rules."""
    works = {"bare": orjson.loads, "decoded": matching(decoder, lambda _: None)}
    for label, count in (("no rules", 0), (f"{FEW} rules", FEW), ("all rules", None)):
        works[label] = matching(decoder, Engine(rules_for(decoder, rules, count), DECODERS).match)
    works["examined"] = examining(decoder, Examiner(Engine(rules, DECODERS), DECODERS))
    best = dict.fromkeys(works, float("inf"))
    for lines in laps:
        for label, work in works.items():
            best[label] = min(best[label], timed_us(lines, work))
    bare, decoded, examined = best.pop("bare"), best.pop("decoded"), best.pop("examined")
    print(f"{decoder.name}: bare decode {bare:.2f} µs, decoder {decoded:.2f} µs = {decoded / bare:.2f} bare decodes")
    for label, taken in best.items():
        print(f"  {label:9} {taken - decoded:6.2f} µs = {(taken - decoded) / bare:5.2f} bare decodes")
    print(
        f"  decoding and all rules together, as in the pipeline: {examined:.2f} µs = {examined / bare:.2f} bare decodes"
    )


def main() -> None:
    """Measure both kinds of events."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--laps", type=int, default=7)
    laps = parser.parse_args().laps
    sys.path.insert(0, str(HERE))
    sys.setrecursionlimit(RECURSION_LIMIT)  # as the agent does: the decoder goes by it
    from load import falco_alert  # noqa: PLC0415 - beside this file, not a package

    rules = load_rules(shipped_pack_texts()).rules
    print(f"{len(rules)} starter rules, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    audit = gzip.decompress(LOG.read_bytes()).splitlines()
    measure(DECODERS["kube_audit"], [audit] * laps, rules)
    falco = [[falco_alert(lap * ALERTS + number) for number in range(ALERTS)] for lap in range(laps)]
    measure(DECODERS["falco"], falco, rules)


if __name__ == "__main__":
    main()
