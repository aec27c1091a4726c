"""Which texts a rule can't match without: the handles by which an index over text finds it.

A *literal* is a text at the beginning, at the end or anywhere in the value of a field. A *cover* of a predicate is a
set of literals of which at least one is in every document that the predicate holds for. Under And any part's cover is
one of the whole, under Or it takes a cover of each part; an exclusion has none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from detectors.anchors import conjuncts
from detectors.pattern import parse_glob
from detectors.predicate import And, Atom, Not, Op, Or, Predicate, all_of, atoms
from detectors.regex_literals import required_texts
from detectors.typical import TYPICAL
from detectors.values import fold, text

LITERALS_MAX: Final = 2048
"""Literals of one cover: lists of hashes and addresses are longer than lists of programs."""
BRANCHES_MAX: Final = 16
"""Branches of one rule, each with covers of its own."""
_TYPICAL_RARITY: Final = 2.0
"""Rarity of what stands in usual events: that of two characters."""
_RARE: Final = b"!\"#$%&'()*+;<>?@[]^`{|}~\t\n\r"
"""Characters as seldom in events as two usual ones together; what is not ASCII is as seldom as three."""
_NUMERIC: Final = frozenset("0123456789+-.einf")
"""What numbers are written with. A keyword of these alone is no handle: a number has more than one way to be written,
and which of them documents are searched in is left open."""


class Literal(NamedTuple):
    """A folded text, never empty; `at_start` and `at_end` bind it to the ends of a value of the field.

    `field` None: anywhere in any value, be it one that a rule names or, for a keyword, any other.
    """

    field: str | None
    text: str
    at_start: bool = False
    at_end: bool = False


class Cover(NamedTuple):
    """Literals of which one must be there. `rarity` says how seldom the most common of them is expected to be."""

    rarity: float
    literals: frozenset[Literal]


def covers(predicate: Predicate) -> list[Cover]:
    """Return covers of a predicate's parts, all of which have to be met; the most selective first."""
    parts = list(conjuncts(predicate))
    globs = [part for part in parts if any(atom.op is Op.WILDCARD for atom in atoms(part))]
    ranked = ((cover(part, rank) for part in chosen) for rank, chosen in enumerate((parts, globs)))
    found = [one for covers in ranked for one in covers if one is not None]
    return sorted(dict.fromkeys(found), key=lambda one: (-one.rarity, len(one.literals)))


def cover(predicate: Predicate, rank: int = 0) -> Cover | None:
    """Return the most selective cover of a predicate; None if it has none.

    `rank` 1: another one for globs that have several literals, all of which have to be there.
    """
    if isinstance(predicate, Atom):
        return _of_literals(_literals(predicate, rank))
    if isinstance(predicate, Not):
        return cover(predicate.part.part, rank) if isinstance(predicate.part, Not) else None
    found = [cover(part, rank) for part in predicate.parts]
    known = [one for one in found if one is not None]
    if isinstance(predicate, And):
        return max(known, key=lambda one: (one.rarity, -len(one.literals)), default=None)
    if not known or len(known) < len(found):
        return None
    return _of_literals(frozenset[Literal]().union(*(one.literals for one in known)))


def branches(predicate: Predicate) -> list[Predicate]:
    """Split a predicate at an Or of conditions on several fields, so that each choice has covers of its own."""
    if isinstance(predicate, Or) and _is_worth_splitting(predicate):
        return list(predicate.parts)
    if isinstance(predicate, And):
        for position, part in enumerate(predicate.parts):
            if isinstance(part, Or) and _is_worth_splitting(part):
                others = (*predicate.parts[:position], *predicate.parts[position + 1 :])
                return [all_of([*others, choice]) for choice in part.parts]
    return [predicate]


def _is_worth_splitting(choices: Or) -> bool:
    return len(choices.parts) <= BRANCHES_MAX and any(isinstance(choice, And) for choice in choices.parts)


def _of_literals(literals: frozenset[Literal]) -> Cover | None:
    if not 0 < len(literals) <= LITERALS_MAX:
        return None
    return Cover(min(map(_rarity, literals)), literals)


def _rarity(literal: Literal) -> float:
    bound = (literal.at_start + literal.at_end) / 2
    if literal.text in TYPICAL:
        return _TYPICAL_RARITY + bound
    ascii_only = literal.text.encode("ascii", "ignore")
    usual = ascii_only.translate(None, _RARE)
    return 3 * len(literal.text) - len(ascii_only) - len(usual) + bound  # 1 for each usual character, 2, or 3


def _literals(atom: Atom, rank: int) -> frozenset[Literal]:
    """Return the literals of which a value that passes has one; none if that can't be said."""
    string = text(atom.value)
    if not string or "\0" in string:  # the scanner takes no zero bytes
        return frozenset()
    found = _texts(atom, string, rank)
    is_number = atom.field is None and any(map(_NUMERIC.issuperset, (literal.text for literal in found)))
    return frozenset() if is_number else found


def _texts(atom: Atom, string: str, rank: int) -> frozenset[Literal]:
    if atom.op is Op.REGEX:
        return frozenset(Literal(None, found) for found in required_texts(string) or ())
    if atom.op is Op.WILDCARD:
        return frozenset(_rarest(_of_glob(atom.field, fold(string)), rank))
    ends = _ENDS.get(atom.op)
    return frozenset() if ends is None else frozenset({_literal(atom.field, fold(string), *ends)})


_ENDS: Final = {
    Op.EQUALS: (True, True),
    Op.PREFIX: (True, False),
    Op.SUFFIX: (False, True),
    Op.CONTAINS: (False, False),
}


def _literal(field: str | None, string: str, at_start: bool, at_end: bool) -> Literal:
    if field is None or not (at_start or at_end):
        return Literal(None, string)
    return Literal(field, string, at_start, at_end)


def _of_glob(field: str | None, glob: str) -> Iterator[Literal]:
    parts = parse_glob(glob)
    for position, part in enumerate(parts):
        if isinstance(part, str):
            yield _literal(field, part, position == 0, position == len(parts) - 1)


def _rarest(literals: Iterable[Literal], rank: int) -> list[Literal]:
    """Return the literal of a rank, the rarest having 0; the last one where there are not so many."""
    ranked = sorted(literals, key=_rarity, reverse=True)
    return ranked[: rank + 1][-1:]
