"""The core log's own thread: detection and delivery share its one connection without blocking the event loop."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, ParamSpec, TypeVar

from prometheus_client import Counter

from vedette.runtime.telemetry import OperationalEvent
from vedette.schema.errors import TransientError

if TYPE_CHECKING:
    from collections.abc import Callable

    from vedette.journal.protocol import CoreLog
    from vedette.journal.sqlite.folder import DataFolder

P = ParamSpec("P")
T = TypeVar("T")

RETRY_S = 0.5
"""Pause between attempts to write a core log that can't be written."""


@dataclass(frozen=True, slots=True)
class CoreUnwritable(OperationalEvent):
    """The core log can't be written; detection and delivery stand still until it can."""

    component = "pipeline.core"
    message = "the core log can't be written; detection and delivery wait"
    level = logging.ERROR
    metric: ClassVar[Counter] = Counter(
        "vedette_core_write_failures_total", "Transactions of the core log that failed."
    )
    error: str


class CoreThread:
    """Runs calls on the core log one after another."""

    def __init__(self, core: CoreLog, folder: DataFolder) -> None:
        """Own the core log from now on."""
        self.core = core
        self._folder = folder
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="core")

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a method of the core log."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: function(*args, **kwargs))

    async def insist(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a method of the core log until the disk takes it. A full disk costs the ballast first."""
        complained = False
        while True:
            try:
                return await self.call(function, *args, **kwargs)
            except TransientError as error:
                if not complained:
                    CoreUnwritable(str(error)).emit()
                    complained = True
                if not self._folder.drop_ballast():
                    await asyncio.sleep(RETRY_S)

    async def close(self) -> None:
        """Close the core log and end the thread."""
        await self.call(self.core.close)
        self._thread.shutdown()
