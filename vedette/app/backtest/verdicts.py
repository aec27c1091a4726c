"""What analysts said about alerts: the verdicts of the log, of which the last one on an alert holds.

A verdict comes behind the records that it is about, so where those are kept, it is, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from vedette.app.backtest.archive import read_controls
from vedette.pipeline.backtest.compare import subject
from vedette.pipeline.control_record import OP_VERDICT
from vedette.schema.verdict import Judgement

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from vedette.journal.sqlite import DataFolder
    from vedette.pipeline.backtest.rerun import BacktestAlert
    from vedette.pipeline.control_record import ControlRecord

NO_VERDICTS: Final = (
    "no alert has a verdict (`vedette alerts close`), so none of the lost ones is known to be a confirmed true positive"
)


class Verdicts:
    """Tells which alerts of a back-test were confirmed as true positives."""

    def __init__(self, controls: Iterable[ControlRecord]) -> None:
        """Take the control records of a log, in their order."""
        last = {control.alert: control for control in controls if control.op == OP_VERDICT}
        self._confirmed = frozenset(
            alert_id for alert_id, control in last.items() if control.judgement is Judgement.TRUE_POSITIVE
        )
        self._windows: dict[Hashable, list[tuple[int, int]]] = {}
        for alert_id in self._confirmed:
            key, window = _read(last[alert_id].document)
            self._windows.setdefault(key, []).append(window)
        self.any = bool(last)
        """Whether there are verdicts of any kind."""

    def confirms(self, alert: BacktestAlert) -> bool:
        """Say whether an alert, or where ids are not the agent's what overlaps it on the same thing, was confirmed."""
        if alert.alert_id in self._confirmed:
            return True
        windows = self._windows.get(subject(alert), ())
        return any(opened_ns < alert.closes_ns and alert.opened_ns < closes_ns for opened_ns, closes_ns in windows)


def read_verdicts(folder: DataFolder) -> Verdicts:
    """Read the verdicts of a log.

    Raises:
        TransientError: it can't be read now. PermanentError: it is damaged.
    """
    return Verdicts(read_controls(folder))


def _read(document: str) -> tuple[Hashable, tuple[int, int]]:
    """Return what an alert is about, as `subject` has it, and its window."""
    said: dict[str, Any] = orjson.loads(document)["unmapped"]
    rule: dict[str, Any] = said["rule"]
    key = (rule["dedup_as"] or rule["id"], said["cluster"], tuple(said["dedup_values"]))
    return key, (said["opened_ns"], said["closes_ns"])
