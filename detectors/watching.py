"""Which exceptions keep rules from matching: rules with exceptions are run without them, and judged when they match.

So an exception costs events of no interest nothing, neither in the index nor behind it: what it asks for is looked at
only where the rule would match without it. There it says either that the event passes, and by which exception, or
nothing; then it is the rule's match as if nobody had looked.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, NamedTuple

import msgspec

from detectors.compiled import Check, compile_predicate
from detectors.engine import explained
from detectors.fields import top_keys
from detectors.predicate import And, Predicate, all_of, atoms, fields
from detectors.rule import Rule
from detectors.sigma.filters import exception_of
from vedette.schema.event import Event
from vedette.schema.finding import Match
from vedette.schema.rule import RuleInfo


class Watcher(RuleInfo, frozen=True):
    """What a rule without its exceptions says about itself: the same, and what these ask for, by their titles."""

    exceptions: tuple[tuple[str, Predicate], ...] = ()


def watched(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """Return rules, each that has exceptions without them: the `info` of such a one is a `Watcher`."""
    return tuple(map(_watched, rules))


def _watched(rule: Rule) -> Rule:
    parts = rule.predicate.parts if isinstance(rule.predicate, And) else (rule.predicate,)
    found: dict[str, list[Predicate]] = {}
    base: list[Predicate] = []
    for part in parts:
        exception = next(filter(None, (exception_of(atom.where) for atom in atoms(part))), "")
        (found.setdefault(exception, []) if exception else base).append(part)
    if not found:
        return rule
    said: dict[str, Any] = msgspec.structs.asdict(rule.info)
    info = Watcher(**said, exceptions=tuple((title, all_of(held)) for title, held in found.items()))
    return msgspec.structs.replace(rule, info=info, predicate=all_of(base))


class _Asked(NamedTuple):
    """What an exception asks for. `keys`: of the document's top level, what it looks at."""

    title: str
    holds: Check
    keys: frozenset[str | None]


class _Judged(NamedTuple):
    """A rule as it is loaded, what runs in its place, and what its exceptions ask for."""

    rule: Rule
    info: Watcher
    asked: tuple[_Asked, ...]


class Excepting:
    """Judges the matches of watchers."""

    def __init__(self, rules: Iterable[Rule], watching: Iterable[Rule]) -> None:
        """Compile the exceptions of `rules`; `watching` is what `watched` made of them."""
        judged = [
            _Judged(rule, other.info, tuple(_asked(*one) for one in other.info.exceptions))
            for rule, other in zip(rules, watching, strict=True)
            if isinstance(other.info, Watcher)
        ]
        self._judged = {id(one.info): one for one in judged}
        self.pairs = tuple((title, one.info.rule_id) for one in judged for title, _ in one.info.exceptions)
        """Every exception with the id of each rule that it joins."""

    def judge(self, match: Match) -> tuple[list[str], Match]:
        """Return the exceptions that let the event of a watcher's match pass; and the match as its rule would say it.

        That is one only where no exception is returned.
        """
        rule, _, asked = self._judged[id(match.rule)]
        event = match.event
        titles = [each.title for each in asked if not each.holds(_document(each, event))]
        return titles, match._replace(rule=rule.info, explain=partial(explained, rule, event, whole=True))


def _asked(title: str, held: Predicate) -> _Asked:
    keys = frozenset(None if name is None else top_keys(name)[0] for name in fields(held))
    return _Asked(title, compile_predicate(held), keys)


def _document(asked: _Asked, event: Event) -> dict[str, Any]:
    """Return the head if it says all that is asked for: nothing is decoded for the sake of a count."""
    head_fields = event.decoder.head_fields
    return event.head if head_fields is None or asked.keys <= head_fields else event.doc
