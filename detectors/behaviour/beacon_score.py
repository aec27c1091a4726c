"""How much a row of contacts looks like a program that calls home: RITA's score, on the span observed so far.

Source: activecm/rita (analysis/beacons.go): four scores of 0 to 1, the mean of them. Two say how alike intervals and
sizes are: Bowley's skewness, and the median absolute deviation beside the median. One says how evenly contacts spread
over the time, one how much of it they cover. RITA looks at whole days; here the span is what has been seen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from statistics import fmean, median, pstdev, quantiles
from typing import Final, NamedTuple

_SKEW_RANGE_MIN: Final = 10.0
"""Seconds, or bytes, between quartiles below which a skewness says nothing (RITA)."""
_SIZES_MIN: Final = 3
_HITS_PER_BUCKET: Final = 4
_BUCKETS_MAX: Final = 12
_GAP_MEDIANS: Final = 3.0
"""A pause of more medians is a gap."""


class BeaconScore(NamedTuple):
    """The score and what it is the mean of. `sizes` is None where too few are known: the others count alone."""

    intervals: float
    sizes: float | None
    spread: float
    coverage: float

    @property
    def total(self) -> float:
        """The score."""
        return fmean(part for part in self if part is not None)


def score(intervals_s: Sequence[float], sizes: Sequence[int]) -> BeaconScore:
    """Score contacts by the intervals between them (at least two) and the bytes sent, as far as those are known."""
    return BeaconScore(
        _alike(intervals_s, 1.0),
        _alike(sizes, 0.0) if len(sizes) >= _SIZES_MIN else None,
        _spread(intervals_s),
        _coverage(intervals_s),
    )


def deviation_of(values: Sequence[float]) -> tuple[float, float]:
    """Return the median and the median absolute deviation from it."""
    middle = float(median(values))
    return middle, float(median(abs(value - middle) for value in values))


def _alike(values: Sequence[float], without_median: float) -> float:
    first, middle, third = quantiles(values, n=4, method="inclusive")
    skew = 0.0
    if third - first >= _SKEW_RANGE_MIN and middle not in (first, third):
        skew = (first + third - 2 * middle) / (third - first)
    _, spread = deviation_of(values)
    near = max(0.0, (middle - spread) / middle) if middle >= 1 else without_median
    return (1 - abs(skew) + near) / 2


def _spread(intervals_s: Sequence[float]) -> float:
    """Return how alike the numbers of contacts in equal stretches of time are."""
    buckets = max(2, min(_BUCKETS_MAX, len(intervals_s) // _HITS_PER_BUCKET))
    counts = [0] * buckets
    span_s = math.fsum(intervals_s)
    for at_s in accumulate(intervals_s):
        counts[min(buckets - 1, int(at_s * buckets / span_s))] += 1
    return max(0.0, 1 - pstdev(counts) / fmean(counts))


def _coverage(intervals_s: Sequence[float]) -> float:
    """Return how much of the time lies in no gap."""
    usual = _GAP_MEDIANS * float(median(intervals_s))
    return 1 - math.fsum(max(0.0, interval - usual) for interval in intervals_s) / math.fsum(intervals_s)
