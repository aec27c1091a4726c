"""Items of a rule file, read one by one and handed to the collection.

Source: falcosecurity/falco, userspace/engine/rule_loader_reader.cpp (`read_item`), whose messages these are.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import yaml

from detectors.falco.diagnostics import Context, LoadCode, diagnostic, invalid, place_of
from detectors.falco.documents import pairs
from detectors.falco.items import Collector, ListItem, MacroItem
from detectors.falco.lexer import BARE, IDENTIFIER
from detectors.falco.nodes import Node
from detectors.falco.overriding import reads_append
from detectors.falco.rule_reading import read_rule
from detectors.rule import RuleText

_LIST_KEYS: Final = frozenset(("list", "items", "append", "override"))
_MACRO_KEYS: Final = frozenset(("macro", "condition", "append", "override"))
_VERSION: Final = re.compile(r"([0-9]{1,9})\.([0-9]{1,9})\.([0-9]{1,9})(?:[-+].*)?")


def read_item(source: RuleText, node: yaml.Node, collector: Collector) -> None:
    """Read one item.

    Raises:
        LoadError: it has not the form that it should have.
    """
    if not isinstance(node, yaml.MappingNode):
        context = Context("rules content item", "", place_of(source, node.start_mark))
        raise invalid("Unexpected element type. Each element should be a yaml associative array.", context)
    keys = [key.value for key, _ in pairs(node)]
    for name, read in _READERS:
        if name in keys:
            read(Node(source, node, name), collector)
            return
    context = Context("rules content item", "", place_of(source, node.start_mark))
    collector.warn(diagnostic(LoadCode.UNKNOWN_ITEM, "Unknown top level item", context))


def _read_engine_version(item: Node, collector: Collector) -> None:
    text = item.text("required_engine_version")
    if text.isascii() and text.isdigit() and len(text) <= len(str(1 << 32)):
        collector.require_engine((0, int(text), 0), item.context)
        return
    version = parse_version(text)
    if version is None:
        message = f"Unable to parse engine version '{text}' as a semver string. Expected \"x.y.z\" semver format."
        raise invalid(message, item.context, item.place(item.scalar("required_engine_version")))
    collector.require_engine(version, item.context)


def parse_version(text: str) -> tuple[int, int, int] | None:
    """Read `x.y.z`; None if it is none."""
    found = _VERSION.fullmatch(text)
    return None if found is None else (int(found[1]), int(found[2]), int(found[3]))


def _read_plugin_versions(item: Node, _collector: Collector) -> None:
    """Check the form; which plugins Falco runs with is not known here."""
    for plugin in _mappings(item, "required_plugin_versions", "plugin"):
        names = {_checked_plugin(plugin)}
        for other in _mappings(plugin, "alternatives", "plugin alternative") if "alternatives" in plugin else ():
            name = _checked_plugin(other)
            if name in names:
                message = f"Defined multiple alternative version requirements for plugin '{name}'"
                raise invalid(message, other.context)
            names.add(name)


def _mappings(item: Node, key: str, what: str) -> list[Node]:
    node = item.get(key)
    if not isinstance(node, yaml.SequenceNode):
        raise invalid(f"Value of {key} must be a sequence", item.context, None if node is None else item.place(node))
    found: list[Node] = []
    for child in node.value:
        if not isinstance(child, yaml.MappingNode):
            raise invalid(f"{what.capitalize()} version must be a mapping", item.context, item.place(child))
        found.append(Node(item.source, child, "required plugin versions entry").named("name"))
    return found


def _checked_plugin(plugin: Node) -> str:
    version = plugin.text("version")
    if parse_version(version) is None:
        message = f"Invalid required version '{version}' for plugin '{plugin.context.item_name}'"
        raise invalid(message, plugin.context, plugin.place(plugin.scalar("version")))
    return plugin.context.item_name


def _read_list(item: Node, collector: Collector) -> None:
    item = item.named("list")
    if not BARE.fullmatch(item.context.item_name):
        message = f"List has an invalid name. List names should match a regular expression: {BARE.pattern}"
        collector.warn(diagnostic(LoadCode.INVALID_LIST_NAME, message, item.context))
    items = item.sequence("items")
    append = reads_append(item, collector, ("items",))
    for warning in item.unknown_keys(_LIST_KEYS):
        collector.warn(warning)
    collector.add_list(ListItem(item.context.item_name, item.context, list(items)), append=append)


def _read_macro(item: Node, collector: Collector) -> None:
    item = item.named("macro")
    if not IDENTIFIER.fullmatch(item.context.item_name):
        message = f"Macro has an invalid name. Macro names should match a regular expression: {IDENTIFIER.pattern}"
        collector.warn(diagnostic(LoadCode.INVALID_MACRO_NAME, message, item.context))
    condition = item.placed("condition")
    append = reads_append(item, collector, ("condition",))
    for warning in item.unknown_keys(_MACRO_KEYS):
        collector.warn(warning)
    collector.add_macro(MacroItem(item.context.item_name, item.context, condition), append=append)


_READERS: Final[tuple[tuple[str, Callable[[Node, Collector], None]], ...]] = (
    ("required_engine_version", _read_engine_version),
    ("required_plugin_versions", _read_plugin_versions),
    ("list", _read_list),
    ("macro", _read_macro),
    ("rule", read_rule),
)
