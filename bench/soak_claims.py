"""What the soak claims, as functions of its samples: memory, handles, disk, latency and lag are flat after the warm-up.

The first third of a run is the warm-up: tables fill, windows open, retention begins to act. "Flat" is said by robust
measures, so that single bad moments of a machine do not decide: the Theil-Sen slope (the median of the slopes between
all pairs of points: H. Theil 1950, P. K. Sen 1968) and medians over thirds.
"""

from __future__ import annotations

from itertools import combinations
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

POINTS_MAX = 400
"""Points that a slope is computed from; it takes all their pairs."""

Sample = dict[str, float]


class Limits(NamedTuple):
    """How flat is flat. `growth`: of the median, over the time after the warm-up."""

    memory_growth_max: float = 0.05
    store_growth_max: float = 0.05
    """Of the file, which retention keeps from growing as it looks once a minute; so runs of some minutes can't tell."""
    files_range_max: int = 16
    threads_range_max: int = 4
    latency_ratio_max: float = 1.5
    latency_floor_ms: float = 5.0
    """Latencies below it count as it: of a few milliseconds half as many more are nobody's concern."""
    waiting_s_max: float = 2.0
    """Records that wait for detection, in seconds of the offered rate; the median of any third."""
    answered_min: float = 0.99


WIDE = Limits(
    memory_growth_max=0.10,
    store_growth_max=1.0,
    latency_ratio_max=3.0,
    latency_floor_ms=1_000.0,
    waiting_s_max=10.0,
    answered_min=0.9,
)
"""For a short run beside other work: thirds are short, and what else the machine does makes seconds of delay."""


class Claim(NamedTuple):
    """One claim: a figure and its bound."""

    name: str
    figure: float
    bound: float
    unit: str

    @property
    def holds(self) -> bool:
        return self.figure <= self.bound


def slope(times: Sequence[float], values: Sequence[float]) -> float:
    """The Theil-Sen slope, in units of `values` for each unit of `times`."""
    step = -(-len(times) // POINTS_MAX)
    points = list(zip(times, values, strict=True))[::step]
    return median((v2 - v1) / (t2 - t1) for (t1, v1), (t2, v2) in combinations(points, 2) if t2 > t1)


def growth(samples: Sequence[Sample], name: str) -> float:
    """How much a figure grows over the samples by its slope, as a share of its median."""
    times, values = [each["t"] for each in samples], [each[name] for each in samples]
    return slope(times, values) * (times[-1] - times[0]) / (median(values) or 1.0)


def thirds(samples: Sequence[Sample]) -> tuple[Sequence[Sample], Sequence[Sample], Sequence[Sample]]:
    """The samples of the warm-up, the middle and the last third."""
    cut = len(samples) // 3
    return samples[:cut], samples[cut : 2 * cut], samples[2 * cut :]


def claims(samples: Sequence[Sample], run: Mapping[str, float], limits: Limits) -> list[Claim]:
    """All claims on the figures of a run.

    `run` has what is known of it as a whole: `rate` (records offered a second), `seconds`, `sent` (records answered
    with 200), `log_bytes_max` and `stored_alerts_max` (bounds by the settings and the rate), `segments_retired`,
    `store_pruned`, and what should be nought: `refused`, `duplicate`, `dead_lettered`, `waiting` (after the end),
    `imbalance`.
    """
    _, middle, last = thirds(samples)
    steady = [*middle, *last]

    def spread(name: str) -> float:
        values = [each[name] for each in steady]
        return max(values) - min(values)

    def of_third(name: str, part: Sequence[Sample]) -> float:
        return median(each[name] for each in part)

    def ratio(name: str) -> float:
        before, after = (max(of_third(name, part), limits.latency_floor_ms) for part in (middle, last))
        return after / before

    waiting_s = max(of_third("waiting", part) for part in (middle, last)) / run["rate"]
    found = [
        Claim("memory: growth", growth(steady, "memory_bytes"), limits.memory_growth_max, "of the median"),
        Claim("open files: range", spread("files"), limits.files_range_max, "files"),
        Claim("threads: range", spread("threads"), limits.threads_range_max, "threads"),
        Claim("intake log: most", max(each["log_bytes"] for each in steady), run["log_bytes_max"], "bytes"),
        Claim("intake log: limits that did not act", int(not run["segments_retired"]), 0, "of 1"),
        Claim("store: most", max(each["stored_alerts"] for each in steady), run["stored_alerts_max"], "alerts"),
        Claim("store: growth", growth(steady, "store_bytes"), limits.store_growth_max, "of the median"),
        Claim("store: limits that did not act", int(not run["store_pruned"]), 0, "of 1"),
        Claim("core log: growth a revision", _core_growth(middle, last), 1.2, "of the middle third's"),
        Claim("latency: p50", ratio("p50_ms"), limits.latency_ratio_max, "of the middle third's"),
        Claim("latency: p99", ratio("p99_ms"), limits.latency_ratio_max, "of the middle third's"),
        Claim("records waiting", waiting_s, limits.waiting_s_max, "s of the offered rate"),
        Claim("not answered in time", 1 - run["sent"] / run["rate"] / run["seconds"], 1 - limits.answered_min, ""),
    ]
    noughts: Callable[[str], Claim] = lambda name: Claim(name, run[name], 0, "")  # noqa: E731
    return found + [noughts(name) for name in ("refused", "duplicate", "dead_lettered", "waiting", "imbalance")]


def _core_growth(middle: Sequence[Sample], last: Sequence[Sample]) -> float:
    """What a revision of an alert adds to the core log, in the last third beside the middle one.

    The core log keeps alerts for a day, so within a run it grows; what it may not do is to grow by more for each.
    """

    def each(part: Sequence[Sample]) -> float:
        revisions = part[-1]["revisions"] - part[0]["revisions"]
        return (part[-1]["core_bytes"] - part[0]["core_bytes"]) / max(revisions, 1)

    return max(each(last), 0) / max(each(middle), 1)
