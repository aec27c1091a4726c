"""Rules that can't match: what they need, no event of their log source has."""

from __future__ import annotations

from collections.abc import Iterator

from detectors.predicate import And, Atom, Not, Op, Predicate, atoms
from detectors.rule import Rule
from detectors.sigma.taxonomy import INTEGER, Taxonomy, taxonomies_of

REFERENCES: tuple[Op, ...] = (Op.SAME, Op.PREFIX_FIELD, Op.SUFFIX_FIELD, Op.CONTAINS_FIELD)


def why_dead(rule: Rule) -> str:
    """Return why no event can match a rule, "" if some may; its log source is the engine's affair."""
    known = taxonomies_of(rule.logsource)
    if not known or any(verdict(rule.predicate, taxonomy) is not False for taxonomy in known):
        return ""
    return (
        "; ".join(dict.fromkeys(fault for _, fault in faults(rule.predicate, known))) or "its condition is never true"
    )


def faults(predicate: Predicate, known: list[Taxonomy]) -> Iterator[tuple[Atom, str]]:
    """Yield the atoms that hold on no event of any of these kinds, each with the reason."""
    for atom in atoms(predicate):
        reasons = [_fault(atom, taxonomy) for taxonomy in known]
        if known and all(reasons):
            yield atom, reasons[0]


def verdict(predicate: Predicate, taxonomy: Taxonomy) -> bool | None:
    """Say whether a predicate holds for all events of a kind (True), none (False), or depends on the event (None)."""
    if isinstance(predicate, Atom):
        return (predicate.op is Op.NULL) if _fault(predicate, taxonomy) else None
    if isinstance(predicate, Not):
        inner = verdict(predicate.part, taxonomy)
        return None if inner is None else not inner
    decides = not isinstance(predicate, And)
    found = {verdict(part, taxonomy) for part in predicate.parts}
    if decides in found:
        return decides
    return None if None in found else not decides


def _fault(atom: Atom, taxonomy: Taxonomy) -> str:
    for field in (atom.field, *([str(atom.value)] if atom.op in REFERENCES else [])):
        if not taxonomy.carries(field):
            return f"{taxonomy.name} have no field {field!r}"
    if taxonomy.can_hold(atom):
        return ""
    values = taxonomy.values[str(atom.field)]
    wanted = "an integer" if values is INTEGER else f"one of {', '.join(sorted(values))}"
    return f"{atom.field} is never {atom.value!r}: in {taxonomy.name} it is {wanted}"
