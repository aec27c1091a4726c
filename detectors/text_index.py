"""An index over the texts that rules look for: one scan of an event's values finds the rules worth a look.

Each branch of a rule is found by two of its covers (`detectors.covers`), the most selective ones: it is a candidate if
a literal of each is there. Candidates are looked at quickly (`detectors.quick`), and what is then left in earnest. So
the cost of an event depends on what it holds, hardly on the number of rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any, Final, NamedTuple

from detectors.anchors import needed_fields
from detectors.compiled import Check, compile_predicate
from detectors.covers import Cover, branches, covers
from detectors.joined import Joined
from detectors.literal_scan import Databases, compile_literals
from detectors.predicate import Op, Predicate, atoms
from detectors.quick import QuickCheck, quick_check

COVERS: Final = 2
"""Covers that find a branch. A third spares hardly a candidate, and its literals are found again and again."""
RARITY_MIN: Final = 2.0
"""A cover that is less selective is none: one character is everywhere."""
SECOND_RARITY_MIN: Final = 4.0
"""A second cover that is less selective costs more to be found than the candidates that it spares."""
_UNION: Final[Callable[[int, int], int]] = int.__or__


class Handle(NamedTuple):
    """A branch of a rule, and the covers that find it."""

    rule: int
    branch: Predicate
    covers: tuple[Cover, ...]


def handles(rule: int, predicate: Predicate) -> list[Handle]:
    """Return how to find a rule; nothing if some branch has no cover."""
    found = [Handle(rule, branch, _chosen(covers(branch))) for branch in branches(predicate)]
    return found if all(handle.covers for handle in found) else []


def _chosen(found: Sequence[Cover]) -> tuple[Cover, ...]:
    """Choose among covers, the most selective of which come first."""
    possible = [one for one in found if one.rarity >= RARITY_MIN]
    least = SECOND_RARITY_MIN if possible and possible[0].rarity >= SECOND_RARITY_MIN else RARITY_MIN
    return (*possible[:1], *(one for one in possible[1:COVERS] if one.rarity >= least))


class TextIndex:
    """Finds which rules hold for a document. `predicates` are the rules' by their numbers, `found_by` their handles."""

    def __init__(self, predicates: Mapping[int, Predicate], found_by: Sequence[Handle], databases: Databases) -> None:
        """Compile the scan and the quick checks; a rule in earnest is compiled when it is first needed."""
        asked = [atom.field for handle in found_by for atom in atoms(handle.branch) if _is_read(atom.op)]
        needing = dict.fromkeys(sorted({field for field in asked if field is not None}), 0)
        for at, handle in enumerate(found_by):
            for field in needing.keys() & needed_fields(handle.branch):
                needing[field] |= 1 << at
        self._joined = Joined(needing, leaves=None in asked)
        self._quick: Final[list[QuickCheck | None]] = [
            quick_check(handle.branch, self._joined.positions) for handle in found_by
        ]
        self._owners: Final = tuple(handle.rule for handle in found_by)
        self._predicates = predicates
        self._checks: dict[int, Check] = {}

        literals, self._unbound = _literals(found_by, self._joined)
        written = sorted(literals)
        self._find = compile_literals(written, databases)
        self._bits: Final = tuple(literals[literal] for literal in written)
        self._count: Final = len(found_by)
        self._every: Final = (1 << len(found_by)) - 1

    def holding(self, doc: dict[str, Any]) -> int:
        """Return the rules that hold, as bits."""
        joined = self._joined
        shape, folded, plain = joined.read(doc)
        found = self._find(joined.text(shape, folded, doc))
        met = reduce(_UNION, map(self._bits.__getitem__, found), self._unbound)
        candidates = met & met >> self._count & self._every & ~shape.lacking
        if not candidates:
            return 0
        values = shape.spread(folded)
        holding = 0
        while candidates:
            lowest = candidates & -candidates
            candidates ^= lowest
            at = lowest.bit_length() - 1
            quick, rule = self._quick[at], self._owners[at]
            if holding >> rule & 1:
                continue
            if plain and quick is not None:
                if not quick.holds(values):
                    continue
                if quick.decides:
                    holding |= 1 << rule
                    continue
            if self._check(rule)(doc):
                holding |= 1 << rule
        return holding

    def _check(self, rule: int) -> Check:
        check = self._checks.get(rule)
        if check is None:
            check = self._checks[rule] = compile_predicate(self._predicates[rule])
        return check


def _is_read(op: Op) -> bool:
    return op in (Op.EQUALS, Op.PREFIX, Op.SUFFIX, Op.CONTAINS, Op.WILDCARD, Op.REGEX)


def _literals(found_by: Sequence[Handle], joined: Joined) -> tuple[dict[bytes, int], int]:
    """Return each literal with the covers that it meets, and the covers that need none.

    The first covers of all branches are the lower bits, the second ones the upper.
    """
    bits: dict[bytes, int] = {}
    unbound = 0
    for at, handle in enumerate(found_by):
        for number in range(COVERS):
            bit = 1 << number * len(found_by) + at
            if number >= len(handle.covers):
                unbound |= bit
                continue
            for written in (way for literal in handle.covers[number].literals for way in joined.written(literal)):
                bits[written] = bits.get(written, 0) | bit
    return bits, unbound
