"""The store's one writer. All calls come from one thread."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

import zstandard

from sinks.store.layout import create_tables
from sinks.store.summary import Summary, summarise
from vedette.journal.sqlite.connection import Storage, open_writer, transaction, translated
from vedette.schema.errors import PermanentError, VedetteError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import apsw

    from vedette.runtime.sink import Outcome
    from vedette.schema.alert import AlertRevision

PRUNE_ROWS_MAX: Final = 1_000
"""Alerts that one pruning transaction removes: it must not hold up deliveries."""
COMPRESSION_LEVEL: Final = 1
"""zstd; 4 : 1 on alert documents, and higher levels gain next to nothing on a few KB."""

_INSERT: Final = (
    "INSERT INTO alert(alert_id, version, opened_ns, first_seen_ns, last_seen_ns, level, rule_id, title, cluster,"
    " source, actor, namespace, name, count, status, message, text_hash)"
    " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_UPDATE: Final = (
    "UPDATE alert SET alert_id = ?, version = ?, opened_ns = ?, first_seen_ns = ?, last_seen_ns = ?, level = ?,"
    " rule_id = ?, title = ?, cluster = ?, source = ?, actor = ?, namespace = ?, name = ?, count = ?, status = ?,"
    " message = ?, text_hash = ? WHERE id = ?"
)


class StoreWriter:
    """Puts revisions into the store, a transaction a call, and removes what is over its limits."""

    def __init__(self, path: Path, storage: Storage) -> None:
        """Open the store, or make one.

        Raises:
            ConfigError: the file is something else. TransientError: not now. PermanentError: it is damaged.
        """
        self._path = path
        self._connection = open_writer(path, storage)
        self._compressor = zstandard.ZstdCompressor(level=COMPRESSION_LEVEL)
        try:
            create_tables(self._connection, path)
        except VedetteError:
            self.close()
            raise

    def write(self, revisions: Sequence[AlertRevision]) -> list[Outcome]:
        """Store revisions, all or none; return what became of each. What is stored in a newer version is left as it is.

        Raises:
            TransientError: none was stored. PermanentError: the file is damaged.
        """
        outcomes: list[Outcome] = []
        with transaction(self._connection, self._path):
            for revision in revisions:
                try:
                    summary = summarise(revision)
                except PermanentError as error:
                    outcomes.append(error)
                    continue
                self._put(revision, summary)
                outcomes.append(None)
        return outcomes

    def prune(self, *, opened_before_ns: int, alerts_max: int) -> int:
        """Remove the oldest alerts that are over either limit; return how many (PRUNE_ROWS_MAX: there may be more).

        Raises:
            TransientError: nothing was removed. PermanentError: the file is damaged.
        """
        with transaction(self._connection, self._path):
            excess = max(0, int(self._connection.execute("SELECT count(*) FROM alert").get) - alerts_max)
            rows = self._connection.execute(
                "SELECT id FROM (SELECT id, opened_ns, row_number() OVER (ORDER BY opened_ns, id) AS place FROM"
                " (SELECT id, opened_ns FROM alert ORDER BY opened_ns, id LIMIT ?)) WHERE opened_ns < ? OR place <= ?",
                (PRUNE_ROWS_MAX, opened_before_ns, excess),
            )
            doomed = [(int(row_id),) for (row_id,) in rows]
            for table, key in (("search", "rowid"), ("document", "id"), ("alert", "id")):
                self._connection.executemany(f"DELETE FROM {table} WHERE {key} = ?", doomed)  # noqa: S608 - ours
        return len(doomed)

    def close(self) -> None:
        """Release the file; idempotent."""
        with contextlib.suppress(VedetteError), translated(self._path):
            self._connection.close()

    def _put(self, revision: AlertRevision, summary: Summary) -> None:
        known = self._run("SELECT id, version, text_hash FROM alert WHERE alert_id = ?", revision.alert_id).get
        if known is None:
            self._run(_INSERT, *summary.columns)
            row_id = self._connection.last_insert_rowid()
            self._run("INSERT INTO document VALUES(?, ?)", row_id, self._compressor.compress(revision.document))
            self._run("INSERT INTO search(rowid, text) VALUES(?, ?)", row_id, summary.text)
            return
        row_id, version, text_hash = known
        if revision.version <= version:
            return
        self._run(_UPDATE, *summary.columns, row_id)
        self._run("UPDATE document SET content = ? WHERE id = ?", self._compressor.compress(revision.document), row_id)
        if summary.columns[-1] != text_hash:
            self._run("UPDATE search SET text = ? WHERE rowid = ?", summary.text, row_id)

    def _run(self, sql: str, *values: str | int | bytes) -> apsw.Cursor:
        return self._connection.execute(sql, values)
