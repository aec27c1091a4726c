"""What a back-test prints: tables by rule and by entity for people, one JSON object an alert for programs."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from vedette.app.backtest.archive import Start
from vedette.app.backtest.verdicts import NO_VERDICTS
from vedette.app.terminal import count_text, put, put_json, put_table, say, time_text
from vedette.pipeline.backtest.compare import Change, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence

    from vedette.app.backtest.run import Backtest
    from vedette.pipeline.backtest.rerun import BacktestAlert

ENTITIES_MAX: Final = 50
"""Rows of the table of entities; JSON has everything."""
_STARTS: Final = {
    Start.LOG: "begun with the log, so ids and counts are those that the agent gives",
    Start.CHECKPOINT: "begun at the agent's checkpoint, so ids and counts are those that the agent gives",
    Start.COLD: (
        "windows start cold at {begin}: alerts that were open then, and what correlations had seen, are not known, so"
        " near the beginning ids and counts can differ from the agent's"
    ),
}


def put_changes(changes: Sequence[Change], *, compared: bool) -> None:
    """Write tables; `compared`: there are two rule sets, not one."""
    counted = [Status.GAINED, Status.LOST, Status.CHANGED, Status.SAME] if compared else []
    titles = [status.upper() for status in counted] or ["ALERTS", "FINDINGS"]
    rules = _groups(changes, lambda alert: alert.rule_id)
    put_table(
        ("LEVEL", "RULE", *titles),
        [
            (group[0].alert.level, group[0].alert.title, *_numbers(group, counted))
            for group in sorted(rules, key=lambda group: (-group[0].alert.level.rank, group[0].alert.title))
        ],
    )
    shown = [change for change in changes if not compared or change.status is not Status.SAME]
    entities = _groups(shown, lambda alert: (alert.rule_id, alert.cluster, alert.entity))
    if not entities:
        return
    put("")
    put_table(
        ("RULE", "ENTITY", "CLUSTER", *titles),
        [
            (group[0].alert.title, entity_text(group[0].alert), group[0].alert.cluster, *_numbers(group, counted))
            for group in entities[:ENTITIES_MAX]
        ],
    )
    if len(entities) > ENTITIES_MAX:
        put(f"and {len(entities) - ENTITIES_MAX} more entities; --format json has all of them")


def put_changes_json(changes: Iterable[Change]) -> None:
    """Write one object an alert."""
    for change in changes:
        alert = change.alert
        put_json(
            {
                "status": change.status,
                "alert_id": alert.alert_id,
                "level": alert.level,
                "rule_id": alert.rule_id,
                "rule": alert.title,
                "cluster": alert.cluster,
                "entity": alert.entity,
                "first_seen": time_text(alert.first_seen_ns),
                "last_seen": time_text(alert.last_seen_ns),
                "source": alert.source,
                "event_uid": alert.event_uid,
                "event_ids": alert.event_ids,
                "before": _state(change.before),
                "after": _state(change.after),
                "confirmed": change.confirmed,
            }
        )


def put_hidden(changes: Iterable[Change]) -> int:
    """Name what the change would have hidden though analysts confirmed it; return how many alerts."""
    hidden = [change.alert for change in changes if change.hides]
    for alert in hidden:
        words = f"{alert.level} {alert.title} ({entity_text(alert)})"
        say(f"HIDDEN: {alert.alert_id}, confirmed as a true positive: {words}, {time_text(alert.first_seen_ns)}")
    return len(hidden)


def summarise(test: Backtest, changes: Sequence[Change], *, compared: bool, has_verdicts: bool) -> None:
    """Say what was looked at, what came of it, and what to make of it."""
    found = Counter(change.status for change in changes)
    parts = [f"{found[status]} {status}" for status in Status] if compared else [count_text(len(changes), "alert")]
    say(f"{', '.join(parts)} in {count_text(test.records, 'record')}, up to {time_text(test.reached_ns)}")
    say(_STARTS[test.plan.start].format(begin=time_text(test.plan.begin.arrival_ns)))
    if compared and found[Status.LOST] and not has_verdicts:
        say(NO_VERDICTS)
    if test.unusable:
        say(f"{count_text(test.unusable, 'record')} could not be used")
    if test.missing:
        say(f"{count_text(test.missing, 'record')} missing: retired from the log meanwhile, or before")
    if test.is_full:
        left = test.plan.records - test.records
        say(f"ended early: a rule set made too many alerts; {count_text(left, 'record')} not looked at. Narrow --since")


def entity_text(alert: BacktestAlert) -> str:
    """Say what an alert is about: the values of its dedup key."""
    return ", ".join(value or "-" for value in alert.entity)


def _groups(changes: Iterable[Change], key: Callable[[BacktestAlert], Hashable]) -> list[list[Change]]:
    """Group by a key, the largest first."""
    groups: dict[Hashable, list[Change]] = {}
    for change in changes:
        groups.setdefault(key(change.alert), []).append(change)
    return sorted(groups.values(), key=len, reverse=True)


def _numbers(group: Sequence[Change], counted: Sequence[Status]) -> list[int]:
    if counted:
        found = Counter(change.status for change in group)
        return [found[status] for status in counted]
    return [len(group), sum(change.alert.findings for change in group)]


def _state(alert: BacktestAlert | None) -> dict[str, Any] | None:
    if alert is None:
        return None
    return {
        "alert_id": alert.alert_id,
        "level": alert.level,
        "findings": alert.findings,
        "opened": time_text(alert.opened_ns),
        "first_seen": time_text(alert.first_seen_ns),
        "last_seen": time_text(alert.last_seen_ns),
    }
