"""The embedded store as a sink: settings, its own thread, retention."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

from prometheus_client import Counter
from pydantic import BaseModel, ConfigDict, Field

from sinks.store.writer import PRUNE_ROWS_MAX, StoreWriter
from vedette.journal.sqlite.connection import Storage
from vedette.journal.sqlite.folder import DataFolder
from vedette.runtime.check import Check
from vedette.runtime.telemetry import OperationalEvent
from vedette.schema.errors import PermanentError, TransientError, VedetteError
from vedette.schema.limits import SECOND_NS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vedette.runtime.sink import Outcome
    from vedette.runtime.sink_context import SinkContext
    from vedette.schema.alert import AlertRevision

DAY_NS: Final = 24 * 3600 * SECOND_NS
PRUNE_INTERVAL_NS: Final = 60 * SECOND_NS
"""Retention is looked at this often, as long as alerts come."""
DAMAGED_RETRY_S: Final = 60.0
"""A damaged file needs a person; until then alerts wait in the journal."""


@dataclass(frozen=True, slots=True)
class StorePruned(OperationalEvent):
    """Alerts over the store's limits were removed, the oldest first."""

    component = "sinks.store"
    message = "alerts beyond the store's retention were removed"
    level = logging.DEBUG
    metric: ClassVar[Counter] = Counter(
        "vedette_store_pruned_total", "Alerts removed from a store by its retention.", ["sink"]
    )
    labels = ("sink",)
    sink: str
    count: int


class StoreSettings(BaseModel):
    """The embedded store: alerts in one file, which `vedette alerts` reads."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    path: Path | None = None
    """File of the store, relative to the data folder. Default: `store.db` in the data folder."""
    keep_days: Annotated[float, Field(gt=0)] = 90.0
    """Days that alerts are kept after they were opened. Default: 90."""
    keep_alerts: Annotated[int, Field(ge=1)] = 500_000
    """Alerts that are kept; beyond them the oldest go early. Default: 500000, about 2 GB."""


class StoreSink:
    """Implements `vedette.runtime.sink.Sink`. SQLite works in a thread of its own, so the event loop never waits."""

    def __init__(self, name: str, settings: StoreSettings, context: SinkContext) -> None:
        """Name the store's file; `start` opens it."""
        self.name = name
        folder = DataFolder(context.data_dir)
        self.path = folder.path / settings.path if settings.path else folder.store
        self._settings = settings
        self._clock = context.clock
        self._storage = Storage()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"sink-{name}")
        self._writer: StoreWriter | None = None
        self._prune_ns = 0
        self._stopped = False

    async def start(self) -> None:
        """Open or make the store, and remove what is beyond retention.

        Raises:
            ConfigError: the file is something else. TransientError: it can't be opened now.
        """
        await asyncio.get_running_loop().run_in_executor(self._thread, self._deliver, ())

    async def deliver(self, revisions: Sequence[AlertRevision]) -> Sequence[Outcome]:
        """Store revisions in one durable transaction.

        Raises:
            TransientError: none was stored; the next call opens the file anew.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._deliver, revisions)

    async def stop(self) -> None:
        """Finish what is under way and close the file."""
        if self._stopped:
            return
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._stopped = True
        self._thread.shutdown(wait=False)

    async def probe(self) -> Sequence[Check]:
        """Say whether the store can be written; a store that is not there yet stays so."""
        what = f"write the store {self.path}"
        if not self.path.exists():
            return [await asyncio.to_thread(_check_room, what, self.path)]
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._open)
        except VedetteError as error:
            return [Check(what, str(error), "make the file and its folder writable for Vedette's user")]
        return [Check(what)]

    # --- in the thread ------------------------------------------------------------------------------------------------
    def _deliver(self, revisions: Sequence[AlertRevision]) -> Sequence[Outcome]:
        try:
            writer = self._open()
            self._prune(writer)
            return writer.write(revisions)
        except PermanentError as error:
            self._close()
            raise TransientError(str(error), retry_after_s=DAMAGED_RETRY_S) from error
        except VedetteError:
            self._close()
            raise

    def _open(self) -> StoreWriter:
        if self._writer is not None and not self.path.exists():  # somebody removed it: alerts must not go to a ghost
            self._close()
        if self._writer is None:
            self._writer = StoreWriter(self.path, self._storage)
        return self._writer

    def _prune(self, writer: StoreWriter) -> None:
        now_ns = self._clock.now_ns()
        if now_ns < self._prune_ns:
            return
        opened_before_ns = now_ns - int(self._settings.keep_days * DAY_NS)
        with contextlib.suppress(TransientError):
            count = writer.prune(opened_before_ns=opened_before_ns, alerts_max=self._settings.keep_alerts)
            if count:
                StorePruned(self.name, count).emit()
            if count < PRUNE_ROWS_MAX:
                self._prune_ns = now_ns + PRUNE_INTERVAL_NS

    def _close(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()


def _check_room(what: str, path: Path) -> Check:
    """Look at the nearest folder that there is: `vedette run` makes those that are missing below it."""
    folder = next(parent for parent in path.parents if parent.exists())
    if folder.is_dir() and os.access(folder, os.W_OK):
        return Check(what)
    return Check(what, f"{folder} is not a writable folder", "give Vedette's user access to it")
