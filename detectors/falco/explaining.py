"""Why a Falco rule matched: the comparisons that decided, each with the value it was decided by.

The same choice as in `detectors.explain`: of And every part, of Or the first that holds; under Not of And the first
that does not hold, of Or every part.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from detectors.explain import CLAUSES_MAX, VALUE_CHARS_MAX, bounded
from detectors.falco.anchors import DOCUMENT_PATHS
from detectors.falco.conditions import matches
from detectors.falco.resolving import GetValue, bind
from detectors.falco.rules import FalcoRule
from detectors.falco.sources import Source
from detectors.falco.syntax import And, Check, Expr, Field, Not, Or, render, render_operand
from vedette.schema.finding import Clause

WHERE: Final = "condition"


def explain(rule: FalcoRule, get: GetValue) -> tuple[Clause, ...]:
    """Return the clauses that decided that a rule matches an event, in the rule's order."""
    return tuple(islice(_why(rule.condition, rule.source, get), CLAUSES_MAX))


def _why(expr: Expr, source: Source, get: GetValue) -> Iterator[Clause]:
    if isinstance(expr, Check):
        yield _clause(expr, source, get, negated=False)
    elif isinstance(expr, Not):
        yield from _why_not(expr.part, source, get)
    elif isinstance(expr, And):
        for part in expr.parts:
            yield from _why(part, source, get)
    else:
        assert isinstance(expr, Or), "macros are expanded"
        yield from _why(_first(expr.parts, source, get, holding=True), source, get)


def _why_not(expr: Expr, source: Source, get: GetValue) -> Iterator[Clause]:
    if isinstance(expr, Check):
        yield _clause(expr, source, get, negated=True)
    elif isinstance(expr, Not):
        yield from _why(expr.part, source, get)
    elif isinstance(expr, And):
        yield from _why_not(_first(expr.parts, source, get, holding=False), source, get)
    else:
        assert isinstance(expr, Or), "macros are expanded"
        for part in expr.parts:
            yield from _why_not(part, source, get)


def _first(parts: tuple[Expr, ...], source: Source, get: GetValue, *, holding: bool) -> Expr:
    return next(part for part in parts if matches(part, source, get) is holding)


def _clause(check: Check, source: Source, get: GetValue, *, negated: bool) -> Clause:
    value = bind(check.left, source).read(get)
    path = path_of(check) if value is not None else ""
    return Clause(
        WHERE, render_operand(check.left), asked_of(check, negated=negated), path, bounded(value), negated=negated
    )


def asked_of(check: Check, *, negated: bool = False) -> str:
    """Say what a comparison asks of its left side."""
    test = render(check)[len(render_operand(check.left)) + 1 :]
    shown = f"not: {test}" if negated else test
    return shown if len(shown) <= VALUE_CHARS_MAX else f"{shown[: VALUE_CHARS_MAX - 1]}…"


def path_of(check: Check) -> str:
    """Return where the value stands in the document, where that is one place."""
    if not isinstance(check.left, Field):
        return ""
    if check.left.name == "jevt.value":
        return check.left.arg or ""
    return DOCUMENT_PATHS.get(check.left.name, "")
