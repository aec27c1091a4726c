"""Collection actions: what `global`, `reset` and `repeat` make of the documents of a file (Sigma specification 1.0)."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from typing import Any

from detectors.sigma.documents import Document
from detectors.sigma.processing import is_pipeline
from detectors.values import is_object
from vedette.schema.errors import RuleError


def merged(found: Iterable[Document | RuleError]) -> Iterator[Document | RuleError]:
    """Yield the rules that the documents of one file are, and what else is in it."""
    common: dict[str, Any] = {}
    previous: dict[str, Any] = {}
    for item in found:
        if isinstance(item, RuleError):
            yield item
            continue
        data = copy.deepcopy(item.data)
        action = data.pop("action", None)
        if action == "global":
            common = previous = data
        elif action == "reset":
            common = {}
        elif action == "repeat":
            previous = _updated(previous, data)
            yield item._replace(data=previous)
        elif action is not None:
            yield item.error(f"unknown action {action!r}; known are global, reset and repeat", "action")
        elif "correlation" in data or "filter" in data or is_pipeline(item):
            yield item
        else:
            previous = _updated(data, common)
            yield item._replace(data=previous)


def _updated(base: dict[str, Any], update: dict[str, Any]) -> dict[str, Any]:
    """Return `base` with the values of `update`, mapping by mapping."""
    merged = dict(base)
    for key, value in update.items():
        old = merged.get(key)
        merged[key] = _updated(old, value) if is_object(old) and is_object(value) else value
    return merged
