"""Follows the files that a source's patterns name: finds, opens, takes turns, finishes. Blocking, for use in a thread.

A file is known by device and inode, so a rename changes nothing. An open file is read to its end whatever becomes of
its name; only when it has been quiet for `rotate_wait_s` is it given up. Where to begin in a file is decided in
`_place`: at the stored position if the content is still the same; at the position of the file that it is a rotated copy
or archive of; else at the beginning.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from collector.sources.files.content import open_content
from collector.sources.files.copies import Copies, Copy
from collector.sources.files.events import ArchiveIncomplete, FileFinished, FileOpened, FileReplaced, PositionUnusable
from collector.sources.files.finder import Finder, Found, displayed
from collector.sources.files.marks import Mark, Match, decode, identity, match
from collector.sources.files.tail import Stretch, Tail
from vedette.schema.limits import MIB

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from collector.sources.files.settings import FilesSettings
    from vedette.schema.event import Decoder

ROUND_BYTES: Final = 8 * MIB
"""What one round of turns hands on at most (plus one block): bounds memory however many files there are."""
FILES_OPEN_MAX: Final = 512
"""Files held open; half of the usual limit of 1024 descriptors. Beyond it the quietest are closed until they change."""
ARCHIVES_OPEN_MAX: Final = 8
"""Compressed files read at the same time: each holds some MiB of unpacked bytes and its window."""
STARTED: Final = ""
"""The partition that says that a source with `start_at: end` has run before."""


class Round(NamedTuple):
    """What one round of turns yielded; `busy`: there may be more at once, `over`: all was read once."""

    stretches: list[Stretch]
    busy: bool
    over: bool


class Watch:
    """All files of one source. Its methods are called by one thread at a time, which it enforces."""

    def __init__(
        self,
        source: str,
        settings: FilesSettings,
        decoder: Decoder,
        positions: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Continue from the committed positions; `clock` is monotonic, in seconds."""
        self.finder = Finder(source, settings.paths)
        self._source = source
        self._settings = settings
        self._decoder = decoder
        self._clock = clock
        self._marks = self._understood(positions)
        self._copies = Copies(settings.rotate_wait_s if settings.follow else 0.0)
        for partition, mark in self._marks.items():
            if mark.former:
                self._copies.replaced(partition, mark.former)
        self._skip_first = settings.start_at == "end" and not positions
        self._tails: dict[str, Tail] = {}
        self._found: dict[str, Found] | None = None
        self._finished: dict[str, tuple[int, int]] = {}
        self._to_commit: deque[Stretch] = deque()
        self._look_due_s = 0.0
        self._lock = threading.Lock()

    def round(self) -> Round:
        """Look for files if that is due, and read one block of each that has something new, in fair turns."""
        with self._lock:
            now_s = self._clock()
            if now_s >= self._look_due_s or not self._settings.follow:
                self._look_due_s = now_s + self._settings.poll_interval_s
                self._look(now_s)
            stretches = list(self._to_commit)
            self._to_commit.clear()
            busy = self._take_turns(now_s, stretches)
            once = not self._settings.follow
            left = self._tails or self._found is None or any(key not in self._finished for key in self._found)
            return Round(stretches, busy or (once and bool(left)), once and not left)

    def look(self) -> bool:
        """Look for files for the first time; whether any was found."""
        with self._lock:
            self._look(self._clock())
            self.finder.report_missing()
            return bool(self._found)

    def close(self) -> None:
        """Release all files."""
        with self._lock:
            for tail in self._tails.values():
                tail.close()
            self._tails.clear()

    def _understood(self, positions: Mapping[str, str]) -> dict[str, Mark]:
        marks = {partition: decode(value) for partition, value in positions.items()}
        for partition, mark in marks.items():
            if mark is None:
                PositionUnusable(self._source, partition).emit()
        return {partition: mark for partition, mark in marks.items() if mark is not None}

    # --- finding and opening ------------------------------------------------------------------------------------------

    def _look(self, now_s: float) -> None:
        if self._settings.follow or self._found is None:
            self._found = self.finder.find()
            self._copies.forget_all_but(self._found)
        found = self._found
        for key, tail in self._tails.items():
            if key in found:
                tail.path, tail.gone = displayed(found[key].path), False
            elif not tail.gone:
                tail.gone, tail.changed_s = True, now_s
        self._finished = {key: signature for key, signature in self._finished.items() if key in found}
        for key, file in found.items():
            if key not in self._tails and self._is_due(key, file, now_s) and self._make_room():
                self._open(key, file, now_s)
        if self._skip_first:
            self._skip_first = False
            self._to_commit.append(Stretch(STARTED, Mark(""), [], []))

    def _is_due(self, key: str, file: Found, now_s: float) -> bool:
        """Whether there is a point in opening a file: not if it was finished, or waits for another to be."""
        status = file.status
        if self._finished.get(key) == (status.st_size, status.st_mtime_ns):
            return False
        return not self._copies.must_wait(key, status.st_size, self._tails, now_s)

    def _make_room(self) -> bool:
        """Close the quietest file if too many are open; whether there is room for one more."""
        if len(self._tails) < FILES_OPEN_MAX:
            return True
        idle = [tail for tail in self._tails.values() if tail.drained and not tail.gone and not tail.content.packed]
        if not idle:
            return False
        tail = min(idle, key=lambda idle_tail: idle_tail.changed_s)
        self._finished[tail.partition] = tail.signature or (0, 0)
        self._drop(tail)
        return True

    def _open(self, key: str, file: Found, now_s: float) -> None:
        try:
            # Not blocking: what is a FIFO by now must not hang us.
            descriptor = os.open(file.path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError as error:
            self._failed(key, file, error)
            return
        kept = False
        try:
            status = os.fstat(descriptor)
            if identity(status) == key and stat.S_ISREG(status.st_mode):
                kept = self._begin(key, Found(file.path, status), descriptor, now_s)
            elif not self._settings.follow:
                self._found = None  # Another file bears the name by now: look again.
        except OSError as error:
            self._failed(key, file, error)
        finally:
            if not kept:
                os.close(descriptor)

    def _failed(self, key: str, file: Found, error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            self.finder.unreadable(file.path, error.strerror or str(error))
        if not self._settings.follow:
            self._finished[key] = file.status.st_size, file.status.st_mtime_ns

    def _begin(self, key: str, file: Found, descriptor: int, now_s: float) -> bool:
        """Decide where to begin in a file, and keep it open; False: nothing to read in it (now). Raises OSError."""
        content = open_content(descriptor, file.path)
        if content is None:
            if not self._settings.follow:
                self._finished[key] = file.status.st_size, file.status.st_mtime_ns
            return False
        if content.packed and sum(tail.content.packed for tail in self._tails.values()) >= ARCHIVES_OPEN_MAX:
            return False
        tail = Tail(self._source, key, displayed(file.path), descriptor, content)
        tail.begin(self._settings.context)
        reason = self._place(tail, file, now_s)
        if reason == "done":
            self._finished[key] = file.status.st_size, file.status.st_mtime_ns
        if reason in ("done", "wait"):
            return False
        tail.changed_s = now_s
        self._tails[key] = tail
        self._marks.setdefault(key, tail.mark())
        FileOpened(self._source, tail.path, tail.offset, reason).emit()
        return True

    def _place(self, tail: Tail, file: Found, now_s: float) -> str:
        """Set where a file is to be read from; return how that was found, `done` or `wait`. Raises OSError."""
        mark = self._marks.get(tail.partition)
        if mark is not None and (mark.offset or mark.packed_bytes):
            verdict, before = match(mark, tail.content)
            if verdict is Match.YES:
                tail.begin(self._settings.context, mark, before)
                return "done" if mark.packed_bytes == file.status.st_size > 0 else "resumed"
            tail.former = msgspec.structs.replace(self._marks.pop(tail.partition), former=None)
            self._copies.replaced(tail.partition, tail.former)
            if mark.path == tail.path:
                FileReplaced(self._source, tail.path, mark.offset, 0).emit()
        elif self._skip_first:
            return self._skip(tail, file)
        known = [
            Copy(key, mark, alive=key in self._tails, gone=key not in (self._found or {}))
            for key, mark in self._marks.items()
            if key != tail.partition
        ]
        verdict, found = self._copies.original_of(tail, file, known, now_s)
        if verdict is not Match.YES or found is None:
            return "wait" if verdict is Match.SHORT else "new"
        tail.begin(self._settings.context, *found)
        self._commit(tail.partition, tail.mark())
        return "copy"

    def _skip(self, tail: Tail, file: Found) -> str:
        """Stand at the end of a file that was there before this source first ran."""
        if tail.content.packed:
            self._commit(tail.partition, Mark(tail.path, packed_bytes=file.status.st_size))
            return "done"
        tail.skip_lines(self._decoder)
        self._commit(tail.partition, tail.mark())
        return "end"

    def _commit(self, partition: str, mark: Mark) -> None:
        """Have a mark kept that no record comes with."""
        self._marks[partition] = mark
        self._to_commit.append(Stretch(partition, mark, [], []))

    # --- reading ------------------------------------------------------------------------------------------------------

    def _take_turns(self, now_s: float, stretches: list[Stretch]) -> bool:
        """Read a block of each file while the round has room; whoever had a turn goes to the end of the queue."""
        room, busy = ROUND_BYTES, False
        for key, tail in list(self._tails.items()):
            if room <= 0:
                return True
            try:
                stretch = self._read(tail, now_s)
            except OSError as error:
                self.finder.unreadable(tail.path, error.strerror or str(error))
                self._drop(tail)
                continue
            self.finder.readable(tail.path)
            if stretch is None:
                continue
            busy = True
            self._marks[key] = stretch.mark
            self._tails[key] = self._tails.pop(key)
            if stretch.items:
                stretches.append(stretch)
                room -= sum(map(len, stretch.items))
        return busy

    def _read(self, tail: Tail, now_s: float) -> Stretch | None:
        changed = tail.changed(now_s)
        over = self._is_over(tail, now_s)
        if not changed and tail.drained and not over:
            return None
        former = tail.former
        stretch = tail.read(self._decoder, final=False)
        over = self._is_over(tail, now_s)
        if stretch is None and over:
            stretch = tail.read(self._decoder, final=True)
        if tail.former is not former and tail.former:
            self._copies.replaced(tail.partition, tail.former)
            self._marks[tail.partition] = tail.mark()
        if stretch is None and over and (tail.gone or tail.content.packed or not self._settings.follow):
            self._finish(tail)
        return stretch

    def _is_over(self, tail: Tail, now_s: float) -> bool:
        """Whether nothing more is expected to be written, so that a last line without an end counts as whole."""
        if not self._settings.follow:
            return True
        quiet = now_s - tail.changed_s >= self._settings.rotate_wait_s
        if tail.content.packed:
            return tail.content.ended or bool(tail.content.broken) or quiet
        return quiet and (tail.gone or tail.moved)

    def _finish(self, tail: Tail) -> None:
        if tail.content.packed and not tail.content.ended:
            ArchiveIncomplete(self._source, tail.path, tail.content.broken or "it ends in the middle").emit()
        FileFinished(self._source, tail.path, tail.place.record - 1).emit()
        self._finished[tail.partition] = tail.signature or (0, 0)
        self._drop(tail)
        self._look_due_s = 0.0  # Others may have waited for it.

    def _drop(self, tail: Tail) -> None:
        tail.close()
        del self._tails[tail.partition]
