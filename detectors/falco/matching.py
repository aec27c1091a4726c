"""Which rules match: those of one source, in their order, the first or all.

Source: falcosecurity/falco, userspace/engine/evttype_index_ruleset.cpp and the option `rule_matching`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from itertools import islice
from typing import Any, Final

from detectors.falco.audit_event import Mode
from detectors.falco.checking import Holds, compile_check
from detectors.falco.conditions import compile_with, matches
from detectors.falco.guards import Candidates, guards_of
from detectors.falco.json_values import JsonValues
from detectors.falco.resolving import GetValue
from detectors.falco.rules import FalcoRule
from detectors.falco.sources import Source
from detectors.falco.syntax import Check, Expr

JSON_SOURCES: Final = ("k8s_audit", "json")
"""The sources whose fields are read from documents."""


class RuleMatching(StrEnum):
    """How many rules of a source may match one event."""

    FIRST = "first"
    ALL = "all"


class Matcher:
    """The enabled rules of some rule files, compiled."""

    def __init__(self, rules: Iterable[FalcoRule], rule_matching: RuleMatching = RuleMatching.FIRST) -> None:
        self._is_first = rule_matching is RuleMatching.FIRST
        self._compiled: dict[tuple[str, bool, Check], Holds] = {}
        self._rules: dict[str, list[tuple[FalcoRule, Holds]]] = {}
        for rule in rules:
            if rule.enabled:
                self._rules.setdefault(rule.source.name, []).append((rule, self.condition(rule.condition, rule.source)))
        self._candidates = {
            source: Candidates([guards_of(rule.condition, rule.source) for rule, _ in found])
            for source, found in self._rules.items()
        }

    def condition(self, condition: Expr, source: Source) -> Holds:
        """Compile a condition; what other rules ask, too, is compiled once."""
        return compile_with(condition, lambda check: self._check(check, source))

    def _check(self, check: Check, source: Source) -> Holds:
        key = (source.name, source.untyped_lists, check)
        holds = self._compiled.get(key)
        if holds is None:
            holds = self._compiled[key] = compile_check(check, source)
        return holds

    def match(self, source: str, get: GetValue) -> list[FalcoRule]:
        """Return the rules of a source that match an event with the given values of fields."""
        rules = self._rules.get(source)
        if rules is None:
            return []
        candidates = map(rules.__getitem__, self._candidates[source].find(get))
        return self._found(rule for rule, holds in candidates if holds(get))

    def interpret(self, source: str, get: GetValue) -> list[FalcoRule]:
        """Return the same as `match`, by the reference meaning."""
        rules = self._rules.get(source, ())
        return self._found(rule for rule, _ in rules if matches(rule.condition, rule.source, get))

    def _found(self, rules: Iterator[FalcoRule]) -> list[FalcoRule]:
        return list(islice(rules, 1)) if self._is_first else list(rules)

    def match_document(self, doc: dict[str, Any], mode: Mode = Mode.FIXED, time_ns: int = 0) -> list[FalcoRule]:
        """Return the rules of the sources that are read from documents (see JSON_SOURCES) that match one."""
        get = JsonValues(doc, mode, time_ns).get
        return [rule for source in JSON_SOURCES for rule in self.match(source, get)]

    def interpret_document(self, doc: dict[str, Any], mode: Mode = Mode.FIXED, time_ns: int = 0) -> list[FalcoRule]:
        """Return the same as `match_document`, by the reference meaning."""
        get = JsonValues(doc, mode, time_ns).get
        return [rule for source in JSON_SOURCES for rule in self.interpret(source, get)]
