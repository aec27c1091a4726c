"""How each comparison of a Falco rule stands on an event, as `detectors.testing.trace` tells it of predicates."""

from __future__ import annotations

from msgspec.structs import replace

from detectors.explain import bounded
from detectors.falco.conditions import matches
from detectors.falco.explaining import WHERE, asked_of, path_of
from detectors.falco.resolving import GetValue, bind
from detectors.falco.rules import FalcoRule
from detectors.falco.sources import Source
from detectors.falco.syntax import And, Check, Expr, Not, Or, render_operand
from detectors.testing.trace import Part, State, state_of


def trace(rule: FalcoRule, get: GetValue) -> Part:
    """Return how a rule's condition stands on an event."""
    return _part(rule.condition, rule.source, get, needed=True)


def _part(expr: Expr, source: Source, get: GetValue, *, needed: bool) -> Part:
    if isinstance(expr, Check):
        return _clause(expr, source, get, needed=needed)
    if isinstance(expr, Not):
        inner = _part(expr.part, source, get, needed=needed)
        return Part("not", state_of(not inner.held, needed=needed), (inner,))
    if isinstance(expr, And):
        parts = tuple(_part(part, source, get, needed=needed) for part in expr.parts)
        return Part("and", state_of(all(part.held for part in parts), needed=needed), parts)
    assert isinstance(expr, Or), "macros are expanded"
    found: list[Part] = []
    for part in expr.parts:
        wanted = needed and not any(before.held for before in found)
        found.append(_part(part, source, get, needed=wanted))
    return Part("or", state_of(any(part.held for part in found), needed=needed), tuple(found))


def _clause(check: Check, source: Source, get: GetValue, *, needed: bool) -> Part:
    asked = Part("clause", State.NOT_NEEDED, where=WHERE, field=render_operand(check.left), test=asked_of(check))
    if not needed:
        return asked
    told = replace(asked, state=state_of(matches(check, source, get), needed=True))
    value = bind(check.left, source).read(get)
    return told if value is None else replace(told, path=path_of(check) or told.field, value=bounded(value), values=1)
