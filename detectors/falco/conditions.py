"""Conditions bound to a source: compiled to closures, and interpreted plainly as the reference meaning.

Short-circuit from left to right, as Falco does. Missing values make a comparison false, and `not` of it true.
"""

from __future__ import annotations

from collections.abc import Callable

from detectors.combine import every, some
from detectors.falco.checking import Holds, compile_check
from detectors.falco.lexer import ConditionError
from detectors.falco.resolving import GetValue
from detectors.falco.sources import Source
from detectors.falco.syntax import And, Check, Expr, Macro, Not

CompileCheck = Callable[[Check], Holds]


def matches(expr: Expr, source: Source, get: GetValue) -> bool:
    """Say whether a condition holds: the reference meaning.

    Raises:
        ConditionError: it does not fit the source, or has a macro left.
    """
    if isinstance(expr, Check):
        return compile_check(expr, source)(get)
    if isinstance(expr, Not):
        return not matches(expr.part, source, get)
    if isinstance(expr, Macro):
        raise ConditionError(f"filter error: unexpected identifier '{expr.name}'", expr.offset)
    results = (matches(part, source, get) for part in expr.parts)
    return all(results) if isinstance(expr, And) else any(results)


def compile_condition(expr: Expr, source: Source) -> Holds:
    """Compile a condition without macros to one function.

    Raises:
        ConditionError: it does not fit the source, or has a macro left.
    """
    return compile_with(expr, lambda check: compile_check(check, source))


def compile_with(expr: Expr, compile_one: CompileCheck) -> Holds:
    """Compile a condition whose comparisons are compiled by `compile_one`."""
    if isinstance(expr, Check):
        return compile_one(expr)
    if isinstance(expr, Not):
        part = compile_with(expr.part, compile_one)
        return lambda get: not part(get)
    if isinstance(expr, Macro):
        raise ConditionError(f"filter error: unexpected identifier '{expr.name}'", expr.offset)
    parts = tuple(compile_with(part, compile_one) for part in expr.parts)
    return every(parts) if isinstance(expr, And) else some(parts)
