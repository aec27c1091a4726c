"""Which exceptions keep rules from matching: a watcher for each pair of a rule and an exception of it.

A watcher is a rule like any other: it holds where its rule would hold without any exception, and the exception lets the
event pass. So the index finds it as it finds the rule, and events without interest cost nothing more. Events that only
watchers match were matched by the rule before somebody wrote the exception.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from detectors.predicate import And, Atom, Not, Predicate, all_of, any_of, atoms
from detectors.rule import Rule
from detectors.sigma.filters import exception_of
from vedette.schema.rule import RuleInfo


class Watcher(RuleInfo, frozen=True):
    """What a watcher says about itself: all that its rule does, and the title of the exception."""

    exception: str = ""


def watchers(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """Return the watchers of all rules that have exceptions, in the order of the rules."""
    return tuple(watcher for rule in rules for watcher in _watchers(rule))


def _watchers(rule: Rule) -> list[Rule]:
    parts = rule.predicate.parts if isinstance(rule.predicate, And) else (rule.predicate,)
    found: dict[str, list[Predicate]] = {}
    base: list[Predicate] = []
    for part in parts:
        exception = next(filter(None, (exception_of(atom.where) for atom in atoms(part))), "")
        (found.setdefault(exception, []) if exception else base).append(part)
    return [_watcher(rule, exception, base, held) for exception, held in found.items()]


def _watcher(rule: Rule, exception: str, base: Sequence[Predicate], held: Sequence[Predicate]) -> Rule:
    said: dict[str, Any] = msgspec.structs.asdict(rule.info)
    info = Watcher(**said, exception=exception)
    predicate = all_of([*base, any_of(map(negated, held))])
    return msgspec.structs.replace(rule, info=info, predicate=predicate, tests=())


def negated(predicate: Predicate) -> Predicate:
    """Return what holds where a predicate does not, with negations as far inside as they go: indexes look there."""
    if isinstance(predicate, Atom):
        return Not(predicate)
    if isinstance(predicate, Not):
        return predicate.part
    join = any_of if isinstance(predicate, And) else all_of
    return join(map(negated, predicate.parts))
