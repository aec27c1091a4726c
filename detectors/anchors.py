"""What must be present in an event before a rule can match: the index that keeps most rules from being looked at.

From a predicate follow *requirements*: fields, each with a set of values of which the event must have one. An index
holds, for one field, the rules (as bits of an integer) that each value leaves possible; an event's candidates are the
intersection over a few fields. Nothing is cached and nothing is learned from events, so there is nothing that an
attacker could fill or skew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from detectors.fields import getter
from detectors.predicate import And, Atom, Not, Op, Predicate
from detectors.values import fold, text

Requirements = dict[str, frozenset[str]]
"""Fields, each with folded values of which one must be present."""
Lookup = Callable[[dict[str, Any]], int]
"""From a document to the rules that one field leaves possible, as bits."""

FIELDS_MAX: Final = 6
"""Fields indexed beyond those that some rule needs: each costs a look-up for most events."""
_SHARE_MIN: Final = 0.25
"""A field that this share of the rules requires is worth its look-up."""
_COMMON: Final = frozenset(
    {
        "action",
        "category",
        "kind",
        "level",
        "outcome",
        "priority",
        "product",
        "source",
        "stage",
        "status",
        "type",
        "verb",
    }
)
"""Last names of fields with few values, of which every event has one: poor at telling events apart."""


def requirements(predicate: Predicate) -> Requirements:
    """Return what an event must have for the predicate to hold; {} if that can't be said of any field."""
    if isinstance(predicate, Atom):
        string = text(predicate.value)
        if predicate.op is Op.EQUALS and predicate.field is not None and string is not None:
            return {predicate.field: frozenset({fold(string)})}
        return {}
    if isinstance(predicate, Not):
        return requirements(predicate.part.part) if isinstance(predicate.part, Not) else {}
    parts = [requirements(part) for part in predicate.parts]
    return _every(parts) if isinstance(predicate, And) else _some(parts)


def _every(parts: list[Requirements]) -> Requirements:
    """All hold: of two sets for one field keep the smaller, since both may be met by different values."""
    merged: Requirements = {}
    for part in parts:
        for field, values in part.items():
            if field not in merged or len(values) < len(merged[field]):
                merged[field] = values
    return merged


def _some(parts: list[Requirements]) -> Requirements:
    """One of them holds: only what all of them say of a field follows."""
    if not parts:
        return {}
    shared = [field for field in parts[0] if all(field in part for part in parts)]
    return {field: frozenset[str]().union(*(part[field] for part in parts)) for field in shared}


def choose_fields(rules: Sequence[Requirements]) -> tuple[str, ...]:
    """Choose the fields to index: at least one of every rule that has any, the most telling first."""
    usable = [rule for rule in rules if rule]
    ranked = sorted({field for rule in usable for field in rule}, key=lambda field: _rank(field, usable))
    needed: dict[str, None] = {}
    for rule in usable:
        if needed.keys().isdisjoint(rule):
            needed[next(field for field in ranked if field in rule)] = None
    shared = [field for field in ranked if sum(field in rule for rule in usable) >= _SHARE_MIN * len(usable)]
    chosen = {*needed, *shared[:FIELDS_MAX]}
    return tuple(field for field in ranked if field in chosen)


def _rank(field: str, rules: Sequence[Requirements]) -> tuple[bool, int, str]:
    """Order fields: those that tell events apart, then those that most rules require."""
    return field.rpartition(".")[2] in _COMMON, -sum(field in rule for rule in rules), field


def lookup(field: str, rules: Mapping[int, Requirements]) -> Lookup:
    """Index one field: `rules` maps each rule's bit number to its requirements."""
    indifferent = sum(1 << bit for bit, rule in rules.items() if field not in rule)
    table: dict[str, int] = {}
    for bit, rule in rules.items():
        for value in rule.get(field, ()):
            table[value] = table.get(value, indifferent) | 1 << bit
    return _compile(field, table, indifferent)


def _compile(field: str, table: dict[str, int], indifferent: int) -> Lookup:
    get = getter(field)
    find = table.get

    def candidates(doc: dict[str, Any]) -> int:
        found = indifferent
        for value in get(doc):
            string = value if type(value) is str else text(value)
            if string is not None:
                found |= find(string.casefold(), indifferent)
        return found

    return candidates


def bits(numbers: Iterable[int]) -> int:
    """Return the integer with these bits set."""
    return sum(1 << number for number in numbers)
