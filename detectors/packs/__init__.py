"""The rules that ship with Vedette: one directory per pack, each rule beside the tests that prove it.

The packs are package data, so the wheel carries them and an upgrade of Vedette is an upgrade of its rules. This is the
one module of `detectors` that reads files; all others work on texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from detectors.rule import RuleText
from vedette.schema.errors import ConfigError, RuleError

FILE_BYTES_MAX: Final = 16 * 1024 * 1024
"""A larger file is not read at all; rules have their own, lower bound in characters."""
_SUFFIXES: Final = (".yml", ".yaml")


def shipped_pack_texts() -> list[RuleText]:
    """Return the texts of all shipped packs, in order of pack and file."""
    packs = sorted((entry for entry in files(__name__).iterdir() if entry.is_dir()), key=lambda entry: entry.name)
    return [
        RuleText(f"{pack.name}/{file.name}", file.read_text(encoding="utf-8"), pack.name)
        for pack in packs
        for file in _rule_files(pack)
    ]


def read_rule_files(paths: Iterable[Path | str]) -> list[RuleText]:
    """Return the texts of rule files and, in order of their names, of those in folders and their folders.

    Raises:
        ConfigError: a path is not there or can't be read.
        RuleError: a file is not UTF-8, or too large.
    """
    return [_read(file) for path in map(Path, paths) for file in _files(path)]


def _rule_files(pack: Traversable) -> list[Traversable]:
    return sorted((file for file in pack.iterdir() if file.name.endswith(_SUFFIXES)), key=lambda file: file.name)


def _files(path: Path) -> Iterator[Path]:
    if not path.exists():
        raise ConfigError(f"{path}: no such rule file or folder")
    if path.is_dir():
        yield from sorted(file for file in path.rglob("*") if file.suffix in _SUFFIXES and file.is_file())
    else:
        yield path


def _read(path: Path) -> RuleText:
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; check the path and its permissions") from error
    except UnicodeDecodeError as error:
        raise RuleError("the file is not UTF-8", path=str(path)) from error
    if len(content) > FILE_BYTES_MAX:
        raise RuleError(f"the file is larger than {FILE_BYTES_MAX} bytes; split it", path=str(path))
    return RuleText(str(path), text, str(path))
