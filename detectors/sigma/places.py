"""Where each detection item was written, kept with the item through processing pipelines.

Pipelines make new items of old ones and copy the attribute `source`, which pySigma has for places. So an explanation
names the field as its author wrote it, and an error points at it, whatever the field was mapped to.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sigma.exceptions import SigmaRuleLocation
from sigma.rule import SigmaDetection, SigmaDetectionItem, SigmaDetections

from detectors.sigma.documents import Key

_PATH: Final = Path()


class Place(SigmaRuleLocation):
    """An item's keys in its document, its name in explanations, and whether it was written without a value."""

    def __init__(self, keys: tuple[Key, ...], where: str, *, is_empty: bool = False) -> None:
        super().__init__(_PATH)
        self.keys = keys
        self.where = where
        self.is_empty = is_empty


def mark_places(detections: SigmaDetections, section: str, label: str) -> dict[str, tuple[Key, ...]]:
    """Give every item its place under the key `section`; `label` goes before every name. Return the places by name."""
    found: dict[str, tuple[Key, ...]] = {}
    for name, detection in detections.detections.items():
        for place in _mark(detection, (section, name), label + name):
            found.setdefault(place.where, place.keys)
    return found


def _mark(detection: SigmaDetection, keys: tuple[Key, ...], where: str) -> Iterator[Place]:
    for position, item in enumerate(detection.detection_items):
        if isinstance(item, SigmaDetectionItem):
            place = Place((*keys, position), item_name(where, item.field), is_empty=not item.value)
            item.source = place
            yield place
        else:
            yield from _mark(item, (*keys, position), f"{where}[{position}]")


def item_name(detection: str, field: str | None) -> str:
    """Name an item in explanations: `selection.verb`; a keyword goes by its detection alone."""
    return detection if field is None else f"{detection}.{field}"
