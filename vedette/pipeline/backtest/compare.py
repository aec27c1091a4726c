"""What a change of rules does to alerts: which of them are gained, lost, changed or the same.

An alert of the old rules and one of the new are the same thing to an analyst if they have one id, or else one rule, one
entity and a time in common: a rule that no longer matches an alert's opening event gives the rest another id.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from vedette.pipeline.backtest.rerun import BacktestAlert


class Status(StrEnum):
    """What became of an alert."""

    GAINED = "gained"
    LOST = "lost"
    CHANGED = "changed"
    SAME = "same"


class Change(NamedTuple):
    """An alert before and after the change; one of them is None where it was gained or lost."""

    before: BacktestAlert | None
    after: BacktestAlert | None
    confirmed: bool = False
    """Whether an analyst confirmed it, as it was before, as a true positive."""

    @property
    def status(self) -> Status:
        """What became of it."""
        if self.before is None:
            return Status.GAINED
        if self.after is None:
            return Status.LOST
        return Status.SAME if self.before == self.after else Status.CHANGED

    @property
    def alert(self) -> BacktestAlert:
        """The alert as it is after the change, or was before it."""
        found = self.after or self.before
        assert found is not None, "there is one of them"
        return found

    @property
    def hides(self) -> bool:
        """Whether the change would have hidden what was confirmed."""
        return self.confirmed and self.after is None


def compare(
    before: Sequence[BacktestAlert],
    after: Sequence[BacktestAlert],
    confirmed: Callable[[BacktestAlert], bool] = lambda _: False,
) -> list[Change]:
    """Pair alerts, in the order in which they opened; `confirmed` tells true positives."""
    news = {alert.alert_id: alert for alert in after}
    pairs = [(old, news.pop(old.alert_id)) for old in before if old.alert_id in news]
    paired = {old.alert_id for old, _ in pairs}
    pairs += _overlapping([old for old in before if old.alert_id not in paired], news.values())
    paired |= {old.alert_id for old, _ in pairs}
    taken = {new.alert_id for _, new in pairs}
    changes = [Change(old, new, confirmed(old)) for old, new in pairs]
    changes += [Change(old, None, confirmed(old)) for old in before if old.alert_id not in paired]
    changes += [Change(None, new) for new in after if new.alert_id not in taken]
    return sorted(changes, key=lambda change: (change.alert.seq, change.alert.alert_id))


def _overlapping(
    before: Iterable[BacktestAlert], after: Iterable[BacktestAlert]
) -> list[tuple[BacktestAlert, BacktestAlert]]:
    """Pair alerts of one rule and entity whose windows have a time in common, each once, the earliest first."""
    waiting: dict[tuple[object, ...], list[BacktestAlert]] = {}
    for new in sorted(after, key=_opening, reverse=True):
        waiting.setdefault(subject(new), []).append(new)
    pairs: list[tuple[BacktestAlert, BacktestAlert]] = []
    for old in sorted(before, key=_opening):
        news = waiting.get(subject(old), [])
        while news and news[-1].closes_ns <= old.opened_ns:
            news.pop()
        if news and news[-1].opened_ns < old.closes_ns:
            pairs.append((old, news.pop()))
    return pairs


def subject(alert: BacktestAlert) -> tuple[object, ...]:
    """Return what an alert is about: alerts on the same thing share it, whatever opened them."""
    return (alert.shared_as or alert.rule_id, alert.cluster, alert.entity)


def _opening(alert: BacktestAlert) -> tuple[int, int]:
    return (alert.opened_ns, alert.seq)
