"""What comes between batches: slices of a checkpoint, then of pruning, until the next checkpoint is due."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest

from vedette.journal.protocol import TRIMMED, DeliveryCommit, DetectCommit
from vedette.journal.sqlite import DataFolder, SqliteCoreLog, Storage, core_log
from vedette.pipeline.checkpointer import ALERTS_KEPT_NS, Checkpointer
from vedette.pipeline.core_thread import CoreThread
from vedette.pipeline.unheard import Tallies
from vedette.schema.alert import AlertRevision
from vedette.schema.limits import MIB

SLICES_MAX = 100


@pytest.fixture
async def core(tmp_path: Path) -> AsyncIterator[CoreThread]:
    log = SqliteCoreLog(tmp_path / "core.db", Storage(synchronous="OFF"), MIB)
    thread = CoreThread(log, DataFolder(tmp_path))
    yield thread
    await thread.close()


def revision(number: int) -> AlertRevision:
    return AlertRevision(f"alert {number}", 1, 1, number, "high", "rule", b"." * 10_000)


async def test_young_alerts_go_in_slices_between_batches_until_the_bound_holds(
    core: CoreThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core_log, "TRIM_ROWS", 10)
    monkeypatch.setattr(core_log, "PRUNE_ROWS_MAX", 20)
    now_ns = 2 * ALERTS_KEPT_NS
    await core.call(core.core.commit_detect, DetectCommit(1, now_ns, b"", [revision(number) for number in range(200)]))
    await core.call(core.core.open_delivery, "store", from_start=True)
    await core.call(core.core.commit_delivery, DeliveryCommit("store", 200, delivered=200))
    checkpointer = Checkpointer(core, [Tallies("shadow")], 0)
    trimmed: list[int] = []
    for seq in range(1, SLICES_MAX):
        await checkpointer.step(seq, b"", now_ns)
        trimmed.append((await core.call(core.core.tallies)).get(TRIMMED, 0))
    slices = [after - before for before, after in pairwise(trimmed) if after > before]
    left = await core.call(core.core.alerts, 0, limit=200)
    assert len(left) == 200 - trimmed[-1] < MIB // 10_000
    assert len(slices) > 5, "no slice holds up a batch for long"
    assert max(slices) == 20
    assert checkpointer.seq > 1, "checkpoints go on"
