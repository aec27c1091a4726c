"""What the pipeline asks of a journal: the intake log, the core log, and what passes through them.

    IntakeLog   records as received, in order, with source positions and counters        one writer: intake
    CoreLog     alerts, dead letters, ledger, cursors, checkpoints                       one writer: detect and deliver

Both commit durably before they return. Readers may be other processes. The implementation now is `journal.sqlite`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal, NamedTuple, Protocol

import msgspec

from vedette.schema.alert import AlertRevision
from vedette.schema.limits import GROUP_BYTES_MAX
from vedette.schema.operator import Saved
from vedette.schema.record import Position, Run


class Chunk(NamedTuple):
    """Consecutive records with one arrival time; `seq` is the first one's, `runs` describe `items`."""

    seq: int
    arrival_ns: int
    runs: list[Run]
    items: list[bytes]
    size_bytes: int
    """Of the items, together."""

    @property
    def last_seq(self) -> int:
        """Sequence number of the last record."""
        return self.seq + len(self.items) - 1


class Submission(Protocol):
    """Records that become durable together (`vedette.runtime.parcel.Parcel` is one)."""

    @property
    def source(self) -> str:
        """The configured name of the source."""
        ...

    @property
    def runs(self) -> list[Run]:
        """What the items have in common, stretch by stretch."""
        ...

    @property
    def items(self) -> list[bytes]:
        """The records."""
        ...

    @property
    def position(self) -> Position | None:
        """The pull source's new position, if it has one."""
        ...


class Appended(NamedTuple):
    """What a group commit made durable: `(stored, duplicates)` for each submission, and the chunks."""

    receipts: list[tuple[int, int]]
    chunks: list[Chunk]


class IntakeCount(msgspec.Struct):
    """Intake's side of the ledger of one source, in records."""

    received: int = 0
    """Stored or recognised as duplicate."""
    duplicate: int = 0
    refused: int = 0
    """Refused or lost before receipt; stands beside the ledger."""


class DetectCount(msgspec.Struct):
    """Detection's side of the ledger of one source, in records."""

    processed: int = 0
    filtered: int = 0
    dead_lettered: int = 0

    def add(self, other: DetectCount) -> None:
        """Add another count to this one."""
        self.processed += other.processed
        self.filtered += other.filtered
        self.dead_lettered += other.dead_lettered


LogName = Literal["alerts", "events"]
"""The logs that a delivery can read: alert revisions by position, records as received by sequence number."""

Tallies = dict[tuple[str, ...], int]
"""Counters in committed rows: `(metric, *label values)` to the count. Every label comes from a bounded set."""
TRIMMED: Final = ("alerts_trimmed", "bytes")
"""The tally of settled alerts that went before their time, and why."""


class DeliveryCount(msgspec.Struct):
    """The ledger of one delivery: routed = delivered + superseded + dead_lettered + expired + waiting.

    It counts what its log holds: revisions of alerts, or records of the events log.
    """

    position: int = 0
    routed: int = 0
    delivered: int = 0
    superseded: int = 0
    dead_lettered: int = 0
    expired: int = 0
    suppressed: int = 0
    """Passed over by the delivery's filter; stands beside the ledger."""
    log: LogName = "alerts"


class DeadLetter(NamedTuple):
    """A record that could not be used, with the reason. `payload` is bounded; the whole stands in the intake log."""

    seq: int
    arrival_ns: int
    source: str
    format: str
    origin: str
    record: int
    stage: str
    reason: str
    detail: str
    payload: bytes
    context: str = ""
    """What its decoder was told beside the bytes (`Run.context`)."""
    replayed_ns: int = 0
    """When it was put into intake again; 0: never."""


class DetectCommit(msgspec.Struct):
    """All that detection made of the records up to `seq`; committed in one transaction."""

    seq: int
    arrival_ns: int
    digest: bytes
    alerts: list[AlertRevision] = []
    dead_letters: list[DeadLetter] = []
    counts: dict[str, DetectCount] = {}
    losses: dict[tuple[str, str], int] = {}
    tallies: Tallies = {}


class Cursor(NamedTuple):
    """Where detection stands: everything up to `seq` is committed. `digest` runs over all that was ever emitted."""

    seq: int
    arrival_ns: int
    digest: bytes
    generation: int


class CheckpointInfo(NamedTuple):
    """The complete checkpoint on disk: state as of `seq`, the digest there, and each operator's version."""

    seq: int
    digest: bytes
    versions: Mapping[str, int]


class LoggedAlert(NamedTuple):
    """An alert revision with its position in the alerts log."""

    position: int
    revision: AlertRevision
    logged_ns: int


