"""Makes the pages: reads the journal in a thread of its own, one scrape after another, and keeps what it made a second.

So scrapes never hold up the event loop, and many scrapers (or hostile ones) cost no more than one.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

import prometheus_client
from prometheus_client import REGISTRY
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from vedette.app.metrics.families import Live, agent_families, journal_families
from vedette.app.metrics.reading import Reading, read_journal
from vedette.schema.errors import PermanentError, TransientError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vedette.journal.sqlite import DataFolder

P = ParamSpec("P")
T = TypeVar("T")

KEEP_S: Final = 1.0
"""How long a page and a reading are good for."""
PLAIN: Final = "text/plain; version=0.0.4; charset=utf-8"
"""Content type of Prometheus's own text format."""
OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
"""Content type of the OpenMetrics text format."""


class Page(Collector):
    """All metrics of one moment."""

    def __init__(self, reading: Reading | None, live: Live) -> None:
        """Show a reading; None if the journal could not be read."""
        # A series for the creation time of each counter would double their number.
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
        self._reading = reading
        self._live = live

    def collect(self) -> Iterator[Metric]:
        """Yield the journal's metrics, the agent's, and those of the process."""
        reading, live = self._reading, self._live
        yield GaugeMetricFamily(
            "vedette_journal_readable",
            "1 if this scrape could read the journal; if 0, everything that is counted from it is missing.",
            reading is not None,
        )
        yield from agent_families(live)
        if reading is not None:
            yield from journal_families(reading, live)
        yield from REGISTRY.collect()

    def render(self, content_type: str) -> bytes:
        """Render as `PLAIN` or `OPENMETRICS`."""
        if content_type == OPENMETRICS:
            return bytes(openmetrics.generate_latest(self))  # type: ignore[no-untyped-call]
        return prometheus_client.generate_latest(self)


class Scraper:
    """Reads and renders, at most once in `KEEP_S`."""

    def __init__(self, folder: DataFolder, live: Callable[[], Live]) -> None:
        """Read the journal of `folder`; ask `live`, in the event loop, what the agent knows itself."""
        self._folder = folder
        self._live = live
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="metrics")
        self._turn = asyncio.Lock()
        self._reading: Reading | None = None
        self._read_s = float("-inf")
        self._pages: dict[str, bytes] = {}

    async def page(self, content_type: str) -> bytes:
        """Return all metrics, not older than `KEEP_S`."""
        async with self._turn:
            await self._refresh()
            if content_type not in self._pages:
                page = Page(self._reading, self._live())
                self._pages[content_type] = await self._call(page.render, content_type)
            return self._pages[content_type]

    async def reading(self) -> Reading | None:
        """Return what the journal says, not older than `KEEP_S`; None if it can't be read now."""
        async with self._turn:
            await self._refresh()
            return self._reading

    def close(self) -> None:
        """Let the thread end after what it is doing."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _refresh(self) -> None:
        now_s = asyncio.get_running_loop().time()
        if now_s - self._read_s < KEEP_S:
            return
        self._pages = {}
        try:
            self._reading = await self._call(read_journal, self._folder)
        except (TransientError, PermanentError):
            self._reading = None
        self._read_s = asyncio.get_running_loop().time()

    async def _call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: function(*args, **kwargs))
