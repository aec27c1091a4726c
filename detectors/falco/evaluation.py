"""Falco rules as rules of the engine: found by their anchors, decided by their conditions.

All rules of a set are compiled together, and ask one event together: each comparison is compiled once, each field of an
event is read once, and with `rule_matching: first` the set knows which of its rules comes first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from detectors.falco.anchors import NEVER, bounds_of, undecided
from detectors.falco.audit_event import Mode
from detectors.falco.checking import Holds
from detectors.falco.explaining import explain
from detectors.falco.json_values import JsonValues
from detectors.falco.matching import JSON_SOURCES, Matcher, RuleMatching
from detectors.falco.resolving import GetValue
from detectors.falco.rules import LOGSOURCES, FalcoRule
from detectors.falco.sources import Source
from detectors.falco.syntax import Expr
from detectors.falco.tracing import trace
from detectors.rule import Rule
from detectors.testing.trace import Part
from vedette.schema.event import Event
from vedette.schema.finding import Clause


class FalcoOptions(msgspec.Struct, frozen=True):
    """How Falco's rules are run: `compat` says whose reading of an audit event counts."""

    compat: Mode = Mode.FIXED
    rule_matching: RuleMatching = RuleMatching.ALL


def engine_rules(rules: Sequence[FalcoRule], options: FalcoOptions) -> tuple[Rule, ...]:
    """Return all rules of a set as rules of the engine, those that can't be asked with the reason (`Rule.idle`)."""
    asking = _Asking(rules, options)
    return tuple(_engine_rule(rule, options, asking) for rule in rules)


def _engine_rule(rule: FalcoRule, options: FalcoOptions, asking: _Asking) -> Rule:
    predicate = bounds_of(rule).wide
    digest = hashlib.sha256(msgspec.json.encode((rule.content_hash, options))).hexdigest()
    idle = _why_idle(rule)
    if not idle and predicate == NEVER:
        idle = "its condition is never true"
    exact = None if idle else FalcoExact(rule, asking)
    return Rule(rule.info, rule.logsource, predicate, digest, exact=exact, idle=idle)


def _why_idle(rule: FalcoRule) -> str:
    if rule.source.name not in JSON_SOURCES:
        return f"events of Falco's source `{rule.source.name}` are seen by Falco alone, which evaluates it and reports"
    return "" if rule.enabled else "it is disabled (`enabled: false`)"


class _Asking:
    """The rules of a set, and the event last asked, which must not be changed while it is asked again."""

    def __init__(self, rules: Sequence[FalcoRule], options: FalcoOptions) -> None:
        self._mode = options.compat
        self._is_first = options.rule_matching is RuleMatching.FIRST
        self._matcher = Matcher([rule for rule in rules if rule.source.name in JSON_SOURCES], options.rule_matching)
        self._event: Event | None = None
        self._get: GetValue = JsonValues({}).get
        self._first: dict[str, list[FalcoRule]] = {}

    def condition(self, condition: Expr, source: Source) -> Holds:
        """Compile a condition."""
        return self._matcher.condition(condition, source)

    def values(self, event: Event) -> GetValue:
        """Return what reads the fields of an event."""
        if event is not self._event:
            self._get = self._values(event).get
            self._event = event
            self._first.clear()
        return self._get

    def comes_first(self, rule: FalcoRule, event: Event) -> bool:
        """Say whether no rule of its source that comes before matches the event; always true if all may match."""
        if not self._is_first:
            return True
        get, source = self.values(event), rule.source.name
        if source not in self._first:
            self._first[source] = self._matcher.match(source, get)
        return any(first is rule for first in self._first[source])

    def _values(self, event: Event) -> JsonValues:
        if any(source[:2] == LOGSOURCES["k8s_audit"][:2] for source in event.decoder.logsources):
            return JsonValues(event.head, self._mode, whole=lambda: event.doc)
        return JsonValues(event.doc, self._mode, event.decoder.time_ns(event.head))


class FalcoExact:
    """The condition of one rule of a set."""

    def __init__(self, rule: FalcoRule, asking: _Asking) -> None:
        """Compile what the rule's predicate leaves open; comparisons that other rules of the set have are shared."""
        self._rule = rule
        self._asking = asking
        left = undecided(rule)
        self._condition = None if left is None else asking.condition(left, rule.source)

    def holds(self, event: Event) -> bool:
        """Say whether the rule matches an event for which its predicate holds."""
        holds = self._condition is None or self._condition(self._asking.values(event))
        return holds and self._asking.comes_first(self._rule, event)

    def explain(self, event: Event) -> tuple[Clause, ...]:
        """Return the clauses that decided that it matches."""
        return explain(self._rule, self._asking.values(event))

    def trace(self, event: Event) -> Part:
        """Return how each comparison stands on an event, whether the rule matches or not."""
        return trace(self._rule, self._asking.values(event))
