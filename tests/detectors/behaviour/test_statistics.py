"""Statistics of detectors, against exact sums, closed forms and tabulated values."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.behaviour.statistics import (
    SHAPE_MAX,
    count_tail,
    discoveries,
    incomplete_beta,
    median,
    robust_sigma,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

MEANS = st.floats(1e-4, 200.0)
SHAPES = st.floats(0.02, 1000.0)


def mass(count: int, mean: float, shape: float) -> float:
    """P(X = count), from its definition."""
    ways = math.lgamma(count + shape) - math.lgamma(shape) - math.lgamma(count + 1)
    return math.exp(ways + shape * math.log(shape / (mean + shape)) + count * math.log(mean / (mean + shape)))


@given(count=st.integers(1, 400), mean=MEANS, shape=SHAPES)
def test_the_tail_is_what_the_masses_below_leave(count: int, mean: float, shape: float) -> None:
    below = math.fsum(mass(below, mean, shape) for below in range(count))
    assert count_tail(count, mean, shape) == pytest.approx(1.0 - below, abs=1e-10)


@given(count=st.integers(1, 60), mean=MEANS, shape=st.floats(0.5, 100.0))
def test_each_step_of_the_tail_is_a_mass(count: int, mean: float, shape: float) -> None:
    tail, rest = count_tail(count, mean, shape), count_tail(count + 1, mean, shape)
    assert tail == pytest.approx(rest + mass(count, mean, shape), rel=1e-9, abs=1e-300)


@given(count=st.integers(1, 500), mean=MEANS)
def test_with_a_shape_of_one_it_is_geometric(count: int, mean: float) -> None:
    assert count_tail(count, mean, 1.0) == pytest.approx((mean / (mean + 1.0)) ** count, rel=1e-9)


@given(count=st.integers(0, 2000), mean=MEANS, shape=SHAPES)
def test_it_is_a_chance_and_falls_with_the_count(count: int, mean: float, shape: float) -> None:
    assert 0.0 <= count_tail(count + 1, mean, shape) <= count_tail(count, mean, shape) <= 1.0


@pytest.mark.parametrize(
    ("count", "mean", "chance"),
    [(1, 1.0, 0.6321206), (5, 2.0, 0.0526530), (10, 4.0, 0.0081322), (20, 10.0, 0.0034543)],
)
def test_with_a_large_shape_it_is_poisson(count: int, mean: float, chance: float) -> None:
    """Values of printed tables of the Poisson distribution, 1 - F(count - 1)."""
    assert count_tail(count, mean, 10.0 * SHAPE_MAX) == pytest.approx(chance, abs=2e-6)


@pytest.mark.parametrize(
    ("a", "b", "x", "value"),
    [
        (1.0, 1.0, 0.3, 0.3),
        (2.0, 2.0, 0.5, 0.5),
        (2.0, 3.0, 0.4, 0.5248),
        (0.5, 0.5, 0.25, 1.0 / 3.0),
        (5.0, 1.0, 0.9, 0.59049),
    ],
)
def test_closed_forms_of_the_incomplete_beta(a: float, b: float, x: float, value: float) -> None:
    assert incomplete_beta(a, b, x, 1.0 - x) == pytest.approx(value, rel=1e-12)


@given(a=st.floats(0.1, 500.0), b=st.floats(0.1, 500.0), x=st.floats(0.001, 0.999))
def test_the_incomplete_beta_is_symmetric(a: float, b: float, x: float) -> None:
    assert incomplete_beta(a, b, x, 1.0 - x) + incomplete_beta(b, a, 1.0 - x, x) == pytest.approx(1.0, abs=1e-9)


def test_very_small_chances_keep_their_digits() -> None:
    assert count_tail(80, 8.0, 4.0) == pytest.approx(math.fsum(mass(n, 8.0, 4.0) for n in range(80, 2000)), rel=1e-11)
    assert 0.0 < count_tail(230, 1.0, 10.0) < 1e-200
    assert count_tail(10**6, 1.0, 10.0) == 0.0
    assert count_tail(0, 1.0, 1.0) == 1.0


@pytest.mark.parametrize(
    ("chances", "tests", "rate", "found"),
    [
        ([], 10, 0.05, 0),
        ([0.06], 1, 0.05, 0),
        ([0.004], 10, 0.05, 1),
        ([0.006], 10, 0.05, 0),
        ([0.009, 0.0095], 10, 0.05, 2),
        # Benjamini and Hochberg 1995, section 3.2: of these 15 tests the first four are rejected at 0.05
        (
            [
                *(0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459),
                *(0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000),
            ],
            15,
            0.05,
            4,
        ),
    ],
    ids=["none", "alone, too likely", "one of ten", "one of ten, too likely", "together", "the paper's example"],
)
def test_discoveries(chances: Sequence[float], tests: int, rate: float, found: int) -> None:
    assert discoveries(chances, tests, rate) == found


@given(values=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50))
def test_half_lie_on_each_side_of_the_median(values: list[float]) -> None:
    middle = median(values)
    assert 2 * sum(value < middle for value in values) <= len(values)
    assert 2 * sum(value > middle for value in values) <= len(values)


def test_one_outlier_moves_neither_middle_nor_spread_far() -> None:
    assert median([1.0, 2.0, 3.0, 4.0, 1e9]) == 3.0
    assert robust_sigma([1.0, 2.0, 3.0, 4.0, 1e9]) == pytest.approx(1.4826)
    assert robust_sigma([7.0]) == 0.0
