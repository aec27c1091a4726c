"""A transformation that pySigma lacks: one value of one field becomes a detection of its own.

Our pipelines need it where a public rule says with one word what an event says with several fields.
"""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass
from typing import Any

from sigma.conditions import ConditionOR
from sigma.processing.transformations.base import DetectionItemTransformation
from sigma.rule import SigmaDetection, SigmaDetectionItem

from detectors.sigma.places import Place


@dataclass
class RewriteValueTransformation(DetectionItemTransformation):
    """Replace a value of a field by a detection, or with `keep` add the detection as another choice.

    `unless`: values beside which nothing is done. Items that are negated, or ask for all of several values, stay.
    """

    field: str
    value: str
    detection: dict[str, Any]
    keep: bool = False
    unless: tuple[str, ...] = ()

    def apply_detection_item(self, detection_item: SigmaDetectionItem) -> SigmaDetection | None:
        """Return the choices that the item became; None if it stays as it is."""
        words = [str(value).lower() for value in detection_item.value]
        if detection_item.field != self.field or self.value not in words or not set(words).isdisjoint(self.unless):
            return None
        if detection_item.negated or (len(words) > 1 and detection_item.value_linking is not ConditionOR):
            return None
        kept = [
            value for value, word in zip(detection_item.value, words, strict=True) if self.keep or word != self.value
        ]
        choices: list[SigmaDetectionItem | SigmaDetection] = []
        if kept:
            choices.append(dataclasses.replace(detection_item, value=kept, auto_modifiers=False))
        choices.append(_detection(self.detection, detection_item))
        return SigmaDetection(choices, item_linking=ConditionOR)


def _detection(definition: dict[str, Any], of: SigmaDetectionItem) -> SigmaDetection:
    """Make a detection that says it stands where the item stood."""
    made = SigmaDetection.from_definition(copy.deepcopy(definition))
    for item in made.detection_items:
        if isinstance(of.source, Place):
            item.source = Place(of.source.keys, of.source.where)
    return made
