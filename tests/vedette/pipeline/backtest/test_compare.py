"""What counts as gained, lost, changed and the same."""

from __future__ import annotations

from typing import Any

import pytest

from vedette.pipeline.backtest.compare import Status, compare
from vedette.pipeline.backtest.rerun import BacktestAlert
from vedette.schema.level import Level

A = BacktestAlert("a", "r", "R", Level.HIGH, "c", ("bob",), 3, 10, 100, 200, 90, 150, "audit", "u", ("e",))


def alert(alert_id: str = "a", **changes: Any) -> BacktestAlert:
    return A._replace(alert_id=alert_id, **changes)


ROWS: dict[str, tuple[list[BacktestAlert], list[BacktestAlert], list[str]]] = {
    "nothing": ([], [], []),
    "same": ([A], [A], ["same"]),
    "gained": ([], [A], ["gained"]),
    "lost": ([A], [], ["lost"]),
    "another-level": ([A], [alert(level=Level.LOW)], ["changed"]),
    "fewer-findings": ([A], [alert(findings=2)], ["changed"]),
    "another-title": ([A], [alert(title="S")], ["changed"]),
    "opened-by-a-later-event": ([A], [alert("b", seq=11, opened_ns=150, closes_ns=250)], ["changed"]),
    "opened-when-the-other-had-closed": ([A], [alert("b", seq=11, opened_ns=200, closes_ns=300)], ["lost", "gained"]),
    "closed-when-the-other-opened": ([alert(seq=11, opened_ns=300, closes_ns=400)], [alert("b")], ["gained", "lost"]),
    "another-entity": ([A], [alert("b", seq=11, entity=("ann",))], ["lost", "gained"]),
    "another-cluster": ([A], [alert("b", seq=11, cluster="d")], ["lost", "gained"]),
    "another-rule": ([A], [alert("b", seq=11, rule_id="s")], ["lost", "gained"]),
    "another-rule-of-a-shared-alert": ([alert(shared_as="p")], [alert("b", rule_id="s", shared_as="p")], ["changed"]),
    "ids-come-first": (
        [A, alert("b", seq=12, opened_ns=210, closes_ns=310)],
        [alert("b", seq=12, opened_ns=210, closes_ns=310), alert("d", seq=9, opened_ns=50, closes_ns=150)],
        ["changed", "same"],
    ),
    "each-once": ([A], [alert("b", seq=11, closes_ns=140), alert("d", seq=12, opened_ns=140)], ["changed", "gained"]),
}


@pytest.mark.parametrize(("before", "after", "wanted"), ROWS.values(), ids=list(ROWS))
def test_statuses(before: list[BacktestAlert], after: list[BacktestAlert], wanted: list[str]) -> None:
    changes = compare(before, after)
    assert [change.status.value for change in changes] == wanted
    assert sorted(change.before for change in changes if change.before) == sorted(before)
    assert sorted(change.after for change in changes if change.after) == sorted(after)


def test_order_of_the_lists_does_not_matter() -> None:
    olds = [alert(str(number), seq=number, entity=(str(number % 3),)) for number in range(9)]
    news = [alert(f"n{number}", seq=number, opened_ns=number, entity=(str(number % 4),)) for number in range(9)]
    wanted = compare(olds, news)
    assert {change.status for change in wanted} == {Status.CHANGED, Status.GAINED, Status.LOST}
    assert compare(olds[::-1], news[::-1]) == wanted


@pytest.mark.parametrize(
    ("after", "confirmed", "hides"),
    [
        ([], {"a"}, True),
        ([], {"b"}, False),
        ([], set[str](), False),
        ([A], {"a"}, False),
        ([alert(findings=1)], {"a"}, False),
        ([alert("b", seq=11, opened_ns=150)], {"a"}, False),
    ],
    ids=["lost", "another-one-confirmed", "none-confirmed", "same", "changed", "under-another-id"],
)
def test_what_was_confirmed_and_is_lost_would_be_hidden(
    after: list[BacktestAlert], confirmed: set[str], hides: bool
) -> None:
    (change,) = compare([A], after, lambda one: one.alert_id in confirmed)
    assert change.hides == hides
