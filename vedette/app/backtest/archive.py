"""Which records a back-test looks at, and what detection knew before the first of them.

The log is read beside a running agent, or without one, and nothing is written. Where a back-test begins with the log
itself, or at the checkpoint that the agent keeps, it has the state that the agent had; elsewhere windows start cold.
"""

from __future__ import annotations

import contextlib
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from vedette.journal.sqlite import SqliteCoreReader, SqliteIntakeReader, segment
from vedette.journal.sqlite.connection import open_reader, translated
from vedette.journal.sqlite.intake_reader import is_begun
from vedette.pipeline.backtest.rerun import Begin
from vedette.pipeline.control_record import OP_RULES, OP_SETTINGS, ControlRecord, decode_control
from vedette.pipeline.detector import ControlOperator, Detector
from vedette.schema.errors import ConfigError, TransientError
from vedette.schema.record import CONTROL_FORMAT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from vedette.journal.protocol import CheckpointInfo
    from vedette.journal.sqlite import DataFolder
    from vedette.pipeline.detector import InForce
    from vedette.schema.operator import Saved

RANGE_RECORDS: Final = 10_000
"""Records that one process sifts in one go, about: a tenth of a second."""
_READS_MAX: Final = 20
"""Readings of the checkpoint until it was not replaced meanwhile."""
_decode_meta = msgspec.msgpack.Decoder(segment.ChunkMeta).decode


class Start(StrEnum):
    """What a back-test begins with."""

    LOG = "log"
    """The log itself: with nothing, as the agent did."""
    CHECKPOINT = "checkpoint"
    """The agent's checkpoint: with all that it knew."""
    COLD = "cold"
    """Records in the middle of the log: alerts that were open and windows under way are not known."""


class Range(NamedTuple):
    """Whole chunks behind `after_seq` up to `last_seq`, with the arrival time of the last one, ns."""

    after_seq: int
    last_seq: int
    arrival_ns: int

    @property
    def records(self) -> int:
        """How many records there are, control records among them."""
        return self.last_seq - self.after_seq


class Plan(NamedTuple):
    """What is looked at, in order.

    Alerts count that opened at or after `since_ns` (arrival time). `rule_sets`: the hashes of all that were in force.
    """

    ranges: list[Range]
    start: Start
    begin: Begin
    rule_sets: list[str]
    since_ns: int

    @property
    def records(self) -> int:
        """How many records there are, control records among them."""
        return sum(each.records for each in self.ranges)


class _Segment(NamedTuple):
    """A segment of the log, and where it begins: the arrival time before it, and the blobs in force by their kind."""

    path: Path
    first_seq: int
    end_seq: int
    arrival_ns: int
    carried: dict[str, str]


class _Row(NamedTuple):
    """A chunk without its records."""

    seq: int
    last_seq: int
    arrival_ns: int
    has_control: bool


class _Checkpoint(NamedTuple):
    seq: int
    in_force: InForce
    state: dict[str, Sequence[Saved]]


def make_plan(folder: DataFolder, since_ns: int | None, until_ns: int | None) -> Plan:
    """Choose the records that arrived from `since_ns` on and before `until_ns`; None is the log's own bound.

    Raises:
        ConfigError: there are none. TransientError: the log can't be read now. PermanentError: it is damaged.
    """
    with contextlib.closing(SqliteIntakeReader(folder.intake)) as reader:
        segments = list(_segments(reader))
        after_seq = _seq_before(segments, since_ns)
        kept = None if since_ns is None else _checkpoint(folder, after_seq)
        if kept is not None:
            begin, start = Begin(kept.in_force.rules, kept.in_force.settings, kept.state), Start.CHECKPOINT
            after_seq = kept.seq
        else:
            begin, start = _in_force(reader, segments, after_seq), Start.COLD if after_seq else Start.LOG
        rows = _rows(segments, after_seq)
        begins_ns, ranges, control_seqs = _ranges(rows, after_seq, until_ns)
        rule_sets = [each.hash for each in _controls(reader, control_seqs) if each.op == OP_RULES]
    if not ranges or ranges[-1].arrival_ns < (since_ns or 0):
        raise ConfigError(f"{folder.intake} has no records of that time; widen --since and --until")
    hashes = dict.fromkeys(filter(None, [begin.rules, *rule_sets]))
    return Plan(ranges, start, begin._replace(arrival_ns=begins_ns), list(hashes), since_ns or 0)


def read_controls(folder: DataFolder) -> list[ControlRecord]:
    """Read all control records that the log has.

    Raises:
        TransientError: it can't be read now. PermanentError: it is damaged.
    """
    with contextlib.closing(SqliteIntakeReader(folder.intake)) as reader:
        rows = _rows(list(_segments(reader)), 0)
        return list(_controls(reader, [row.seq for row in rows if row.has_control]))


