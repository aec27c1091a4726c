"""Checks rules by their tests, and tests by mutants of their rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from detectors.behaviour.definition import Definition
from detectors.behaviour.testing import passes
from detectors.correlation.definition import Correlation
from detectors.correlation.finding import Firing
from detectors.fields import getter
from detectors.library import Library
from detectors.predicate import GetValues, Predicate, matches
from detectors.rule import AnyRule, Rule
from detectors.sigma.separate_tests import SeparateTest
from detectors.testing.behaviour import definition_mutants, failure
from detectors.testing.case import RuleTest
from detectors.testing.mutants import Change, correlation_mutants, mutants
from detectors.testing.related import asks
from detectors.testing.rule_trace import trace_rule
from detectors.testing.running import Bench, CaseError
from detectors.testing.trace import Part, decisive
from vedette.schema.errors import ConfigError, RuleError
from vedette.schema.event import Decoder, Event


class Result(msgspec.Struct, frozen=True):
    """How a test came out.

    Where it failed, `problem` says how, and `clauses` which of the rule's were decisive on the `event` with that number
    (from 1): those that kept it from matching, of the event that came closest, or those by which it matched.
    """

    test: RuleTest
    problem: str = ""
    event: int = 0
    clauses: tuple[Part, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether all is well."""
        return not self.problem


