"""Conditions by themselves, without the detections that they name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sigma.conditions import ConditionAND, ConditionIdentifier, ConditionNOT, ConditionSelector, SigmaCondition
from sigma.exceptions import SigmaConditionError
from sigma.rule import SigmaDetection, SigmaDetections

from detectors.sigma.lower import CONDITION_CHARS_MAX, said
from vedette.schema.errors import RuleError

if TYPE_CHECKING:
    from typing import Any


def canonical_condition(text: str) -> str:
    """Return a condition as it is understood: each `and` and `or` in parentheses, one blank between words.

    Raises:
        RuleError: it can't be read; the column says where.
    """
    if len(text) > CONDITION_CHARS_MAX:
        raise RuleError(f"a condition is a text of at most {CONDITION_CHARS_MAX} characters", line=1, column=1)
    detections = SigmaDetections({"any": SigmaDetection.from_definition({"any": "any"})}, [text])
    try:
        return _written(SigmaCondition(text, detections).parse(postprocess=False))
    except SigmaConditionError as error:
        message, column = said(error)
        raise RuleError(message, line=1, column=column) from error
    except RecursionError as error:
        raise RuleError("the condition is nested too deeply", line=1, column=1) from error


def _written(node: Any) -> str:
    if isinstance(node, ConditionIdentifier):
        return str(node.identifier)
    if isinstance(node, ConditionSelector):
        return f"{node.args[0]} of {node.pattern}"
    parts = [_written(part) for part in node.args]
    if isinstance(node, ConditionNOT):
        return f"not {parts[0]}"
    return f"({(' and ' if isinstance(node, ConditionAND) else ' or ').join(parts)})"
