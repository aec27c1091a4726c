"""What detection made of a stretch of the log, until one transaction makes it durable."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from vedette.journal.protocol import DeadLetter, DetectCommit, DetectCount, Tallies
from vedette.schema.limits import DEAD_LETTER_BYTES_MAX, TEXT_CHARS_MAX

if TYPE_CHECKING:
    from vedette.schema.alert import AlertRevision
    from vedette.schema.event import Loss
    from vedette.schema.record import Record


class Effects:
    """Collects products and counts. `digest` chains over every revision and dead letter since the log began.

    The chain depends on the products and their order alone, so replay arrives at the same value however it batches.
    """

    def __init__(self, digest: bytes, generation: int, *, rebuilding: bool = False) -> None:
        """Continue from a committed digest. `rebuilding`: only digest and state matter, no document is needed."""
        self.rebuilding = rebuilding
        self.digest = digest
        self.generation = generation
        self.alerts: list[AlertRevision] = []
        self.dead_letters: list[DeadLetter] = []
        self.counts: dict[str, DetectCount] = {}
        self.losses: dict[tuple[str, str], int] = {}
        self.tallies: Tallies = {}

    def count(self, source: str) -> DetectCount:
        """The counts of one source, to be added to."""
        count = self.counts.get(source)
        if count is None:
            count = self.counts[source] = DetectCount()
        return count

    def alert(self, revision: AlertRevision) -> None:
        """Take a revision."""
        self.alerts.append(revision)
        # Not the document: a new version of Vedette may word it differently, which is no divergence.
        self._chain(f"{revision.alert_id}:{revision.revision}".encode())

    def dead_letter(self, record: Record, reason: str, detail: str) -> None:
        """Take a record that can't be used."""
        run = record.run
        self.dead_letters.append(
            DeadLetter(
                record.seq,
                record.arrival_ns,
                run.source,
                run.format,
                run.origin,
                record.record,
                "detect",
                reason,
                detail[:TEXT_CHARS_MAX],
                record.payload[:DEAD_LETTER_BYTES_MAX],
                run.context,
            )
        )
        self._chain(f"{record.seq}:{reason}".encode())

    def lost(self, source: str, loss: Loss) -> None:
        """Take a loss that a source reports."""
        key = (source, loss.kind)
        self.losses[key] = self.losses.get(key, 0) + loss.lost

    def tally(self, *key: str, count: int = 1) -> None:
        """Move a counter: a metric and the values of its labels, each from a bounded set."""
        self.tallies[key] = self.tallies.get(key, 0) + count

    def take(self, seq: int, arrival_ns: int) -> DetectCommit:
        """Hand over everything collected, as of a sequence number, and start anew from there."""
        commit = DetectCommit(
            seq, arrival_ns, self.digest, self.alerts, self.dead_letters, self.counts, self.losses, self.tallies
        )
        self.alerts, self.dead_letters, self.counts, self.losses, self.tallies = [], [], {}, {}, {}
        return commit

    def _chain(self, product: bytes) -> None:
        self.digest = hashlib.blake2b(self.digest + product, digest_size=16).digest()
