"""Values made general: what is merged, what stays apart, and that a general value is found again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.behaviour.profiles.shapes import SHAPES, crowded, settle, widen
from detectors.behaviour.profiles.state import (
    HOUR_MAX,
    SEPARATOR,
    Profile,
    Times,
    first_time,
    is_fresh,
    packed_of,
    seen_again,
    unpacked,
)
from detectors.behaviour.profiles.terms import Aspect

if TYPE_CHECKING:
    from collections.abc import Iterable


def learn(aspect: Aspect, values: Iterable[str]) -> tuple[dict[str, int], dict[str, int]]:
    """Learn values as the store does; return them, and what is wide."""
    shape, known, wide = SHAPES[aspect], dict[str, int](), dict[str, int]()
    for hour, value in enumerate(values, 1):
        settled = settle(shape, value, wide)
        known[settled] = first_time(hour)
        while (beginning := crowded(shape, settled, known)) is not None:
            known = widen(shape, beginning, known, wide)
            settled = settle(shape, value, wide)
    return known, wide


@pytest.mark.parametrize(
    ("values", "merged"),
    [
        pytest.param([f"/data/{name}" for name in range(50)], None, id="fifty files"),
        pytest.param([f"/data/{name}" for name in range(51)], "/data/*", id="fifty-one files"),
        pytest.param([f"/data/{name}/log" for name in range(51)], "/data/*/log", id="a file in each of many folders"),
        pytest.param([f"/etc/{name}" for name in range(100)], None, id="a hundred below /etc"),
        pytest.param([f"/etc/{name}" for name in range(101)], "/etc/*", id="more than a hundred below /etc"),
    ],
)
def test_folders_with_many_files_become_general(values: list[str], merged: str | None) -> None:
    known, wide = learn(Aspect.FILES, values)
    if merged is None:
        assert (set(known), wide) == (set(values), {})
    else:
        assert set(known) == {merged}
        assert settle(SHAPES[Aspect.FILES], values[0], wide) == merged


def test_a_call_in_many_namespaces_is_one_and_others_stay() -> None:
    call = ["get", "", "secrets", "manager"]
    calls = [SEPARATOR.join([*call, f"team-{number}"]) for number in range(6)]
    other = SEPARATOR.join(["list", "", "pods", "manager", "shop"])
    known, _ = learn(Aspect.CALLS, [other, *calls])
    assert set(known) == {other, SEPARATOR.join([*call, "*"])}


def test_the_addresses_of_a_network_become_one_and_the_port_stays() -> None:
    start = ["egress", "tcp", "network", "198.51.100.0/24"]
    peers = [SEPARATOR.join([*start, f"198.51.100.{number}", "443"]) for number in range(13)]
    known, _ = learn(Aspect.PEERS, peers)
    assert set(known) == {SEPARATOR.join([*start, "*", "443"])}


@given(st.lists(st.text("ab/*\x1f.", max_size=12), max_size=200), st.sampled_from(Aspect))
def test_what_was_learned_is_known_whatever_it_is(values: list[str], aspect: Aspect) -> None:
    known, wide = learn(aspect, values)
    assert all(settle(SHAPES[aspect], value, wide) in known for value in values)


@given(st.integers(0, HOUR_MAX), st.integers(0, HOUR_MAX), st.integers(0, (1 << 20) - 1))
def test_times_are_packed_and_unpacked(first: int, last: int, hours: int) -> None:
    packed = packed_of(Times(first, last, hours))
    assert unpacked(packed) == Times(first, last, hours)
    assert packed < 2**64
    assert is_fresh(packed, last)
    assert not is_fresh(packed, last + 1)


def test_an_hour_counts_once() -> None:
    packed = seen_again(seen_again(seen_again(first_time(7), 7), 9), 8)
    assert unpacked(packed) == Times(7, 9, 2)


@pytest.mark.parametrize(
    ("days", "today", "unstable"),
    [
        pytest.param([1, 2, 3], 4, True, id="three days on end"),
        pytest.param([1, 3, 5], 6, True, id="three of five"),
        pytest.param([2, 3], 4, False, id="two days"),
        pytest.param([2, 3, 4], 4, False, id="today does not count"),
        pytest.param([1, 2, 3], 9, False, id="long ago"),
        pytest.param([3, 2, 1], 4, True, id="told late"),
        pytest.param([1, 2, 3], 4000, False, id="years ago"),
    ],
)
def test_news_on_most_days_makes_a_profile_unstable(days: list[int], today: int, unstable: bool) -> None:
    profile = Profile("", ("user", "", "ann"), "calls", 0, 0)
    for day in days:
        profile.note_news(day)
    assert profile.is_unstable(today) is unstable