class Report(msgspec.Struct, frozen=True):
    """What the tests of one rule say. `survivors` are the mutants, of `mutants`, that no test tells from the rule."""

    rule: AnyRule
    results: tuple[Result, ...]
    mutants: int = 0
    survivors: tuple[Change, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether all tests pass; also where there are none."""
        return all(result.passed for result in self.results)

    @property
    def proven(self) -> bool:
        """Whether there are tests, one that matches among them, and all pass."""
        return self.passed and any(result.test.match for result in self.results)

    @property
    def lacks(self) -> tuple[str, ...]:
        """Which kinds of test there are none of: `positive`, `negative`."""
        there = {result.test.match for result in self.results}
        return tuple(name for name, match in (("positive", True), ("negative", False)) if match not in there)


class Checker:
    """Runs the tests of a library's rules, those inside them and `separate` ones."""

    def __init__(
        self, library: Library, decoders: Mapping[str, Decoder], separate: Iterable[SeparateTest] = ()
    ) -> None:
        """Join separate tests to their rules; `errors` tells of those whose rule is not there."""
        self.library = library
        self._decoders = decoders
        self.bench = Bench(library.loaded, decoders)
        self.errors: list[RuleError] = []
        self._separate: dict[str, list[RuleTest]] = {}
        for given in separate:
            try:
                rule = library.find(given.rule)
            except ConfigError as error:
                self.errors.append(RuleError(str(error), path=given.test.path, line=given.test.line))
            else:
                self._separate.setdefault(rule.info.rule_id, []).append(given.test)

    @property
    def named(self) -> frozenset[str]:
        """The ids of the rules that separate tests name."""
        return frozenset(self._separate)

    def tests(self, rule: AnyRule) -> tuple[RuleTest, ...]:
        """Return all tests of a rule."""
        return (*rule.tests, *self._separate.get(rule.info.rule_id, ()))

    def check(self, rule: AnyRule) -> Report:
        """Run a rule's tests."""
        return Report(rule, tuple(self._result(rule, test) for test in self.tests(rule)))

    def mutate(self, report: Report, hows: Sequence[str]) -> Report:
        """Add to a report which mutants survive the tests that pass, of the kinds `hows`. Falco's rules have none."""
        passed = [result.test for result in report.results if result.passed]
        found = list(self._mutants(report.rule, passed, hows))
        survivors = tuple(dict.fromkeys(change for change, lives in found if lives))
        return msgspec.structs.replace(report, mutants=len(found), survivors=survivors)

    def _result(self, rule: AnyRule, test: RuleTest) -> Result:
        try:
            if isinstance(rule, Definition):
                return Result(test, *failure(rule, test))
            events = self.bench.events(rule, test)
        except CaseError as error:
            return Result(test, str(error))
        if isinstance(rule, Correlation):
            return self._fired(rule, test, events)
        if self.bench.matches(rule, events) is test.match:
            return Result(test)
        return self._matched(rule, test, events)

    def _matched(self, rule: Rule, test: RuleTest, events: Sequence[Event]) -> Result:
        traced = [
            (number, trace_rule(one, event))
            for number, event in enumerate(events, 1)
            for one in self.bench.asked(rule, event)
        ]
        if not test.match:
            number, part = next(found for found in traced if found[1].held)
            return Result(test, "should not match, and does", number, tuple(decisive(part)))
        if not traced:
            return Result(test, f"should match, and is not asked: the rule looks at {self._formats(rule)}")
        number, part = min(traced, key=lambda found: sum(1 for _ in decisive(found[1])))
        return Result(test, "should match, and does not", number, tuple(decisive(part)))

    def _formats(self, rule: Rule) -> str:
        return ", ".join(self.library.related.formats(rule, self._decoders)) or "nothing"

    def _fired(self, correlation: Correlation, test: RuleTest, events: Sequence[Event]) -> Result:
        course = self.bench.course(correlation, events)
        if bool(course.firings) is test.match:
            return Result(test)
        if not test.match:
            return Result(test, f"should not fire, and does: {_why(course.firings[0])}")
        counts = ", ".join(
            f"`{member.title}` matched {course.matched.get(member.rule_id, 0)} of {len(events)} events"
            for member in correlation.members
        )
        left_out = ", ".join(f"{count} left out ({reason})" for reason, count in course.left_out.items())
        return Result(test, f"should fire, and does not: {'; '.join(filter(None, (counts, left_out)))}")

    def _mutants(self, rule: AnyRule, tests: Sequence[RuleTest], hows: Sequence[str]) -> Iterator[tuple[Change, bool]]:
        """Yield what each mutant changes, and whether it survives."""
        if isinstance(rule, Definition):
            for change, changed in definition_mutants(rule):
                if change.how in hows:
                    yield change, all(passes(changed, test) for test in tests)
            return
        events = [self.bench.events(rule, test) for test in tests]
        if isinstance(rule, Correlation):
            for change, mutant in correlation_mutants(rule):
                if change.how not in hows:
                    continue
                fired = (bool(self.bench.course(mutant, course).firings) for course in events)
                yield change, all(fires is test.match for fires, test in zip(fired, tests, strict=True))
            return
        variants = self.library.variants(rule.info.rule_id)
        for variant in (found for found in variants if found.exact is None and not found.idle):
            asked = [[_values(event.doc) for event in course if asks(variant, event)] for course in events]
            expected = [_any(variant.predicate, documents) for documents in asked]
            for change, predicate in mutants(variant.predicate, partial(self.library.is_own, rule.info.rule_id)):
                if change.how not in hows:
                    continue
                outcomes = (_any(predicate, documents) for documents in asked)
                yield change, all(found is want for found, want in zip(outcomes, expected, strict=True))


def _any(predicate: Predicate, documents: Iterable[GetValues]) -> bool:
    return any(matches(predicate, get_values) for get_values in documents)


def _values(doc: dict[str, Any]) -> GetValues:
    """Look values up once each: mutants ask for the same ones over and over."""
    known: dict[str | None, tuple[Any, ...]] = {}

    def get(field: str | None) -> tuple[Any, ...]:
        if field not in known:
            known[field] = getter(field)(doc)
        return known[field]

    return get


def _why(firing: Firing) -> str:
    clauses = firing.clauses()
    keys = ", ".join(f"{clause.field}: {clause.value}" for clause in clauses if clause.where == "group-by")
    return f"{clauses[0].test}, measured {firing.measured}" + (f", of {keys}" if keys else "")
