"""The cache of compiled rules: a folder of blobs, one for each rule set of late, below the data folder.

Its loss costs time alone: what is not there, can't be read or is not whole is compiled anew and written again. A blob
is found by a hash over the texts and over the code that compiles them, so no change of either is missed. The oldest are
removed.

Blobs are trusted as the data folder is: both belong to Vedette's user alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import logging
import os
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from prometheus_client import Counter

from detectors.rule_cache import cache_key, decode_loaded, encode_loaded, pack_parts, unpack_parts
from vedette.runtime.telemetry import OperationalEvent
from vedette.schema.errors import DecodeError
from vedette.schema.limits import MIB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from importlib.resources.abc import Traversable

    from detectors.rule import LoadedRules, RuleText

BLOBS_MAX: Final = 4
"""Rule sets kept: the one in force, the one before it, and room to go back and forth."""
BLOB_BYTES_MAX: Final = 64 * MIB
"""A larger blob is neither written nor read; that of 3,141 rules has 7 MB."""

_RULES: Final = "rules"
_DATABASE: Final = "database "
_CODE: Final = ("detectors", "vedette.schema")
"""Packages whose code says what rules mean and how they are stored."""
_LIBRARIES: Final = ("pysigma", "pyyaml", "google-re2", "msgspec")
"""Those that say which rules are right, and how they are stored."""


@dataclass(frozen=True, slots=True)
class BlobRefused(OperationalEvent):
    """Compiled rules were there, but not to be trusted."""

    component = "pipeline.rule_cache"
    message = "compiled rules can't be used; compiling them anew"
    level = logging.WARNING
    metric: ClassVar[Counter] = Counter(
        "vedette_rule_cache_refused_total", "Compiled rules that were not whole, so that they were compiled anew."
    )
    path: str
    error: str


@dataclass(frozen=True, slots=True)
class BlobUnwritable(OperationalEvent):
    """Compiled rules can't be kept; the next start compiles them again."""

    component = "pipeline.rule_cache"
    message = "compiled rules can't be kept; the next start compiles them again"
    level = logging.WARNING
    metric: ClassVar[Counter] = Counter(
        "vedette_rule_cache_write_failures_total", "Compiled rules that could not be kept; the next start takes longer."
    )
    error: str


class RuleCache:
    """Blobs by key. Nothing here fails: what can't be read is not there, and what can't be written is not kept."""

    def __init__(self, folder: Path) -> None:
        """Use a folder, which is made when it is needed, with the one above it."""
        self._folder = folder

    def read(self, key: str) -> dict[str, bytes] | None:
        """Return the parts that are kept for a key."""
        path = self._folder / key
        try:
            with path.open("rb") as file:
                parts = unpack_parts(key, file.read(BLOB_BYTES_MAX))
            os.utime(path)
        except FileNotFoundError:
            return None
        except (OSError, DecodeError) as error:
            self.refuse(key, error)
            return None
        return parts

    def refuse(self, key: str, error: Exception) -> None:
        """Say that what is kept for a key is of no use."""
        BlobRefused(str(self._folder / key), str(error)).emit()

    def write(self, key: str, parts: Mapping[str, bytes]) -> None:
        """Keep parts for a key, in place of those that were kept for it."""
        blob = pack_parts(key, parts)
        try:
            if len(blob) <= BLOB_BYTES_MAX:
                for folder in (self._folder.parent, self._folder):
                    folder.mkdir(mode=0o700, exist_ok=True)
                self._put(self._folder / key, blob)
                self._prune()
        except OSError as error:
            BlobUnwritable(str(error)).emit()

    def _put(self, path: Path, blob: bytes) -> None:
        """Put a file in its place: it is there as a whole, or not at all."""
        with tempfile.NamedTemporaryFile(dir=self._folder, delete=False) as file:
            try:
                file.write(blob)
                file.flush()
                os.fsync(file.fileno())
                Path(file.name).replace(path)
            except OSError:
                with contextlib.suppress(OSError):
                    Path(file.name).unlink()
                raise

    def _prune(self) -> None:
        """Remove all but the blobs used last; what a crash left half written goes the same way."""
        by_age = sorted(self._folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)
        for path in by_age[:-BLOBS_MAX]:
            path.unlink()


class CachedRules:
    """One rule set in the cache: its rules as they were loaded, and the databases that were compiled from them."""

    def __init__(self, texts: Sequence[RuleText], folder: Path, *, variant: str = "") -> None:
        """Read what is kept for some texts; `variant` names what else than these loading goes by."""
        self._texts = texts
        self._cache = RuleCache(folder)
        self._key = cache_key(texts, f"{_program()} {variant}")
        self._kept = self._cache.read(self._key) or {}
        self._loaded = self._kept.get(_RULES)
        self.databases: dict[str, bytes] = {
            name.removeprefix(_DATABASE): part for name, part in self._kept.items() if name.startswith(_DATABASE)
        }
        """For `detectors.engine.Engine`, which adds what it compiles."""

    def load(self, load: Callable[[Sequence[RuleText]], LoadedRules]) -> LoadedRules:
        """Return what `load` makes of the texts, from the cache if it is there. A set with errors is never kept."""
        if self._loaded is not None:
            try:
                return decode_loaded(self._loaded)
            except DecodeError as error:
                self._cache.refuse(self._key, error)
        loaded = load(self._texts)
        self._loaded = encode_loaded(loaded)
        return loaded

    def keep(self) -> None:
        """Keep what is new, if there is anything."""
        parts = {f"{_DATABASE}{name}": part for name, part in self.databases.items()}
        if self._loaded is not None:
            parts[_RULES] = self._loaded
        if parts != self._kept:
            self._cache.write(self._key, parts)


@lru_cache(maxsize=1)
def _program() -> str:
    """Name the code that compiles rules by its content: a version would stay the same while code is being changed."""
    digest = hashlib.sha256()
    for package in _CODE:
        for name, content in _sources(files(package), package):
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return " ".join((*(f"{name} {importlib.metadata.version(name)}" for name in _LIBRARIES), digest.hexdigest()))


def _sources(folder: Traversable, name: str) -> Iterator[tuple[str, bytes]]:
    """Yield the files of a package and of those below it. Rules that ship are texts like all others."""
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        inner = f"{name}/{entry.name}"
        if not entry.is_dir():
            yield inner, entry.read_bytes()
        elif entry.name not in ("packs", "__pycache__"):
            yield from _sources(entry, inner)
