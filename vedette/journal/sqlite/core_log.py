"""The writer of the core log: what detection and delivery make durable, each in one transaction."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from vedette.journal.protocol import DeliveryCount
from vedette.journal.sqlite.connection import open_writer, transaction, translated
from vedette.journal.sqlite.core_reader import SqliteCoreReader
from vedette.journal.sqlite.core_schema import SCHEMA
from vedette.schema.errors import VedetteError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    import apsw

    from vedette.journal.protocol import CheckpointInfo, DeliveryCommit, DetectCommit
    from vedette.schema.operator import Saved

PRUNE_ROWS_MAX = 5_000
"""Rows that one pruning transaction removes: it must not hold up commits."""
DEAD_LETTERS_MAX = 100_000
"""Dead letters kept; the oldest go first (their records stand in the intake log until it is retired)."""


class SqliteCoreLog(SqliteCoreReader):
    """Implements `journal.protocol.CoreLog`. All calls come from one thread."""

    def _connect(self) -> apsw.Connection:
        connection = open_writer(self._path, self._storage)
        with transaction(connection, self._path):
            connection.execute(SCHEMA)
        return connection

    def commit_detect(self, commit: DetectCommit) -> None:
        """Make detection's products and its cursor durable. Raises TransientError: nothing was stored."""
        with self._transaction() as run:
            run.execute(
                "UPDATE state SET seq = ?, arrival_ns = ?, digest = ?", (commit.seq, commit.arrival_ns, commit.digest)
            )
            run.executemany(
                "INSERT INTO alert(alert_id, generation, revision, opened_ns, logged_ns, level, rule_id, document)"
                " VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        a.alert_id,
                        a.generation,
                        a.revision,
                        a.opened_ns,
                        commit.arrival_ns,
                        a.level,
                        a.rule_id,
                        a.document,
                    )
                    for a in commit.alerts
                ],
            )
            run.executemany(
                "INSERT INTO dead_letter"
                "(seq, arrival_ns, source, format, origin, record, stage, reason, detail, payload)"
                " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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

    def open_delivery(self, delivery: str, *, from_start: bool) -> DeliveryCount:
        """Return where a delivery stands; a new one begins at the start or at the end of the alerts log."""
        with self._transaction() as run:
            start = "coalesce(min(position), 1) - 1" if from_start else "coalesce(max(position), 0)"
            run.execute(
                f"INSERT OR IGNORE INTO delivery SELECT ?, {start}, {start}, 0, 0, 0, 0, 0 FROM alert",  # noqa: S608
                (delivery,),
            )
        return self.delivery_counts()[delivery]

    def keep_deliveries(self, names: Iterable[str]) -> None:
        """Forget deliveries that are not configured any more."""
        gone = self.delivery_counts().keys() - set(names)
        with self._transaction() as run:
            run.executemany("DELETE FROM delivery WHERE name = ?", [(name,) for name in sorted(gone)])

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
                "INSERT INTO dead_delivery(delivery, position, alert_id, generation, revision, reason, document)"
                " VALUES(?, ?, ?, ?, ?, ?, ?)",
                [
                    (commit.delivery, logged.position, a.alert_id, a.generation, a.revision, reason, a.document)
                    for logged, reason in commit.dead_letters
                    for a in (logged.revision,)
                ],
            )

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

    def prune(self, *, logged_before_ns: int) -> None:
        """Drop settled alerts logged before a time (never the last, which holds the position), and old dead letters."""
        with self._transaction() as run:
            run.execute(
                "DELETE FROM alert WHERE position IN (SELECT position FROM alert WHERE position <="
                " (SELECT min(position) FROM delivery) AND logged_ns < ?"
                " AND position < (SELECT max(position) FROM alert) ORDER BY position LIMIT ?)",
                (logged_before_ns, PRUNE_ROWS_MAX),
            )
            run.execute(
                "DELETE FROM dead_letter WHERE id <= (SELECT max(id) FROM dead_letter) - ?", (DEAD_LETTERS_MAX,)
            )

    def close(self) -> None:
        """Release the file."""
        with contextlib.suppress(VedetteError), translated(self._path):
            self._connection.close()

    @contextlib.contextmanager
    def _transaction(self) -> Generator[apsw.Connection]:
        with transaction(self._connection, self._path):
            yield self._connection
