"""Which push records were seen before, within a bounded horizon of arrival time and a bounded number.

A record is known by 16 bytes of its SHA-256: cryptographic, so that nobody can make a record that collides with
another one and have it dropped. Two generations of sets; the older one is forgotten as a whole, so a record is
remembered for at least the horizon and at most twice as long, unless load shortens it.
"""

from __future__ import annotations

import hashlib

from vedette.schema.limits import DEDUP_ENTRIES_MAX, DEDUP_HORIZON_NS

DIGEST_BYTES = 16


def digests_of(items: list[bytes]) -> list[bytes]:
    """Return the digests by which records are known."""
    sha256 = hashlib.sha256
    return [sha256(item).digest()[:DIGEST_BYTES] for item in items]


class DuplicateTable:
    """The push records of one source that were seen lately."""

    def __init__(self, horizon_ns: int = DEDUP_HORIZON_NS, entries_max: int = DEDUP_ENTRIES_MAX) -> None:
        """Start empty."""
        self._horizon_ns = horizon_ns
        self._generation_max = entries_max // 2
        self._young: set[bytes] = set()
        self._old: set[bytes] = set()
        self._young_since_ns = 0
        self.shortened = 0
        """How often a generation was forgotten early because there were too many records."""

    def add(self, digest: bytes, arrival_ns: int) -> bool:
        """Remember a record; False if it is known already."""
        if digest in self._young or digest in self._old:
            return False
        full = len(self._young) >= self._generation_max
        if full or arrival_ns - self._young_since_ns > self._horizon_ns:
            self._turn(arrival_ns, early=full)
        self._young.add(digest)
        return True

    def add_all(self, digests: list[bytes], arrival_ns: int) -> bool:
        """Remember records that are all new, and true; or do nothing, and false: then `add` them one by one."""
        fresh = set(digests)
        room = len(self._young) + len(digests) <= self._generation_max
        in_time = arrival_ns - self._young_since_ns <= self._horizon_ns
        if not (room and in_time and len(fresh) == len(digests)):
            return False
        if not (fresh.isdisjoint(self._young) and fresh.isdisjoint(self._old)):
            return False
        self._young |= fresh
        return True

    def discard(self, digests: list[bytes]) -> None:
        """Forget records whose commit failed."""
        self._young.difference_update(digests)
        self._old.difference_update(digests)

    def _turn(self, arrival_ns: int, *, early: bool) -> None:
        lapsed = arrival_ns - self._young_since_ns > 2 * self._horizon_ns
        if early and arrival_ns - self._young_since_ns <= self._horizon_ns and self._old:
            self.shortened += 1
        self._old = set() if lapsed else self._young
        self._young = set()
        self._young_since_ns = arrival_ns
