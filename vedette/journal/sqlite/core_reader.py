"""Reading the core log, beside its writer and from any process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vedette.journal.protocol import CheckpointInfo, Cursor, DeadLetter, DeliveryCount, DetectCount, LoggedAlert
from vedette.journal.sqlite.connection import Storage, open_reader, translated
from vedette.schema.alert import AlertRevision
from vedette.schema.operator import Saved

if TYPE_CHECKING:
    from pathlib import Path

    import apsw


class SqliteCoreReader:
    """Implements `journal.protocol.CoreReader`. Not for several threads at once."""

    def __init__(self, path: Path, storage: Storage | None = None) -> None:
        """Open the core log read-only.

        Raises:
            TransientError: it can't be opened.
        """
        self._path = path
        self._storage = storage or Storage()
        self._connection = self._connect()

    def _connect(self) -> apsw.Connection:
        return open_reader(self._path, self._storage)

    def cursor(self) -> Cursor:
        """Where detection stands."""
        with translated(self._path):
            return Cursor(*self._connection.execute("SELECT seq, arrival_ns, digest, generation FROM state").get)

    def checkpoint(self) -> CheckpointInfo:
        """The complete checkpoint."""
        with translated(self._path):
            seq, digest = self._connection.execute("SELECT checkpoint_seq, checkpoint_digest FROM state").get
            versions = dict(self._connection.execute("SELECT name, version FROM operator ORDER BY name"))
            return CheckpointInfo(seq, digest, versions)

    def checkpoint_rows(self, operator: str) -> list[Saved]:
        """The state of one operator in the complete checkpoint."""
        with translated(self._path):
            query = "SELECT key, ord, value FROM checkpoint WHERE operator = ? ORDER BY ord"
            return [Saved(*row) for row in self._connection.execute(query, (operator,))]

    def alerts(self, after_position: int, *, limit: int) -> list[LoggedAlert]:
        """Revisions after a position of the alerts log."""
        query = (
            "SELECT position, logged_ns, alert_id, generation, revision, opened_ns, level, rule_id, document"
            " FROM alert WHERE position > ? ORDER BY position LIMIT ?"
        )
        with translated(self._path):
            rows = self._connection.execute(query, (after_position, limit))
            return [LoggedAlert(position, AlertRevision(*rest), logged_ns) for position, logged_ns, *rest in rows]

    def last_alert_position(self) -> int:
        """The last position of the alerts log."""
        with translated(self._path):
            return int(self._connection.execute("SELECT coalesce(max(position), 0) FROM alert").get)

    def backlog_bytes(self, after_position: int) -> int:
        """Bytes of the documents after a position of the alerts log."""
        query = "SELECT coalesce(sum(length(document)), 0) FROM alert WHERE position > ?"
        with translated(self._path):
            return int(self._connection.execute(query, (after_position,)).get)

    def detect_counts(self) -> dict[str, DetectCount]:
        """Detection's side of the ledger."""
        with translated(self._path):
            rows = self._connection.execute("SELECT source, processed, filtered, dead_lettered FROM ledger")
            return {source: DetectCount(*counts) for source, *counts in rows}

    def losses(self) -> dict[tuple[str, str], int]:
        """Losses that sources themselves reported."""
        with translated(self._path):
            rows = self._connection.execute("SELECT source, kind, count FROM loss")
            return {(source, kind): count for source, kind, count in rows}

    def delivery_counts(self) -> dict[str, DeliveryCount]:
        """The ledger of each delivery; what it routed follows from the alerts log itself."""
        query = "SELECT name, start, position, delivered, superseded, dead_lettered, expired, suppressed FROM delivery"
        with translated(self._path):
            last = self._connection.execute("SELECT coalesce(max(position), 0) FROM alert").get
            counts: dict[str, DeliveryCount] = {}
            for name, start, position, delivered, superseded, dead, expired, suppressed in self._connection.execute(
                query
            ):
                routed = max(last, position) - start - suppressed
                counts[name] = DeliveryCount(position, routed, delivered, superseded, dead, expired, suppressed)
            return counts

    def dead_letters(self, *, after_id: int = 0, limit: int = 100) -> list[tuple[int, DeadLetter]]:
        """Dead letters of records with their ids."""
        query = (
            "SELECT id, seq, arrival_ns, source, format, origin, record, stage, reason, detail, payload"
            " FROM dead_letter WHERE id > ? ORDER BY id LIMIT ?"
        )
        with translated(self._path):
            return [(key, DeadLetter(*rest)) for key, *rest in self._connection.execute(query, (after_id, limit))]

    def close(self) -> None:
        """Release the file."""
        self._connection.close()
