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
        self._advance(arrival_ns)
        if digest in self._young or digest in self._old:
            return False
        if len(self._young) >= self._generation_max:
            self.shortened += bool(self._old)
            self._old, self._young, self._young_since_ns = self._young, set(), arrival_ns
        self._young.add(digest)
        return True

    def add_all(self, digests: list[bytes], arrival_ns: int) -> bool:
        """Remember records that are all new, and true; or do nothing, and false: then `add` them one by one."""
        self._advance(arrival_ns)
        fresh = set(digests)
        if len(fresh) < len(digests) or len(self._young) + len(digests) > self._generation_max:
            return False
        if not (fresh.isdisjoint(self._young) and fresh.isdisjoint(self._old)):
            return False
        self._young |= fresh
        return True

    def discard(self, digests: list[bytes]) -> None:
        """Forget records whose commit failed."""
        self._young.difference_update(digests)
        self._old.difference_update(digests)

    def _advance(self, arrival_ns: int) -> None:
        """Forget what is too old. Known records do so as well: else one that repeats for ever is dropped for ever."""
        age_ns = arrival_ns - self._young_since_ns
        if age_ns > 2 * self._horizon_ns:
            self._old, self._young, self._young_since_ns = set(), set(), arrival_ns
        elif age_ns > self._horizon_ns:
            self._old, self._young = self._young, set()
            self._young_since_ns += (
                self._horizon_ns
            )  # not to `arrival_ns`: the old would live up to three times as long
