"""A first look at a rule: the string tests of it, over values that were read and folded once for all rules.

A quick check may hold where the rule does not, never the other way round. What it can't test (other operators, case,
values that are no single text) it leaves open.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from detectors.anchors import loosen
from detectors.combine import every, some
from detectors.pattern import Wild, compile_glob, parse_glob
from detectors.predicate import And, Atom, Not, Op, Or, Predicate
from detectors.values import fold, text

Values = Sequence[str]
"""Folded values of some fields, by position; "" for none."""
Quick = Callable[[Values], bool]


class QuickCheck(NamedTuple):
    """What is quick in a predicate; `decides` if that is all of it."""

    holds: Quick
    decides: bool


_COSTS: Final = {Op.EQUALS: 1, Op.PREFIX: 1, Op.SUFFIX: 1, Op.CONTAINS: 2, Op.WILDCARD: 5}


def quick_check(predicate: Predicate, positions: Mapping[str, int]) -> QuickCheck | None:
    """Compile what is quick in a predicate; None if nothing is. `positions` are those of the fields' values."""
    loose = loosen(predicate, lambda atom: atom.field in positions and _is_quick(atom))
    return None if loose is None else QuickCheck(_compiled(loose, positions), loose is predicate)


def _is_quick(atom: Atom) -> bool:
    """Say whether a test reads folded texts, and fails where there is none."""
    string = text(atom.value)
    if atom.op not in _COSTS or atom.cased or not string:
        return False
    return atom.op is not Op.WILDCARD or (Wild.ONE not in parse_glob(string) and not compile_glob(string)(""))


def _compiled(predicate: Predicate, positions: Mapping[str, int]) -> Quick:
    if isinstance(predicate, Atom):
        return _test([predicate], positions)
    if isinstance(predicate, Not):
        inner = _compiled(predicate.part, positions)
        return lambda values: not inner(values)
    if isinstance(predicate, And):
        return every([_compiled(part, positions) for part in sorted(predicate.parts, key=_cost)])
    return some(_choices(predicate, positions))


def _choices(predicate: Or, positions: Mapping[str, int]) -> list[Quick]:
    """Compile the parts of an Or; tests of one field in one way are one."""
    together: dict[object, list[Atom]] = {}
    others: list[Predicate] = []
    for part in predicate.parts:
        if isinstance(part, Atom) and part.op is not Op.WILDCARD:
            together.setdefault((part.field, part.op), []).append(part)
        else:
            others.append(part)
    tests = [_test(atoms, positions) for atoms in sorted(together.values(), key=lambda group: _COSTS[group[0].op])]
    return [*tests, *(_compiled(part, positions) for part in sorted(others, key=_cost))]


def _cost(predicate: Predicate) -> int:
    if isinstance(predicate, Atom):
        return _COSTS[predicate.op]
    return _cost(predicate.part) if isinstance(predicate, Not) else sum(map(_cost, predicate.parts))


def _test(atoms: Sequence[Atom], positions: Mapping[str, int]) -> Quick:
    """Compile tests of one field in one way, of which one must pass."""
    at = positions[str(atoms[0].field)]
    texts = tuple(fold(text(atom.value) or "") for atom in atoms)
    op = atoms[0].op
    if op is Op.EQUALS:
        among = frozenset(texts)
        return lambda values: values[at] in among
    if op is Op.PREFIX:
        return lambda values: values[at].startswith(texts)
    if op is Op.SUFFIX:
        return lambda values: values[at].endswith(texts)
    if op is Op.WILDCARD:
        search = compile_glob(texts[0])
        return lambda values: search(values[at])
    return _contains(at, texts)


def _contains(at: int, texts: tuple[str, ...]) -> Quick:
    if len(texts) == 1:
        only = texts[0]
        return lambda values: only in values[at]

    def check(values: Values) -> bool:
        value = values[at]
        for string in texts:  # noqa: SIM110 - any() over a generator costs twice as much
            if string in value:
                return True
        return False

    return check
