"""What a simulation yields, and what its parts hand each other."""

from __future__ import annotations

from typing import NamedTuple


class Label(NamedTuple):
    """Says that a record belongs to an attack."""

    attack: str
    """The attack's id, as `Attack.attack_id`."""
    scenario: str


class SimulatedRecord(NamedTuple):
    """One record as a source would send it. `time_ns` is its event time as the format's decoder reads it."""

    format: str
    time_ns: int
    payload: bytes
    label: Label | None


class Emission(NamedTuple):
    """A record on its way, in the order of its fields: equal times are ordered by what was sent."""

    time_ns: int
    payload: bytes
    format: str
    node: str
    """The node whose Falco sees it; "" for other formats."""
    label: Label | None = None
