"""The alerts log, read for one sink: of what passes the filter, older revisions give way to newer ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vedette.journal.protocol import DeadDelivery, LogName
from vedette.pipeline.routing import Filter, Routes, encode_filter
from vedette.pipeline.stretch import Item, Stretch
from vedette.schema.alert import AlertRevision
from vedette.schema.errors import PermanentError
from vedette.schema.limits import BATCH_REVISIONS_MAX

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vedette.pipeline.core_thread import CoreThread
    from vedette.runtime.sink import Outcome, Sink

IDLE_S = 1.0
"""The log is looked at at least this often, whether the bell rang or not."""
_SIZES_MAX: Final = 2_000
"""Rows that are weighed in one call: the core log's thread is everybody's."""
_BEYOND: Final = 1 << 62


class AlertFeed:
    """Implements `vedette.pipeline.stretch.Feed` for revisions of alerts."""

    log: LogName = "alerts"

    def __init__(self, sink: Sink, passing: Filter, core: CoreThread) -> None:
        """Read for `sink` what passes a filter, from now on; older alerts go by the filters of their time."""
        self.sink = sink
        self.idle_s = IDLE_S
        self._filter = passing
        self._core = core
        self._routes = Routes([(0, encode_filter(passing))])

    async def open(self) -> int:
        """Return where delivery stands; a new one begins with the oldest alert that is kept."""
        core, name = self._core.core, self.sink.name
        count = await self._core.insist(core.open_delivery, name, from_start=True)
        self._routes = Routes(await self._core.insist(core.set_delivery_filter, name, encode_filter(self._filter)))
        return count.position

    async def read(self, after: int) -> Stretch[AlertRevision] | None:
        """Return the revisions that follow."""
        logged = await self._core.insist(self._core.core.alerts, after, limit=BATCH_REVISIONS_MAX)
        if not logged:
            return None
        wanted = [entry for entry in logged if self._routes.want(entry.revision)]
        latest = {entry.revision.alert_id: entry.position for entry in wanted}
        waiting = [
            Item(entry.position, entry.logged_ns, entry.revision)
            for entry in wanted
            if latest[entry.revision.alert_id] == entry.position
        ]
        suppressed, superseded = len(logged) - len(wanted), len(wanted) - len(waiting)
        return Stretch(logged[-1].position, waiting, suppressed, superseded)

    async def send(self, items: Sequence[Item[AlertRevision]]) -> Sequence[Outcome]:
        """Hand revisions to the sink."""
        return await self.sink.deliver([item.content for item in items])

    async def overdue(self, after: int, bytes_max: int) -> int:
        """Weigh the documents from the newest on, until there are too many of them."""
        size_bytes, before = 0, _BEYOND
        core = self._core.core
        while sizes := await self._core.insist(core.alert_sizes, after, before, limit=_SIZES_MAX):
            for position, row_bytes in sizes:
                size_bytes += row_bytes
                if size_bytes > bytes_max:
                    return position
            before = sizes[-1][0]
        return after

    def dead(self, item: Item[AlertRevision], reason: str) -> DeadDelivery:
        """Keep the revision whole."""
        return DeadDelivery(self.sink.name, self.log, item.position, reason, item.content)

    async def recall(self, dead: Sequence[DeadDelivery]) -> list[Item[AlertRevision] | PermanentError]:
        """Return the revisions that were kept."""
        return [Item(each.position, each.revision.opened_ns, each.revision) for each in dead]

    async def close(self) -> None:
        """Nothing is held."""
