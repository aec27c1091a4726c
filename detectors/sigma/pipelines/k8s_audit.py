"""Repairs the known defects of public rules for Kubernetes audit events.

They were written against flattened copies of the events, or before the API server changed. Each repair says what an
event really carries (k8s.io/apiserver, pkg/apis/audit/v1/types.go; kubernetes/enhancements KEP-4006).
"""

from __future__ import annotations

from typing import Any, Final

from sigma.processing.conditions import LogsourceCondition, RuleProcessingCondition
from sigma.processing.pipeline import ProcessingItem
from sigma.processing.transformations import FieldMappingTransformation
from sigma.rule import SigmaDetection, SigmaDetectionItem, SigmaRule

from detectors.sigma.rewriting import RewriteValueTransformation

_SPECS: Final = (
    "requestObject.spec",
    "requestObject.spec.template.spec",
    "requestObject.spec.jobTemplate.spec.template.spec",
)
"""Where a pod's specification stands: in a pod, in what makes pods, in a CronJob."""
_CONTAINERS: Final = tuple(
    f"{spec}.{kind}" for spec in _SPECS for kind in ("containers", "initContainers", "ephemeralContainers")
)
_STREAMS: Final = ("exec", "attach", "portforward")
"""Subresources that a client opens by a WebSocket, which is a GET, since Kubernetes 1.31; before by a POST."""
_FIELDS: Final[dict[str | None, str | list[str]]] = {
    "apiGroup": "objectRef.apiGroup",
    "hostPath": [f"{spec}.volumes.hostPath.path" for spec in _SPECS],
    "capabilities": [f"{containers}.securityContext.capabilities.add" for containers in _CONTAINERS],
}
"""Bare names, and the fields that are meant: no event has such names at its top."""
_DECISION: Final = "annotations.authorization.k8s.io/decision"
_PRIVILEGED: Final = tuple(f"{containers}.securityContext.privileged" for containers in _CONTAINERS)


class AsksForStream(RuleProcessingCondition):
    """True of a rule that looks for one of the subresources opened by a WebSocket."""

    def match(self, rule: Any) -> bool:
        """Look at all detections of the rule."""
        return isinstance(rule, SigmaRule) and any(map(_asks_for_stream, rule.detection.detections.values()))


class OpenStreamTransformation(RewriteValueTransformation):
    """Takes `verb: get` for `verb: create` where the subresource stands beside it, or nothing does."""

    def apply_detection(self, detection: SigmaDetection) -> None:
        """Rewrite a map of such a kind, and those in it."""
        items = detection.detection_items
        alone = [item.field for item in items if isinstance(item, SigmaDetectionItem)] == ["verb"]
        if alone or any(map(_is_stream, items)):
            super().apply_detection(detection)
        else:
            for item in items:
                if isinstance(item, SigmaDetection):
                    self.apply_detection(item)


def _asks_for_stream(detection: SigmaDetection) -> bool:
    return any(
        _asks_for_stream(item) if isinstance(item, SigmaDetection) else _is_stream(item)
        for item in detection.detection_items
    )


def _is_stream(item: SigmaDetection | SigmaDetectionItem) -> bool:
    if isinstance(item, SigmaDetection) or item.field != "objectRef.subresource":
        return False
    return any(str(value).lower() in _STREAMS for value in item.value)


def items() -> list[ProcessingItem]:
    """Return the pipeline's steps, made anew: an item belongs to one pipeline."""
    opened = {"verb": "get", "objectRef.subresource": list(_STREAMS)}
    return [
        _step(OpenStreamTransformation("verb", "create", opened, keep=True, unless=("get",)), AsksForStream()),
        _step(RewriteValueTransformation("responseStatus.code", "allow", {_DECISION: "allow"})),
        _step(RewriteValueTransformation("responseStatus.code", "forbid", {_DECISION: "forbid"})),
        *(_step(RewriteValueTransformation("capabilities", "*", {name: True}, keep=True)) for name in _PRIVILEGED),
        _step(FieldMappingTransformation(dict(_FIELDS))),
    ]


def _step(transformation: Any, *conditions: RuleProcessingCondition) -> ProcessingItem:
    audit = LogsourceCondition(product="kubernetes", service="audit")
    return ProcessingItem(transformation, rule_conditions=[audit, *conditions])
