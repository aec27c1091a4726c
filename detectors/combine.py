"""Several tests of one thing as one: loops, because `all` and `any` over a generator cost twice as much."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

_T = TypeVar("_T")


def every(tests: Sequence[Callable[[_T], bool]]) -> Callable[[_T], bool]:
    """Return a test that passes where all of them do; they are asked in their order."""
    if len(tests) == 1:
        return tests[0]
    if len(tests) == len(("first", "second")):
        first, second = tests
        return lambda value: first(value) and second(value)

    def test(value: _T) -> bool:
        for part in tests:  # noqa: SIM110 - see above
            if not part(value):
                return False
        return True

    return test


def some(tests: Sequence[Callable[[_T], bool]]) -> Callable[[_T], bool]:
    """Return a test that passes where one of them does; they are asked in their order."""
    if len(tests) == 1:
        return tests[0]
    if len(tests) == len(("first", "second")):
        first, second = tests
        return lambda value: first(value) or second(value)

    def test(value: _T) -> bool:
        for part in tests:  # noqa: SIM110 - see above
            if part(value):
                return True
        return False

    return test
