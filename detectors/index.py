"""The index that keeps most rules from being looked at: which of them an event leaves possible.

Two ways lead to a rule. By field (`detectors.field_index`): what each field's values leave possible, remembered from
one event to the next; best where values come again, and for few rules. By text (`detectors.text_index`): one scan for
the texts that rules can't match without; best for many rules. Both find the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, Final

from detectors.field_index import Continue, FieldIndex
from detectors.literal_scan import Databases, is_available
from detectors.lookup import Lookup
from detectors.predicate import Predicate, fields
from detectors.text_index import Handle, TextIndex, handles

TEXT_RULES_MIN: Final = 64
"""Rules for which a scan pays: below it looking at a few fields costs less. It never does for documents with a head:
there most rules ask for few values in few combinations, which are remembered (254 rules on audit events: 25 µs an event
by field, 166 by text)."""


class Index:
    """Finds, for a document, the rules that match it. `predicates` are the rules', about fields of the document.

    None is a rule of which nothing is known: it is always possible. `nested` promises that no key of a document has a
    dot and begins with the key of an object in it. `scans`: whether to look for texts; by default where that pays.
    """

    def __init__(
        self,
        predicates: Sequence[Predicate | None],
        *,
        nested: bool = False,
        scans: bool | None = None,
        databases: Databases | None = None,
    ) -> None:
        """Choose how each rule is found, and compile; `databases` keeps what that makes from one time to the next."""
        self._predicates = tuple(predicates)
        self._nested = nested
        found_by = {} if scans is False or not is_available() else _by_text(predicates)
        if scans is None and (nested or len(found_by) < TEXT_RULES_MIN):
            found_by = {}
        others = [rule for rule in range(len(predicates)) if rule not in found_by]
        self._by_field = FieldIndex([predicates[rule] for rule in others], nested=nested)
        self.unanchored: Final = frozenset(others[at] for at in self._by_field.unanchored)
        """Rules that nothing keeps from being looked at."""
        self.owners: Sequence[int] = tuple(others[at] for at in self._by_field.owners)
        """For each bit of `candidates`, a rule's number; those of one rule stand together, in the rules' order."""
        self.candidates: Lookup = self._by_field.candidates
        """Returns what holds for a document, as bits."""
        self._scans: Final = bool(found_by)
        if self._scans:
            known = {rule: predicate for rule, predicate in enumerate(predicates) if predicate is not None}
            together = [handle for found in found_by.values() for handle in found]
            text = TextIndex(known, together, {} if databases is None else databases)
            self.candidates = _joined(text.holding, self._by_field.candidates, self.owners)
            self.owners = range(len(predicates))

    @property
    def fields(self) -> frozenset[str]:
        """What any rule asks."""
        asked = (field for predicate in self._predicates if predicate is not None for field in fields(predicate))
        return frozenset(field for field in asked if field is not None)

    def within(self, *known: Iterable[str]) -> tuple[Lookup, ...] | None:
        """Return what each of some sets of fields leaves possible; None if some rule needs nothing of any."""
        return self._every_field.within(*known)

    def beyond(self, *known: Iterable[str]) -> Continue | None:
        """Return what finds what holds among what `within` left possible; None where that says nothing of it."""
        return None if self._scans else self._by_field.beyond(*known)

    def relies_on(self, wanted: Iterable[str], known: Iterable[str]) -> bool:
        """Say whether some rule needs something of the wanted fields, and of no known one that tells events apart."""
        return self._every_field.relies_on(wanted, known)

    @cached_property
    def _every_field(self) -> FieldIndex:
        """What all rules need of fields."""
        return FieldIndex(self._predicates, nested=self._nested) if self._scans else self._by_field


def _by_text(predicates: Sequence[Predicate | None]) -> dict[int, list[Handle]]:
    """Return the rules that can be found by texts."""
    found = {rule: handles(rule, whole) for rule, whole in enumerate(predicates) if whole is not None}
    return {rule: ways for rule, ways in found.items() if ways}


def _joined(by_text: Lookup, by_field: Lookup, owners: Sequence[int]) -> Lookup:
    def candidates(doc: dict[str, Any]) -> int:
        holding, bits = by_text(doc), by_field(doc)
        while bits:
            lowest = bits & -bits
            bits ^= lowest
            holding |= 1 << owners[lowest.bit_length() - 1]
        return holding

    return candidates
