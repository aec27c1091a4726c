"""How far a file has been read, and how to know its content again.

A position's partition is `device:inode`; everything else is its value, a `Mark`. So there are no more positions than
inodes ever used, and a growing file keeps its partition. Whether the inode still holds the same content is told by two
fingerprints: of the first line (at most 1 KiB of it), and of the last 1 KiB before the offset. The second one matters:
all VPC flow files begin with the same header.
"""

from __future__ import annotations

import re
from enum import Enum
from hashlib import blake2b
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

import msgspec

from vedette.schema.limits import KIB

if TYPE_CHECKING:
    import os

    from collector.sources.files.content import Content

HEAD_BYTES_MAX: Final = KIB
TAIL_BYTES_MAX: Final = KIB


class Mark(msgspec.Struct, frozen=True, omit_defaults=True):
    """A file read up to `offset` (of the unpacked content). `path` is where it was last seen."""

    path: str
    offset: int = 0
    record: int = 1
    """Number of the line that begins at `offset`."""
    context: str = ""
    configured: str = ""
    """The context that the settings gave; when they give another one, that one counts."""
    skipping: bool = False
    """`offset` is inside an overlong line."""
    head_bytes: int = 0
    head: str = ""
    tail_bytes: int = 0
    tail: str = ""
    packed_bytes: int = 0
    """Size of the compressed file that has been read to its end; 0: not at its end, or not compressed."""
    former: Mark | None = None
    """The content that this one replaced in its file; a copy of it may still turn up."""


class Match(Enum):
    """Whether a file holds the content that a mark was made of."""

    YES = 1
    NO = 2
    SHORT = 3
    """It does as far as it goes, but it ends before the mark's offset."""


def identity(status: os.stat_result) -> str:
    """The partition of a file."""
    return f"{status.st_dev}:{status.st_ino}"


def digest(data: bytes) -> str:
    """Fingerprint of some bytes of a file."""
    return blake2b(data, digest_size=16).hexdigest()


def encode(mark: Mark) -> str:
    """The value of a position."""
    return msgspec.json.encode(mark).decode()


def decode(value: str) -> Mark | None:
    """The mark in a position's value; None if it is none."""
    try:
        return msgspec.json.decode(value, type=Mark)
    except msgspec.MsgspecError:
        return None


def match(mark: Mark, content: Content) -> tuple[Match, bytes]:
    """Compare a file's content with a mark; also return the bytes before the mark's offset. Raises OSError."""
    head = content.read_at(0, mark.head_bytes)
    if digest(head) != mark.head and mark.head_bytes:
        return (Match.SHORT if len(head) < mark.head_bytes else Match.NO), b""
    tail = content.read_at(mark.offset - mark.tail_bytes, mark.tail_bytes)
    if len(tail) < mark.tail_bytes:
        return Match.SHORT, b""
    if mark.tail_bytes and digest(tail) != mark.tail:
        return Match.NO, b""
    return Match.YES, tail


def is_copy_name(path: str, of: str, *, packed: bool, gone: bool) -> bool:
    """Whether `path` is what a rotation may have called its copy (or archive) of the file last seen at `of`.

    Only for such names does equal content mean "the same lines": `a.json` and `b.json` may be equal and both count.
    Plain copies prolong the name (copytruncate: `x.log` → `x.log.1`). Archives do too, beside their compression suffix;
    and where the original is `gone`, they may differ in digits (`x.log.1` → `x.log.2.gz`, `x.log` → `x-2026….log.gz`).
    """
    name, known = PurePath(path).name, PurePath(of).name
    if not packed:
        return name != known and name.startswith(known)
    stem = name.removesuffix(".gz").removesuffix(".zst")
    return stem.startswith(known) or (gone and _letters(stem) == _letters(known))


def _letters(name: str) -> str:
    """A file name without what rotations put into it: numbers, dates, times, separators."""
    return re.sub(r"\d+[TZ]?|[^A-Za-z\d]", "", name)
