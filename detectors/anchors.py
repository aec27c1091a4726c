"""What must be true of an event before a rule can match it, said of one field at a time.

From a rule's predicate follow *needs*: for one field, what has to be true of its values whatever the other fields say
(`weaken`). A need is selective if it is a positive test, not an exclusion, and telling if its field tells events
apart. A rule without a telling need is split at an Or into branches that have one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from detectors.predicate import And, Atom, Not, Op, Or, Predicate, all_of, any_of, atoms, fields

BRANCHES_MAX: Final = 16
"""Branches of one rule: a rule that would need more is always verified."""
SPLITS_MAX: Final = 2
"""Ors of one rule that are split, one inside the other: the ways to do it multiply."""
SPREAD_MAX: Final = 4
"""Fields that a branch is split by so that no condition on several fields is left."""
_COMMON: Final = frozenset(
    "action category code decision kind level outcome priority product source stage status type verb".split()  # noqa: SIM905
)
"""Last names of fields with few values, of which every event has one: poor at telling events apart."""


def weaken(predicate: Predicate, known: Callable[[str | None], bool]) -> Predicate | None:
    """Return what follows from a predicate for the known fields alone; None if that is nothing.

    Wherever the predicate holds, the weakened one does. If all its fields are known it is the predicate itself.
    """
    return loosen(predicate, lambda atom: all(known(field) for field in fields(atom)))


def loosen(predicate: Predicate, kept: Callable[[Atom], bool]) -> Predicate | None:
    """Return what follows from a predicate where only the kept atoms are known; None if that is nothing.

    Wherever the predicate holds, the looser one does. If all its atoms are kept it is the predicate itself.
    """
    if all(kept(atom) for atom in atoms(predicate)):
        return predicate
    if isinstance(predicate, Atom):
        return None
    if isinstance(predicate, Not):
        inner = _negated(predicate.part)
        return None if inner is None else loosen(inner, kept)
    parts = [loosen(part, kept) for part in predicate.parts]
    decided = [part for part in parts if part is not None]
    if isinstance(predicate, And):
        return all_of(decided) if decided else None
    return any_of(decided) if len(decided) == len(parts) else None


def _negated(part: Predicate) -> Predicate | None:
    """Push a negation one step down; None where it can't go further."""
    if isinstance(part, Not):
        return part.part
    if isinstance(part, And):
        return any_of(map(Not, part.parts))
    return all_of(map(Not, part.parts)) if isinstance(part, Or) else None


def _selective(need: Predicate) -> bool:
    """Say whether few values pass: mere presence is no test, nor is an exclusion."""
    if isinstance(need, Atom):
        return need.op not in (Op.EXISTS, Op.NULL)
    if isinstance(need, Not):
        return isinstance(need.part, Not) and _selective(need.part.part)
    results = map(_selective, need.parts)
    return any(results) if isinstance(need, And) else bool(need.parts) and all(results)


def telling(field: str) -> bool:
    """Say whether a field tells events apart."""
    return field.replace("/", ".").rpartition(".")[2] not in _COMMON


def _has_telling_need(predicate: Predicate) -> bool:
    return any(telling(field) for field in selective_fields(needs_of(predicate)))


def selective_fields(needs: Mapping[str, Predicate]) -> list[str]:
    """Return the fields whose need few values meet."""
    return [field for field, need in needs.items() if _selective(need)]


def branches(predicate: Predicate) -> list[Predicate]:
    """Split a predicate into predicates that it is the Or of, each with a telling need, or at least a selective one.

    Without such a split it is its own only branch.
    """
    for wanted in (_has_telling_need, _has_need):
        found = _split(predicate, wanted, SPLITS_MAX)
        if found is not None:
            spread = [part for branch in found for part in _spread(branch)]
            return spread if len(spread) <= BRANCHES_MAX else found
    return [predicate]


def _spread(branch: Predicate) -> list[Predicate]:
    """Split a branch at one more Or if each of its choices is about one field: an index alone then decides it."""
    if isinstance(branch, And):
        for position, part in enumerate(branch.parts):
            choices = _by_field(part) if isinstance(part, Or) else []
            if 1 < len(choices) <= SPREAD_MAX and all(len(fields(choice)) == 1 for choice in choices):
                others = [*branch.parts[:position], *branch.parts[position + 1 :]]
                return [all_of([*others, choice]) for choice in choices]
    return [branch]


def _split(predicate: Predicate, wanted: Callable[[Predicate], bool], splits: int) -> list[Predicate] | None:
    if wanted(predicate):
        return [predicate]
    for choices in _choices(predicate) if splits else ():
        found: list[Predicate] = []
        for choice in choices:
            inner = _split(choice, wanted, splits - 1)
            if inner is None or len(found) + len(inner) > BRANCHES_MAX:
                break
            found.extend(inner)
        else:
            return found
    return None


def _has_need(predicate: Predicate) -> bool:
    return bool(selective_fields(needs_of(predicate)))


def _choices(predicate: Predicate) -> Iterator[list[Predicate]]:
    """Yield each way to split a predicate at one of its Ors."""
    if isinstance(predicate, Or):
        yield _by_field(predicate)
    elif isinstance(predicate, And):
        for position, part in enumerate(predicate.parts):
            if isinstance(part, Or):
                before, after = predicate.parts[:position], predicate.parts[position + 1 :]
                yield [all_of([*before, choice, *after]) for choice in _by_field(part)]


def _by_field(predicate: Or) -> list[Predicate]:
    """Return the choices of an Or, those about one and the same field as one."""
    together: dict[object, list[Predicate]] = {}
    for position, part in enumerate(predicate.parts):
        asked = fields(part)
        together.setdefault(asked if len(asked) == 1 else position, []).append(part)
    return [any_of(parts) for parts in together.values()]


def needs_of(branch: Predicate | None) -> dict[str, Predicate]:
    """Return for each field what a branch needs of it; nothing for a branch of which nothing is known."""
    found = {field: weaken(branch, {field}.__contains__) for field in fields(branch) if field} if branch else {}
    return {field: need for field, need in found.items() if need is not None}


def needed_fields(predicate: Predicate) -> frozenset[str]:
    """Return fields that must have a value where a predicate holds."""
    if isinstance(predicate, Atom):
        return frozenset() if predicate.op is Op.NULL or predicate.field is None else frozenset({predicate.field})
    if isinstance(predicate, Not):
        inner = _negated(predicate.part)
        return frozenset() if inner is None else needed_fields(inner)
    found = [needed_fields(part) for part in predicate.parts]
    if isinstance(predicate, And):
        return frozenset[str]().union(*found)
    return found[0].intersection(*found[1:]) if found else frozenset()


def conjuncts(branch: Predicate) -> Iterator[Predicate]:
    """Yield the predicates that a branch is the And of, as small as they get."""
    inner = _negated(branch.part) if isinstance(branch, Not) else None
    if isinstance(branch, And):
        for part in branch.parts:
            yield from conjuncts(part)
    elif inner is not None and not isinstance(inner, Or):
        yield from conjuncts(inner)
    else:
        yield branch
