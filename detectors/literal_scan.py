"""Finding many literal texts at once, by Hyperscan (Vectorscan's build of it): the one adapter of that library.

A scan costs about as much for ten thousand literals as for ten. Databases are bound to the version of the library and
to the processor; a stored one that does not fit any more is compiled again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

try:
    import hyperscan as _hyperscan
except ImportError:  # no build of it for this platform: `detectors.index` does without
    _hyperscan = None  # type: ignore[assignment]

hyperscan: Any = _hyperscan

Find = Callable[[bytes], list[int]]
"""From a text to the positions of the literals that it contains; a position may come more than once."""


def is_available() -> bool:
    """Say whether the library is there."""
    return hyperscan is not None


def compile_literals(literals: Sequence[bytes], stored: bytes | None = None) -> tuple[Find, bytes]:
    """Compile literals to a scan; return it with the database's serialised form.

    `stored` is what an earlier call returned for the same literals; one that can't be used is as good as none. The scan
    is for one thread at a time. Literals are not empty.
    """
    assert hyperscan is not None, "`is_available` was asked"
    database = None if stored is None else _loaded(stored)
    if database is None:
        database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        ids = list(range(len(literals)))
        database.compile(expressions=literals, ids=ids, flags=hyperscan.HS_FLAG_SINGLEMATCH, literal=True)
        stored = hyperscan.dumpb(database)
    assert stored is not None, "it was just made"
    database.scratch = hyperscan.Scratch(database)
    scan = database.scan

    def find(data: bytes) -> list[int]:
        found: list[int] = []
        scan(data, _note, context=found)
        return found

    return find, stored


def _note(literal: int, _start: int, _end: int, _flags: int, found: list[int]) -> None:
    found.append(literal)


def _loaded(stored: bytes) -> Any:
    try:
        return hyperscan.loadb(stored, mode=hyperscan.HS_MODE_BLOCK)
    except hyperscan.HyperscanError:  # of another version, for another processor, or damaged: it has a checksum
        return None
