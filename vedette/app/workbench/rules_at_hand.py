"""Which rules, and which tests, a command of the workbench is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.decoders import DECODERS
from detectors.library import Library
from detectors.packs import coverage_table, is_test_file, read_rule_files, read_test_files, shipped_pack_texts
from detectors.sigma.separate_tests import read_separate_tests
from detectors.testing.checking import Checker
from detectors.testing.coverage import read_table
from vedette.app.config_file import load_config
from vedette.app.wiring import read_rules
from vedette.schema.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from detectors.rule import AnyRule, RuleText
    from detectors.testing.coverage import Row
    from vedette.schema.errors import RuleError


def open_library(paths: Sequence[Path], config: Path | None) -> Library:
    """Load the rules of files and folders; without any, the configured ones.

    Raises:
        ConfigError: something is not there, or some rules can't be used; a line for each. RuleError: a file is no text.
    """
    rules = load_config(config).rules
    library = Library(read_rule_files(paths) if paths else read_rules(rules), rules.falco.options())
    _refuse(library.loaded.errors)
    return library


def open_shipped() -> tuple[Checker, list[AnyRule]]:
    """Load the rules of all shipped packs with their tests, as `open_checker` does."""
    library = Library(shipped_pack_texts())
    separate, errors = read_separate_tests(shipped_pack_texts(tests=True))
    checker = Checker(library, DECODERS, separate)
    _refuse([*library.loaded.errors, *errors, *checker.errors])
    return checker, list(library.rules.values())


def open_checker(paths: Sequence[Path], config: Path | None) -> tuple[Checker, list[AnyRule]]:
    """Load rules with their tests, also those in files of their own; return the rules to be tested, too.

    These are all rules, but where only files of tests are named, the configured ones that have tests there.

    Raises:
        ConfigError: as `open_library`; or a file of tests is wrong. RuleError: a file is no text.
    """
    rules = [path for path in paths if path.is_dir() or not is_test_file(path.name)]
    library = open_library(rules, config)
    separate, errors = read_separate_tests(read_test_files(paths) if paths else _configured_tests(config))
    checker = Checker(library, DECODERS, separate)
    _refuse([*errors, *checker.errors])
    if not paths or rules:
        return checker, list(library.rules.values())
    return checker, [rule for rule_id, rule in library.rules.items() if rule_id in checker.named]


def open_table(path: Path | None) -> list[Row]:
    """Read a coverage table, or the shipped one.

    Raises:
        ConfigError: it is not there, or wrong; a line for each reason. RuleError: it is no text.
    """
    rows, errors = read_table(coverage_table() if path is None else next(iter(read_rule_files([path]))))
    _refuse(errors)
    return rows


def _configured_tests(config: Path | None) -> list[RuleText]:
    rules = load_config(config).rules
    shipped = [text for text in shipped_pack_texts(tests=True) if text.pack in rules.packs]
    return shipped + read_test_files(rules.paths)


def _refuse(errors: Iterable[RuleError]) -> None:
    found = list(errors)
    if found:
        raise ConfigError("\n".join(map(str, found)))
