"""All items of all files, as later ones define them anew, append to them or replace parts of them.

Source: falcosecurity/falco, userspace/engine/rule_loader_collector.cpp, whose messages these are. A new definition
keeps the place of the old one in the order of evaluation, but sees what stands above itself.
"""

from __future__ import annotations

from typing import Final, TypeVar

from detectors.falco.diagnostics import Context, Diagnostic, LoadCode, diagnostic, wrong
from detectors.falco.exceptions import checked
from detectors.falco.items import ExceptionItem, ListItem, MacroItem, RuleItem, RuleUpdate
from detectors.falco.sources import SOURCES, Source
from detectors.falco.texts import Text, appended

ENGINE_VERSION: Final = (0, 63, 0)
"""The version of Falco's rule engine (falco 0.44.1) that this one does as."""
PIECES_MAX: Final = 2000
"""Pieces of one condition or output: two for each item that appends to it."""
EXCEPTIONS_MAX: Final = 1000
"""Exceptions of one rule; stock rules have ten."""
LIST_TYPES_SINCE: Final = (0, 13, 0)
"""The engine with which audit fields became lists of a type (Falco 0.32). Files that ask for an older one may still
compare such a list as if it were one value: that is tried on each element, and warned of."""

Item = TypeVar("Item", ListItem, MacroItem, RuleItem)


class Collection:
    """Takes what `reading` reads; its methods raise LoadError for what makes no sense."""

    def __init__(self) -> None:
        self.lists: dict[str, ListItem] = {}
        self.macros: dict[str, MacroItem] = {}
        self.rules: dict[str, RuleItem] = {}
        self.warnings: list[Diagnostic] = []
        self._index = 0
        self._has_untyped_lists = False

    def begin_file(self) -> None:
        """Forget what the last file said of itself."""
        self._has_untyped_lists = False

    def warn(self, warning: Diagnostic) -> None:
        """Keep a warning."""
        self.warnings.append(warning)

    def require_engine(self, version: tuple[int, int, int], context: Context) -> None:
        """Check a version: the same major, and not above ours.

        Raises:
            LoadError: it is another major, or above.
        """
        if version[0] != ENGINE_VERSION[0] or version > ENGINE_VERSION:
            required, ours = (".".join(map(str, found)) for found in (version, ENGINE_VERSION))
            raise wrong(f"Rules require engine version {required}, but engine version is {ours}", context)
        self._has_untyped_lists = version < LIST_TYPES_SINCE

    def add_list(self, item: ListItem, *, append: bool) -> None:
        """Define a list or append to one.

        Raises:
            LoadError: there is none to append to.
        """
        if not append:
            self._define(self.lists, item)
            return
        previous = self.lists.get(item.name)
        if previous is None:
            message = "List uses 'append' or 'override.items: append' but no list by that name already exists"
            raise wrong(message, item.context)
        previous.items.extend(item.items)
        previous.visibility = self._next()

    def add_macro(self, item: MacroItem, *, append: bool) -> None:
        """Define a macro or append to one.

        Raises:
            LoadError: there is none to append to.
        """
        if not append:
            self._define(self.macros, item)
            return
        previous = self.macros.get(item.name)
        if previous is None:
            message = "Macro uses 'append' or 'override.condition: append' but no macro by that name already exists"
            raise wrong(message, item.context)
        previous.condition = _appended(previous.condition, item.condition, item.context)
        previous.visibility = self._next()

    def add_rule(self, item: RuleItem) -> None:
        """Define a rule, or define it anew.

        Raises:
            LoadError: it had another source, or its exceptions make no sense.
        """
        previous = self.rules.get(item.name)
        if previous is not None and previous.source != item.source:
            raise wrong("Rule has been re-defined with a different source", item.context)
        source = SOURCES.get(item.source)
        if source is None:
            item.has_unknown_source = True
            message = f"Unknown source {item.source}, skipping"
            self.warn(diagnostic(LoadCode.UNKNOWN_SOURCE, message, item.context))
        item.has_untyped_lists = self._has_untyped_lists
        item.exceptions = [checked(exception, source) for exception in item.exceptions]
        self._define(self.rules, item)

    def append_rule(self, update: RuleUpdate) -> None:
        """Append to a rule.

        Raises:
            LoadError: there is none, or nothing to append.
        """
        rule = self.rules.get(update.name)
        if rule is None:
            message = "Rule uses 'append' or 'override.<key>: append' but no rule by that name already exists"
            raise wrong(message, update.context)
        _check_source(rule, update)
        if all(part is None for part in (update.condition, update.exceptions, update.output, update.desc, update.tags)):
            raise wrong("Appended rule must have exceptions or condition property", update.context)
        if update.condition is not None:
            rule.condition = _appended(rule.condition, update.condition, update.context)
        if update.output is not None:
            rule.output = _appended(rule.output, update.output, update.context)
        if update.desc is not None:
            rule.desc = f"{rule.desc} {update.desc}"
        rule.tags |= update.tags or frozenset()
        for item in update.exceptions or ():
            _append_exception(rule, item, SOURCES.get(rule.source))
        rule.visibility = self._next()

    def replace_rule(self, update: RuleUpdate) -> None:
        """Replace parts of a rule.

        Raises:
            LoadError: there is none, or its exceptions make no sense.
        """
        rule = self.rules.get(update.name)
        if rule is None:
            message = "An 'override.<key>: replace' to a rule was requested but no rule by that name already exists"
            raise wrong(message, update.context)
        _check_source(rule, update)
        source = SOURCES.get(rule.source)
        if update.exceptions is not None:
            update.exceptions = [checked(item, source) for item in update.exceptions]
        for name in _REPLACED:
            value = getattr(update, name)
            if value is not None:
                setattr(rule, name, value)
        rule.visibility = self._next()

    def enable_rule(self, update: RuleUpdate) -> None:
        """Switch a rule on or off.

        Raises:
            LoadError: there is none.
        """
        rule = self.rules.get(update.name)
        if rule is None:
            raise wrong("Rule has 'enabled' key but no rule by that name already exists", update.context)
        rule.enabled = update.enabled is not False

    def _next(self) -> int:
        self._index += 1
        return self._index

    def _define(self, known: dict[str, Item], item: Item) -> None:
        item.visibility = self._next()
        previous = known.get(item.name)
        item.index = item.visibility if previous is None else previous.index
        known[item.name] = item


