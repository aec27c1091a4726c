"""Checks rule texts for their authors: what keeps rules from loading, and what will keep them from matching.

Pure: rules in, problems out, in the order of path, line and column.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum

import msgspec

from detectors.rule import LoadedRules
from detectors.sigma.dead import faults, verdict
from detectors.sigma.documents import Document, Key
from detectors.sigma.filters import Filter, Variant
from detectors.sigma.loading import Draft, Loading
from detectors.sigma.logsource import contains
from detectors.sigma.metadata import SECTION
from detectors.sigma.taxonomy import taxonomies_of
from vedette.schema.errors import RuleError
from vedette.schema.event import LogSource


class Severity(StrEnum):
    """How bad a problem is."""

    ERROR = "error"
    """The rule does not load, and with it nothing of its set."""
    WARNING = "warning"
    """The rule loads, and does not what it seems to."""


class Problem(msgspec.Struct, frozen=True, order=True):
    """Something wrong in a rule file; `line` and `column` count from 1, 0 means the whole file.

    `code`: a constant name of the kind of problem.
    """

    path: str
    line: int
    column: int
    severity: Severity
    code: str
    message: str

    def __str__(self) -> str:
        """Write as compilers do."""
        place = self.path + (f":{self.line}" if self.line else "") + (f":{self.column}" if self.column else "")
        return f"{place}: {self.severity}: {self.message}"


def check_rules(loading: Loading, loaded: LoadedRules, provided: Sequence[LogSource], today: str) -> list[Problem]:
    """Return everything wrong with rules that were loaded.

    `provided` are the log sources that there are events of. `today` (`2026-12-31`) tells which exceptions have expired.
    """
    found = list(map(refused, loaded.errors))
    for draft in loading.drafts:
        found.extend(_warnings(draft, provided))
    found.extend(_expired(exception) for exception in loading.filters if "" < exception.info.expires < today)
    return sorted(set(found))


def refused(error: RuleError) -> Problem:
    """Return an error of loading as a problem."""
    return Problem(error.path, error.line, error.column, Severity.ERROR, "refused", error.message)


def _expired(exception: Filter) -> Problem:
    message = f"the exception expired on {exception.info.expires}; remove it, or set a new date"
    return _warning(exception.document, "expired", message, SECTION, "expires")


def _warnings(draft: Draft, provided: Sequence[LogSource]) -> Iterator[Problem]:
    if draft.document.data.get("id") is None:
        yield _warning(
            draft.document, "no-id", "the rule has no id; its title takes that place, and may not change", "title"
        )
    if not any(contains(variant.logsource, source) for variant in draft.variants for source in provided):
        yield _warning(draft.document, "no-log-source", "no source provides events of this log source", "logsource")
    for variant in draft.variants:
        yield from _dead_parts(draft, variant)


def _dead_parts(draft: Draft, variant: Variant) -> Iterator[Problem]:
    known = taxonomies_of(variant.logsource)
    for atom, reason in faults(variant.predicate, known):
        yield _warning(draft.document, "dead-test", reason, *draft.places.get(atom.where, ("detection",)))
    verdicts = {verdict(variant.predicate, taxonomy) for taxonomy in known}
    if verdicts == {False}:
        yield _warning(
            draft.document, "dead-rule", "the rule can't match: its condition is never true", "detection", "condition"
        )
    if verdicts == {True}:
        yield _warning(draft.document, "always", "the rule matches every event", "detection", "condition")


def _warning(document: Document, code: str, message: str, *keys: Key) -> Problem:
    place = document.error(message, *keys, at_key=True)
    return Problem(place.path, place.line, place.column, Severity.WARNING, code, message)
