"""Documents that are Sigma rules and more: what Sigma says of them, without pipelines and filters."""

from __future__ import annotations

from typing import NamedTuple

from sigma.rule import SigmaRule

from detectors.predicate import Predicate
from detectors.sigma.dialect import adapted
from detectors.sigma.documents import Document, Key
from detectors.sigma.logsource import logsource_of
from detectors.sigma.lower import lower_detections
from detectors.sigma.metadata import Metadata
from detectors.sigma.parsing import parse
from detectors.sigma.places import mark_places
from detectors.testing.case import RuleTest
from vedette.schema.errors import RuleError
from vedette.schema.event import LogSource
from vedette.schema.rule import RuleInfo


class SigmaPart(NamedTuple):
    """A rule as Sigma has it. `places` leads from what an atom's `where` says to the keys of the item."""

    info: RuleInfo
    logsource: LogSource
    predicate: Predicate
    tests: tuple[RuleTest, ...]
    covers: tuple[str, ...]
    places: dict[str, tuple[Key, ...]]


def read_sigma_part(document: Document, errors: list[RuleError]) -> SigmaPart | None:
    """Read a document as a Sigma rule; if anything is wrong with it, append every error and return None."""
    count = len(errors)
    data = adapted(document, errors)
    rule = parse(SigmaRule, document, data, errors)
    if rule is None or len(errors) > count:
        return None
    metadata = Metadata(rule, document)
    info, tests, covers = metadata.info(), metadata.tests(), metadata.covers()
    errors.extend(metadata.errors)
    places = mark_places(rule.detection, "detection", "")
    predicate = lower_detections(rule.detection, document, "detection", errors)
    if len(errors) > count:
        return None
    return SigmaPart(info, logsource_of(rule.logsource), predicate, tests, covers, places)
