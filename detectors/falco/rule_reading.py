"""Rules of a rule file, and changes to them.

Source: falcosecurity/falco, userspace/engine/rule_loader_reader.cpp (`read_item`), whose messages these are.
"""

from __future__ import annotations

from typing import Final

from detectors.falco.diagnostics import LoadCode, Place, diagnostic, invalid
from detectors.falco.exception_reading import read_exceptions
from detectors.falco.items import Collector, RuleItem, RuleUpdate
from detectors.falco.nodes import Node
from detectors.falco.overriding import APPEND_AND_OVERRIDE, append_flag, overrides

PRIORITIES: Final = (
    "Emergency",
    "Alert",
    "Critical",
    "Error",
    "Warning",
    "Notice",
    "Informational",
    "Debug",
)
"""Falco's priorities, the most urgent first, as its JSON writes them."""

_PRIORITY_NAMES: Final = {name.lower(): name for name in PRIORITIES} | {"info": "Informational"}
_DEPRECATED_ENABLED: Final = (
    "The standalone 'enabled' key usage is deprecated. The correct approach requires also a 'replace' entry under the "
    "'override' key (i.e. 'enabled: replace')."
)
_APPENDABLE: Final = ("condition", "exceptions", "output", "desc", "tags")
_REPLACEABLE: Final = (
    *_APPENDABLE,
    "priority",
    "capture",
    "capture_duration",
    "enabled",
    "warn_evttypes",
    "skip-if-unknown-filter",
)
_RULE_KEYS: Final = frozenset(("rule", "source", "append", "override", *_REPLACEABLE))


def read_rule(item: Node, collector: Collector) -> None:
    """Read a rule, or what an item changes in one.

    Raises:
        LoadError: it has not the form that it should have.
    """
    item = item.named("rule")
    flagged = append_flag(item, collector)
    appends, replaces = overrides(item, _APPENDABLE, _REPLACEABLE)
    if flagged and (appends or replaces):
        raise invalid(APPEND_AND_OVERRIDE, item.context)
    for warning in item.unknown_keys(_RULE_KEYS):
        collector.warn(warning)
    if appends or replaces:
        _read_overridden(item, collector, appends, replaces)
    elif flagged:
        collector.append_rule(_update(item, collector, {"condition", "exceptions"}.intersection(_keys(item))))
    elif not any(key in item for key in ("condition", "output", "desc", "priority")):
        update = _update(item, collector, {"enabled"})
        collector.warn(diagnostic(LoadCode.DEPRECATED_ITEM, _DEPRECATED_ENABLED, item.context))
        collector.enable_rule(update)
    else:
        collector.add_rule(_definition(item, collector))


def _keys(item: Node) -> set[str]:
    return {key for key in _REPLACEABLE if key in item}


def _read_overridden(item: Node, collector: Collector, appends: set[str], replaces: set[str]) -> None:
    for kind, keys in (("append", appends), ("replace", replaces)):
        for key in _REPLACEABLE:
            if key in keys and key not in item:
                message = f"An {kind} override for '{key}' was specified but '{key}' is not defined"
                raise invalid(message, item.context)
    if appends:
        collector.append_rule(_update(item, collector, appends))
    if replaces:
        collector.replace_rule(_update(item, collector, replaces))
    for key in sorted(_keys(item) - appends - replaces):
        message = f"Unexpected key '{key}': no corresponding entry under 'override' is defined."
        raise invalid(message, item.context, _place_of(item, key))


def _place_of(item: Node, key: str) -> Place | None:
    node = item.get(key)
    return None if node is None else item.place(node)


def _update(item: Node, collector: Collector, keys: set[str]) -> RuleUpdate:
    update = RuleUpdate(item.context.item_name, item.context)
    if "source" in item:
        update.source = item.text("source")
    if "condition" in keys:
        update.condition = item.placed("condition")
    if "exceptions" in keys:
        update.exceptions = read_exceptions(item, collector, is_update=True)
    if "output" in keys:
        update.output = item.placed("output")
    if "desc" in keys:
        update.desc = item.text("desc")
    if "tags" in keys:
        update.tags = frozenset(item.sequence("tags"))
    if "priority" in keys:
        update.priority = _priority(item)
    _update_flags(item, update, keys)
    return update


def _update_flags(item: Node, update: RuleUpdate, keys: set[str]) -> None:
    if "enabled" in keys:
        item.scalar("enabled")
        update.enabled = item.flag("enabled", default=True)
    if "warn_evttypes" in keys:
        update.warn_evttypes = item.flag("warn_evttypes", default=True)
    if "skip-if-unknown-filter" in keys:
        update.skip_if_unknown = item.flag("skip-if-unknown-filter", default=False)
    if "capture" in keys:
        update.capture = item.flag("capture", default=False)
    if "capture_duration" in keys:
        update.capture_duration_ms = item.unsigned("capture_duration")


def _definition(item: Node, collector: Collector) -> RuleItem:
    condition, output = item.placed("condition"), item.placed("output")
    output = (output[0]._replace(text=output[0].text.strip()),)
    return RuleItem(
        name=item.context.item_name,
        context=item.context,
        condition=condition,
        output=output,
        desc=item.text("desc"),
        priority=_priority(item),
        source=item.text("source") if "source" in item else "syscall",
        enabled=item.flag("enabled", default=True),
        warn_evttypes=item.flag("warn_evttypes", default=True),
        skip_if_unknown=item.flag("skip-if-unknown-filter", default=False),
        capture=item.flag("capture", default=False),
        capture_duration_ms=item.unsigned("capture_duration") if "capture_duration" in item else 0,
        tags=frozenset(item.sequence("tags")) if "tags" in item else frozenset(),
        exceptions=read_exceptions(item, collector, is_update=False),
    )


def _priority(item: Node) -> str:
    node = item.scalar("priority")
    priority = _PRIORITY_NAMES.get(node.value.lower())
    if priority is None:
        message = f"Invalid priority '{node.value}'; it must be one of {', '.join(PRIORITIES)}"
        raise invalid(message, item.context, item.place(node))
    return priority
