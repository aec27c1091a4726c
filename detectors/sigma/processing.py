"""Processing pipelines: what changes rules between parsing and lowering, the user's first and then ours.

A pipeline is a YAML document among the rules, known by its key `transformations` (pySigma's format). It works on every
rule of the set, by its own conditions. What would look outside is refused: detection reads nothing but its log.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from sigma.filters import SigmaFilter
from sigma.processing.pipeline import ProcessingItem, ProcessingPipeline
from sigma.rule import SigmaDetection, SigmaDetectionItem, SigmaLogSource, SigmaRule

from detectors.sigma.dialect import ANY_PRODUCT
from detectors.sigma.documents import Document, Key
from detectors.sigma.parsing import POLICY, said
from detectors.sigma.pipelines import REPAIRS, SENSORS, Items
from detectors.values import is_list, is_object
from vedette.schema.event import LogSource

_MARK: Final = "transformations"
_KNOWN: Final = (_MARK, "name", "priority", "vars", "allowed_backends")
_QUERIES: Final = ("postprocessing", "finalizers")
_EXTERNAL: Final = ("file_placeholders", "http_placeholders", "command_placeholders")
_OTHER_KINDS: Final = ("detection", "correlation", "filter")


class Pipeline(NamedTuple):
    """A user's pipeline, checked."""

    document: Document
    data: dict[str, Any]

    @property
    def priority(self) -> int:
        """Its place among others, the lowest first."""
        priority: int = self.data.get("priority", 0)
        return priority


def is_pipeline(document: Document) -> bool:
    """Say whether a document is a processing pipeline."""
    return _MARK in document.data and not any(kind in document.data for kind in _OTHER_KINDS)


def read_pipeline(document: Document) -> Pipeline:
    """Check a pipeline.

    Raises:
        RuleError: it is none, or does what is not allowed here.
    """
    for key in document.data:
        if key in _QUERIES:
            raise document.error(f"{key} works on queries, and a stream has none; remove it", key, at_key=True)
        if key not in _KNOWN:
            raise document.error(f"unknown key {key!r}; known are {', '.join(_KNOWN)}", key, at_key=True)
    data = copy.deepcopy(document.data)
    for key, kind, words in (("priority", int, "a number"), ("vars", dict, "a mapping"), (_MARK, list, "a list")):
        if not isinstance(data.get(key, kind()), kind):
            raise document.error(f"{key} must be {words}", key)
    _check_items(document, data[_MARK], (_MARK,))
    return Pipeline(document, data)


def _check_items(document: Document, items: Any, keys: tuple[Key, ...]) -> None:
    if not is_list(items):
        raise document.error("steps must be a list", *keys)
    for position, item in enumerate(items):
        here = (*keys, position)
        if not is_object(item):
            raise document.error("a step is a mapping with a type", *here)
        if item.get("type") in _EXTERNAL:
            raise document.error(f"{item['type']} reads from outside; list the values under vars", *here, "type")
        if item.get("type") == "add_condition" and "name" not in item:
            item["name"] = "_".join(("_added", *map(str, here[1::2])))  # pySigma would draw it by chance
        if item.get("type") == "nest":
            _check_items(document, item.get("items"), (*here, "items"))
        try:
            ProcessingItem.from_dict(copy.deepcopy(item), policy=POLICY)
        except Exception as error:  # pySigma meets malformed steps with whatever its code trips over
            raise document.error(said(error, "not a step of a pipeline"), *here) from error


class Processing:
    """All pipelines of a set of rules: the user's by priority and order, then the repairs, then one sensor's."""

    def __init__(self, pipelines: Iterable[Pipeline], *, ours: bool) -> None:
        """Take the user's pipelines, and with `ours` those that ship."""
        self._users = sorted(pipelines, key=lambda pipeline: pipeline.priority)
        self._repairs = tuple(REPAIRS.values()) if ours else ()
        self._sensors = SENSORS if ours else {}
        self._made: dict[str, ProcessingPipeline] = {}

    def variants(self, source: LogSource) -> list[ProcessingPipeline]:
        """Return what rules of a log source go through: a pipeline for each sensor that stands in for it, else one."""
        names = [name for name, sensor in self._sensors.items() if sensor.covers(source)]
        return [self._pipeline(name) for name in names or [""]]

    def _pipeline(self, sensor: str) -> ProcessingPipeline:
        """Make the pipeline of a sensor, or for "" of none, when it is first asked for."""
        if sensor not in self._made:
            steps = (self._sensors[sensor].items,) if sensor else ()
            self._made[sensor] = _combined(self._users, (*self._repairs, *steps))
        return self._made[sensor]


def _combined(users: Iterable[Pipeline], ours: Iterable[Items]) -> ProcessingPipeline:
    variables: dict[str, Any] = {}
    items: list[ProcessingItem] = []
    for pipeline in users:
        variables.update(pipeline.data.get("vars", {}))
        items.extend(ProcessingItem.from_dict(copy.deepcopy(item), policy=POLICY) for item in pipeline.data[_MARK])
    for steps in ours:
        items.extend(steps())
    return ProcessingPipeline(items=items, vars=variables, policy=POLICY)


def process_rule(pipeline: ProcessingPipeline, rule: SigmaRule, document: Document) -> None:
    """Change a rule in place.

    Raises:
        RuleError: the pipeline refuses the rule, or can't work on it.
    """
    try:
        pipeline.apply(rule)
    except Exception as error:  # as above: pipelines run pySigma's code on any rule
        raise document.error(f"a processing pipeline refuses it: {said(error, 'it can not work on it')}") from error
    source, detections = rule.logsource, rule.detection.detections.values()
    names = (
        source.category,
        source.product,
        source.service,
        *(field for found in detections for field in _fields(found)),
    )
    for name in names:
        if not isinstance(name, str | None):  # pySigma puts in whatever a step holds
            raise document.error(f"a processing pipeline names a field or log source by {name!r}, which is no text")


def _fields(detection: SigmaDetection) -> Iterator[Any]:
    for item in detection.detection_items:
        if isinstance(item, SigmaDetectionItem):
            yield item.field
        else:
            yield from _fields(item)


def process_filter(pipeline: ProcessingPipeline, exception: SigmaFilter, source: LogSource, document: Document) -> None:
    """Change a filter's detections as those of a rule of the log source; conditions are added to the rule alone.

    Raises:
        RuleError: as `process_rule`.
    """
    wanted = SigmaLogSource(source.category, source.product if any(source) else ANY_PRODUCT, source.service)
    before = list(exception.filter.condition)
    process_rule(pipeline, SigmaRule(title=exception.title, logsource=wanted, detection=exception.filter), document)
    for condition, text in zip(exception.filter.parsed_condition, before, strict=True):
        condition.condition = text
