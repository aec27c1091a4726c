"""What a source hands to intake, and how it hears that it is safe.

A source never learns how the journal works: it offers a `Parcel` and is told once, through `settle`, that all of it is
on disk (or why not). Only then may it answer its client or move on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from vedette.schema.errors import TransientError
from vedette.schema.record import Position, Run

__all__ = ["Intake", "Parcel", "Position", "Receipt", "Settle"]


class Receipt(NamedTuple):
    """All records of a parcel are durable: `stored` were new, `duplicates` had been stored before."""

    stored: int
    duplicates: int


Settle = Callable[[Receipt | TransientError], None]
"""Called exactly once, in the event loop. It must not raise and must not block."""


@dataclass(slots=True)
class Parcel:
    """Records of one source that become durable together.

    `runs` describe `items` in order (their counts add up). `position`, if any, commits with them. `patience_s`: how
    long intake may hold the parcel while the journal can't be written, before it settles it with a TransientError;
    0 refuses at the first failure (clients that retry), Falco's port waits (its client ignores the status).
    """

    source: str
    runs: list[Run]
    items: list[bytes]
    settle: Settle
    size_bytes: int
    position: Position | None = None
    patience_s: float = 0.0


class Intake(Protocol):
    """The door into the journal, as sources see it. All calls come from the event loop."""

    def room_bytes(self) -> int:
        """Bytes that may be taken in now; push sources refuse (with Retry-After) what exceeds it."""
        ...

    def offer(self, parcel: Parcel) -> None:
        """Take a parcel; `parcel.settle` is called once it is durable or refused. Never blocks."""
        ...

    async def put(self, parcel: Parcel) -> Receipt:
        """Wait for room, offer, and wait for the receipt: for pull sources (`settle` is called too).

        A journal that can't be written now makes it wait, with back-off, until it can. Cancelling is safe.
        """
        ...

    def refused(self, source: str, records: int) -> None:
        """Count records that were refused or lost before receipt; they stand beside the ledger."""
        ...

    def positions(self, source: str) -> Mapping[str, str]:
        """Committed positions of a pull source by partition."""
        ...
