"""Sinks' notes in the core log: each sink its own, durable, and what a disk that fails makes of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from vedette.journal.sqlite import DataFolder, SqliteCoreLog
from vedette.pipeline.core_thread import CoreThread
from vedette.pipeline.notes import CoreNotes
from vedette.runtime.clock import SystemClock
from vedette.runtime.notes import MemoryNotes, Notes
from vedette.schema.errors import TransientError
from vedette.testing.faults import Fault, FaultDisk, Operation


class Bench:
    """A core log on a disk that can fail."""

    def __init__(self, folder: Path) -> None:
        self.disk = FaultDisk()
        self.core = CoreThread(SqliteCoreLog(folder / "core.db", self.disk.storage()), DataFolder(folder))

    def notes(self, delivery: str) -> CoreNotes:
        return CoreNotes(delivery, self.core, SystemClock())


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    with contextlib.closing(made.core.core):
        yield made
        made.core._thread.shutdown()


@pytest.mark.parametrize("kind", ["journal", "memory"])
async def test_what_is_noted_is_read_again(bench: Bench, kind: str) -> None:
    notes: Notes = bench.notes("rt") if kind == "journal" else MemoryNotes()
    await notes.write({"ticket/a\x00'": b"\x00intent", "b": b"2"})
    await notes.write({"b": None, "c": b"", "never there": None})
    await notes.write({})
    assert await notes.read(["ticket/a\x00'", "b", "c", "d"]) == {"ticket/a\x00'": b"\x00intent", "c": b""}
    assert await notes.read([]) == {}


async def test_each_sink_has_its_own_and_they_outlive_it(bench: Bench) -> None:
    await bench.notes("rt").write({"a": b"1"})
    await bench.notes("jira").write({"a": b"2"})
    assert await bench.notes("rt").read(["a"]) == {"a": b"1"}
    assert await bench.notes("jira").read(["a"]) == {"a": b"2"}


async def test_a_disk_that_fails_is_told_to_the_sink_and_nothing_is_noted(bench: Bench) -> None:
    notes = bench.notes("rt")
    await notes.write({"a": b"1"})
    bench.disk.inject(Fault(Operation.WRITE, apsw.IOError))
    with pytest.raises(TransientError):
        await notes.write({"a": b"2", "b": b"3"})
    assert await notes.read(["a", "b"]) == {"a": b"1"}
    await notes.write({"a": b"2"})
    assert await notes.read(["a"]) == {"a": b"2"}