def _ranges(rows: Iterable[_Row], after_seq: int, until_ns: int | None) -> tuple[int, list[Range], list[int]]:
    """Return when the first chunk arrived, the chunks joined to ranges, and those with control records.

    What is missing between two chunks belongs to a range.
    """
    begins_ns = 0
    ranges: list[Range] = []
    control_seqs: list[int] = []
    last = Range(after_seq, after_seq, 0)
    for row in rows:
        if until_ns is not None and row.arrival_ns >= until_ns:
            break
        begins_ns = begins_ns or row.arrival_ns
        if row.has_control:
            control_seqs.append(row.seq)
        last = Range(last.after_seq, row.last_seq, row.arrival_ns)
        if last.records >= RANGE_RECORDS:
            ranges.append(last)
            last = Range(last.last_seq, last.last_seq, last.arrival_ns)
    return begins_ns, (ranges if not last.records else [*ranges, last]), control_seqs


# --- the log ----------------------------------------------------------------------------------------------------------
def _segments(reader: SqliteIntakeReader) -> Iterator[_Segment]:
    """Look at all segments, oldest first; one that is retired meanwhile is left out."""
    for path, end_seq in reader.segments():
        for first_seq, arrival_ns in _select(path, "SELECT first_seq, arrival_ns FROM begin"):
            # The oldest blob of a kind is the one that was carried over; where the log begins, there was none.
            blobs = () if first_seq == 1 else _select(path, "SELECT kind, hash FROM blob ORDER BY id DESC")
            carried: dict[str, str] = dict(blobs)
            yield _Segment(path, first_seq, end_seq, arrival_ns, carried)


def _select(path: Path, query: str, values: tuple[int, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Read rows of a segment; none if it was retired meanwhile, or is not begun."""
    try:
        connection = open_reader(path)
    except TransientError:
        if path.exists():
            raise
        return
    with contextlib.closing(connection), translated(path):
        if is_begun(connection):
            yield from connection.execute(query, values)


def _seq_before(segments: Sequence[_Segment], since_ns: int | None) -> int:
    """Return the last sequence number before a time; of no time, the one before the log."""
    if not segments:
        return 0
    if since_ns is None:
        return segments[0].first_seq - 1
    at = max((number for number, each in enumerate(segments) if each.arrival_ns < since_ns), default=0)
    rows = _rows(segments[at:], segments[at].first_seq - 1)
    last_seq = segments[at].first_seq - 1
    for row in rows:
        if row.arrival_ns >= since_ns:
            break
        last_seq = row.last_seq
    return last_seq


def _rows(segments: Sequence[_Segment], after_seq: int) -> Iterator[_Row]:
    """Read the chunks with records after `after_seq`, without their records."""
    for each in segments:
        if each.end_seq <= after_seq + 1:
            continue
        query = "SELECT seq, count, arrival_ns, meta FROM chunk WHERE seq > ? AND seq < ? ORDER BY seq"
        for seq, count, arrival_ns, meta in _select(each.path, query, (after_seq, each.end_seq)):
            has_control = any(run.format == CONTROL_FORMAT for run in _decode_meta(meta).runs)
            yield _Row(seq, seq + count - 1, arrival_ns, has_control)


def _controls(reader: SqliteIntakeReader, seqs: Iterable[int]) -> Iterator[ControlRecord]:
    """Decode the control records of chunks; broken ones are passed over, as detection does."""
    for seq in seqs:
        for chunk in reader.read(seq - 1, items_max=1):
            at = 0
            for run in chunk.runs:
                items, at = chunk.items[at : at + run.count], at + run.count
                for item in items if run.format == CONTROL_FORMAT else ():
                    with contextlib.suppress(msgspec.MsgspecError):
                        yield decode_control(item)


def _in_force(reader: SqliteIntakeReader, segments: Sequence[_Segment], after_seq: int) -> Begin:
    """Find the rules and settings that were in force behind a record."""
    covering = [each for each in segments if each.first_seq <= after_seq + 1]
    if not covering:
        return Begin()
    rules, settings = (covering[-1].carried.get(kind, "") for kind in ("rules", "settings"))
    rows = _rows(covering[-1:], covering[-1].first_seq - 1)
    seqs = [row.seq for row in rows if row.has_control and row.last_seq <= after_seq]
    for control in _controls(reader, seqs):
        rules = control.hash if control.op == OP_RULES else rules
        settings = control.settings or (control.hash if control.op == OP_SETTINGS else settings)
    return Begin(rules, settings)


# --- the checkpoint ---------------------------------------------------------------------------------------------------
def _checkpoint(folder: DataFolder, seq_max: int) -> _Checkpoint | None:
    """Read the checkpoint as one piece; None if there is none up to a record, or another version wrote it."""
    if not folder.core.exists():
        return None
    with contextlib.closing(SqliteCoreReader(folder.core)) as core:
        for _ in range(_READS_MAX):
            info = core.checkpoint()
            if not 0 < info.seq <= seq_max or not _fits(info):
                return None
            state: dict[str, Sequence[Saved]] = {name: core.checkpoint_rows(name) for name in info.versions}
            if core.checkpoint() == info:
                control = ControlOperator()
                control.state.restore(state[control.name])
                return _Checkpoint(info.seq, control.in_force, state)
    raise TransientError("the agent writes checkpoints faster than they can be read; try again")


def _fits(info: CheckpointInfo) -> bool:
    operators = Detector({}, lambda _: None).operators
    return {operator.name: operator.version for operator in operators} == dict(info.versions)
