"""The seam that every type of detector fills. One instance serves all definitions of its type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from detectors.behaviour.definition import Definition
from detectors.behaviour.deviation import Deviation
from vedette.schema.observation import Observation
from vedette.schema.operator import KeyedState


class Detector(Protocol):
    """A type of detector: an operator (`vedette.schema.operator.Operator`) that observations are shown to.

    A deterministic function of what it is shown and of arrival times; its state is bounded, and what is evicted or left
    out is counted. Observations of one source come nearly in the order of their times; those of different sources may
    be minutes apart.
    """

    type_name: str
    """As definitions name the type."""
    name: str
    """Names its state in checkpoints: `behaviour_<type>`."""
    version: int
    """Raised with every change of what its state means."""
    settings: type[msgspec.Struct]
    """What definitions of the type may say (see `loading`); defaults are what works for most."""
    state: KeyedState[Any]
    left_out: dict[tuple[str, str], int]
    """What was counted since somebody last cleared it, by reason (`evicted`, …) and rule id."""

    def use(self, definitions: Sequence[Definition]) -> None:
        """Put definitions in force; those with an unchanged `content_hash` keep what they have learned."""
        ...

    def rebuild(self) -> None:
        """Recompute what is derived from `state`, after that was restored; `use` follows."""
        ...

    def observe(self, definition: Definition, seen: Observation) -> Deviation | None:
        """Take an observation that a definition looks at. Hot: most are like thousands before them."""
        ...

    def advance(self, arrival_ns: int) -> list[Deviation]:
        """Let arrival time go on, about four times a second at most; return what time alone tells."""
        ...

    def resume(self, arrival_ns: int) -> None:
        """Begin again after a pause that ends now, in which nobody watched: silence in it means nothing."""
        ...

    def finish(self, arrival_ns: int) -> list[Deviation]:
        """Return what the end of the input leaves open (`vedette scan`, tests)."""
        ...
