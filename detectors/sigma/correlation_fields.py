"""The fields of its rules' events that a correlation speaks of: by alias, then as pipelines name them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sigma.rule import SigmaDetection, SigmaDetectionItem, SigmaDetections, SigmaLogSource, SigmaRule
from sigma.types import SigmaExists

from detectors.correlation.definition import Fields
from detectors.sigma.correlation_drafts import CorrelationDraft
from detectors.sigma.processing import process_rule

if TYPE_CHECKING:
    from detectors.sigma.loading import Draft


def fields_of(
    draft: CorrelationDraft, reference: str, name: str | None, rule_id: str, rule: Draft | None
) -> tuple[tuple[Fields, ...], tuple[Fields, ...]]:
    """Return the fields of a rule's events that keys and value stand for: by alias, then as pipelines name them."""
    known = {reference, rule_id, name}
    own = {
        alias.alias: field
        for alias in draft.parsed.aliases
        for to, field in alias.mapping.items()
        if to.reference in known or to.reference.lower() == rule_id.lower()
    }
    keys = [own.get(key, key) for key in draft.info.dedup_by]
    values = [own.get(field, field) for field in draft.value_fields]
    named = [*keys, *values]
    mapped = _mapped(rule, named) if rule is not None and named else {}
    return tuple(mapped.get(key, (key,)) for key in keys), tuple(mapped.get(field, (field,)) for field in values)


def _mapped(rule: Draft, fields: list[str]) -> dict[str, Fields]:
    """Return what each pipeline of a rule makes of fields, in their order, and the fields themselves."""
    found: dict[str, dict[str, None]] = {field: {} for field in fields}
    for variant in rule.variants:
        items = [
            SigmaDetectionItem(field, [], [SigmaExists(True)]) for field in found
        ]  # not parsed: any text is a name
        probe = SigmaRule(
            title=rule.info.title,
            logsource=SigmaLogSource.from_dict(rule.document.data["logsource"]),
            detection=SigmaDetections(
                {f"field{at}": SigmaDetection([item]) for at, item in enumerate(items)}, ["1 of field*"]
            ),
        )
        process_rule(variant.pipeline, probe, rule.document)
        for at, field in enumerate(found):
            found[field].update(dict.fromkeys(_items(probe.detection.detections.get(f"field{at}"))))
    return {field: tuple(dict.fromkeys([*names, field])) for field, names in found.items()}


def _items(detection: SigmaDetection | SigmaDetectionItem | None) -> Iterator[str]:
    if isinstance(detection, SigmaDetectionItem):
        if detection.field is not None:
            yield detection.field
    elif detection is not None:
        for item in detection.detection_items:
            yield from _items(item)
