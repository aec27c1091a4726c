"""A back-test from its plan to its result: what the processes sifted goes through both rule sets, in log order."""

from __future__ import annotations

import contextlib
import gc
import os
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

from collector.decoders import DECODERS
from vedette.app.backtest.sifting import Job, Part, sift
from vedette.journal.sqlite import SqliteIntakeReader
from vedette.pipeline.backtest.rerun import BacktestAlert, Rerun, RuleSet
from vedette.pipeline.backtest.sieve import Sieve
from vedette.pipeline.rulesets import compile_rules
from vedette.schema.errors import PermanentError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from detectors.engine import Engine
    from detectors.rule import Rule
    from vedette.app.backtest.archive import Plan
    from vedette.journal.sqlite import DataFolder

ALERTS_MAX: Final = 100_000
"""Alerts of one rule set that are kept for the comparison: at about a kilobyte each, 100 MB."""
_RECORDS_FOR_ONE: Final = 50_000
"""Records that one process looks through in the time that others take to start."""


@dataclass(slots=True)
class Backtest:
    """A back-test under way, and how far it came."""

    plan: Plan
    rule_sets: Sequence[Engine | None]
    source: str | None = None
    processes: int = 0
    """0: as many as there are cores, where that is worth it."""
    advance: Callable[[int], None] = lambda _records: None
    """Told how many more records have been looked at."""
    alerts: list[list[BacktestAlert]] = field(default_factory=list[list[BacktestAlert]])
    """Of each rule set, in the order of their opening."""
    records: int = 0
    missing: int = 0
    """Records of segments that were retired meanwhile."""
    unusable: int = 0
    reached_ns: int = 0
    """Arrival time of the last record that was looked at."""
    is_full: bool = False
    """Whether it ended early, since a rule set made more alerts than are kept."""
    seconds: float = 0.0

    def run(self, folder: DataFolder) -> None:
        """Look at all records of the plan.

        Raises:
            TransientError: the log can't be read now. PermanentError: it is damaged, or holds rules that can't be used.
        """
        began_s = time.monotonic()
        reader = SqliteIntakeReader(folder.intake)
        try:
            with _few_collections():
                self._run(folder, reader)
        finally:
            reader.close()
            self.seconds = time.monotonic() - began_s

    def _run(self, folder: DataFolder, reader: SqliteIntakeReader) -> None:
        of_log = {digest: _compiled(reader, digest) for digest in self.plan.rule_sets} if None in self.rule_sets else {}
        sets = [RuleSet(given, of_log if given is None else {}) for given in self.rule_sets]
        self.alerts = [[] for _ in sets]
        reruns = [
            Rerun(each, self.plan.begin, DECODERS, reader.blob, partial(self._take, found))
            for each, found in zip(sets, self.alerts, strict=True)
        ]
        reader.release()  # a process that is forked must not inherit it
        learns = any(engine.definitions for each in sets for engine in each.engines)
        sieve = Sieve(_all_rules(sets), DECODERS, self.source, keeps_all=learns)
        job = Job(folder.intake, self.plan.ranges)
        processes = 1 if learns else self._processes()  # where all is kept, others would only hand records on
        with contextlib.closing(sift(sieve, job, processes)) as parts:  # Ctrl-C ends the processes, too
            for part in parts:
                for rerun in reruns:
                    rerun.feed(part.chunks)
                self._count(part)
                if self.is_full:
                    break
        for rerun, found in zip(reruns, self.alerts, strict=True):
            rerun.finish()
            found.sort(key=lambda alert: (alert.seq, alert.alert_id))
        self.missing = 0 if self.is_full else self.plan.records - self.records
        self.unusable = max(rerun.unusable for rerun in reruns)

    def _processes(self) -> int:
        cores = self.processes or (len(os.sched_getaffinity(0)) if self.plan.records > _RECORDS_FOR_ONE else 1)
        return min(cores, len(self.plan.ranges))

    def _take(self, found: list[BacktestAlert], alert: BacktestAlert) -> None:
        if alert.opened_ns >= self.plan.since_ns:
            found.append(alert)
            self.is_full = self.is_full or len(found) >= ALERTS_MAX

    def _count(self, part: Part) -> None:
        self.records += part.records
        self.reached_ns = part.arrival_ns
        self.advance(part.records)


@contextlib.contextmanager
def _few_collections() -> Generator[None]:
    """Leave what is there out of garbage collections, and collect seldom: decoding and matching make no cycles."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def _compiled(reader: SqliteIntakeReader, digest: str) -> Engine:
    content = reader.blob(digest)
    if content is None:
        raise PermanentError(
            f"the intake log does not hold the rule set {digest[:12]} any more; begin later with --since"
        )
    return compile_rules(content, DECODERS)


def _all_rules(sets: Sequence[RuleSet]) -> list[Rule]:
    """All rules of all sets, each once: what none of them matches is of no interest."""
    rules = {rule.content_hash: rule for each in sets for engine in each.engines for rule in engine.rules}
    return list(rules.values())
