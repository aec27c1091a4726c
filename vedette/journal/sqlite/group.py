"""A group commit in the making: drops push duplicates, cuts chunks, counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vedette.journal.protocol import Chunk, IntakeCount
from vedette.journal.sqlite.duplicates import DuplicateTable, digests_of
from vedette.schema.limits import CHUNK_BYTES_MAX, CHUNK_ITEMS_MAX
from vedette.schema.record import CONTROL_FORMAT, CONTROL_SOURCE, Run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vedette.journal.protocol import Submission

TICK: Final = b'{"op":"tick"}'


class Group:
    """What becomes one transaction of the current segment."""

    def __init__(self, *, after_seq: int, arrival_ns: int) -> None:
        """Begin a group that follows record `after_seq`; its records arrive at `arrival_ns`."""
        self.arrival_ns = arrival_ns
        self.next_seq = after_seq + 1
        self.receipts: list[tuple[int, int]] = []
        self.chunks: list[Chunk] = []
        self.hashes: list[list[bytes]] = []
        self.counts: dict[str, IntakeCount] = {}
        self.positions: list[tuple[str, str, str]] = []
        self._added: dict[str, list[bytes]] = {}
        self._runs: list[Run] = []
        self._items: list[bytes] = []
        self._digests: list[bytes] = []
        self._bytes = 0

    def count(self, source: str) -> IntakeCount:
        """The counts of one source, to be added to."""
        count = self.counts.get(source)
        if count is None:
            count = self.counts[source] = IntakeCount()
        return count

    def add_alike(self, submissions: Sequence[Submission], table: DuplicateTable) -> None:
        """Take in submissions with the same one run (see `stretches`): together if all is new, else one by one."""
        if len(submissions) == 1 or not self._add_together(submissions, table):
            for submission in submissions:
                self.add(submission, table)

    def _add_together(self, submissions: Sequence[Submission], table: DuplicateTable) -> bool:
        source, run = submissions[0].source, submissions[0].runs[0]
        items = [item for submission in submissions for item in submission.items]
        digests = digests_of(items)
        if not table.add_all(digests, self.arrival_ns):
            return False
        self._added.setdefault(run.source, []).extend(digests)
        self._add_run(run, items, digests)
        self.count(source).received += len(items)
        self.receipts += [(run.count, 0)] * len(submissions)
        return True

    def add(self, submission: Submission, table: DuplicateTable) -> None:
        """Take a submission in, without the records that the table knows."""
        items, start, stored = submission.items, 0, 0
        for run in submission.runs:
            end = start + run.count
            stretch = items if run.count == len(items) else items[start:end]
            stored += self._add_hashed(run, stretch, table) if run.hashed else self._add_run(run, stretch, [])
            start = end
        assert start == len(items), "the runs of a parcel describe all its items"
        duplicates = len(items) - stored
        count = self.count(submission.source)
        count.received += len(items)
        count.duplicate += duplicates
        self.receipts.append((stored, duplicates))
        if submission.position is not None:
            partition, value = submission.position
            self.positions.append((submission.source, partition, value))

    def control(self, payload: bytes) -> None:
        """Take a control record in."""
        self._add_run(Run(CONTROL_SOURCE, CONTROL_FORMAT, 1), [payload], [])

    def forget(self, tables: dict[str, DuplicateTable]) -> None:
        """Take back what the duplicate tables learned: the commit failed."""
        for source, digests in self._added.items():
            if source in tables:
                tables[source].discard(digests)

    def finish(self) -> None:
        """Close the last chunk. A group of duplicates alone still leaves a row that carries its counts."""
        if not self._items and not self.chunks:
            self.control(TICK)
        self._close_chunk()

    def _add_hashed(self, run: Run, items: list[bytes], table: DuplicateTable) -> int:
        digests = digests_of(items)
        if not table.add_all(digests, self.arrival_ns):
            arrival_ns = self.arrival_ns
            pairs = zip(items, digests, strict=True)
            fresh = [(item, digest) for item, digest in pairs if table.add(digest, arrival_ns)]
            items, digests = [item for item, _ in fresh], [digest for _, digest in fresh]
        self._added.setdefault(run.source, []).extend(digests)
        return self._add_run(run, items, digests)

    def _add_run(self, run: Run, items: list[bytes], digests: list[bytes]) -> int:
        at, record = 0, run.record
        while at < len(items):
            count = self._fitting(items, at)
            if count == 0:
                self._close_chunk()
                continue
            self._append(run, items[at : at + count], digests[at : at + count], record)
            at += count
            record += count
        return len(items)

    def _fitting(self, items: list[bytes], at: int) -> int:
        """How many items still fit into the open chunk; an item larger than a chunk gets one for itself."""
        lengths = [len(item) for item in items[at : at + CHUNK_ITEMS_MAX - len(self._items)]]
        size = self._bytes + sum(lengths)
        while size > CHUNK_BYTES_MAX and lengths and (len(lengths) > 1 or self._items):
            size -= lengths.pop()
        self._bytes = size
        return len(lengths)

    def _append(self, run: Run, items: list[bytes], digests: list[bytes], record: int) -> None:
        self._items += items
        self._digests += digests
        last = self._runs[-1] if self._runs else None
        if last is not None and _joins(last, run, record):
            self._runs[-1] = _counting(last, last.count + len(items), last.record)
        else:
            self._runs.append(_counting(run, len(items), record if run.origin else 0))

    def _close_chunk(self) -> None:
        if self._items:
            self.chunks.append(Chunk(self.next_seq, self.arrival_ns, self._runs, self._items, self._bytes))
            self.hashes.append(self._digests)
            self.next_seq += len(self._items)
        self._runs, self._items, self._digests, self._bytes = [], [], [], 0


def stretches(submissions: Sequence[Submission]) -> list[list[Submission]]:
    """Group consecutive push submissions that have the same one run: requests of one small record each, mostly.

    Handled together they cost a third of what they cost one by one.
    """
    found: list[list[Submission]] = []
    for submission in submissions:
        last = found[-1][0] if found else None
        if last is not None and submission.runs == last.runs and _simple(last) and submission.position is None:
            found[-1].append(submission)
        else:
            found.append([submission])
    return found


def _simple(submission: Submission) -> bool:
    return len(submission.runs) == 1 and submission.runs[0].hashed and submission.position is None


def _joins(last: Run, run: Run, record: int) -> bool:
    """Whether a stretch continues the last run. Push records have no number in their origin."""
    return (
        last.source == run.source
        and last.format == run.format
        and last.context == run.context
        and last.origin == run.origin
        and last.hashed == run.hashed
        and (not run.origin or last.record + last.count == record)
    )


def _counting(run: Run, count: int, record: int) -> Run:
    return Run(run.source, run.format, count, run.context, run.origin, record, run.hashed)
