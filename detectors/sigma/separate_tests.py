"""Tests of rules in files of their own, `*.tests.yml`: lists of tests, each of which names its rule.

- rule: 5c9f5a3e-3d0c-4a50-8a55-8f1c70a0c001  # its id or its title
  name: exec into another namespace
  match: false
  event: {verb: create, …}
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from detectors.rule import RuleText
from detectors.sigma.documents import LIST, read_documents
from detectors.sigma.metadata import Section
from detectors.sigma.tests import KEYS, read_test
from detectors.testing.case import RuleTest
from detectors.values import is_list, is_object
from vedette.schema.errors import RuleError


class SeparateTest(NamedTuple):
    """A test, and the id or title of its rule."""

    rule: str
    test: RuleTest


def read_separate_tests(texts: Iterable[RuleText]) -> tuple[list[SeparateTest], list[RuleError]]:
    """Return the tests of files, and everything wrong with them."""
    found: list[SeparateTest] = []
    errors: list[RuleError] = []
    for text in texts:
        for document in read_documents(text, lists=True):
            if isinstance(document, RuleError):
                errors.append(document)
                continue
            section = Section(document, ())
            values: Any = document.data.get(LIST)
            if is_list(values):
                found.extend(filter(None, (_read(section, value, at) for at, value in enumerate(values))))
            else:
                section.refuse("a file of tests is a list of rule, name, match and event")
            errors.extend(section.errors)
    return found, errors


def _read(section: Section, value: Any, at: int) -> SeparateTest | None:
    rule: Any = value.get("rule") if is_object(value) else None
    if is_object(value) and not isinstance(rule, str):
        section.refuse("a test in a file of its own names its rule, by id or title", at, "rule")
        return None
    test = read_test(section, value, (at,), ("rule", *KEYS))
    return None if test is None else SeparateTest(str(rule), test)
