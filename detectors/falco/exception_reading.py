"""The key `exceptions` of a rule.

Source: falcosecurity/falco, userspace/engine/rule_loader_reader.cpp (`read_rule_exceptions`).
"""

from __future__ import annotations

from typing import Final

import yaml

from detectors.falco.diagnostics import LoadCode, diagnostic, invalid
from detectors.falco.documents import is_null
from detectors.falco.items import Collector, Entry, ExceptionItem
from detectors.falco.nodes import Node

_EXCEPTION_KEYS: Final = frozenset(("name", "fields", "comps", "values"))
_ENTRY_DEPTH_MAX: Final = 3


def read_exceptions(item: Node, collector: Collector, *, is_update: bool) -> list[ExceptionItem]:
    """Read the exceptions of a rule; those of an update may leave out fields.

    Raises:
        LoadError: they have not the form that they should have.
    """
    node = item.get("exceptions")
    if node is None or is_null(node):
        return []
    if not isinstance(node, yaml.SequenceNode):
        raise invalid("Rule exceptions must be a sequence", item.context, item.place(node))
    found: list[ExceptionItem] = []
    names: set[str] = set()
    for child in node.value:
        if not isinstance(child, yaml.MappingNode):
            raise invalid("Rule exception must be a mapping", item.context, item.place(child))
        given = Node(item.source, child, "exception").named("name")
        name = given.context.item_name
        if name in names:
            message = f"Multiple definitions of exception '{name}' in the same rule"
            collector.warn(diagnostic(LoadCode.EXCEPTION_NAME_NOT_UNIQUE, message, given.context))
        names.add(name)
        for warning in given.unknown_keys(_EXCEPTION_KEYS):
            collector.warn(warning)
        found.append(_exception(given, collector, is_update=is_update))
    return found


def _exception(given: Node, collector: Collector, *, is_update: bool) -> ExceptionItem:
    fields, comps, values = given.get("fields"), given.get("comps"), given.get("values")
    if fields is None and not is_update:
        raise invalid("Item has no mapping for key 'fields'", given.context)
    item = ExceptionItem(given.context.item_name, given.context)
    item.fields = None if fields is None else _entry(given, fields)
    item.comps = None if comps is None else _entry(given, comps)
    if values is None:
        if is_update:
            message = "Overriding/appending exception with no values"
            collector.warn(diagnostic(LoadCode.APPEND_NO_VALUES, message, given.context))
    elif not isinstance(values, yaml.SequenceNode):
        raise invalid("Rule exception values must be a sequence", given.context, given.place(values))
    else:
        item.values = tuple(_entry(given, value) for value in values.value)
    return item


def _entry(given: Node, node: yaml.Node, depth: int = 1) -> Entry:
    if isinstance(node, yaml.ScalarNode):
        if not node.value:
            raise invalid("Value must be non-empty", given.context, given.place(node))
        return Entry(str(node.value))
    if not isinstance(node, yaml.SequenceNode) or depth > _ENTRY_DEPTH_MAX:
        raise invalid("Value is neither a text nor a list of texts", given.context, given.place(node))
    return Entry(items=tuple(_entry(given, item, depth + 1) for item in node.value))
