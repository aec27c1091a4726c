"""Sifting the archive with all cores: each process sifts every n-th range, and hands on what is left, in order.

A process that is ahead waits until its result is taken, so what is held is bounded by the number of processes. They end
with this one, however it ends. They are forked, which wants no other thread to run here: rules hold functions that
can't be sent, and compiling them again would take each process seconds.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import signal
from typing import TYPE_CHECKING, Final, NamedTuple

from vedette.app.backtest.archive import Range
from vedette.journal.sqlite import SqliteIntakeReader
from vedette.pipeline.backtest.sieve import Sieve, Sifted
from vedette.schema.errors import PermanentError, TransientError
from vedette.schema.limits import MIB

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkProcess
    from pathlib import Path

_PART_BYTES_MAX: Final = 4 * MIB
"""Payload that is handed on in one piece, about."""
_END_S: Final = 5.0
"""How long a process may take to end after it was told to."""


class Job(NamedTuple):
    """What is to be sifted: ranges of the log in a folder."""

    intake: Path
    ranges: Sequence[Range]


class Part(NamedTuple):
    """What is left of a piece of a range: of so many records, the last of which arrived at a time, ns."""

    chunks: list[Sifted]
    records: int
    arrival_ns: int
    ends_range: bool


def sift(sieve: Sieve, job: Job, processes: int) -> Generator[Part]:
    """Yield what is left of the ranges, in order. 1 process is this one.

    Raises:
        TransientError: the log can't be read now. PermanentError: it is damaged.
    """
    if processes <= 1:
        yield from _parts(sieve, job)
        return
    with _workers(sieve, job, processes) as connections:
        for number in range(len(job.ranges)):
            yield from _received(connections[number % processes])


def _parts(sieve: Sieve, job: Job) -> Iterator[Part]:
    with contextlib.closing(SqliteIntakeReader(job.intake)) as reader:
        for each in job.ranges:
            yield from _parts_of(each, reader, sieve)


def _parts_of(wanted: Range, reader: SqliteIntakeReader, sieve: Sieve) -> Iterator[Part]:
    """Sift a range. What was retired meanwhile is not among the records."""
    chunks: list[Sifted] = []
    after_seq, arrival_ns, records, size_bytes = wanted.after_seq, wanted.arrival_ns, 0, 0
    while after_seq < wanted.last_seq:
        found = reader.read(after_seq, items_max=wanted.last_seq - after_seq, bytes_max=_PART_BYTES_MAX)
        for chunk in found:
            if chunk.seq > wanted.last_seq:
                break
            chunks.append(sieve.sift(chunk))
            records += len(chunk.items)
            arrival_ns = chunk.arrival_ns
            size_bytes += sum(len(record.payload) for record in chunks[-1].records)
        if not found or found[-1].last_seq >= wanted.last_seq:
            break
        after_seq = found[-1].last_seq
        if size_bytes >= _PART_BYTES_MAX:
            yield Part(chunks, records, arrival_ns, ends_range=False)
            chunks, records, size_bytes = [], 0, 0
    yield Part(chunks, records, arrival_ns, ends_range=True)


# --- processes --------------------------------------------------------------------------------------------------------
@contextlib.contextmanager
def _workers(sieve: Sieve, job: Job, processes: int) -> Generator[list[Connection]]:
    """Start processes, each with its share of the ranges; they are gone when this is left."""
    forked = multiprocessing.get_context("fork")
    connections: list[Connection] = []
    workers: list[ForkProcess] = []
    try:
        with _ctrl_c_held_back():
            for number in range(processes):
                ours, theirs = forked.Pipe(duplex=False)
                connections.append(ours)
                share = job._replace(ranges=job.ranges[number::processes])
                arguments = (sieve, share, theirs, list(connections))
                workers.append(forked.Process(target=_work, args=arguments, daemon=True))
                workers[-1].start()
                theirs.close()
        yield connections
    finally:
        for connection in connections:
            connection.close()
        for worker in workers:
            worker.terminate()
            worker.join(_END_S)


@contextlib.contextmanager
def _ctrl_c_held_back() -> Generator[None]:
    """Let processes that are started here never see Ctrl-C, and this one when they are all there."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _work(sieve: Sieve, share: Job, results: Connection, of_parent: list[Connection]) -> None:
    """Sift a share of the ranges; the other end sees an error as it is."""
    for connection in of_parent:  # or nobody would be told when the parent is gone
        connection.close()
    gc.disable()  # decoding makes no cycles
    with contextlib.suppress(BrokenPipeError):  # the other end is gone: nobody wants the rest
        try:
            for part in _parts(sieve, share):
                results.send(part)
        except (TransientError, PermanentError) as error:
            results.send(error)


def _received(connection: Connection) -> Iterator[Part]:
    while True:
        try:
            received: Part | TransientError | PermanentError = connection.recv()
        except EOFError:
            message = "a process of the back-test was ended by something else, perhaps for want of memory"
            raise TransientError(message) from None
        if not isinstance(received, Part):
            raise received
        yield received
        if received.ends_range:
            return
