"""What the metrics show of a journal, read in one go on connections that only read.

Everything but ages follows from a few small tables, so that the cost does not grow with the backlog: `waiting` is what
is left of the ledger's sum (`vedette ledger` counts it from the logs instead, and so checks the sum). Core is read
before intake, and so no number can come out negative.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from contextlib import ExitStack, closing
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from vedette.journal.protocol import DetectCount, IntakeCount
from vedette.journal.sqlite import SqliteCoreReader, SqliteIntakeReader
from vedette.schema.record import CONTROL_SOURCE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from vedette.journal.protocol import Cursor, DeliveryCount, LogName, Tallies
    from vedette.journal.sqlite import DataFolder

M = TypeVar("M")
T = TypeVar("T")

READS_MAX: Final = 20
"""Readings until one falls between two commits of the agent; there is time for many."""
OLDEST_RECORDS_MAX: Final = 1_000
"""Waiting records among which the oldest one of each source is looked for; it bounds what is unpacked to a few MB. A
source whose first waiting record comes later counts as waiting since the last of them, which is at most too long."""


class SourceReading(NamedTuple):
    """The account of one source, in records; `waiting_since_ns` is 0 where nothing waits."""

    received: int
    duplicate: int
    processed: int
    filtered: int
    dead_lettered: int
    refused: int
    waiting: int
    waiting_since_ns: int
    missing: int | None = None
    """What the account leaves out, as `vedette ledger` has it; None where this reading can't tell."""


NOTHING_RECEIVED: Final = SourceReading(0, 0, 0, 0, 0, 0, 0, 0, 0)


class DeliveryReading(NamedTuple):
    """The account of one delivery, in revisions or events; `waiting_since_ns` is 0 where nothing waits."""

    routed: int
    delivered: int
    superseded: int
    dead_lettered: int
    expired: int
    suppressed: int
    waiting: int
    waiting_since_ns: int
    missing: int | None = None


class Backlog(NamedTuple):
    """What waits for detection, by source: since when (`last_ns`: the last record that was looked at) and how much."""

    last_ns: int
    since_ns: Mapping[str, int]
    counts: Mapping[str, int]
    complete: bool
    """Whether all that waits was looked at, and all of one moment."""


class Reading(NamedTuple):
    """A journal at (nearly) one moment; `waiting` and `waiting_since_ns` are detection's, control records included."""

    now_ns: int
    sources: dict[str, SourceReading]
    losses: dict[tuple[str, str], int]
    deliveries: dict[str, DeliveryReading]
    tallies: Tallies
    cursor: Cursor
    checkpoint_seq: int
    last_seq: int
    waiting: int
    waiting_since_ns: int
    folder_bytes: int
    free_bytes: int


def read_journal(folder: DataFolder) -> Reading:
    """Read the journal of a data folder; about a millisecond, and a few more where much waits.

    Raises:
        TransientError: it can't be read now. PermanentError: a file of it is damaged.
    """
    with ExitStack() as opened:
        core = opened.enter_context(closing(SqliteCoreReader(folder.core)))
        intake = opened.enter_context(closing(SqliteIntakeReader(folder.intake)))
        cursor, detected, core_still = _while_still(core.cursor, core.detect_counts)
        losses, tallies, checkpoint = core.losses(), core.tallies(), core.checkpoint()
        last_seq, counts, intake_still = _while_still(intake.last_seq, intake.counts)
        backlog = _backlog(intake, cursor.seq, last_seq, exact=core_still and intake_still)
        last_alert, accounts, exact = _while_still(
            core.last_alert_position, partial(core.delivery_counts, last_seq=last_seq)
        )
        ends: dict[LogName, int] = {"alerts": last_alert, "events": last_seq}
        deliveries = {
            name: _delivery(count, core, intake, end=ends[count.log] if exact else None)
            for name, count in accounts.items()
        }
    return Reading(
        now_ns=time.time_ns(),
        sources={
            name: _source(name, counts.get(name), detected.get(name), backlog)
            for name in sorted({*counts, *detected} - {CONTROL_SOURCE})
        },
        losses=losses,
        deliveries=deliveries,
        tallies=tallies,
        cursor=cursor,
        checkpoint_seq=checkpoint.seq,
        last_seq=last_seq,
        waiting=max(0, last_seq - cursor.seq),
        waiting_since_ns=min(backlog.since_ns.values(), default=backlog.last_ns),
        folder_bytes=size_of(folder.path),
        free_bytes=free_bytes(folder.path),
    )


def _while_still(marks: Callable[[], M], read: Callable[[], T]) -> tuple[M, T, bool]:
    """Read what belongs to a mark that every commit moves, again while it moves; False if it never stood still."""
    mark = marks()
    for _ in range(READS_MAX):
        found, after = read(), marks()
        if after == mark:
            return mark, found, True
        mark = after
    return mark, read(), False


def _source(name: str, intake: IntakeCount | None, detect: DetectCount | None, backlog: Backlog) -> SourceReading:
    intake, detect = intake or IntakeCount(), detect or DetectCount()
    waiting = intake.received - intake.duplicate - detect.processed - detect.filtered - detect.dead_lettered
    return SourceReading(
        intake.received,
        intake.duplicate,
        detect.processed,
        detect.filtered,
        detect.dead_lettered,
        intake.refused,
        waiting,
        backlog.since_ns.get(name, backlog.last_ns) if waiting else 0,
        waiting - backlog.counts.get(name, 0) if backlog.complete else None,
    )


def _delivery(
    count: DeliveryCount, core: SqliteCoreReader, intake: SqliteIntakeReader, *, end: int | None
) -> DeliveryReading:
    waiting = count.routed - count.delivered - count.superseded - count.dead_lettered - count.expired
    since_ns = 0
    if waiting > 0 and count.log == "alerts":
        since_ns = next((logged.logged_ns for logged in core.alerts(count.position, limit=1)), 0)
    elif waiting > 0:
        since_ns = next((chunk.arrival_ns for chunk in intake.read(count.position, items_max=1)), 0)
    return DeliveryReading(
        count.routed,
        count.delivered,
        count.superseded,
        count.dead_lettered,
        count.expired,
        count.suppressed,
        waiting,
        since_ns,
        None if end is None else waiting - max(0, end - count.position),
    )


def _backlog(intake: SqliteIntakeReader, after_seq: int, last_seq: int, *, exact: bool) -> Backlog:
    """Look at the first records that wait."""
    since: dict[str, int] = {}
    counts: Counter[str] = Counter()
    last_ns = 0
    for chunk in intake.read(after_seq, items_max=OLDEST_RECORDS_MAX):
        seq, last_ns = chunk.seq, chunk.arrival_ns
        for run in chunk.runs:
            count = min(seq + run.count - 1, last_seq) - max(seq, after_seq + 1) + 1
            seq += run.count
            if seq > after_seq + 1:
                since.setdefault(run.source, chunk.arrival_ns)
                counts[run.source] += max(0, count)
    return Backlog(last_ns, since, counts, exact and counts.total() == max(0, last_seq - after_seq))


def size_of(path: Path) -> int:
    """Bytes that the files of a folder take on disk; what vanishes meanwhile does not count."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512  # noqa: PTH118 - no object for each file
            except OSError:
                continue
    return total


def free_bytes(path: Path) -> int:
    """Bytes that Vedette's user may still write on the file system of a path; 0 if that can't be told."""
    try:
        found = os.statvfs(path)
    except OSError:
        return 0
    return found.f_bavail * found.f_frsize
