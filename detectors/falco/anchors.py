"""What an index can find a rule by: a predicate over documents that holds wherever the rule matches.

A condition is lowered to the two predicates nearest to it, one that it implies (`wide`) and one that implies it
(`narrow`), because under `not` they change places. Comparisons that a predicate can't express are anything in the one
and nothing in the other.

The documents are audit events with the types of the Kubernetes API, as an API server writes them: what the fields of
DOCUMENT_PATHS hold is a text, a number, a boolean or null, and no key but an annotation's has dots.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from detectors.falco.patterns import glob_regex
from detectors.falco.rules import FalcoRule
from detectors.falco.sources import Source
from detectors.falco.syntax import And, Check, Expr, Field, Not, Operand, Or, Values
from detectors.pattern import compile_regex
from detectors.predicate import And as AllOf
from detectors.predicate import Atom, Op, Predicate, all_of, any_of
from detectors.predicate import Not as NoneOf
from detectors.predicate import Or as AnyOf

DOCUMENT_PATHS: Final = {
    "ka.auditid": "auditID",
    "ka.stage": "stage",
    "ka.verb": "verb",
    "ka.uri": "requestURI",
    "ka.useragent": "userAgent",
    "ka.user.name": "user.username",
    "ka.impuser.name": "impersonatedUser.username",
    "ka.target.name": "objectRef.name",
    "ka.req.configmap.name": "objectRef.name",
    "ka.target.namespace": "objectRef.namespace",
    "ka.target.resource": "objectRef.resource",
    "ka.target.subresource": "objectRef.subresource",
    "ka.response.code": "responseStatus.code",
    "ka.response.reason": "responseStatus.reason",
    "ka.auth.decision": "annotations.authorization.k8s.io/decision",
    "ka.auth.reason": "annotations.authorization.k8s.io/reason",
    "ka.auth.openshift.decision": "annotations.authentication.openshift.io/decision",
    "ka.auth.openshift.username": "annotations.authentication.openshift.io/username",
    "ka.validations.admission.policy.failure": "annotations.validation.policy.admission.k8s.io/validation_failure",
    "ka.security.pod.violations": "annotations.pod-security.kubernetes.io/audit-violations",
    "ka.cluster.name": "annotations.cluster_name",
}
"""Where those fields stand in an audit event that are one value of it in both modes, as `detectors.fields` says it."""

ALWAYS: Final = AllOf(())
NEVER: Final = AnyOf(())

_GROUPS: Final = ("ka.user.groups", "user.groups")
_ANNOTATIONS: Final = "annotations."
_VALUES: Final = ("jevt.value", "json.value")
_POINTERS: Final = {
    path.replace(".", "/")
    if not path.startswith(_ANNOTATIONS)
    else _ANNOTATIONS.replace(".", "/") + path.removeprefix(_ANNOTATIONS).replace("/", "~1"): path
    for path in DOCUMENT_PATHS.values()
}
"""The same places as the JSON pointers that `jevt.value` takes, without the slash in front."""
_TIME: Final = "jevt.rawtime"
_CONTAINERS: Final = ("[", "{")
_STACKED: Final = re.compile(r"[*+?}]\s*[*+?{]")
"""One repetition behind another: POSIX syntax repeats what is repeated, Perl's has other meanings for it."""


class Bounds(NamedTuple):
    """What a condition implies, and what implies it; the same where a predicate says all of it."""

    wide: Predicate
    narrow: Predicate


_UNKNOWN: Final = Bounds(ALWAYS, NEVER)


def bounds_of(rule: FalcoRule) -> Bounds:
    """Return the bounds of a rule's condition over documents: ALWAYS and NEVER are possible."""
    return _bounds(rule.condition, rule.source)


def undecided(rule: FalcoRule) -> Expr | None:
    """Return what is left of a rule's condition where its wide bound holds; None if that says all of it."""
    left = [part for part in _conjuncts(rule.condition) if len(set(_bounds(part, rule.source))) > 1]
    return And(tuple(left)) if left else None


def _conjuncts(expr: Expr) -> Iterator[Expr]:
    if isinstance(expr, And):
        for part in expr.parts:
            yield from _conjuncts(part)
    else:
        yield expr


def _bounds(expr: Expr, source: Source) -> Bounds:
    if isinstance(expr, Check):
        return _of_check(expr, source)
    if isinstance(expr, Not):
        inner = _bounds(expr.part, source)
        return Bounds(_not(inner.narrow), _not(inner.wide))
    assert isinstance(expr, And | Or), "macros are expanded"
    join = _all if isinstance(expr, And) else _any
    parts = [_bounds(part, source) for part in expr.parts]
    return Bounds(join([part.wide for part in parts]), join([part.narrow for part in parts]))


def _not(part: Predicate) -> Predicate:
    if part in (ALWAYS, NEVER):
        return NEVER if part == ALWAYS else ALWAYS
    return part.part if isinstance(part, NoneOf) else NoneOf(part)


