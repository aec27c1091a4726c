"""The `stdin` source: lines from standard input, as Falco's `program_output` with `keep_alive: true` writes them.

Works for pipes, terminals and redirected files. Lines are handed on as soon as they are there, and in batches when they
come faster than they can be committed. There is no position: a line is read once, and what the writer has put into the
pipe when the agent ends is gone with the pipe. Ends at the end of the input.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import select
import stat
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from collector.sources.lines import Cut, LineStream, LineTooLong, described
from vedette.runtime.parcel import Intake, Parcel, Receipt
from vedette.runtime.source import decoder_of
from vedette.schema.errors import ConfigError, TransientError
from vedette.schema.limits import MIB

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vedette.schema.event import Decoder

READ_BYTES: Final = MIB
PIPE_BYTES: Final = MIB
"""What a pipe is asked to hold, so that its writer need not wait for each commit; what unprivileged users may have."""
STOP_S: Final = 5.0
"""How long a stop waits for what was taken to be committed."""
ORIGIN: Final = "-"


class StdinSettings(BaseModel):
    """Settings of a `stdin` source."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    format: Annotated[str, Field(min_length=1)]
    """Name of the decoder of the lines, e.g. `falco`."""

    context: str = ""
    """What the decoder must know beside the lines (`vpc_flow`: the field order). Default: empty."""


class StdinSource:
    """Implements `vedette.runtime.source.Source` for standard input."""

    def __init__(
        self,
        name: str,
        settings: StdinSettings,
        intake: Intake,
        decoders: Mapping[str, Decoder],
        *,
        descriptor: int = 0,
    ) -> None:
        """Make the source; `descriptor` is what to read instead of standard input.

        Raises:
            ConfigError: there is no decoder of that name.
        """
        self.name = name
        self._intake = intake
        self._decoder = decoder_of(name, settings.format, decoders)
        self._stream = LineStream(self._decoder, settings.context)
        self._descriptor = descriptor
        self._wake: tuple[int, int] | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to read.

        Raises:
            ConfigError: standard input is closed, or a directory.
        """
        try:
            mode = os.fstat(self._descriptor).st_mode
        except OSError as error:
            raise ConfigError(f"sources.{self.name}: standard input is closed; redirect something into it") from error
        if stat.S_ISDIR(mode):
            raise ConfigError(f"sources.{self.name}: standard input is a directory; redirect a file or a pipe into it")
        if stat.S_ISFIFO(mode):
            self._widen()
        self._wake = os.pipe()
        self._task = asyncio.create_task(self._run(self._wake[0]), name=f"stdin:{self.name}")

    async def wait(self) -> None:
        """Return at the end of the input, or after `stop`."""
        if self._task is not None:
            await asyncio.wait({self._task})
            if not self._task.cancelled():
                self._task.result()

    async def stop(self) -> None:
        """Stop reading, and hand on what was read; the beginning of a line too, since nobody will read it again."""
        if self._wake is None:
            return
        reading, waking = self._wake
        self._wake = None
        os.close(waking)
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=STOP_S)
            self._task.cancel()
            await asyncio.wait({self._task})
        os.close(reading)

    def urls(self) -> list[str]:
        """Nobody connects to it."""
        return []

    def _widen(self) -> None:
        try:
            fcntl.fcntl(self._descriptor, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        except OSError:
            return  # The user's pipes hold as much as they may already: slower, that is all.

    async def _run(self, wake: int) -> None:
        while data := await asyncio.to_thread(self._read, wake):
            await self._put(self._stream.feed(data))
        await self._put(self._stream.feed(b"", final=True))

    def _read(self, wake: int) -> bytes:
        """Wait for bytes and return what is there; b"" at the end of the input, or when the source stops."""
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        poll.register(wake, select.POLLIN)
        parts: list[bytes] = []
        size = 0
        while size < READ_BYTES:
            ready = dict(poll.poll(0 if parts else None))
            if wake in ready or not ready:
                break
            try:
                part = os.read(self._descriptor, READ_BYTES - size)
            except BlockingIOError:
                continue
            except OSError:
                break  # A terminal that hung up.
            if not part:
                break
            parts.append(part)
            size += len(part)
        return b"".join(parts)

    async def _put(self, cuts: list[Cut]) -> None:
        for taken in cuts:
            if taken.overlong:
                LineTooLong(self.name, ORIGIN, taken.overlong).emit()
        runs, items = described((piece for taken in cuts for piece in taken.pieces), self.name, self._decoder, ORIGIN)
        if items:
            await self._intake.put(Parcel(self.name, runs, items, _settled, sum(map(len, items))))


def _settled(_: Receipt | TransientError) -> None:
    """`put` says the same to whoever waits for it."""
