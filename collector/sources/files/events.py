"""What happens to followed files that operators should see. Paths are in the log only, never in a metric."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import ClassVar

from prometheus_client import Counter

from vedette.runtime.telemetry import OperationalEvent


@dataclass(frozen=True, slots=True)
class FileOpened(OperationalEvent):
    """A file is read from `offset` on; `reason`: new, resumed, copy (of what was read under another name), end."""

    component: ClassVar[str] = "sources.files"
    message: ClassVar[str] = "reading a file"
    metric: ClassVar[Counter | None] = Counter(
        "vedette_files_opened_total",
        "Files opened, by how reading began.",
        ["source", "reason"],
    )
    labels: ClassVar[tuple[str, ...]] = ("source", "reason")

    source: str
    path: str
    offset: int
    reason: str


@dataclass(frozen=True, slots=True)
class FileFinished(OperationalEvent):
    """A file was read to its end and is closed."""

    component: ClassVar[str] = "sources.files"
    message: ClassVar[str] = "read a file to its end"
    metric: ClassVar[Counter | None] = Counter(
        "vedette_files_finished_total", "Files read to their end and closed.", ["source"]
    )
    labels: ClassVar[tuple[str, ...]] = ("source",)

    source: str
    path: str
    records: int


@dataclass(frozen=True, slots=True)
class FileReplaced(OperationalEvent):
    """The content that was read is gone: truncated, or another file with the same inode.

    What was not read yet is lost, unless a copy of it is followed too.
    """

    component: ClassVar[str] = "sources.files"
    message: ClassVar[str] = "a file's content was replaced; reading it from the beginning"
    level: ClassVar[int] = logging.WARNING
    metric: ClassVar[Counter | None] = Counter(
        "vedette_files_replaced_total", "Files whose content was replaced or truncated.", ["source"]
    )
    labels: ClassVar[tuple[str, ...]] = ("source",)

    source: str
    path: str
    offset: int
    unfinished_bytes: int


@dataclass(frozen=True, slots=True)
class FileUnreadable(OperationalEvent):
    """A file can't be read now; it is tried again, and reported again only after it could be read in between."""

    component: ClassVar[str] = "sources.files"
    message: ClassVar[str] = "a file cannot be read; trying again"
    level: ClassVar[int] = logging.WARNING
    metric: ClassVar[Counter | None] = Counter(
        "vedette_files_unreadable_total", "Files that could not be read.", ["source"]
    )
    labels: ClassVar[tuple[str, ...]] = ("source",)

    source: str
    path: str
    error: str


@dataclass(frozen=True, slots=True)
class ArchiveIncomplete(OperationalEvent):
    """A compressed file ends in the middle or is damaged; what could be read was kept."""

    component: ClassVar[str] = "sources.files"
    message: ClassVar[str] = "a compressed file could not be read to its end; what could be read was kept"
    level: ClassVar[int] = logging.WARNING
    metric: ClassVar[Counter | None] = Counter(
        "vedette_files_incomplete_archives_total", "Compressed files cut off or damaged.", ["source"]
    )
    labels: ClassVar[tuple[str, ...]] = ("source",)

    source: str
    path: str
    error: str


@dataclass(frozen=True, slots=True)
class NothingFound(OperationalEvent):
    """A pattern matches no file; said once at the start."""

    component: ClassVar[str] = "sources.files"
    message: ClassVar[str] = "no file matches this pattern yet"
    source: str
    pattern: str


@dataclass(frozen=True, slots=True)
class PositionUnusable(OperationalEvent):
    """A stored position can't be understood (written by another version?); the file is read as if never seen."""

    component: ClassVar[str] = "sources.files"
    message: ClassVar[str] = "a stored position cannot be understood"
    level: ClassVar[int] = logging.ERROR
    metric: ClassVar[Counter | None] = Counter(
        "vedette_files_unusable_positions_total",
        "Stored positions that could not be understood.",
        ["source"],
    )
    labels: ClassVar[tuple[str, ...]] = ("source",)

    source: str
    partition: str
