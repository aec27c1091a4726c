"""Finding many literal texts at once, by Hyperscan (Vectorscan's build of it): the one adapter of that library.

A scan costs about as much for ten thousand literals as for ten. Databases are bound to the version of the library and
to the processor; a stored one that does not fit any more is compiled again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, MutableMapping, Sequence
from typing import Any

try:
    import hyperscan as _hyperscan
except ImportError:  # no build of it for this platform: `detectors.index` does without
    _hyperscan = None  # type: ignore[assignment]

hyperscan: Any = _hyperscan

Find = Callable[[bytes], list[int]]
"""From a text to the positions of the literals that it contains; a position may come more than once."""
Databases = MutableMapping[str, bytes]
"""Compiled databases in serialised form, by what they were compiled from."""


def is_available() -> bool:
    """Say whether the library is there."""
    return hyperscan is not None


def compile_literals(literals: Sequence[bytes], databases: Databases) -> Find:
    """Compile literals, none of which is empty, to a scan for one thread at a time.

    A database that is kept for them is used if it can be; else the new one is kept.
    """
    assert hyperscan is not None, "`is_available` was asked"
    key = hashlib.sha256(b"\0".join(literals)).hexdigest()
    stored = databases.get(key)
    database = None if stored is None else _loaded(stored)
    if database is None:
        database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        ids = list(range(len(literals)))
        database.compile(expressions=literals, ids=ids, flags=hyperscan.HS_FLAG_SINGLEMATCH, literal=True)
        databases[key] = hyperscan.dumpb(database)
    database.scratch = hyperscan.Scratch(database)
    scan = database.scan

    def find(data: bytes) -> list[int]:
        found: list[int] = []
        scan(data, _note, context=found)
        return found

    return find


def _note(literal: int, _start: int, _end: int, _flags: int, found: list[int]) -> None:
    found.append(literal)


def _loaded(stored: bytes) -> Any:
    try:
        return hyperscan.loadb(stored, mode=hyperscan.HS_MODE_BLOCK)
    except hyperscan.HyperscanError:  # of another version, for another processor, or damaged: it has a checksum
        return None
