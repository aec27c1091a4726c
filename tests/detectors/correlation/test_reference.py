"""The correlator against a plain reference that keeps all events and measures every window anew."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.detectors.correlation.bench import Correlating, rules, seconds

NAMES = ("a", "b", "c")
OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "lt": lambda measured, count: measured < count,
    "lte": lambda measured, count: measured <= count,
    "gt": lambda measured, count: measured > count,
    "gte": lambda measured, count: measured >= count,
    "eq": lambda measured, count: measured == count,
    "neq": lambda measured, count: measured != count,
}


class Step(NamedTuple):
    arrival_s: int
    time_s: int
    kind: str
    group: str
    value: int


@st.composite
def steps(draw: st.DrawFn) -> list[Step]:
    """Draw events that come out of order, though none of them late."""
    found: list[Step] = []
    arrival_s = 0
    for _ in range(draw(st.integers(1, 16))):
        arrival_s += draw(st.integers(0, 40))
        delay_s = draw(st.one_of(st.just(0), st.integers(0, 100)))
        kind, group = draw(st.sampled_from(NAMES)), draw(st.sampled_from("xy"))
        found.append(Step(arrival_s, arrival_s - delay_s, kind, group, draw(st.integers(-3, 6))))
    return found


def measure(kind: str, window: list[Step]) -> float | None:
    values = [step.value for step in window]
    ordered = sorted(window, key=lambda step: (step.time_s, step.kind))
    in_order = 0
    for step in ordered:
        if in_order < len(NAMES) and step.kind == NAMES[in_order]:
            in_order += 1
    if not values and kind in ("value_avg", "value_median", "value_percentile"):
        return None
    measures: dict[str, Callable[[], float]] = {
        "event_count": lambda: len(window),
        "value_count": lambda: len(set(values)),
        "temporal": lambda: len({step.kind for step in window}),
        "temporal_ordered": lambda: in_order,
        "value_sum": lambda: sum(values),
        "value_avg": lambda: sum(values) / len(values),
        "value_median": lambda: statistics.median(values),
        "value_percentile": lambda: statistics.quantiles(
            values * 2 if len(values) == 1 else values, n=4, method="inclusive"
        )[2],
    }
    return measures[kind]()


def holds(kind: str, operator: str, count: int, window: list[Step]) -> bool:
    measured = measure(kind, window)
    return measured is not None and OPERATORS[operator](measured, count)


def fires_at_once(found: list[Step], span_s: int, kind: str, operator: str, count: int) -> list[tuple[str, float]]:
    """Judge, at each event, every window that ends with an event and holds the new one."""
    fired: list[tuple[str, float]] = []
    quiet: dict[str, int] = {}
    for at, new in enumerate(found):
        group = [step for step in found[: at + 1] if step.group == new.group]
        for end in sorted({step.time_s for step in group if new.time_s <= step.time_s <= new.time_s + span_s}):
            window = [step for step in group if end - span_s <= step.time_s <= end]
            if end > quiet.get(new.group, -(10**9)) and holds(kind, operator, count, window):
                fired.append((new.group, end))
                quiet[new.group] = end + span_s
                break
    return fired


def fires_at_the_end(found: list[Step], span_s: int, kind: str, operator: str, count: int) -> list[tuple[str, float]]:
    """Lay windows end to end from a group's first event; an empty one is the last of its row."""
    fired: list[tuple[str, float]] = []
    for name in "xy":
        times = sorted(step.time_s for step in found if step.group == name)
        before, start = False, times[0] if times else None
        while start is not None:
            window = [step for step in found if step.group == name and start <= step.time_s < start + span_s]
            now = holds(kind, operator, count, window)
            if now and (window or not before):
                fired.append((name, start + span_s))
            left = [time_s for time_s in times if time_s >= start + span_s]
            if window:
                before, start = now, start + span_s
            else:
                before, start = False, left[0] if left else None
    return sorted(fired)


def correlate(found: list[Step], span_s: int, condition: str, kind: str) -> list[tuple[str, float]]:
    text = rules(
        f"{{type: {kind}, rules: [a, b, c], group-by: [group], timespan: {span_s}s, condition: {condition}}}", *NAMES
    )
    correlating = Correlating(text)
    fired: list[Any] = []
    for step in found:
        document = {"kind": step.kind, "group": step.group, "value": step.value}
        fired += correlating.feed(document, step.time_s, arrival_s=step.arrival_s)
    for later in range(1, 40):
        fired += correlating.wait(found[-1].arrival_s + 60 * later)
    assert not correlating.correlator.left_out
    assert len(correlating.correlator.state) == 0, "everything is forgotten in the end"
    return [(firing.group[0], seconds(firing)) for firing in fired]


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize(
    "kind",
    [
        "event_count",
        "value_count",
        "temporal",
        "temporal_ordered",
        "value_sum",
        "value_avg",
        "value_median",
        "value_percentile",
    ],
)
@settings(max_examples=25, deadline=None)
@given(found=steps(), span_s=st.sampled_from([5, 30, 90]), data=st.data())
def test_it_fires_as_the_reference_does(
    kind: str, operator: str, found: list[Step], span_s: int, data: st.DataObject
) -> None:
    at_once = operator in ("gt", "gte")
    lowest, highest = (0, 2) if kind.startswith("temporal") else (0, 5)
    count = data.draw(st.integers(lowest, highest))
    field = "field: value, " if kind.startswith("value") else ""
    percentile = "percentile: 75, " if kind == "value_percentile" else ""
    fired = correlate(found, span_s, f"{{{field}{percentile}{operator}: {count}}}", kind)
    if at_once:
        assert fired == fires_at_once(found, span_s, kind, operator, count)
    else:
        assert sorted(fired) == fires_at_the_end(found, span_s, kind, operator, count)