def _all(parts: Sequence[Predicate]) -> Predicate:
    return NEVER if NEVER in parts else all_of(dict.fromkeys(parts))


def _any(parts: Sequence[Predicate]) -> Predicate:
    return ALWAYS if ALWAYS in parts else any_of(dict.fromkeys(parts))


# --- comparisons ------------------------------------------------------------------------------------------------------
def _of_check(check: Check, source: Source) -> Bounds:
    left = check.left
    if left == Field(_TIME):
        return _of_time(check)
    if source.name == "json":
        return _of_any_document(check)
    if left == Field(_GROUPS[0]):
        return _of_groups(check)
    path = _path(left)
    if path is None:
        return _UNKNOWN
    there = NoneOf(Atom(path, Op.NULL))
    if check.op == "exists":
        return Bounds(there, there)
    if not isinstance(check.right, Values):
        return Bounds(there, NEVER)
    single = [_of_value(path, check.op, value) for value in check.right.items]
    return _combined(check, single, there)


def _of_time(check: Check) -> Bounds:
    """Time never is 0: stock rules write "always" and "never" so."""
    if check.op == "exists":
        return Bounds(ALWAYS, ALWAYS)
    is_never = check.op in ("=", "==") and not check.modifier and check.right == Values(("0",))
    return Bounds(NEVER, NEVER) if is_never else _UNKNOWN


def _of_any_document(check: Check) -> Bounds:
    """Lower what looks at one key of a document whose types nobody knows."""
    left, right = check.left, check.right
    key = _key(left) if isinstance(left, Field) and left.name in _VALUES else ""
    values = right.items if isinstance(right, Values) else ()
    equal = (check.op, check.modifier) in (("=", ""), ("==", ""), ("in", ""), ("intersects", ""))
    if not equal or not key or not key.isidentifier() or any(value.startswith(_CONTAINERS) for value in values):
        return _UNKNOWN
    return Bounds(_any([Atom(key, Op.EQUALS, value, cased=True) for value in values]), NEVER)


def _of_groups(check: Check) -> Bounds:
    if check.op not in ("in", "intersects") or check.modifier or not isinstance(check.right, Values):
        return _UNKNOWN
    some = _any([Atom(_GROUPS[1], Op.EQUALS, value, cased=True) for value in check.right.items])
    return Bounds(some, some if check.op == "intersects" else NEVER)


def _path(left: Operand) -> str | None:
    if not isinstance(left, Field):
        return None
    return _POINTERS.get(_key(left)) if left.name in _VALUES else DOCUMENT_PATHS.get(left.name)


def _key(left: Field) -> str:
    """Return the JSON pointer that a field's argument is, without the slash in front."""
    return (left.arg or "").removeprefix("/")


def _combined(check: Check, single: Sequence[Bounds], there: Predicate) -> Bounds:
    """Join the tests of single constants, of which one has to pass, or as many as the modifier says."""
    wide, narrow = [bounds.wide for bounds in single], [bounds.narrow for bounds in single]
    if not single:
        return Bounds(NEVER, NEVER)
    if check.modifier == "allof":
        return Bounds(_all([*wide, there]), _all([*narrow, there]))
    if check.modifier == "oneof":
        return Bounds(_any(wide), _any(narrow) if len(single) == 1 else NEVER)
    return Bounds(_any(wide), _any(narrow))


def _of_value(path: str, op: str, value: str) -> Bounds:
    test = _EXACT.get(op)
    if test is not None:
        exact = test(path, value)
        return Bounds(exact, exact)
    there = NoneOf(Atom(path, Op.NULL))
    if op == "icontains":
        return Bounds(Atom(path, Op.CONTAINS, value), NEVER)
    return Bounds(_of_regex(path, value) or there if op == "regex" else there, NEVER)


def _of_regex(path: str, pattern: str) -> Predicate | None:
    """Return the test of a pattern in POSIX syntax; None where Perl's would read it in another way."""
    whole = rf"(?m)\A(?:{pattern})\z"
    try:
        compile_regex(whole)
    except ValueError:
        return None
    return None if _STACKED.search(pattern) else Atom(path, Op.REGEX, whole)


def _compared(op: Op) -> Callable[[str, str], Predicate]:
    return lambda path, value: Atom(path, op, value, cased=True)


def _like(*, folded: bool) -> Callable[[str, str], Predicate]:
    return lambda path, value: Atom(path, Op.REGEX, glob_regex(value, folded=folded))


def _other(path: str, value: str) -> Predicate:
    return all_of([NoneOf(Atom(path, Op.NULL)), NoneOf(Atom(path, Op.EQUALS, value, cased=True))])


_EXACT: Final[dict[str, Callable[[str, str], Predicate]]] = {
    **dict.fromkeys(("=", "==", "in", "intersects"), _compared(Op.EQUALS)),
    "!=": _other,
    "contains": _compared(Op.CONTAINS),
    "startswith": _compared(Op.PREFIX),
    "endswith": _compared(Op.SUFFIX),
    "glob": _like(folded=False),
    "iglob": _like(folded=True),
}
