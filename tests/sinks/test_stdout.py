"""Standard output: lines that terminals can't obey, slow and absent readers."""

import asyncio
import fcntl
import io
import os
import sys
import tempfile
import termios
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinks.stdout import StdoutSettings, StdoutSink, _escape_line
from vedette.runtime.sink_context import SinkContext
from vedette.schema.alert import AlertRevision
from vedette.schema.errors import ConfigError, PermanentError, TransientError
from vedette.schema.event import Facts
from vedette.testing.sinks import HOSTILE, StandingClock, sample_revision


def make(**settings: object) -> StdoutSink:
    return StdoutSink("out", StdoutSettings.model_validate(settings), SinkContext(Path(), StandingClock()))


PIPE_BYTES = 4096


class Pipe:
    """Standard output as a pipe that holds a page."""

    def __init__(self) -> None:
        self.read_fd, write_fd = os.pipe()
        fcntl.fcntl(write_fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self.writer = os.fdopen(write_fd, "w")

    def read(self, size: int) -> bytes:
        return os.read(self.read_fd, size)

    def close_reader(self) -> None:
        if self.read_fd >= 0:
            os.close(self.read_fd)
            self.read_fd = -1

    async def until_full(self) -> None:
        """Wait until the writer can't go on."""
        while await asyncio.to_thread(self._waiting) < PIPE_BYTES:  # noqa: ASYNC110 - a pipe rings no bell
            await asyncio.sleep(0)

    def _waiting(self) -> int:
        buffer = bytearray(4)
        fcntl.ioctl(self.read_fd, termios.FIONREAD, buffer)
        return int.from_bytes(buffer, sys.byteorder)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.close_reader()
    pipe.writer.close()


async def started(stream: object, **settings: object) -> StdoutSink:
    """Start a sink on `stream`; pytest itself moves standard output about between the phases of a test."""
    sink = make(**settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        await sink.start()
    return sink


async def printed(*revisions: AlertRevision, **settings: object) -> tuple[bytes, list[object]]:
    """Deliver to a file, and return what it holds and what became of the revisions."""
    with tempfile.TemporaryFile("w+") as stream:
        sink = await started(stream, **settings)
        outcomes = await sink.deliver(revisions)
        await sink.stop()
        stream.seek(0)
        return bytes(stream.buffer.read()), list(outcomes)


# --- lines ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("form", ["json", "line"])
async def test_a_line_is_printable_ascii(form: str, text: str) -> None:
    revision = sample_revision(facts=Facts(actor=text, name=text))
    content, outcomes = await printed(revision, format=form)
    assert outcomes == [None]
    assert content.endswith(b"\n")
    line = content.removesuffix(b"\n").decode("ascii")
    assert line.isprintable()
    if form == "json":
        assert orjson.loads(line) == orjson.loads(revision.document)


async def test_utf8_if_asked_for() -> None:
    revision = sample_revision(facts=Facts(actor="Jürgen"))
    content, _ = await printed(revision, ascii=False)
    assert content == revision.document + b"\n"


@given(text=st.text())
def test_escaped_json_says_the_same(text: str) -> None:
    line = _escape_line(orjson.dumps(text).decode())
    assert line.isascii()
    assert orjson.loads(line) == text


async def test_a_line_for_eyes() -> None:
    content, _ = await printed(sample_revision(2, revision=3), format="line")
    assert content.decode() == (
        "2026-03-27T12:00:02Z high          Shell In A Pod: mara did get on pods/exec shop/web-2 in cluster test,"
        " 3 times within 1 s (00000000000000000000000000000002)\n"
    )


async def test_what_is_no_alert_is_refused_alone() -> None:
    broken = sample_revision(2)._replace(document=b"{}")
    content, outcomes = await printed(sample_revision(1), broken, sample_revision(3), format="line")
    assert [type(outcome) for outcome in outcomes] == [type(None), PermanentError, type(None)]
    assert content.count(b"\n") == 2


# --- readers ----------------------------------------------------------------------------------------------------------
async def test_a_slow_reader_gets_everything_in_the_end(pipe: Pipe) -> None:
    sink = await started(pipe.writer)
    revisions = [sample_revision(number) for number in range(20)]
    call = asyncio.ensure_future(sink.deliver(revisions))
    expected = b"".join(revision.document + b"\n" for revision in revisions)
    content = b""
    while len(content) < len(expected):
        content += await asyncio.to_thread(pipe.read, 1000)
    assert content == expected
    assert list(await call) == [None] * 20
    await sink.stop()


async def test_a_reader_that_stands_still_does_not_hold_up_a_stop(pipe: Pipe) -> None:
    sink = await started(pipe.writer)
    call = asyncio.ensure_future(sink.deliver([sample_revision(number) for number in range(20)]))
    await pipe.until_full()
    assert not call.done()
    await sink.stop()
    with pytest.raises(TransientError, match="given up"):
        await call


async def test_after_a_cut_line_the_next_begins_on_its_own(pipe: Pipe) -> None:
    sink = await started(pipe.writer, ascii=False)
    big = sample_revision(1, facts=Facts(command="x" * 1000, images=("y" * 1000,) * 5))
    call = asyncio.ensure_future(sink.deliver([big]))
    await pipe.until_full()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    again = asyncio.ensure_future(sink.deliver([sample_revision(2)]))
    content = b""
    while not content.endswith(b"}\n"):
        content += await asyncio.to_thread(pipe.read, 1000)
    await again
    await sink.stop()
    cut, whole = content.splitlines()
    assert big.document.startswith(cut)
    assert whole == sample_revision(2).document


async def test_alerts_wait_when_nobody_reads(pipe: Pipe) -> None:
    sink = await started(pipe.writer)
    pipe.close_reader()
    with pytest.raises(TransientError, match="nobody reads") as raised:
        await sink.deliver([sample_revision()])
    assert raised.value.retry_after_s > 1
    with pytest.raises(TransientError, match="nobody reads"):
        await sink.deliver([sample_revision()])
    await sink.stop()


async def test_alerts_wait_when_the_disk_behind_is_full() -> None:
    with open("/dev/full", "w") as full:  # noqa: ASYNC230, PTH123 - opens at once
        sink = await started(full)
        with pytest.raises(TransientError, match="No space left on device"):
            await sink.deliver([sample_revision()])
        await sink.stop()


@pytest.mark.parametrize("stream", [None, io.StringIO()], ids=["none", "no descriptor"])
async def test_a_process_without_standard_output_is_told(stream: object) -> None:
    with pytest.raises(ConfigError, match="no standard output"):
        await started(stream)
