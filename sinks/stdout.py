"""Alerts as lines on standard output: for log collectors, for pipes, for eyes.

At least once: what was being written when delivery broke off comes again, with the same `metadata.uid`. A line is ASCII
unless told otherwise, so that nothing an attacker wrote can reach a terminal as anything but text.
"""

from __future__ import annotations

import asyncio
import os
import re
import select
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal

import msgspec
from pydantic import BaseModel, ConfigDict

from vedette.runtime.check import Check
from vedette.schema.errors import ConfigError, PermanentError, TransientError
from vedette.schema.text import safe_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vedette.runtime.sink import Outcome
    from vedette.runtime.sink_context import SinkContext
    from vedette.schema.alert import AlertRevision

CHUNK_BYTES: Final = 4096
"""Bytes of one write: PIPE_BUF of Linux, which a pipe that polls as writable takes without blocking (pipe(7))."""
POLL_MS: Final = 100
"""How soon a writer whose reader stands still notices that it is to give up."""
BROKEN_RETRY_S: Final = 60.0
"""A reader that went away rarely comes back by itself."""
_BEYOND_ASCII: Final = re.compile("[\x7f-\U0010ffff]")


class StdoutSettings(BaseModel):
    """Standard output: one line for each revision of an alert."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    format: Literal["json", "line"] = "json"
    """`json`: the whole document. `line`: time, level, what happened and the alert's id, for eyes. Default: json."""
    ascii: bool = True
    """Whether characters beyond ASCII are written as escapes, so that no terminal obeys them. Default: true."""


class StdoutSink:
    """Implements `vedette.runtime.sink.Sink`. Its own thread writes, so that a slow reader holds up nothing else."""

    def __init__(self, name: str, settings: StdoutSettings, context: SinkContext) -> None:  # noqa: ARG002 - as all sinks
        """Take the settings; standard output is looked for by `start`."""
        self.name = name
        self._render = _json_line if settings.format == "json" else _human_line
        self._ascii = settings.ascii
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"sink-{name}")
        self._given_up = threading.Event()
        self._stopped = False
        self._fd = -1
        self._within_line = False

    async def start(self) -> None:
        """Find standard output.

        Raises:
            ConfigError: the process has none.
        """
        self._find()

    async def deliver(self, revisions: Sequence[AlertRevision]) -> Sequence[Outcome]:
        """Write a line for each revision.

        Raises:
            TransientError: nobody reads standard output, or its disk is full. All of them come again.
        """
        self._find()
        given_up = self._given_up = threading.Event()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._deliver, revisions, given_up)
        except asyncio.CancelledError:
            given_up.set()
            raise

    async def stop(self) -> None:
        """Give up what is under way; standard output stays open."""
        if self._stopped:
            return
        self._given_up.set()
        await asyncio.get_running_loop().run_in_executor(self._thread, _nothing)
        self._stopped = True
        self._thread.shutdown(wait=False)

    async def probe(self) -> Sequence[Check]:
        """Say whether the process has a standard output."""
        try:
            self._find()
        except ConfigError as error:
            return [Check("standard output", str(error), "start Vedette with a standard output, or remove the sink")]
        return [Check("standard output")]

    def _find(self) -> None:
        if self._fd >= 0:
            return
        try:
            sys.stdout.flush()
            self._fd = sys.stdout.fileno()
        except (AttributeError, OSError, ValueError) as error:
            message = f"sink {self.name}: the process has no standard output. Start it with one, or remove the sink"
            raise ConfigError(message) from error

    # --- in the thread ------------------------------------------------------------------------------------------------
    def _deliver(self, revisions: Sequence[AlertRevision], given_up: threading.Event) -> Sequence[Outcome]:
        outcomes: list[Outcome] = []
        lines: list[bytes] = []
        for revision in revisions:
            try:
                lines.append(self._line(revision))
                outcomes.append(None)
            except PermanentError as error:
                outcomes.append(error)
        self._write(b"".join(lines), given_up)
        return outcomes

    def _line(self, revision: AlertRevision) -> bytes:
        line = self._render(revision)
        return (_escape_line(line) if self._ascii else line).encode() + b"\n"

    def _write(self, content: bytes, given_up: threading.Event) -> None:
        """Write everything, in pieces between which it can be given up.

        Raises:
            TransientError: the rest can't be written.
        """
        if self._within_line and content:
            content = b"\n" + content
        rest = memoryview(content)
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        while rest:
            if given_up.is_set():
                raise TransientError("the delivery to standard output was given up. It goes on with the next one")
            if not poll.poll(POLL_MS):
                continue
            written = self._write_some(rest[:CHUNK_BYTES])
            if written:
                self._within_line = rest[written - 1] != ord("\n")
                rest = rest[written:]

    def _write_some(self, piece: memoryview) -> int:
        try:
            return os.write(self._fd, piece)
        except BlockingIOError:
            return 0
        except BrokenPipeError as error:
            message = "nobody reads standard output any more. Restart Vedette with a reader; alerts wait in the journal"
            raise TransientError(message, retry_after_s=BROKEN_RETRY_S) from error
        except OSError as error:
            message = f"standard output can't be written: {error.strerror}. Free its disk or give it a reader"
            raise TransientError(message, retry_after_s=BROKEN_RETRY_S) from error


class _Unmapped(msgspec.Struct, frozen=True):
    time_ns: int


class _Document(msgspec.Struct, frozen=True):
    message: str
    unmapped: _Unmapped


_DECODER: Final = msgspec.json.Decoder(_Document)


def _json_line(revision: AlertRevision) -> str:
    return revision.document.decode().replace("\n", " ")


def _human_line(revision: AlertRevision) -> str:
    """Say an alert in a line. The message is safe already, but it may come from an older version."""
    try:
        document = _DECODER.decode(revision.document)
    except msgspec.MsgspecError as error:
        message = f"alert {revision.alert_id} is no alert document ({error}). Please report this as a bug"
        raise PermanentError(message) from error
    time = datetime.fromtimestamp(document.unmapped.time_ns // 1_000_000_000, UTC)
    return f"{time:%Y-%m-%dT%H:%M:%SZ} {revision.level:13} {safe_text(document.message)} ({revision.alert_id})"


def _escape_line(line: str) -> str:
    return line if line.isprintable() and line.isascii() else _BEYOND_ASCII.sub(_escape, line)


def _escape(match: re.Match[str]) -> str:
    """Escape as JSON does, where all such characters stand within strings: UTF-16 code units."""
    units = match[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def _nothing() -> None:
    """Be run after what runs before."""
