"""Reading the core log, beside its writer and from any process."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from vedette.journal.protocol import (
    CheckpointInfo,
    Cursor,
    DeadDelivery,
    DeadLetter,
    DeliveryCount,
    DetectCount,
    LoggedAlert,
    Tallies,
)
from vedette.journal.sqlite.connection import Storage, open_reader, translated
from vedette.schema.alert import AlertRevision, Origin
from vedette.schema.operator import Saved

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import apsw

LETTER_COLUMNS: Final = (
    "seq, arrival_ns, source, format, origin, record, stage, reason, detail, payload, context, replayed_ns"
)
REVISION_COLUMNS: Final = (
    "alert_id, generation, revision, opened_ns, level, rule_id, document, source, cluster, tags, ticket_key, joined"
)
_NONE: Final = "[]"


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
            f"SELECT position, logged_ns, {REVISION_COLUMNS} FROM alert"  # noqa: S608 - a constant
            " WHERE position > ? ORDER BY position LIMIT ?"
        )
        with translated(self._path):
            rows = self._connection.execute(query, (after_position, limit))
            return [LoggedAlert(position, _revision(*rest), logged_ns) for position, logged_ns, *rest in rows]

    def last_alert_position(self) -> int:
        """The last position of the alerts log."""
        with translated(self._path):
            return int(self._connection.execute("SELECT coalesce(max(position), 0) FROM alert").get)

    def alert_sizes(self, after_position: int, before_position: int, *, limit: int) -> list[tuple[int, int]]:
        """Positions and bytes of the documents between two positions, newest first."""
        query = (
            "SELECT position, length(document) FROM alert WHERE position > ? AND position < ?"
            " ORDER BY position DESC LIMIT ?"
        )
        with translated(self._path):
            rows = self._connection.execute(query, (after_position, before_position, limit))
            return [(position, size_bytes) for position, size_bytes in rows]

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

    def delivery_counts(self, *, last_seq: int = 0) -> dict[str, DeliveryCount]:
        """The ledger of each delivery; what it routed follows from its log itself."""
        query = (
            "SELECT name, start, log, position, delivered, superseded, dead_lettered, expired, suppressed FROM delivery"
        )
        with translated(self._path):
            ends = {"alerts": self.last_alert_position(), "events": last_seq}
            counts: dict[str, DeliveryCount] = {}
            for name, start, log, position, *settled in self._connection.execute(query):
                delivered, superseded, dead, expired, suppressed = settled
                routed = max(ends[log], position) - start - suppressed
                counts[name] = DeliveryCount(position, routed, delivered, superseded, dead, expired, suppressed, log)
            return counts

    def delivery_filters(self, delivery: str) -> list[tuple[int, str]]:
        """The filters that a delivery ever had, oldest first, each with the arrival time from which it holds."""
        query = "SELECT since_ns, filter FROM delivery_filter WHERE delivery = ? ORDER BY since_ns"
        with translated(self._path):
            return [(since_ns, text) for since_ns, text in self._connection.execute(query, (delivery,))]

    def tallies(self) -> Tallies:
        """All counters that detection and deliveries committed."""
        with translated(self._path):
            rows = self._connection.execute("SELECT metric, labels, value FROM tally")
            return {(metric, *json.loads(labels)): value for metric, labels, value in rows}

    def notes(self, delivery: str, keys: Sequence[str]) -> dict[str, bytes]:
        """What a sink wrote down under these keys, as far as it is there."""
        query = "SELECT key, value FROM note WHERE delivery = ? AND key IN (SELECT value FROM json_each(?))"
        with translated(self._path):
            return dict(self._connection.execute(query, (delivery, json.dumps(list(keys)))))

    def dead_deliveries(self, *, after_id: int = 0, limit: int = 100) -> list[tuple[int, DeadDelivery]]:
        """What sinks refused for good, with ids."""
        return self._dead_deliveries("id > ? ORDER BY id LIMIT ?", (after_id, limit))

    def queued_deliveries(self, delivery: str, *, limit: int) -> list[tuple[int, DeadDelivery]]:
        """Dead deliveries of one delivery that are to be delivered again."""
        return self._dead_deliveries("delivery = ? AND queued = 1 ORDER BY id LIMIT ?", (delivery, limit))

    def _dead_deliveries(self, condition: str, values: tuple[str | int, ...]) -> list[tuple[int, DeadDelivery]]:
        query = (
            f"SELECT id, delivery, log, position, reason, queued, {REVISION_COLUMNS}"  # noqa: S608 - constants
            f" FROM dead_delivery WHERE {condition}"
        )
        with translated(self._path):
            return [
                (key, DeadDelivery(delivery, log, position, reason, _revision(*rest), bool(queued)))
                for key, delivery, log, position, reason, queued, *rest in self._connection.execute(query, values)
            ]

    def dead_letters(self, *, after_id: int = 0, limit: int = 100) -> list[tuple[int, DeadLetter]]:
        """Dead letters of records with their ids."""
        query = f"SELECT id, {LETTER_COLUMNS} FROM dead_letter WHERE id > ? ORDER BY id LIMIT ?"  # noqa: S608
        with translated(self._path):
            return [(key, DeadLetter(*rest)) for key, *rest in self._connection.execute(query, (after_id, limit))]

    def close(self) -> None:
        """Release the file."""
        self._connection.close()


def revision_row(revision: AlertRevision) -> tuple[Any, ...]:
    """The values of `REVISION_COLUMNS`."""
    joined = json.dumps(revision.joined) if revision.joined else _NONE
    return (*revision[:9], json.dumps(revision.tags), revision.ticket_key, joined)


def _revision(*row: Any) -> AlertRevision:
    *same, tags, key, joined = row
    origins = (
        () if joined == _NONE else tuple(Origin(rule, source, tuple(its)) for rule, source, its in json.loads(joined))
    )
    return AlertRevision._make((*same, tuple(json.loads(tags)), key, origins))
