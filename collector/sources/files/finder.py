"""Finds the files that patterns name, once each; blocking, for use in a thread."""

from __future__ import annotations

import glob
import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from collector.sources.files.events import FileUnreadable, NothingFound
from collector.sources.files.marks import identity

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Found(NamedTuple):
    """A regular file at a path, with its state when it was found."""

    path: str
    status: os.stat_result


class Finder:
    """Looks patterns up, and reports what can't be read once for as long as it can't."""

    def __init__(self, source: str, patterns: Sequence[str]) -> None:
        """Look for `patterns` on behalf of a source."""
        self.missing: list[str] = []
        self._source = source
        self._patterns = patterns
        self._reported: set[str] = set()

    def find(self) -> dict[str, Found]:
        """The files that are there now, by identity; the first path that leads to a file names it."""
        found: dict[str, Found] = {}
        self.missing = []
        for pattern in self._patterns:
            paths = list(self._paths(pattern))
            if not paths:
                self.missing.append(pattern)
            for path in paths:
                status = self._status(path, literal=path == pattern)
                if status is not None:
                    found.setdefault(identity(status), Found(path, status))
        return found

    def report_missing(self) -> None:
        """Say which patterns matched nothing."""
        for pattern in self.missing:
            NothingFound(self._source, pattern).emit()

    def unreadable(self, path: str, error: str) -> None:
        """Report a path that can't be read, unless that was said already."""
        shown = displayed(path)
        if shown not in self._reported:
            self._reported.add(shown)
            FileUnreadable(self._source, shown, error).emit()

    def readable(self, path: str) -> None:
        """Note that a path could be read."""
        self._reported.discard(displayed(path))

    def _paths(self, pattern: str) -> Iterator[str]:
        """A path that exists is meant as it is, even with brackets in its name."""
        if os.path.lexists(pattern):
            yield pattern
        else:
            yield from sorted(glob.iglob(pattern, recursive=True))  # noqa: PTH207 (patterns may be absolute)

    def _status(self, path: str, *, literal: bool) -> os.stat_result | None:
        try:
            status = os.stat(path)  # noqa: PTH116 (Path would be made for every file at every look)
        except FileNotFoundError:
            return None
        except OSError as error:
            self.unreadable(path, error.strerror or str(error))
            return None
        if not stat.S_ISREG(status.st_mode):
            if literal:
                self.unreadable(path, "not a regular file")
            return None
        return status


def displayed(path: str) -> str:
    r"""A path as valid Unicode, for records, positions and people; bytes that are none show as `\xNN`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
