"""The intake log as deliveries of the events log read it: with an eye on where it ends, and on what waits."""

from __future__ import annotations

from vedette.journal.sqlite import segment
from vedette.journal.sqlite.connection import translated
from vedette.journal.sqlite.intake_reader import SqliteIntakeReader


class SqliteEventReader(SqliteIntakeReader):
    """Implements `journal.protocol.EventReader`. Not for several threads at once."""

    def end(self) -> tuple[int, int]:
        """Return the last committed sequence number and its arrival time; 0 and 0 for an empty log."""
        return self._of_latest(segment.read_last) or (0, 0)

    def kept_after(self, after_seq: int, *, bytes_max: int) -> int:
        """Return the first sequence number >= `after_seq` behind which the log takes at most `bytes_max` on disk."""
        size_bytes = 0
        for path, end in reversed(list(self.segments(after_seq))):
            connection = self._begun(path)
            if connection is None:
                continue
            with translated(path):
                rows = connection.execute(
                    "SELECT seq + count - 1, length(body) + length(meta) + length(hashes) FROM chunk"
                    " WHERE seq < ? AND seq + count - 1 > ? ORDER BY seq DESC",
                    (end, after_seq),
                )
                for last_seq, row_bytes in rows:
                    size_bytes += row_bytes
                    if size_bytes > bytes_max:
                        rows.close()
                        return int(last_seq)
        return after_seq