class DeadDelivery(NamedTuple):
    """What a sink will never take, with the reason.

    Of the events log `position` is the record's sequence number, and `revision.document` its (bounded) beginning.
    """

    delivery: str
    log: LogName
    position: int
    reason: str
    revision: AlertRevision
    queued: bool = False
    """Whether it is to be delivered again."""


class DeliveryCommit(NamedTuple):
    """Progress of one delivery: everything up to `position` is settled; the counts are added.

    `redelivered` are ids of dead deliveries that went through at last; they move from dead-lettered to delivered.
    `refused_again` are those that were refused once more, with the reason now: they stay, and are not queued any more.
    """

    delivery: str
    position: int
    delivered: int = 0
    superseded: int = 0
    expired: int = 0
    suppressed: int = 0
    dead_letters: Sequence[DeadDelivery] = ()
    redelivered: Sequence[int] = ()
    refused_again: Mapping[int, str] = {}
    tallies: Mapping[tuple[str, ...], int] = {}


class IntakeReader(Protocol):
    """Reading side of the intake log; safe beside a running writer, also from another process."""

    def read(self, after_seq: int, *, items_max: int, bytes_max: int = GROUP_BYTES_MAX) -> list[Chunk]:
        """Return committed chunks that hold records after `after_seq`, in order; the first may begin before it.

        The chunk with which they reach `items_max` records or `bytes_max` bytes is the last.
        """
        ...

    def scan(self, after_seq: int = 0) -> Iterator[Chunk]:
        """Iterate over all chunks after `after_seq` that are committed now."""
        ...

    def blob(self, digest: str) -> bytes | None:
        """Return a rule set or configuration that was stored with a control record, by its SHA-256 in hex."""
        ...

    def counts(self) -> dict[str, IntakeCount]:
        """Intake's side of the ledger."""
        ...

    def last_seq(self) -> int:
        """The last committed sequence number; 0 for an empty log."""
        ...


class EventReader(IntakeReader, Protocol):
    """The intake log as deliveries of the events log read it."""

    def kept_after(self, after_seq: int, *, bytes_max: int) -> int:
        """Return the first sequence number >= `after_seq` behind which the log takes at most `bytes_max` on disk."""
        ...

    def end(self) -> tuple[int, int]:
        """Return the last committed sequence number and its arrival time; 0 and 0 for an empty log."""
        ...

    def close(self) -> None:
        """Release all files."""
        ...


class IntakeLog(IntakeReader, Protocol):
    """The one writer of the intake log."""

    def append(
        self, submissions: Sequence[Submission], *, now_ns: int, refused: Mapping[str, int] | None = None
    ) -> Appended:
        """Make a group of submissions durable in one transaction, dropping push duplicates.

        Raises:
            TransientError: nothing was stored; the log is as before and can be tried again.
        """
        ...

    def append_control(self, payload: bytes, *, now_ns: int, blobs: Mapping[str, bytes] | None = None) -> Appended:
        """Make a control record durable, together with the blobs that it names (content by kind, e.g. `rules`).

        A blob is found again by the SHA-256 of its content, which the payload names.

        Raises:
            TransientError: as `append`.
        """
        ...

    def positions(self) -> dict[str, dict[str, str]]:
        """Committed positions of all pull sources, by source and partition."""
        ...

    @property
    def shortened(self) -> int:
        """How often load made the log forget push records before the end of their horizon."""
        ...

    def retire(self, *, keep_after_seq: int, now_ns: int) -> int:
        """Unlink segments beyond retention, but none that holds records after `keep_after_seq`; return how many."""
        ...

    def close(self) -> None:
        """Release the files."""
        ...


