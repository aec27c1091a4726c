"""A test of a rule, as it is written beside the rule or in a file of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from detectors.values import is_list, is_object

REPEAT_MAX: Final = 10_000
"""How often one event of a test comes at most: five times what a window holds."""
NUMBER: Final = "{n}"
"""Stands in texts of an event that comes again and again for the number of the time, from 1."""


class GivenEvent(msgspec.Struct, frozen=True):
    """An event of a test. `format` names its decoder, "" the one of the rule's log source.

    It comes `repeat` times, each `every_ns` after the time before: its own time is that of the first.
    """

    event: dict[str, Any]
    format: str = ""
    repeat: int = 1
    every_ns: int = 0

    def each(self) -> Iterator[tuple[dict[str, Any], int]]:
        """Yield the event as often as it comes, each time with how much later it is (ns)."""
        if self.repeat == 1:
            yield self.event, 0
            return
        for number in range(self.repeat):
            yield _numbered(self.event, str(number + 1)), number * self.every_ns


class RuleTest(msgspec.Struct, frozen=True):
    """Events of which a rule should match at least one (`match`), or none; for a correlation: at which it should fire.

    `path` and `line` say where the test stands.
    """

    name: str
    match: bool
    events: tuple[GivenEvent, ...]
    path: str = ""
    line: int = 0

    @property
    def event(self) -> dict[str, Any]:
        """The first event; most tests have no other."""
        return self.events[0].event


def _numbered(value: Any, number: str) -> Any:
    """Return a copy of a document with the number in place of `{n}` in its texts."""
    if isinstance(value, str):
        return value.replace(NUMBER, number)
    if is_object(value):
        return {key: _numbered(inner, number) for key, inner in value.items()}
    return [_numbered(inner, number) for inner in value] if is_list(value) else value
