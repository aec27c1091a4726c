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
_COVERAGE: Final = "coverage.yml"
_TESTS_SUFFIXES: Final = tuple(f".tests{suffix}" for suffix in _SUFFIXES)


def shipped_pack_texts(*, tests: bool = False) -> list[RuleText]:
    """Return the texts of all shipped packs, in order of pack and file; `tests`: their files of tests instead."""
    packs = sorted((entry for entry in files(__name__).iterdir() if entry.is_dir()), key=lambda entry: entry.name)
    return [
        RuleText(f"{pack.name}/{file.name}", file.read_text(encoding="utf-8"), pack.name)
        for pack in packs
        for file in _rule_files(pack, tests=tests)
    ]


def coverage_table() -> RuleText:
    """Return the table of what there is to detect (`detectors.testing.coverage`)."""
    return RuleText(_COVERAGE, files(__name__).joinpath(_COVERAGE).read_text(encoding="utf-8"), "")


def read_rule_files(paths: Iterable[Path | str]) -> list[RuleText]:
    """Return the texts of rule files and, in order of their names, of those in folders and their folders.

    Files of tests (`*.tests.yml`) in folders are none.

    Raises:
        ConfigError: a path is not there or can't be read.
        RuleError: a file is not UTF-8, or too large.
    """
    return [_read(file) for path in map(Path, paths) for file in _files(path)]


def read_test_files(paths: Iterable[Path | str]) -> list[RuleText]:
    """Return the texts of files of tests, of those in folders, and of those beside rule files.

    `exec.tests.yml` is beside `exec.yml`.

    Raises:
        ConfigError, RuleError: as `read_rule_files`.
    """
    found = {file: None for path in map(Path, paths) for file in _test_files(path)}
    return [_read(file) for file in found]


def is_test_file(name: str) -> bool:
    """Say by its name whether a file has tests of rules, and no rules."""
    return name.endswith(_TESTS_SUFFIXES)


def _rule_files(pack: Traversable, *, tests: bool) -> list[Traversable]:
    found = (file for file in pack.iterdir() if file.name.endswith(_SUFFIXES) and is_test_file(file.name) is tests)
    return sorted(found, key=lambda file: file.name)


def _files(path: Path) -> Iterator[Path]:
    if not path.exists():
        raise ConfigError(f"{path}: no such rule file or folder")
    if path.is_dir():
        yield from (file for file in _in_folder(path) if not is_test_file(file.name))
    else:
        yield path


def _test_files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from (file for file in _in_folder(path) if is_test_file(file.name))
    elif is_test_file(path.name):
        yield path
    else:
        beside = (path.with_name(path.stem + suffix) for suffix in _TESTS_SUFFIXES)
        yield from (file for file in beside if file.is_file())


def _in_folder(path: Path) -> list[Path]:
    """Return the files of a folder; those in folders such as `..data` are versions of a mounted ConfigMap."""
    return sorted(
        file
        for file in path.rglob("*")
        if file.suffix in _SUFFIXES
        and not any(part.startswith("..") for part in file.relative_to(path).parts)
        and file.is_file()
    )


def _read(path: Path) -> RuleText:
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; check the path and its permissions") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise RuleError("the file is not UTF-8; save it as that", path=str(path), line=line) from error
    if len(content) > FILE_BYTES_MAX:
        raise RuleError(f"the file is larger than {FILE_BYTES_MAX} bytes; split it", path=str(path), line=1)
    return RuleText(str(path), text, str(path))
