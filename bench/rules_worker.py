"""Our rule engine in a process of its own, for `rules.py`: it loads a folder of rules, then does what it is asked to.

One JSON object a line on standard output: first what loading took, then one for each request on standard input.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import sys
import time
from collections import Counter
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from detectors.engine import Engine
from detectors.fields import getter
from detectors.predicate import matches
from detectors.rule import LoadedRules, RuleText
from detectors.sigma import load_rules
from detectors.sigma.logsource import contains
from vedette.pipeline.rule_cache import CachedRules
from vedette.schema.event import Event, LogSource
from vedette.schema.limits import RECURSION_LIMIT
from vedette.schema.record import Record, Run

if TYPE_CHECKING:
    from collections.abc import Iterable

    from detectors.rule import Rule
    from vedette.schema.rule import RuleInfo

FORMAT = "plain"
RUN = Run("bench", FORMAT, 1)
ROUTES = {
    "win": LogSource("windows", None, "process_creation"),
    "proc": LogSource("linux", None, "process_creation"),
    "audit": LogSource("kubernetes", "audit", "application"),
}


class PlainDocuments:
    """As much of a decoder as the engine needs: a whole document of JSON, of some log sources."""

    name = FORMAT
    dedup_by: tuple[str, ...] = ()
    head_fields: frozenset[str] | None = None

    def __init__(self, logsources: tuple[LogSource, ...]) -> None:
        self.logsources = logsources

    def decode(self, payload: bytes, _context: str) -> dict[str, Any]:
        return orjson.loads(payload)


class Ours:
    """The engine with the rules of a folder; what else it offers for decoding and matching is used here alone."""

    def __init__(self, loaded: LoadedRules, source: LogSource | None, databases: dict[str, bytes]) -> None:
        """Route to `source`; None asks every rule of every event."""
        sources = tuple(dict.fromkeys(rule.logsource for rule in loaded.rules)) if source is None else (source,)
        self.applicable: list[Rule] = [
            rule for rule in loaded.rules if source is None or contains(rule.logsource, source)
        ]
        self.decoder = PlainDocuments(sources)
        self.engine = Engine(loaded.rules, {FORMAT: self.decoder}, loaded.correlations, databases=databases)

    def found(self, line: bytes) -> list[RuleInfo]:
        """Decode and match."""
        return [match.rule for match in self._matches(line)]

    def hits(self, lines: Iterable[bytes]) -> int:
        """Decode and match; what is timed."""
        return sum(len(self._matches(line)) for line in lines)

    def _matches(self, line: bytes) -> list[Any]:
        decoder = self.decoder
        return self.engine.match(Event(Record(1, 0, line, RUN, 1), decoder, decoder.decode(line, "")))


def read_texts(folder: Path) -> list[RuleText]:
    return [RuleText(path.name, path.read_text(encoding="utf-8"), path.name) for path in sorted(folder.glob("*.yml"))]


def read_lines(path: Path, limit: int | None) -> list[bytes]:
    with path.open("rb") as file:
        return list(islice(file, limit))


def timed(lines: list[bytes], ours: Ours) -> dict[str, Any]:
    """One pass over events that were not seen before: a bare decode, then decoding and matching."""
    began = time.process_time()
    for line in lines:
        orjson.loads(line)
    decoded = time.process_time()
    hits = ours.hits(lines)
    matched = time.process_time()
    return {"events": len(lines), "hits": hits, "decode_s": decoded - began, "cpu_s": matched - decoded}


def streamed(path: Path, ours: Ours) -> dict[str, Any]:
    """One pass that holds no events, for the memory of rules alone."""
    with path.open("rb") as lines:
        return {"hits": ours.hits(lines)}


def verified(lines: list[bytes], ours: Ours) -> dict[str, Any]:
    """Count the events on which the engine finds something else than predicates mean."""
    hits = wrong = 0
    for line in lines:
        meant = [rule.info for rule in ours.applicable if interpreted(rule, orjson.loads(line))]
        wrong += meant != ours.found(line)
        hits += len(meant)
    return {"events": len(lines), "hits": hits, "wrong": wrong}


def interpreted(rule: Rule, document: dict[str, Any]) -> bool:
    return matches(rule.predicate, lambda field: getter(field)(document))


def counted(lines: list[bytes], ours: Ours) -> dict[str, Any]:
    """Hits by rule, whichever way a peer names it."""
    found = [rule for line in lines for rule in ours.found(line)]
    return {"by_title": Counter(rule.title for rule in found), "by_file": Counter(rule.pack for rule in found)}


WORKS = {"time": timed, "verify": verified, "count": counted}


def peak_rss_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Load, say so, and answer until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rules", type=Path)
    parser.add_argument("route", choices=[*ROUTES, "none"])
    parser.add_argument("--cache", type=Path, help="folder of compiled rules, for loading from it")
    args = parser.parse_args()
    sys.setrecursionlimit(RECURSION_LIMIT)  # as the agent does
    texts = read_texts(args.rules)
    load = partial(load_rules, ours=False)
    cached = None if args.cache is None else CachedRules(texts, args.cache, variant="no pipelines")
    loaded = load(texts) if cached is None else cached.load(load)
    databases = {} if cached is None else cached.databases
    del texts  # the agent keeps none, either
    rules_s = time.process_time()
    ours = Ours(loaded, ROUTES.get(args.route), databases)
    if cached is not None:
        cached.keep()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)  # as the agent does
    say(
        {
            "loaded": len(loaded.rules),
            "refused": len(loaded.errors),
            "applicable": len(ours.applicable),
            "unanchored": len(ours.engine.unanchored),
            "rules_cpu_s": rules_s,
            "cpu_s": time.process_time(),
            "peak_rss_mb": peak_rss_mb(),
        }
    )
    for request in sys.stdin:
        work, path, limit = json.loads(request)
        answer = streamed(Path(path), ours) if work == "stream" else WORKS[work](read_lines(Path(path), limit), ours)
        say({**answer, "peak_rss_mb": peak_rss_mb()})


def say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
