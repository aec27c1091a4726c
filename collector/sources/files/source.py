"""The `files` source: hands the lines of files to intake, together with how far each file has been read.

A block of lines and the position behind it commit together, so that after a crash reading goes on at exactly the next
line. All file access runs in a thread; the event loop only waits. Ends by itself with `follow: false`.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from collector.sources.files.marks import encode
from collector.sources.files.watch import Watch
from vedette.runtime.parcel import Intake, Parcel, Position, Receipt
from vedette.runtime.source import decoder_of
from vedette.schema.errors import ConfigError, TransientError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from collector.sources.files.settings import FilesSettings
    from collector.sources.files.tail import Stretch
    from vedette.schema.event import Decoder

STOP_S: Final = 5.0
"""How long a stop waits for what was taken to be committed; what was not is read again after the next start."""


class FilesSource:
    """Implements `vedette.runtime.source.Source` for files."""

    def __init__(self, name: str, settings: FilesSettings, intake: Intake, decoders: Mapping[str, Decoder]) -> None:
        """Make the source.

        Raises:
            ConfigError: there is no decoder of that name.
        """
        self.name = name
        self._settings = settings
        self._intake = intake
        self._decoder = decoder_of(name, settings.format, decoders)
        self._watch: Watch | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()

    async def start(self) -> None:
        """Find the files, and begin to read them.

        Raises:
            ConfigError: files are to be read once, and there is none.
        """
        watch = Watch(self.name, self._settings, self._decoder, self._intake.positions(self.name))
        self._watch = watch
        if not await asyncio.to_thread(watch.look) and not self._settings.follow:
            paths = ", ".join(self._settings.paths)
            raise ConfigError(f"sources.{self.name}: no file matches {paths}; give other paths, or follow: true")
        self._task = asyncio.create_task(self._run(watch), name=f"files:{self.name}")

    async def wait(self) -> None:
        """Return when all files have been read once (`follow: false`), or after `stop`."""
        if self._task is not None:
            await asyncio.wait({self._task})
            if not self._task.cancelled():
                self._task.result()

    async def stop(self) -> None:
        """Stop reading; what is on its way is committed within STOP_S or read again later."""
        self._stopping.set()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=STOP_S)
            self._task.cancel()
            await asyncio.wait({self._task})
        if self._watch is not None:
            await asyncio.to_thread(self._watch.close)

    def urls(self) -> list[str]:
        """Nobody connects to it."""
        return []

    async def _run(self, watch: Watch) -> None:
        while not self._stopping.is_set():
            stretches, busy, over = await asyncio.to_thread(watch.round)
            # Each file has one stretch in flight, so their order is kept; together they share a commit.
            await asyncio.gather(*map(self._put, stretches))
            if over:
                return
            if not busy:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), self._settings.poll_interval_s)

    async def _put(self, stretch: Stretch) -> None:
        position = Position(stretch.partition, encode(stretch.mark))
        size = sum(map(len, stretch.items))
        await self._intake.put(Parcel(self.name, stretch.runs, stretch.items, _settled, size, position))


def _settled(_: Receipt | TransientError) -> None:
    """`put` says the same to whoever waits for it."""
