"""What most types of detectors have in common: nothing to say when time goes on, and words for people."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from detectors.behaviour.deviation import Deviation
from vedette.schema.limits import SECOND_NS
from vedette.schema.observation import Observation
from vedette.schema.operator import KeyedState

_UNITS: Final = (("days", 86_400), ("hours", 3_600), ("minutes", 60))
_WORD_CHARS_MAX: Final = 120


class Plain:
    """Base of detectors that only observations make speak."""

    state: KeyedState[Any]

    def __init__(self) -> None:
        """Begin with nothing left out."""
        self.left_out: dict[tuple[str, str], int] = {}
        self._reads: dict[
            str, tuple[Callable[[Observation], tuple[str, ...]], Callable[[Observation], tuple[str, ...]]]
        ] = {}
        """How to read `by` and `value`, by a definition's content hash."""

    def advance(self, arrival_ns: int) -> list[Deviation]:  # noqa: ARG002 - the seam's signature
        """Time alone tells nothing."""
        return []

    def resume(self, arrival_ns: int) -> None:
        """A pause changes nothing."""

    def finish(self, arrival_ns: int) -> list[Deviation]:  # noqa: ARG002 - the seam's signature
        """Nothing is left open."""
        return []


def days(length_ns: int) -> str:
    """Say a length of time as people do: `9 days`, `3 hours`, `40 seconds`."""
    seconds = length_ns // SECOND_NS
    for name, unit_s in _UNITS:
        if seconds >= 2 * unit_s:
            return f"{seconds // unit_s} {name}"
    return f"{seconds} seconds"


def shown(values: Iterable[str]) -> str:
    """Write values in a row for people, each bounded; "nothing" for an empty one."""
    return " ".join(value[:_WORD_CHARS_MAX] or "(none)" for value in values)
