"""Intake and the core log over a data folder, driven line by line from standard input; see test_full_disk.py.

Each command is answered with one line of JSON.
"""

import asyncio
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

from vedette.journal.protocol import DetectCommit
from vedette.journal.sqlite import DataFolder, Retention, SqliteCoreLog, SqliteIntakeLog, SqliteIntakeReader
from vedette.pipeline import core_thread, intake
from vedette.pipeline.core_thread import CoreThread
from vedette.pipeline.intake import IntakeRole
from vedette.pipeline.tail import Tail
from vedette.runtime.clock import SystemClock
from vedette.runtime.parcel import Parcel, Receipt
from vedette.runtime.telemetry import configure_logging
from vedette.schema.alert import AlertRevision
from vedette.schema.errors import TransientError, VedetteError
from vedette.schema.record import Run

ITEM_BYTES = 200_000
CORE_S = 5.0
RECOVERY_S = 30.0


class Agent:
    """What the test talks to."""

    def __init__(self, path: Path) -> None:
        self.folder = DataFolder(path)
        self.folder.create()
        self.folder.lock()
        self.log = SqliteIntakeLog(self.folder.intake, retention=Retention(segment_bytes_max=4 << 20))
        self.core = CoreThread(SqliteCoreLog(self.folder.core), self.folder)
        self.role = IntakeRole(self.log, self.folder, Tail(), SystemClock(), keep_after_seq=lambda: 0)
        self.sent = self.committed = 0

    async def push(self, text: str) -> dict[str, Any]:
        """Send one record that does not compress; say whether it was acknowledged."""
        item = (text + "\n").encode() + os.urandom(ITEM_BYTES)
        done: asyncio.Future[Receipt | TransientError] = asyncio.get_running_loop().create_future()
        self.role.offer(Parcel("push", [Run("push", "falco", 1, hashed=True)], [item], done.set_result, len(item)))
        outcome = await done
        return {"acknowledged": isinstance(outcome, Receipt), "error": str(outcome), "room": self.role.room_bytes()}

    async def recover(self, _: str) -> dict[str, Any]:
        """Wait until the journal can be written."""
        async with asyncio.timeout(RECOVERY_S):
            while self.role.failure is not None:  # noqa: ASYNC110 - it rings no bell
                await asyncio.sleep(0.01)
        return {"room": self.role.room_bytes() > 0}

    async def detect(self, _: str) -> dict[str, Any]:
        """Commit an alert, as detection does."""
        self.committed += 1
        alert = AlertRevision(f"{self.committed}", 1, 1, 1, "high", "rule", b"." * 2_000)
        commit = DetectCommit(self.committed, 1, b"", [alert])
        try:
            async with asyncio.timeout(CORE_S):
                await self.core.insist(self.core.core.commit_detect, commit)
        except TimeoutError:
            self.committed -= 1
            return {"committed": False}
        return {"committed": True}

    async def stored(self, _: str) -> dict[str, Any]:
        """Name all records in the log, as another reader finds them, and the alerts."""
        reader = SqliteIntakeReader(self.folder.intake)
        found = [item.split(b"\n")[0].decode() for chunk in reader.scan() for item in chunk.items]
        counts = {source: count.received for source, count in reader.counts().items()}
        reader.close()
        alerts = await self.core.call(self.core.core.last_alert_position)
        return {"stored": [name for name in found if name[:1] != "{"], "counts": counts, "alerts": alerts}


async def main() -> None:
    configure_logging("info")
    logging.captureWarnings(True)
    intake.RETRY_AFTER_S = core_thread.RETRY_S = 0.05
    try:
        agent = Agent(Path(sys.argv[1]))
    except VedetteError as error:
        sys.exit(str(error))
    running = asyncio.create_task(agent.role.run())
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        command, _, argument = line.strip().partition(" ")
        answer = await getattr(agent, command)(argument)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    agent.role.stop()
    await running
    await agent.core.close()
    agent.log.close()


if __name__ == "__main__":
    asyncio.run(main())
