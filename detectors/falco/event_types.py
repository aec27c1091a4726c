"""Which event types a condition may hold for: Falco warns of rules that are tried on nearly every event.

Source: falcosecurity/libs, userspace/libsinsp/filter/ppm_codes.cpp, and falcosecurity/falco,
userspace/engine/rule_loader_compiler.cpp (LOAD_NO_EVTTYPE).
"""

from __future__ import annotations

from typing import Final

from detectors.falco.event_names import EVENT_NAMES
from detectors.falco.syntax import And, Check, Expr, Field, Macro, Not, Values

EVENT_TYPES_MAX: Final = 100
"""More types than this are too many for one rule."""

_TYPE: Final = Field("evt.type")
_NUMBER: Final = Field("evt.num")
_EQUAL: Final = frozenset(("=", "==", "in", "intersects"))
_NONE: Final[frozenset[str]] = frozenset()


def event_types(expr: Expr, *, negated: bool = False) -> frozenset[str]:
    """Return the event types that a condition (or its negation) does not rule out."""
    if isinstance(expr, Not):
        return event_types(expr.part, negated=not negated)
    if isinstance(expr, Check):
        return _of_check(expr, negated=negated)
    if isinstance(expr, Macro):
        return EVENT_NAMES
    parts = [event_types(part, negated=negated) for part in expr.parts]
    if isinstance(expr, And) is not negated:
        return parts[0].intersection(*parts[1:])
    return parts[0].union(*parts[1:])


def _of_check(check: Check, *, negated: bool) -> frozenset[str]:
    if not isinstance(check.right, Values) or check.modifier:
        return _NONE if check.left == _TYPE and check.op == "exists" and negated else EVENT_NAMES
    if check.left == _NUMBER and check.op in _EQUAL and check.right.items == ("0",):
        return EVENT_NAMES if negated else _NONE  # how stock rules write "never"
    if check.left != _TYPE or check.op not in (*_EQUAL, "!="):
        return EVENT_NAMES
    named = frozenset(check.right.items)
    return EVENT_NAMES - named if (check.op == "!=") is not negated else named
