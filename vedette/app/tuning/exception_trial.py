"""What a new exception would have hidden: the alerts of the store, judged by their sample events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from collector.decoders import DECODERS
from detectors.engine import Engine
from detectors.watching import Watcher, watchers
from sinks.store import AlertFilter
from vedette.pipeline.examiner import Examiner
from vedette.schema.errors import DecodeError
from vedette.schema.record import Record, Run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from detectors.rule import Rule
    from sinks.store import AlertRow, StoreReader


ALERTS_MAX: Final = 200
"""Alerts that are judged at most, the latest."""


class Trial(NamedTuple):
    """One alert: of how many of its samples can be told whether the exception excepts them, and how many it does."""

    row: AlertRow
    told: int
    excepted: int

    @property
    def verdict(self) -> str:
        """One word for people."""
        if not self.told:
            return "cannot be told"
        return "hidden" if self.excepted == self.told else "in part" if self.excepted else "stays"


def try_exception(store: StoreReader, rules: Sequence[Rule], title: str, *, since_ns: int) -> list[Trial]:
    """Judge the alerts of a rule since a time; `rules` are what it became with the exception of that title."""
    of_it = [one for one in watchers(rules) if isinstance(one.info, Watcher) and one.info.exception == title]
    examiner = Examiner(Engine([*rules, *of_it], DECODERS), DECODERS)
    wanted = AlertFilter(since_ns=since_ns, rule=rules[0].info.rule_id)
    rows = store.list(wanted, limit=ALERTS_MAX)
    return [_judge(row, store.get(row.alert_id)["evidences"], examiner) for row in rows]


def _judge(row: AlertRow, evidences: Sequence[dict[str, Any]], examiner: Examiner) -> Trial:
    told = excepted = 0
    for evidence in evidences:
        found = _excepts(evidence["data"], examiner, row.rule_id)
        if found is not None:
            told += 1
            excepted += found
    return Trial(row, told, excepted)


def _excepts(sample: dict[str, Any], examiner: Examiner, rule_id: str) -> bool | None:
    """Whether a sample is excepted; None if that can't be told, or it is of another rule."""
    if sample["cut"]:
        return None
    payload = sample["raw"].encode("utf-8", "surrogatepass")
    run = Run(sample["source"], sample["format"], 1)
    try:
        matches = examiner.examine(Record(sample["seq"], sample["arrival_ns"], payload, run, 1)).matches
    except DecodeError:
        return None
    ours = [match.rule for match in matches if match.rule.rule_id == rule_id]
    return any(isinstance(rule, Watcher) for rule in ours) if ours else None