class CoreReader(Protocol):
    """Reading side of the core log; safe beside a running writer, also from another process."""

    def cursor(self) -> Cursor:
        """Where detection stands."""
        ...

    def checkpoint(self) -> CheckpointInfo:
        """The complete checkpoint; seq 0 and no versions if there is none."""
        ...

    def checkpoint_rows(self, operator: str) -> list[Saved]:
        """The state of one operator in the complete checkpoint."""
        ...

    def alerts(self, after_position: int, *, limit: int) -> list[LoggedAlert]:
        """Revisions after a position of the alerts log, in order."""
        ...

    def last_alert_position(self) -> int:
        """The last position of the alerts log."""
        ...

    def alert_sizes(self, after_position: int, before_position: int, *, limit: int) -> list[tuple[int, int]]:
        """Positions and bytes of the documents between two positions of the alerts log, newest first."""
        ...

    def detect_counts(self) -> dict[str, DetectCount]:
        """Detection's side of the ledger by source."""
        ...

    def losses(self) -> dict[tuple[str, str], int]:
        """Losses that sources themselves reported, by (source, kind)."""
        ...

    def delivery_counts(self, *, last_seq: int = 0) -> dict[str, DeliveryCount]:
        """The ledger of each delivery; those of the events log are told where intake ends."""
        ...

    def delivery_filters(self, delivery: str) -> list[tuple[int, str]]:
        """The filters that a delivery ever had, oldest first, each with the arrival time (ns) from which it holds."""
        ...

    def tallies(self) -> Tallies:
        """All counters that detection and deliveries committed."""
        ...

    def notes(self, delivery: str, keys: Sequence[str]) -> dict[str, bytes]:
        """What a sink wrote down under these keys, as far as it is there."""
        ...

    def dead_deliveries(self, *, after_id: int = 0, limit: int = 100) -> list[tuple[int, DeadDelivery]]:
        """What sinks refused for good, with ids, oldest first."""
        ...

    def queued_deliveries(self, delivery: str, *, limit: int) -> list[tuple[int, DeadDelivery]]:
        """Dead deliveries of one delivery that are to be delivered again, oldest first."""
        ...

    def dead_letters(self, *, after_id: int = 0, limit: int = 100) -> list[tuple[int, DeadLetter]]:
        """Dead letters of records with their ids, oldest first."""
        ...


class CoreLog(CoreReader, Protocol):
    """The one writer of the core log."""

    def commit_detect(self, commit: DetectCommit) -> None:
        """Make detection's products and its cursor durable in one transaction.

        Raises:
            TransientError: nothing was stored; try the same commit again.
        """
        ...

    def keep_deliveries(self, logs: Mapping[str, LogName]) -> None:
        """Forget deliveries that are not configured any more, or for another log: they must not hold up pruning."""
        ...

    def commit_delivery(self, commit: DeliveryCommit) -> None:
        """Make a delivery's progress durable.

        Raises:
            TransientError: nothing was stored.
        """
        ...

    def open_delivery(self, delivery: str, *, from_start: bool) -> DeliveryCount:
        """Return where a delivery stands; a new one begins at the start or at the end of the alerts log."""
        ...

    def open_event_delivery(self, delivery: str, *, after_seq: int) -> DeliveryCount:
        """Return where a delivery of the events log stands; a new one begins after a sequence number."""
        ...

    def set_delivery_filter(
        self, delivery: str, filter_text: str, *, after_ns: int | None = None
    ) -> list[tuple[int, str]]:
        """Let a filter hold for what arrives after a time, None being the cursor's; return all filters it ever had.

        The first filter of a delivery holds for everything. One that is equal to the latest changes nothing.
        """
        ...

    def write_notes(self, delivery: str, changes: Mapping[str, bytes | None], *, now_ns: int) -> None:
        """Make what a sink writes down durable; None removes a key.

        Raises:
            TransientError: nothing was stored.
        """
        ...

    def mark_replayed(self, letter_ids: Sequence[int], *, now_ns: int, again: bool = False) -> list[int]:
        """Note that dead letters are put into intake again; return those that are there and never were (or `again`)."""
        ...

    def unmark_replayed(self, letter_ids: Sequence[int]) -> None:
        """Take `mark_replayed` back: intake did not take them."""
        ...

    def queue_deliveries(self, ids: Sequence[int]) -> int:
        """Let dead deliveries be delivered again; return how many there are."""
        ...

    def begin_checkpoint(self) -> None:
        """Forget an unfinished checkpoint and begin a new one."""
        ...

    def stage_checkpoint(self, operator: str, rows: Sequence[Saved]) -> None:
        """Write some changed keys of an operator, invisible until the checkpoint is complete."""
        ...

    def finish_checkpoint(self, info: CheckpointInfo) -> None:
        """Make the staged keys the complete checkpoint, in one transaction."""
        ...

    def reset_operator(self, operator: str) -> None:
        """Forget an operator's checkpointed state (its version no longer fits)."""
        ...

    def raise_generation(self) -> int:
        """Begin a new generation of alert versions (replay did not reproduce what was committed); return it."""
        ...

    def prune(self, *, logged_before_ns: int) -> bool:
        """Drop alerts that every delivery has settled and that were logged before a time, and old dead letters.

        Beyond the bound in bytes later ones go too, the oldest first. Returns whether there is more to drop at once.
        """
        ...

    def close(self) -> None:
        """Release the file."""
        ...
