"""Statistics that detectors share: exact tails of counts, false-discovery control, robust middle and spread.

All are deterministic functions of their arguments, by `math` alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

SHAPE_MAX: Final = 1e6
"""Shape beyond which a negative binomial is as good as Poisson; larger ones would only lose digits."""
_TINY: Final = 1e-300
_EPSILON: Final = 1e-14
_STEPS_MAX: Final = 5_000
"""Steps of the continued fraction: it takes about the square root of the larger parameter."""
_MAD_TO_SIGMA: Final = 1.4826
"""The standard deviation of a normal distribution over its median absolute deviation."""


def count_tail(count: int, mean: float, shape: float) -> float:
    """Return the probability of at least `count` where counts are Gamma-Poisson (negative binomial).

    The Poisson rate is drawn from a gamma distribution of `mean` and `shape`, so that counts have a variance of
    mean + mean²/shape. P(X ≥ count) = I_x(count, shape) with x = mean / (mean + shape) (DLMF 8.17; Johnson, Kemp and
    Kotz, Univariate Discrete Distributions, 5.6). `mean` and `shape` are above 0.
    """
    if count <= 0:
        return 1.0
    shape = min(shape, SHAPE_MAX)
    return incomplete_beta(float(count), shape, mean / (mean + shape), shape / (mean + shape))


def incomplete_beta(a: float, b: float, x: float, rest: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b); `rest` is 1 - x, given so that it keeps its digits.

    By the continued fraction of DLMF 8.17.22, on the side where it converges fast. Parameters are above 0.
    """
    if x <= 0.0:
        return 0.0
    if rest <= 0.0:
        return 1.0
    if x > (a + 1.0) / (a + b + 2.0):
        return max(0.0, 1.0 - _small_beta(b, a, rest, x))
    return min(1.0, _small_beta(a, b, x, rest))


def _small_beta(a: float, b: float, x: float, rest: float) -> float:
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(rest)
    return math.exp(log_front) * _fraction(a, b, x) / a


def _fraction(a: float, b: float, x: float) -> float:
    """Evaluate the continued fraction by the modified method of Lentz (Thompson and Barnett 1986)."""
    c, d = 1.0, 1.0 / _apart_from_zero(1.0 - (a + b) * x / (a + 1.0))
    value = d
    for m in range(1, _STEPS_MAX):
        even = m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0))
        for term in (even, odd):
            d = 1.0 / _apart_from_zero(1.0 + term * d)
            c = _apart_from_zero(1.0 + term / c)
            value *= c * d
        if abs(c * d - 1.0) < _EPSILON:
            break
    return value


def _apart_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def discoveries(chances: Sequence[float], tests: int, rate: float) -> int:
    """Return how many of the smallest chances are discoveries, with at most `rate` of them false on average.

    Benjamini and Hochberg 1995: the largest k whose k-th smallest chance is at most k · rate / tests. `chances` are
    sorted; of `tests` those not given count as 1.
    """
    return max((k for k, chance in enumerate(chances, 1) if chance * tests <= k * rate), default=0)


def median(values: Sequence[float]) -> float:
    """Return the middle of at least one value."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2.0


def robust_sigma(values: Sequence[float]) -> float:
    """Return the spread of at least one value by its median absolute deviation, as a standard deviation."""
    middle = median(values)
    return _MAD_TO_SIGMA * median([abs(value - middle) for value in values])
