"""What a new exception would have hidden: the alerts of the store, judged by their sample events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from collector.decoders import DECODERS
from detectors.engine import Engine
from detectors.watching import Excepting, Watcher, watched
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
    judging = _Judging(rules, title)
    rows = store.list(AlertFilter(since_ns=since_ns, rule=rules[0].info.rule_id), limit=ALERTS_MAX)
    return [_judge(row, store.get(row.alert_id)["evidences"], judging) for row in rows]


def _judge(row: AlertRow, evidences: Sequence[dict[str, Any]], judging: _Judging) -> Trial:
    verdicts = [judging.excepts(evidence["data"]) for evidence in evidences]
    told = [verdict for verdict in verdicts if verdict is not None]
    return Trial(row, len(told), sum(told))


class _Judging:
    """Asks the rule with its new exception about sample events."""

    def __init__(self, rules: Sequence[Rule], title: str) -> None:
        watching = watched(rules)
        self._excepting = Excepting(rules, watching)
        self._examiner = Examiner(Engine(watching, DECODERS), DECODERS)
        self._title = title

    def excepts(self, sample: dict[str, Any]) -> bool | None:
        """Whether a sample is excepted; None if that can't be told, or it is of another rule."""
        if sample["cut"]:
            return None
        payload = sample["raw"].encode("utf-8", "surrogatepass")
        run = Run(sample["source"], sample["format"], 1)
        try:
            matches = self._examiner.examine(Record(sample["seq"], sample["arrival_ns"], payload, run, 1)).matches
        except DecodeError:
            return None
        ours = [match for match in matches if isinstance(match.rule, Watcher)]
        return any(self._title in self._excepting.judge(match)[0] for match in ours) if ours else None
