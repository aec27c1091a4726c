"""How a whole rule stands on an event, in whatever language it is, with the exceptions that join it."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from detectors.predicate import And, Predicate, atoms
from detectors.rule import Rule
from detectors.sigma.filters import exception_of
from detectors.testing.trace import Part, state_of, trace
from vedette.schema.event import Event


@runtime_checkable
class Traced(Protocol):
    """What can tell of a rule that is more than its predicate (`detectors.rule.Exact`)."""

    def trace(self, event: Event) -> Part:
        """Return how the condition stands on an event."""
        ...


def trace_rule(rule: Rule, event: Event) -> Part:
    """Return how a rule's condition and its parts stand on an event."""
    exact: object = rule.exact
    if not isinstance(exact, Traced):
        return trace(rule.predicate, event.doc)
    parts = (exact.trace(event), *(trace(part, event.doc) for part in _exceptions(rule.predicate)))
    return parts[0] if len(parts) == 1 else Part("and", state_of(all(part.held for part in parts), needed=True), parts)


def _exceptions(predicate: Predicate) -> list[Predicate]:
    """Return what exceptions ask for; the rest of a predicate beside an exact part only helps to find the rule."""
    parts = predicate.parts if isinstance(predicate, And) else (predicate,)
    return [part for part in parts if any(exception_of(atom.where) for atom in atoms(part))]
