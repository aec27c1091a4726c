"""Mutants of rules: would the tests of a rule notice if one of its clauses were another?

A mutant is a rule with one change; tests kill it if one of them comes out otherwise. A clause is what one item of a
detection asks, with all its values and whatever modifiers and pipelines made of them. Changed is each clause, and each
And, Or and Not of several clauses below the top.

- `negated`: the part says the opposite. It survives where no test depends on the part at all.
- `left out`: the part is not asked, or of Or not offered. It survives where no test tells the rule from one without the
  part: of And no event that fails by the part alone, of Or none that matches by it alone.

Of correlations each bound, and each reference of an expression, is negated, or a bound `moved` by one, and each key of
the groups left out. Clauses of exceptions are
left alone: the tests of a rule know nothing of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any, Final, NamedTuple, TypeVar

from msgspec.structs import replace

from detectors.correlation.definition import Bound, Comparison, Correlation, Expression, Seen, Without, with_hash
from detectors.explain import describe
from detectors.predicate import And, Atom, Not, Or, Predicate, any_of, atoms

NEGATED: Final = "negated"
LEFT_OUT: Final = "left out"
MOVED: Final = "moved"
_OPPOSITE: Final = {
    Comparison.LT: Comparison.GTE,
    Comparison.LTE: Comparison.GT,
    Comparison.GT: Comparison.LTE,
    Comparison.GTE: Comparison.LT,
    Comparison.EQ: Comparison.NEQ,
    Comparison.NEQ: Comparison.EQ,
}
_Put = Callable[[Predicate | None], Predicate]
"""Returns the whole with another part in the place of one, or without it."""
_T = TypeVar("_T")


class Change(NamedTuple):
    """What a mutant changes: `how` is one of the kinds above, `where` a place in the rule, `what` the part."""

    how: str
    where: str
    what: str


def mutants(predicate: Predicate, is_own: Callable[[Atom], bool]) -> Iterator[tuple[Change, Predicate]]:
    """Yield a predicate's mutants, by the parts that have atoms of the rule's own alone."""
    for part, put in _sites(predicate, lambda changed: And(()) if changed is None else changed, is_top=True):
        found = list(atoms(part))
        if found and all(map(is_own, found)):
            where = ", ".join(dict.fromkeys(atom.where for atom in found))
            what = _told(part)
            yield Change(NEGATED, where, what), put(part.part if isinstance(part, Not) else Not(part))
            yield Change(LEFT_OUT, where, what), put(None)


def _sites(predicate: Predicate, put: _Put, *, is_top: bool = False) -> Iterator[tuple[Predicate, _Put]]:
    """Yield the parts that mutants change. What is behind a negation goes with it, and is changed part by part."""
    inner = predicate.part if isinstance(predicate, Not) else predicate
    if _is_clause(inner) or not is_top:
        yield predicate, put
    if isinstance(predicate, Not):
        yield from _below(inner, lambda changed: put(Not(changed)))
    else:
        yield from _below(inner, put)


def _below(predicate: Predicate, put: Callable[[Predicate], Predicate]) -> Iterator[tuple[Predicate, _Put]]:
    if _is_clause(predicate):
        return
    if isinstance(predicate, Not):
        yield from _sites(predicate, lambda changed: put(And(()) if changed is None else changed))
        return
    assert isinstance(predicate, And | Or), "an atom is a clause"
    kind = type(predicate)
    parts = _clauses(predicate.parts) if kind is Or else list(predicate.parts)
    for at, part in enumerate(parts):
        yield from _sites(part, _replacing(kind, parts, at, put))


def _replacing(kind: type[And | Or], parts: list[Predicate], at: int, put: Callable[[Predicate], Predicate]) -> _Put:
    def replaced(changed: Predicate | None) -> Predicate:
        middle = [] if changed is None else [changed]
        return put(kind((*parts[:at], *middle, *parts[at + 1 :])))

    return replaced


def _is_clause(part: Predicate) -> bool:
    return len({atom.where for atom in atoms(part)}) <= 1


def _clauses(parts: tuple[Predicate, ...]) -> list[Predicate]:
    """Return the parts of an Or, neighbours that are of one clause together."""
    found: list[Predicate] = []
    for place, group in groupby(parts, key=lambda part: tuple({atom.where for atom in atoms(part)})):
        members = list(group)
        found.extend([any_of(members)] if len(place) == 1 else members)
    return found


def _told(part: Predicate) -> str:
    if isinstance(part, Not):
        return f"not ({_told(part.part)})"
    found = list(atoms(part))
    if not _is_clause(part):
        return f"{'all' if isinstance(part, And) else 'one'} of {len(found)} tests"
    alike = [
        atom for atom in found if (atom.field, atom.op, atom.cased) == (found[0].field, found[0].op, found[0].cased)
    ]
    more = f" and {len(found) - len(alike)} more" if len(alike) < len(found) else ""
    return f"{found[0].field or 'any value'} {describe(alike)}{more}"


def correlation_mutants(correlation: Correlation) -> Iterator[tuple[Change, Correlation]]:
    """Yield a correlation's mutants."""
    for at, bound in enumerate(correlation.bounds):
        text = f"{bound.comparison} {bound.count}"
        yield Change(NEGATED, "condition", text), _bound(correlation, at, _OPPOSITE[bound.comparison], bound.count)
        for count in (bound.count - 1, bound.count + 1):
            moved = Change(MOVED, "condition", f"{text} to {bound.comparison} {count}")
            yield moved, _bound(correlation, at, bound.comparison, count)
    if correlation.expression is not None:
        for at, expression in _negations(correlation.expression):
            title = correlation.members[at].title
            yield Change(NEGATED, "condition", f"`{title}`"), _renewed(correlation, expression=expression)
    for at, key in enumerate(correlation.group_by):
        members = [replace(member, group_by=_without(member.group_by, at)) for member in correlation.members]
        keys = _without(correlation.group_by, at)
        yield Change(LEFT_OUT, "group-by", key), _renewed(correlation, members=tuple(members), group_by=keys)


def _negations(expression: Expression) -> Iterator[tuple[int, Expression]]:
    """Yield an expression with each of its references negated, and the position of the member that it is to."""
    if isinstance(expression, Seen):
        yield expression.member, Without(expression)
    elif isinstance(expression, Without):
        yield from ((at, Without(part)) for at, part in _negations(expression.part))
    else:
        for place, part in enumerate(expression.parts):
            for at, negated in _negations(part):
                others = expression.parts
                yield at, replace(expression, parts=(*others[:place], negated, *others[place + 1 :]))


def _bound(correlation: Correlation, at: int, comparison: Comparison, count: float) -> Correlation:
    bounds = (*correlation.bounds[:at], Bound(comparison, count), *correlation.bounds[at + 1 :])
    return _renewed(correlation, bounds=bounds)


def _renewed(correlation: Correlation, **changes: Any) -> Correlation:
    return with_hash(replace(correlation, **changes), ())


def _without(values: tuple[_T, ...], at: int) -> tuple[_T, ...]:
    return (*values[:at], *values[at + 1 :])
