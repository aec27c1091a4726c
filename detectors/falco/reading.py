"""Items of a rule file, read one by one and handed to the collection.

Source: falcosecurity/falco, userspace/engine/rule_loader_reader.cpp (`read_item`), whose messages these are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Final, Protocol

import yaml

from detectors.falco.diagnostics import Context, Diagnostic, LoadCode, Place, diagnostic, invalid, place_of
from detectors.falco.documents import is_null, pairs
from detectors.falco.items import Entry, ExceptionItem, ListItem, MacroItem, Node, RuleItem, RuleUpdate
from detectors.falco.lexer import BARE, IDENTIFIER
from detectors.rule import RuleText

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
_DEPRECATED_APPEND: Final = (
    "'append' key is deprecated. Add an 'append' entry (e.g. 'condition: append') under 'override' instead."
)
_DEPRECATED_ENABLED: Final = (
    "The standalone 'enabled' key usage is deprecated. The correct approach requires also a 'replace' entry under the "
    "'override' key (i.e. 'enabled: replace')."
)
_APPEND_AND_OVERRIDE: Final = (
    "Keys 'override' and 'append: true' cannot be used together. Add an 'append' entry (e.g. 'condition: append') "
    "under 'override' instead."
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
_LIST_KEYS: Final = frozenset(("list", "items", "append", "override"))
_MACRO_KEYS: Final = frozenset(("macro", "condition", "append", "override"))
_RULE_KEYS: Final = frozenset(("rule", "source", "append", "override", *_REPLACEABLE))
_EXCEPTION_KEYS: Final = frozenset(("name", "fields", "comps", "values"))
_VERSION: Final = re.compile(r"([0-9]{1,9})\.([0-9]{1,9})\.([0-9]{1,9})(?:[-+].*)?")
_ENTRY_DEPTH_MAX: Final = 3


class Collector(Protocol):
    """Takes what was read, in order; methods raise LoadError for what makes no sense."""

    def warn(self, warning: Diagnostic) -> None:
        """Report."""
        ...

    def require_engine(self, version: tuple[int, int, int], context: Context) -> None:
        """Check a required version of the engine."""
        ...

    def add_list(self, item: ListItem, *, append: bool) -> None:
        """Define or append to a list."""
        ...

    def add_macro(self, item: MacroItem, *, append: bool) -> None:
        """Define or append to a macro."""
        ...

    def add_rule(self, item: RuleItem) -> None:
        """Define a rule."""
        ...

    def append_rule(self, update: RuleUpdate) -> None:
        """Append to a rule."""
        ...

    def replace_rule(self, update: RuleUpdate) -> None:
        """Replace parts of a rule."""
        ...

    def enable_rule(self, update: RuleUpdate) -> None:
        """Switch a rule on or off."""
        ...


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
    append = _reads_append(item, collector, ("items",))
    for warning in item.unknown_keys(_LIST_KEYS):
        collector.warn(warning)
    collector.add_list(ListItem(item.context.item_name, item.context, items), append=append)


def _read_macro(item: Node, collector: Collector) -> None:
    item = item.named("macro")
    if not IDENTIFIER.fullmatch(item.context.item_name):
        message = f"Macro has an invalid name. Macro names should match a regular expression: {IDENTIFIER.pattern}"
        collector.warn(diagnostic(LoadCode.INVALID_MACRO_NAME, message, item.context))
    condition = item.placed("condition")
    append = _reads_append(item, collector, ("condition",))
    for warning in item.unknown_keys(_MACRO_KEYS):
        collector.warn(warning)
    collector.add_macro(MacroItem(item.context.item_name, item.context, condition), append=append)


def _reads_append(item: Node, collector: Collector, overridable: Collection[str]) -> bool:
    flagged = _append_flag(item, collector)
    appends, replaces = _overrides(item, overridable, overridable)
    if flagged and (appends or replaces):
        raise invalid(_APPEND_AND_OVERRIDE, item.context)
    return flagged or bool(appends)


def _append_flag(item: Node, collector: Collector) -> bool:
    flagged = item.flag("append", default=False)
    if flagged:
        collector.warn(diagnostic(LoadCode.DEPRECATED_ITEM, _DEPRECATED_APPEND, item.context))
    return flagged


def _overrides(item: Node, appendable: Collection[str], replaceable: Collection[str]) -> tuple[set[str], set[str]]:
    """Return the keys to append to and to replace."""
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


def _read_rule(item: Node, collector: Collector) -> None:
    item = item.named("rule")
    flagged = _append_flag(item, collector)
    appends, replaces = _overrides(item, _APPENDABLE, _REPLACEABLE)
    if flagged and (appends or replaces):
        raise invalid(_APPEND_AND_OVERRIDE, item.context)
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
        update.exceptions = _exceptions(item, collector, is_update=True)
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
        exceptions=_exceptions(item, collector, is_update=False),
    )


def _priority(item: Node) -> str:
    node = item.scalar("priority")
    priority = _PRIORITY_NAMES.get(node.value.lower())
    if priority is None:
        message = f"Invalid priority '{node.value}'; it must be one of {', '.join(PRIORITIES)}"
        raise invalid(message, item.context, item.place(node))
    return priority


def _exceptions(item: Node, collector: Collector, *, is_update: bool) -> list[ExceptionItem]:
    node = item.get("exceptions")
    if node is None or is_null(node):
        return []
    if not isinstance(node, yaml.SequenceNode):
        raise invalid("Rule exceptions must be a sequence", item.context, item.place(node))
    found: list[ExceptionItem] = []
    for child in node.value:
        if not isinstance(child, yaml.MappingNode):
            raise invalid("Rule exception must be a mapping", item.context, item.place(child))
        given = Node(item.source, child, "exception").named("name")
        name = given.context.item_name
        if any(other.name == name for other in found):
            message = f"Multiple definitions of exception '{name}' in the same rule"
            collector.warn(diagnostic(LoadCode.EXCEPTION_NAME_NOT_UNIQUE, message, given.context))
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


_READERS: Final[tuple[tuple[str, Callable[[Node, Collector], None]], ...]] = (
    ("required_engine_version", _read_engine_version),
    ("required_plugin_versions", _read_plugin_versions),
    ("list", _read_list),
    ("macro", _read_macro),
    ("rule", _read_rule),
)
