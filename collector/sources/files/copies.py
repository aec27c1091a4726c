"""Recognises files that hold what was read under another name: rotated copies, and archives of rotated files.

So that `x.log` and the `x.log.1` that copytruncate made of it, or `x-….log` and its `.gz`, yield their lines once,
although both match the patterns. What the copy holds beyond the position in the original is read from the copy: with
copytruncate these are the lines that were written after the last look, and would be lost otherwise.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from collector.sources.files.marks import Mark, Match, is_copy_name, match

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from collector.sources.files.finder import Found
    from collector.sources.files.tail import Tail

CANDIDATES_MAX: Final = 8
"""Originals that a new file is compared with; comparing an archive means unpacking it up to the position."""
FORMER_MAX: Final = 1024
"""Contents that were replaced (truncated, or their inode used again) and whose copies may still turn up."""
UNKNOWN: Final = -1
"""A size that no file has."""


class Copy(NamedTuple):
    """A file that was read up to `mark`: it may still be read (`alive`), or have no name any more (`gone`)."""

    partition: str
    mark: Mark
    alive: bool
    gone: bool


class Waiting(NamedTuple):
    """A file that can't be told yet, unchanged at `size` since `since_s`.

    `original` is what it is a copy of and what is still being read; `found` how far that was read; both may be unknown.
    """

    size: int
    since_s: float
    original: str
    found: tuple[Mark, bytes] | None


class Copies:
    """Tells copies from new files, waiting where the copying is not finished yet."""

    def __init__(self, wait_s: float) -> None:
        """Take a copy that has not changed for `wait_s` as finished."""
        self._wait_s = wait_s
        self._former: deque[Mark] = deque(maxlen=FORMER_MAX)
        self._waiting: dict[str, Waiting] = {}

    def replaced(self, partition: str, mark: Mark) -> None:
        """Note a content that is gone from its file, but of which a copy may turn up (or be waiting already)."""
        self._former.append(mark)
        for key, waiting in self._waiting.items():
            if waiting.original == partition:
                self._waiting[key] = waiting._replace(original="", size=UNKNOWN)

    def forget_all_but(self, partitions: Container[str]) -> None:
        """Drop what is noted about files that are no longer there."""
        self._waiting = {key: waiting for key, waiting in self._waiting.items() if key in partitions}

    def must_wait(self, partition: str, size: int, alive: Container[str], now_s: float) -> bool:
        """Whether nothing has changed that would let a waiting file be told now; comparing is expensive."""
        waiting = self._waiting.get(partition)
        if waiting is None or waiting.size != size or (waiting.original and waiting.original not in alive):
            return False
        return now_s - waiting.since_s < self._wait_s or (waiting.original in alive and not self._wait_s)

    def original_of(
        self, tail: Tail, file: Found, known: Iterable[Copy], now_s: float
    ) -> tuple[Match, tuple[Mark, bytes] | None]:
        """What a file never seen before is a copy of: YES with the mark (and the bytes before it), NO, or SHORT: wait.

        Raises:
            OSError: the file can't be read.
        """
        size, before = file.status.st_size, self._waiting.get(tail.partition)
        found, undecided, original = self._compare(tail, file.path, known)
        found = found or (before.found if before else None)
        if undecided or original:
            since_s = before.since_s if before and before.size == size else now_s
            self._waiting[tail.partition] = Waiting(size, since_s, original, found)
            # Reading once (no waiting): what is still being read comes to its end by itself.
            if now_s - since_s < self._wait_s or (original and not self._wait_s):
                return Match.SHORT, None
        self._waiting.pop(tail.partition, None)
        return (Match.YES, found) if found else (Match.NO, None)

    def _compare(self, tail: Tail, path: str, known: Iterable[Copy]) -> tuple[tuple[Mark, bytes] | None, bool, str]:
        """The best match, whether another may still become one, and the original if it is still being read."""
        packed = tail.content.packed
        candidates = [
            copy
            for copy in (*known, *(Copy("", mark, alive=False, gone=True) for mark in self._former))
            if (copy.mark.offset or (copy.alive and copy.gone))
            and is_copy_name(path, copy.mark.path, packed=packed, gone=copy.gone)
        ]
        undecided = False
        for copy in sorted(candidates, key=lambda copy: -copy.mark.offset)[:CANDIDATES_MAX]:
            if not copy.mark.offset:
                return (
                    None,
                    True,
                    copy.partition,
                )  # Rotated away before its first line was read: wait until it has been.
            verdict, before = match(copy.mark, tail.content)
            if verdict is Match.YES:
                return (copy.mark, before), False, copy.partition if copy.alive else ""
            complete = tail.content.ended or bool(tail.content.broken)
            undecided = undecided or (verdict is Match.SHORT and not complete)
        return None, undecided, ""
