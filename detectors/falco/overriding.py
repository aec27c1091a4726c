"""The keys `append` and `override`: what an item changes in an earlier one.

Source: falcosecurity/falco, userspace/engine/rule_loader_reader.cpp (`decode_overrides`) and rule_loading_messages.h.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import yaml

from detectors.falco.diagnostics import LoadCode, diagnostic, invalid
from detectors.falco.documents import pairs
from detectors.falco.items import Collector
from detectors.falco.nodes import Node

_DEPRECATED_APPEND: Final = (
    "'append' key is deprecated. Add an 'append' entry (e.g. 'condition: append') under 'override' instead."
)
APPEND_AND_OVERRIDE: Final = (
    "Keys 'override' and 'append: true' cannot be used together. Add an 'append' entry (e.g. 'condition: append') "
    "under 'override' instead."
)


def reads_append(item: Node, collector: Collector, overridable: Collection[str]) -> bool:
    """Say whether an item of one part is appended.

    Raises:
        LoadError: both keys say so, or they say nonsense.
    """
    flagged = append_flag(item, collector)
    appends, replaces = overrides(item, overridable, overridable)
    if flagged and (appends or replaces):
        raise invalid(APPEND_AND_OVERRIDE, item.context)
    return flagged or bool(appends)


def append_flag(item: Node, collector: Collector) -> bool:
    """Read the old key, and warn of it.

    Raises:
        LoadError: it is no truth value.
    """
    flagged = item.flag("append", default=False)
    if flagged:
        collector.warn(diagnostic(LoadCode.DEPRECATED_ITEM, _DEPRECATED_APPEND, item.context))
    return flagged


def overrides(item: Node, appendable: Collection[str], replaceable: Collection[str]) -> tuple[set[str], set[str]]:
    """Return the keys to append to and to replace.

    Raises:
        LoadError: a key can't be changed in that way.
    """
    node = item.get("override")
    if node is None:
        return set(), set()
    if not isinstance(node, yaml.MappingNode):
        raise invalid("Value of 'override' is not a mapping", item.context, item.place(node))
    appends: set[str] = set()
    replaces: set[str] = set()
    for key, value in pairs(node):
        operation = value.value if isinstance(value, yaml.ScalarNode) else None
        place = item.place(key)
        if operation == "append":
            if key.value not in appendable:
                raise invalid(f"Key '{key.value}' cannot be appended to, use 'replace' instead", item.context, place)
            appends.add(key.value)
        elif operation == "replace":
            if key.value not in replaceable:
                raise invalid(f"Key '{key.value}' cannot be replaced", item.context, place)
            replaces.add(key.value)
        else:
            allowed = [name for name, keys in (("append", appendable), ("replace", replaceable)) if key.value in keys]
            message = f"Invalid override operation for key '{key.value}': '{operation}'. Allowed values are: "
            raise invalid(message + " ".join(allowed), item.context, item.place(value))
    return appends, replaces
