"""A parsed Sigma detection, lowered to a predicate.

Conditions and values are pySigma's objects (2.x); their meaning is the Sigma specification 2.1. The condition is walked
as parsed, before pySigma replaces names by their detections, so that each atom can say where in the rule it stands.
"""

from __future__ import annotations

from typing import Any, Final

from sigma.conditions import ConditionAND, ConditionIdentifier, ConditionNOT, ConditionOR, ConditionSelector
from sigma.exceptions import SigmaConditionError
from sigma.rule import SigmaDetection, SigmaDetectionItem, SigmaDetections
from sigma.types import SigmaNull

from detectors.predicate import Not, Predicate, all_of, any_of
from detectors.sigma.documents import Document
from detectors.sigma.places import Place, item_name
from detectors.sigma.values import Item, lower_value
from vedette.schema.errors import RuleError

CONDITION_CHARS_MAX: Final = 8192
"""Parsing takes time that grows faster than the length; the longest published condition has some hundred characters."""
_UPPER_CASE: Final = ("AND", "OR", "NOT", "OF")
CONDITION_DEPTH_MAX: Final = 64
"""And, Or and Not inside each other: everything that handles predicates recurses."""


def lower_detections(
    detections: SigmaDetections, document: Document, section: str, errors: list[RuleError]
) -> Predicate:
    """Lower all detections and conditions that stand under the key `section`, their places marked.

    Append what is wrong: a condition that can't be parsed, a value that has no meaning on a stream. The predicate then
    is of no use.
    """
    lowering = _Lowering(detections, document, section, errors)
    return any_of(lowering.condition(position) for position in range(len(detections.condition)))


class _Lowering:
    def __init__(self, detections: SigmaDetections, document: Document, section: str, errors: list[RuleError]) -> None:
        self._detections = detections
        self._document = document
        self._section = section
        self._errors = errors
        self._lowered: dict[str, Predicate] = {}

    def condition(self, position: int) -> Predicate:
        """Lower one of the conditions."""
        try:
            return self._node(self._parsed(position))
        except SigmaConditionError as error:
            self._errors.append(self._refused(*said(error), position))
        except RuleError as error:
            self._errors.append(error)
        return any_of(())

    def _parsed(self, position: int) -> Any:
        text: Any = self._detections.condition[position]
        if not isinstance(text, str) or len(text) > CONDITION_CHARS_MAX:
            raise self._refused(f"a condition is a text of at most {CONDITION_CHARS_MAX} characters", 1, position)
        try:
            return self._detections.parsed_condition[position].parse(postprocess=False)
        except RecursionError as error:
            raise self._refused("the condition is nested too deeply", 1, position) from error

    def _refused(self, message: str, column: int, position: int) -> RuleError:
        return self._document.error(message, self._section, "condition", position, column=column)

    def _node(self, node: Any, depth: int = 0) -> Predicate:
        if depth > CONDITION_DEPTH_MAX:
            raise SigmaConditionError(f"the condition is nested deeper than {CONDITION_DEPTH_MAX} levels")
        if isinstance(node, ConditionIdentifier):
            return self._named(node.identifier)
        if isinstance(node, ConditionSelector):
            return self._selected(node)
        parts = [self._node(part, depth + 1) for part in node.args]
        if isinstance(node, ConditionNOT):
            return Not(parts[0])
        assert isinstance(node, ConditionAND | ConditionOR), "pySigma's grammar knows no other node"
        return all_of(parts) if isinstance(node, ConditionAND) else any_of(parts)

    def _selected(self, node: ConditionSelector) -> Predicate:
        names = [found.identifier for found in node.resolve_referenced_detections(self._detections)]
        if not names:
            raise SigmaConditionError(f"'{node.args[0]} of {node.pattern}' matches no detection")
        parts = [self._named(name) for name in names]
        return all_of(parts) if node.cond_class is ConditionAND else any_of(parts)

    def _named(self, name: str) -> Predicate:
        detection = self._detections.detections.get(name)
        if detection is None:
            raise SigmaConditionError(f"the condition names {name!r}, which is not defined in {self._section}")
        if name not in self._lowered:
            self._lowered[name] = self._detection(detection, name)
        return self._lowered[name]

    def _detection(self, detection: SigmaDetection, where: str) -> Predicate:
        parts = [
            self._item(item, where) if isinstance(item, SigmaDetectionItem) else self._detection(item, where)
            for item in detection.detection_items
        ]
        return all_of(parts) if detection.item_linking is ConditionAND else any_of(parts)

    def _item(self, item: SigmaDetectionItem, where: str) -> Predicate:
        place = self._place(item, where)
        values = item.value or ([SigmaNull()] if place.is_empty else [])
        try:
            parts = [lower_value(value, Item(self._document, place, item.field)) for value in values]
        except RuleError as error:
            self._errors.append(error)
            return any_of(())
        joined = all_of(parts) if parts and item.value_linking is ConditionAND else any_of(parts)
        return Not(joined) if item.negated else joined

    def _place(self, item: SigmaDetectionItem, where: str) -> Place:
        """Return where an item was written; one that a pipeline added stands nowhere."""
        if isinstance(item.source, Place):
            return item.source
        return Place((self._section,), item_name(where, item.field))


def said(error: SigmaConditionError) -> tuple[str, int]:
    """Return what is wrong with a condition, and at which of its columns (from 1)."""
    position = getattr(error.__context__, "loc", None)  # pyparsing's, which is pySigma's own affair
    if not isinstance(position, int):
        return str(error), 1
    rest = getattr(error.__context__, "pstr", "")[position:]
    hint = "; write operators in lower case" if rest.startswith(_UPPER_CASE) else ""
    return f"the condition can't be read from {rest!r} on{hint}", position + 1
