"""The writer of the core log: what detection and delivery make durable, each in one transaction."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

from vedette.journal.protocol import TRIMMED, DeliveryCount
from vedette.journal.sqlite.connection import open_writer, transaction, translated
from vedette.journal.sqlite.core_reader import LETTER_COLUMNS, REVISION_COLUMNS, SqliteCoreReader, revision_row
from vedette.journal.sqlite.core_schema import create_tables
from vedette.schema.errors import VedetteError
from vedette.schema.limits import MIB, SECOND_NS

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from pathlib import Path

    import apsw

    from vedette.journal.protocol import CheckpointInfo, DeliveryCommit, DetectCommit, LogName
    from vedette.journal.sqlite.connection import Storage
    from vedette.schema.operator import Saved

PRUNE_ROWS_MAX = 5_000
"""Rows that one pruning transaction removes: it must not hold up commits."""
TRIM_ROWS = 250
"""Alerts that are removed between two looks at the size, 2 to 5 MB of them."""
CORE_BYTES_MAX = 2 * 1024 * MIB
"""Bytes of the core log, without the free room in it, beyond which settled alerts go before their time."""
_SETTLED = (
    "position <= (SELECT coalesce(min(position) FILTER (WHERE log = 'alerts'), 9223372036854775807) FROM delivery"
    " HAVING count(*) > 0) AND position < (SELECT max(position) FROM alert)"
)
"""Which alerts no delivery has to look at any more; never the last, which holds the position."""
DEAD_LETTERS_MAX = 100_000
"""Dead letters kept; the oldest go first (their records stand in the intake log until it is retired)."""
DEAD_DELIVERIES_MAX = 20_000
"""Dead deliveries kept; the oldest go first."""
NOTE_AGE_NS = 90 * 24 * 3600 * SECOND_NS
"""What a sink wrote down about something is kept this long beyond the alerts themselves."""
_OF_DELIVERIES = (
    ("delivery", "name"),
    ("delivery_filter", "delivery"),
    ("dead_delivery", "delivery"),
    ("note", "delivery"),
)
"""Tables, and their columns, with rows that go when a delivery does."""
FILTERS_MAX = 64
"""Filters of a delivery that are remembered: alerts that were opened under older ones closed long ago."""


class SqliteCoreLog(SqliteCoreReader):
    """Implements `journal.protocol.CoreLog`. All calls come from one thread."""

    def __init__(self, path: Path, storage: Storage | None = None, bytes_max: int = CORE_BYTES_MAX) -> None:
        """Open or create the core log; see `prune` for `bytes_max`.

        Raises:
            TransientError: it can't be opened or written now.
        """
        self._bytes_max = bytes_max
        super().__init__(path, storage)

    def _connect(self) -> apsw.Connection:
        connection = open_writer(self._path, self._storage)
        with transaction(connection, self._path):
            create_tables(connection)
        return connection

    def commit_detect(self, commit: DetectCommit) -> None:
        """Make detection's products and its cursor durable. Raises TransientError: nothing was stored."""
        with self._transaction() as run:
            run.execute(
                "UPDATE state SET seq = ?, arrival_ns = ?, digest = ?", (commit.seq, commit.arrival_ns, commit.digest)
            )
            run.executemany(
                f"INSERT INTO alert(logged_ns, {REVISION_COLUMNS}) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [(commit.arrival_ns, *revision_row(alert)) for alert in commit.alerts],
            )
            run.executemany(
                f"INSERT INTO dead_letter({LETTER_COLUMNS}) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                commit.dead_letters,
            )
            run.executemany(
                "INSERT INTO ledger VALUES(?, ?, ?, ?) ON CONFLICT(source) DO UPDATE SET processed = processed +"
                " excluded.processed, filtered = filtered + excluded.filtered,"
                " dead_lettered = dead_lettered + excluded.dead_lettered",
                [(source, c.processed, c.filtered, c.dead_lettered) for source, c in commit.counts.items()],
            )
            run.executemany(
                "INSERT INTO loss VALUES(?, ?, ?)"
                " ON CONFLICT(source, kind) DO UPDATE SET count = count + excluded.count",
                [(*key, count) for key, count in commit.losses.items()],
            )
            _add_tallies(run, commit.tallies)

    def open_delivery(self, delivery: str, *, from_start: bool) -> DeliveryCount:
        """Return where a delivery stands; a new one begins at the start or at the end of the alerts log."""
        with self._transaction() as run:
            start = "coalesce(min(position), 1) - 1" if from_start else "coalesce(max(position), 0)"
            run.execute(
                f"INSERT OR IGNORE INTO delivery SELECT ?, {start}, {start}, 0, 0, 0, 0, 0, 'alerts' FROM alert",  # noqa: S608
                (delivery,),
            )
        return self.delivery_counts()[delivery]

    def open_event_delivery(self, delivery: str, *, after_seq: int) -> DeliveryCount:
        """Return where a delivery of the events log stands; a new one begins after a sequence number."""
        with self._transaction() as run:
            run.execute(
                "INSERT OR IGNORE INTO delivery VALUES(?, ?, ?, 0, 0, 0, 0, 0, 'events')",
                (delivery, after_seq, after_seq),
            )
        return self.delivery_counts(last_seq=after_seq)[delivery]

    def keep_deliveries(self, logs: Mapping[str, LogName]) -> None:
        """Forget deliveries that are not configured any more, or for another log."""
        gone = [name for name, count in self.delivery_counts().items() if logs.get(name) != count.log]
        with self._transaction() as run:
            for table, column in _OF_DELIVERIES:
                run.executemany(f"DELETE FROM {table} WHERE {column} = ?", [(name,) for name in gone])  # noqa: S608

    def set_delivery_filter(
        self, delivery: str, filter_text: str, *, after_ns: int | None = None
    ) -> list[tuple[int, str]]:
        """Let a filter hold for what arrives from now on; return all filters that the delivery ever had."""
        filters = self.delivery_filters(delivery)
        if not filters or filters[-1][1] != filter_text:
            end_ns = self.cursor().arrival_ns if after_ns is None else after_ns
            since_ns = max(filters[-1][0], end_ns + 1) if filters else 0
            with self._transaction() as run:
                run.execute("INSERT OR REPLACE INTO delivery_filter VALUES(?, ?, ?)", (delivery, since_ns, filter_text))
                run.execute(
                    "DELETE FROM delivery_filter WHERE delivery = ?1 AND since_ns NOT IN (SELECT since_ns FROM"
                    " delivery_filter WHERE delivery = ?1 ORDER BY since_ns DESC LIMIT ?2)",
                    (delivery, FILTERS_MAX),
                )
        return self.delivery_filters(delivery)

    def commit_delivery(self, commit: DeliveryCommit) -> None:
        """Make a delivery's progress durable. Raises TransientError: nothing was stored."""
        with self._transaction() as run:
            run.execute(
                "UPDATE delivery SET position = ?, delivered = delivered + ?, superseded = superseded + ?,"
                " dead_lettered = dead_lettered + ?, expired = expired + ?, suppressed = suppressed + ? WHERE name = ?",
                (
                    commit.position,
                    commit.delivered,
                    commit.superseded,
                    len(commit.dead_letters),
                    commit.expired,
                    commit.suppressed,
                    commit.delivery,
                ),
            )
            run.executemany(
                f"INSERT INTO dead_delivery(delivery, log, position, reason, {REVISION_COLUMNS})"
                " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (dead.delivery, dead.log, dead.position, dead.reason, *revision_row(dead.revision))
                    for dead in commit.dead_letters
                ],
            )
            self._settle_queued(run, commit)
            _add_tallies(run, commit.tallies)

    def _settle_queued(self, run: apsw.Connection, commit: DeliveryCommit) -> None:
        count = len(commit.redelivered)
        run.execute(
            "UPDATE delivery SET delivered = delivered + ?, dead_lettered = dead_lettered - ? WHERE name = ?",
            (count, count, commit.delivery),
        )
        run.executemany("DELETE FROM dead_delivery WHERE id = ?", [(key,) for key in commit.redelivered])
        run.executemany(
            "UPDATE dead_delivery SET queued = 0, reason = ? WHERE id = ?",
            [(reason, key) for key, reason in commit.refused_again.items()],
        )

    def queue_deliveries(self, ids: Sequence[int]) -> int:
        """Let dead deliveries be delivered again; return how many there are."""
        with self._transaction() as run:
            before = run.total_changes()
            run.executemany("UPDATE dead_delivery SET queued = 1 WHERE id = ?", [(key,) for key in ids])
            return run.total_changes() - before

    def mark_replayed(self, letter_ids: Sequence[int], *, now_ns: int, again: bool = False) -> list[int]:
        """Note that dead letters are put into intake again; return those that are there and never were (or `again`)."""
        with self._transaction() as run:
            marked = run.execute(
                "UPDATE dead_letter SET replayed_ns = ? WHERE id IN (SELECT value FROM json_each(?))"
                " AND (replayed_ns = 0 OR ?) RETURNING id",
                (now_ns, json.dumps(list(letter_ids)), again),
            )
            return sorted(key for (key,) in marked)

    def unmark_replayed(self, letter_ids: Sequence[int]) -> None:
        """Take `mark_replayed` back."""
        with self._transaction() as run:
            run.executemany("UPDATE dead_letter SET replayed_ns = 0 WHERE id = ?", [(key,) for key in letter_ids])

    def write_notes(self, delivery: str, changes: Mapping[str, bytes | None], *, now_ns: int) -> None:
        """Make what a sink writes down durable; None removes a key."""
        with self._transaction() as run:
            for key, value in changes.items():
                if value is None:
                    run.execute("DELETE FROM note WHERE delivery = ? AND key = ?", (delivery, key))
                else:
                    run.execute("INSERT OR REPLACE INTO note VALUES(?, ?, ?, ?)", (delivery, key, value, now_ns))

    def begin_checkpoint(self) -> None:
        """Forget an unfinished checkpoint."""
        with self._transaction() as run:
            run.execute("DELETE FROM staged")

    def stage_checkpoint(self, operator: str, rows: Sequence[Saved]) -> None:
        """Write some changed keys, invisible until the checkpoint is complete."""
        with self._transaction() as run:
            run.executemany(
                "INSERT OR REPLACE INTO staged VALUES(?, ?, ?, ?)",
                [(operator, row.key, row.order, row.value) for row in rows],
            )

    def finish_checkpoint(self, info: CheckpointInfo) -> None:
        """Make the staged keys the complete checkpoint."""
        with self._transaction() as run:
            run.execute("INSERT OR REPLACE INTO checkpoint SELECT * FROM staged WHERE length(value) > 0")
            run.execute(
                "DELETE FROM checkpoint WHERE (operator, key) IN"
                " (SELECT operator, key FROM staged WHERE length(value) = 0)"
            )
            run.execute("DELETE FROM staged")
            run.execute("DELETE FROM operator")
            run.executemany("INSERT INTO operator VALUES(?, ?)", info.versions.items())
            run.execute("UPDATE state SET checkpoint_seq = ?, checkpoint_digest = ?", (info.seq, info.digest))

    def reset_operator(self, operator: str) -> None:
        """Forget an operator's checkpointed state."""
        with self._transaction() as run:
            run.execute("DELETE FROM checkpoint WHERE operator = ?", (operator,))
            run.execute("DELETE FROM operator WHERE name = ?", (operator,))

    def raise_generation(self) -> int:
        """Begin a new generation of alert versions."""
        with self._transaction() as run:
            run.execute("UPDATE state SET generation = generation + 1")
        return self.cursor().generation

    def prune(self, *, logged_before_ns: int) -> bool:
        """Drop settled alerts logged before a time (never the last, which holds the position), and old dead letters.

        Beyond the bound in bytes later ones go too, the oldest first. Returns whether there is more to drop at once.
        """
        with self._transaction() as run:
            run.execute(
                f"DELETE FROM alert WHERE position IN (SELECT position FROM alert WHERE {_SETTLED} AND logged_ns < ?"  # noqa: S608
                " ORDER BY position LIMIT ?)",
                (logged_before_ns, PRUNE_ROWS_MAX),
            )
            run.execute(
                "DELETE FROM dead_letter WHERE id <= (SELECT max(id) FROM dead_letter) - ?", (DEAD_LETTERS_MAX,)
            )
            run.execute(
                "DELETE FROM dead_delivery WHERE id <= (SELECT max(id) FROM dead_delivery) - ?", (DEAD_DELIVERIES_MAX,)
            )
            run.execute("DELETE FROM note WHERE written_ns < ?", (logged_before_ns - NOTE_AGE_NS,))
            return self._trim(run)

    def _trim(self, run: apsw.Connection) -> bool:
        """Drop settled alerts down to the bound in bytes, a bounded number; say whether there are more to drop."""
        trimmed, more = 0, _bytes_used(run) > self._bytes_max
        while more and trimmed < PRUNE_ROWS_MAX:
            run.execute(
                f"DELETE FROM alert WHERE position IN (SELECT position FROM alert WHERE {_SETTLED}"  # noqa: S608
                " ORDER BY position LIMIT ?)",
                (TRIM_ROWS,),
            )
            trimmed += run.changes()
            more = run.changes() == TRIM_ROWS and _bytes_used(run) > self._bytes_max
        if trimmed:
            _add_tallies(run, {TRIMMED: trimmed})
        return more

    def close(self) -> None:
        """Release the file."""
        with contextlib.suppress(VedetteError), translated(self._path):
            self._connection.close()

    @contextlib.contextmanager
    def _transaction(self) -> Generator[apsw.Connection]:
        with transaction(self._connection, self._path):
            yield self._connection


def _bytes_used(run: apsw.Connection) -> int:
    """The size of the file without its free pages, which are used again."""
    pages, free, page_bytes = (run.pragma(name) for name in ("page_count", "freelist_count", "page_size"))
    return int((pages - free) * page_bytes)


def _add_tallies(run: apsw.Connection, tallies: Mapping[tuple[str, ...], int]) -> None:
    run.executemany(
        "INSERT INTO tally VALUES(?, ?, ?) ON CONFLICT(metric, labels) DO UPDATE SET value = value + excluded.value",
        [(metric, json.dumps(labels), count) for (metric, *labels), count in tallies.items()],
    )
