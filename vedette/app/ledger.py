"""The ledger of a data folder, read beside the running agent or without one.

    received = duplicate + processed + filtered + dead-lettered + waiting        records of each source
    routed   = delivered + superseded + dead-lettered + expired + waiting        revisions or records of each delivery

`waiting` is counted from what stands in the logs behind the cursors, not as what is left over; so the sums can fail.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from vedette.journal.protocol import DeliveryCount, DetectCount, IntakeCount, LogName
from vedette.journal.sqlite import SqliteCoreReader, SqliteIntakeReader
from vedette.schema.errors import TransientError
from vedette.schema.record import CONTROL_SOURCE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vedette.journal.protocol import Cursor
    from vedette.journal.sqlite import DataFolder

_READS_MAX: Final = 200
"""Pairs of reads until two are equal; between two commits of the agent there is time for many."""

T = TypeVar("T")


class SourceAccount(NamedTuple):
    """What became of the records of one source; `refused` and `losses` (by kind) stand beside the sum."""

    source: str
    received: int
    duplicate: int
    processed: int
    filtered: int
    dead_lettered: int
    waiting: int
    refused: int
    losses: dict[str, int]

    @property
    def missing(self) -> int:
        """Records received that are not accounted for; negative where there are too many."""
        return self.received - self.duplicate - self.processed - self.filtered - self.dead_lettered - self.waiting


class DeliveryAccount(NamedTuple):
    """What became of the alert revisions, or the records, of one delivery; `suppressed` stands beside the sum."""

    delivery: str
    routed: int
    delivered: int
    superseded: int
    dead_lettered: int
    expired: int
    waiting: int
    suppressed: int
    log: LogName = "alerts"

    @property
    def missing(self) -> int:
        """Revisions or records routed that are not accounted for; negative where there are too many."""
        return self.routed - self.delivered - self.superseded - self.dead_lettered - self.expired - self.waiting


class Ledger(NamedTuple):
    """All accounts, in the order of their names."""

    sources: list[SourceAccount]
    deliveries: list[DeliveryAccount]

    @property
    def balanced(self) -> bool:
        """Whether everything is accounted for."""
        accounts: list[SourceAccount | DeliveryAccount] = [*self.sources, *self.deliveries]
        return not any(account.missing for account in accounts)


class _Core(NamedTuple):
    """The core log at one moment."""

    cursor: Cursor
    detect: dict[str, DetectCount]
    losses: dict[tuple[str, str], int]
    deliveries: dict[str, DeliveryCount]
    last_alert: int


def read_ledger(folder: DataFolder) -> Ledger:
    """Read the accounts of a data folder.

    Raises:
        TransientError: it can't be read now. PermanentError: a file of it is damaged.
    """
    core = SqliteCoreReader(folder.core)
    intake = SqliteIntakeReader(folder.intake)
    try:
        # The core log first: what intake adds meanwhile is then waiting, as it should be.
        ours = _at_one_moment(
            lambda: _Core(
                core.cursor(), core.detect_counts(), core.losses(), core.delivery_counts(), core.last_alert_position()
            )
        )
        last_seq, counts = _at_one_moment(lambda: (intake.last_seq(), intake.counts()))
        waiting = _waiting(intake, ours.cursor.seq, last_seq)
    finally:
        core.close()
        intake.close()
    ends: dict[LogName, int] = {"alerts": ours.last_alert, "events": last_seq}
    names = sorted({*counts, *ours.detect, *waiting, *(source for source, _ in ours.losses)})
    return Ledger(
        [_source(name, counts, ours, waiting) for name in names],
        [_delivery(name, count, ends[count.log]) for name, count in sorted(ours.deliveries.items())],
    )


def _at_one_moment(read: Callable[[], T]) -> T:
    """Read until two readings are equal, so that what was read belongs together."""
    before = read()
    for _ in range(_READS_MAX):
        after = read()
        if after == before:
            return after
        before = after
    raise TransientError("the agent commits faster than the ledger can be read; try again")


def _waiting(intake: SqliteIntakeReader, after_seq: int, last_seq: int) -> dict[str, int]:
    """Count the records behind detection's cursor by source."""
    waiting: dict[str, int] = {}
    for chunk in intake.scan(after_seq):
        seq = chunk.seq
        for run in chunk.runs:
            count = min(seq + run.count - 1, last_seq) - max(seq, after_seq + 1) + 1
            seq += run.count
            if count > 0 and run.source != CONTROL_SOURCE:
                waiting[run.source] = waiting.get(run.source, 0) + count
        if seq > last_seq:
            break
    return waiting


def _source(name: str, counts: Mapping[str, IntakeCount], core: _Core, waiting: Mapping[str, int]) -> SourceAccount:
    intake = counts.get(name, IntakeCount())
    detect = core.detect.get(name, DetectCount())
    return SourceAccount(
        source=name,
        received=intake.received,
        duplicate=intake.duplicate,
        processed=detect.processed,
        filtered=detect.filtered,
        dead_lettered=detect.dead_lettered,
        waiting=waiting.get(name, 0),
        refused=intake.refused,
        losses={kind: lost for (source, kind), lost in sorted(core.losses.items()) if source == name},
    )


def _delivery(name: str, count: DeliveryCount, end: int) -> DeliveryAccount:
    waiting = max(0, end - count.position)
    # The core log does not know where intake ends: of events it routed what stands before the position.
    return DeliveryAccount(
        delivery=name,
        routed=count.routed + (waiting if count.log == "events" else 0),
        delivered=count.delivered,
        superseded=count.superseded,
        dead_lettered=count.dead_lettered,
        expired=count.expired,
        waiting=waiting,
        suppressed=count.suppressed,
        log=count.log,
    )