_REPLACED: Final = (
    "condition",
    "output",
    "desc",
    "tags",
    "exceptions",
    "priority",
    "enabled",
    "warn_evttypes",
    "skip_if_unknown",
    "capture",
    "capture_duration_ms",
)


def _appended(text: Text, more: Text, context: Context) -> Text:
    if len(text) > PIECES_MAX:
        raise wrong(f"appended to more than {PIECES_MAX // 2} times", context)
    return appended(text, more)


def _check_source(rule: RuleItem, update: RuleUpdate) -> None:
    if update.source is not None and update.source != rule.source:
        raise wrong("Rule has been re-defined with a different source", update.context)


def _append_exception(rule: RuleItem, item: ExceptionItem, source: Source | None) -> None:
    previous = next((known for known in rule.exceptions if known.name == item.name), None)
    if previous is None:
        if item.fields is None:
            raise wrong("Rule exception must have fields property with a list of fields", item.context)
        if not item.values:
            raise wrong("Rule exception must have values property with a list of values", item.context)
        if len(rule.exceptions) >= EXCEPTIONS_MAX:
            raise wrong(f"more than {EXCEPTIONS_MAX} exceptions of one rule", item.context)
        rule.exceptions.append(checked(item, source))
        return
    if item.fields is not None:
        raise wrong("Can not append exception fields to existing exception, only values", item.context)
    if item.comps is not None:
        raise wrong("Can not append exception comps to existing exception, only values", item.context)
    previous.values += item.values
