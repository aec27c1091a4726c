"""The `files` source on the real intake and journal, with the real decoders."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING

from collector.decoders import DECODERS
from collector.sources.files import FilesSettings, FilesSource
from vedette.journal.sqlite.folder import DataFolder
from vedette.journal.sqlite.intake_log import SqliteIntakeLog
from vedette.pipeline.intake import IntakeRole
from vedette.pipeline.tail import Tail
from vedette.runtime.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path


@contextlib.asynccontextmanager
async def running(data: Path) -> AsyncGenerator[tuple[IntakeRole, SqliteIntakeLog]]:
    folder = DataFolder(data)
    folder.create()
    log = SqliteIntakeLog(folder.intake)
    intake = IntakeRole(log, folder, Tail(), SystemClock(), keep_after_seq=lambda: 0)
    task = asyncio.create_task(intake.run())
    try:
        yield intake, log
    finally:
        intake.stop()
        await task
        log.close()


async def read_once(data: Path, settings: FilesSettings) -> list[tuple[int, str, bytes]]:
    """Let a source read all there is, in a process of its own as it were; return what the journal holds then."""
    async with running(data) as (intake, log):
        source = FilesSource("logs", settings, intake, DECODERS)
        await source.start()
        await source.wait()
        await source.stop()
        found: list[tuple[int, str, bytes]] = []
        for chunk in log.scan():
            at = 0
            for run in chunk.runs:
                if run.source == "logs":
                    items = chunk.items[at : at + run.count]
                    found += [(run.record + number, run.context, item) for number, item in enumerate(items)]
                at += run.count
        return found


async def test_positions_survive_restarts(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    events = [json.dumps({"kind": "Event", "auditID": str(number)}).encode() for number in range(3000)]
    settings = FilesSettings(paths=[str(tmp_path / "audit*.log")], format="kube_audit", follow=False)
    expected = [(number, "", event) for number, event in enumerate(events, 1)]
    log.write_bytes(b"\n".join(events[:2000]) + b"\n")
    assert await read_once(tmp_path / "data", settings) == expected[:2000]
    with log.open("ab") as file:
        file.write(b"\n".join(events[2000:]) + b"\n")
    log.rename(tmp_path / "audit-2026-11-21T12-00-00.000.log")
    assert await read_once(tmp_path / "data", settings) == expected
    assert await read_once(tmp_path / "data", settings) == expected


async def test_a_start_at_the_end_and_the_fields_of_a_header_survive_restarts(tmp_path: Path) -> None:
    log = tmp_path / "flows.log"
    fields = "version srcaddr dstaddr action"
    log.write_text(f"{fields}\n2 10.0.0.1 10.0.0.2 ACCEPT\n")
    settings = FilesSettings(paths=[str(log)], format="vpc_flow", follow=False, start_at="end")
    assert await read_once(tmp_path / "data", settings) == []
    with log.open("a") as file:
        file.write("2 10.0.0.3 10.0.0.4 REJECT\n")
    assert await read_once(tmp_path / "data", settings) == [(3, fields, b"2 10.0.0.3 10.0.0.4 REJECT")]
