"""What every sink is: the seam between delivery and one destination."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from vedette.schema.alert import AlertRevision
from vedette.schema.errors import PermanentError, TransientError

Outcome = PermanentError | TransientError | None
"""What became of one revision: None delivered, otherwise why not."""


class Sink(Protocol):
    """One configured destination. Delivery calls it with revisions in log order, one call at a time.

    A revision may come again after a crash or a time-out: sinks with an id and a version (store, OpenSearch, trackers)
    make that invisible, the others pass on the stable alert id and version.
    """

    name: str

    async def start(self) -> None:
        """Open what is needed.

        Raises:
            ConfigError: the settings can't work. TransientError: not reachable yet; delivery retries.
        """
        ...

    async def deliver(self, revisions: Sequence[AlertRevision]) -> Sequence[Outcome]:
        """Deliver, and say for each revision what became of it, in the same order.

        Raises:
            TransientError: none of them could be delivered now.
        """
        ...

    async def stop(self) -> None:
        """Release everything; idempotent."""
        ...
