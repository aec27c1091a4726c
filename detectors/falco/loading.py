"""Falco rule files in, rules out.

Source: falcosecurity/falco, userspace/engine/falco_engine.cpp (`load_rules`) and rule_loader_compiler.cpp. As there,
each file is compiled with all before it, and the first error ends the loading: a file that only works with a later one
is wrong. The result depends on nothing but the texts and their order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from detectors.falco.checking import UnknownInConditionError, compile_check, doubts
from detectors.falco.collecting import Collection
from detectors.falco.diagnostics import Context, Diagnostic, LoadCode, LoadError, Place, diagnostic
from detectors.falco.documents import read_items
from detectors.falco.event_types import EVENT_TYPES_MAX, event_types
from detectors.falco.exceptions import with_exceptions
from detectors.falco.expanding import Expanded, Lists, MacroError, Macros
from detectors.falco.items import RuleItem
from detectors.falco.lexer import ConditionError
from detectors.falco.output import OutputError, parse_output
from detectors.falco.parser import parse
from detectors.falco.reading import read_item
from detectors.falco.rules import FalcoRule, FalcoRules, finished, source_of
from detectors.falco.sources import Source
from detectors.falco.syntax import Check, Expr, Field, Values, checks, fields_of
from detectors.falco.syscall_fields import DEPRECATED_FIELDS
from detectors.falco.texts import Text, Traced, joined, locate
from detectors.rule import RuleText

CHECKS_MAX: Final = 500_000
"""Comparisons of all rules with their macros; Falco's own have some thousand."""

_CONTAINER_INFO: Final = "%container.info"
_CONTAINER_INFO_WARNING: Final = (
    "%container.info is deprecated and no more useful, and will be dropped by Falco 1.0.0. The container plugin will "
    "automatically add required fields to the output message."
)
_UNSAFE_NA: Final = (
    "comparing a field value with <NA> is unsafe and can lead to unpredictable behavior of the rule condition; to "
    "check for the existence of a field, use the 'exists' operator"
)
_EQUALITY: Final = frozenset(("=", "==", "!=", "in", "intersects", "pmatch"))


def load_falco_rules(texts: Iterable[RuleText]) -> FalcoRules:
    """Load every rule of the texts, as Falco would given these files in this order.

    After an error the rules are those of the texts before the one that has it.
    """
    collection = Collection()
    memory = _Memory()
    loaded: tuple[tuple[FalcoRule, ...], list[Diagnostic]] = ((), [])
    failures: list[Diagnostic] = []
    packs: dict[str, str] = {}
    for text in texts:
        packs[text.path] = text.pack
        collection.begin_file()
        try:
            for node in read_items(text):
                read_item(text, node, collection)
            loaded = _Compiler(collection, packs, memory).run()
        except LoadError as error:
            failures.append(error.diagnostic)
            break
    warnings = dict.fromkeys((*collection.warnings, *loaded[1]))
    return FalcoRules(loaded[0], tuple(failures), tuple(warnings))


class _Memory:
    """What need not be done again when one more file is compiled with those before it."""

    def __init__(self) -> None:
        self._exprs: dict[str, Expr] = {}
        self.checked: dict[tuple[str, bool, int], list[tuple[LoadCode, str]]] = {}
        """Comparisons that are right, by source and identity, with the warnings that are due to them."""

    def parse(self, text: str) -> Expr:
        """Parse a condition; the same text gives the same tree."""
        if text not in self._exprs:
            self._exprs[text] = parse(text)
        return self._exprs[text]


class _Parsed:
    """A condition with its lists, and its tree; it knows the places of its comparisons."""

    def __init__(self, text: Text, context: Context, lists: Lists, memory: _Memory) -> None:
        self.text = text
        self.context = context
        self.traced = Traced(joined(text))
        try:
            self.traced, self.lists = lists.put_into(self.traced.string)
            self.expr = memory.parse(self.traced.string)
        except ConditionError as error:
            raise self.failure(LoadCode.ERR_COMPILE_CONDITION, error) from error
        self.owned = frozenset(id(check) for check in checks(self.expr))

    def place(self, offset: int) -> Place:
        """Return where a character of the condition stands."""
        return locate(self.text, self.traced.origin(offset))

    def failure(self, code: LoadCode, error: ConditionError) -> LoadError:
        """Return an error of this condition."""
        return LoadError(diagnostic(code, error.message, self.context, self.place(error.offset)))


class _Compiler:
    """Compiles a collection; nothing of it is changed."""

    def __init__(self, collection: Collection, packs: Mapping[str, str], memory: _Memory) -> None:
        self._collection = collection
        self._memory = memory
        self._packs = packs
        self._used_lists: set[str] = set()
        self._lists = self._listed()
        self._used_macros: set[str] = set()
        self._macros = Macros({}, {})
        self._owners: dict[int, _Parsed] = {}
        self._checks = 0
        self._warned: set[tuple[str, bool, int]] = set()
        self.warnings: list[Diagnostic] = []

    def run(self) -> tuple[tuple[FalcoRule, ...], list[Diagnostic]]:
        """Compile all; raises LoadError at the first error."""
        self._expand_macros()
        rules = [self._rule(item) for item in self._collection.rules.values() if not item.has_unknown_source]
        for macro in self._collection.macros.values():
            if macro.name not in self._used_macros:
                message = "Macro not referred to by any other rule/macro"
                self._warn(LoadCode.UNUSED_MACRO, message, macro.context)
        for item in self._collection.lists.values():
            if item.name not in self._used_lists:
                self._warn(LoadCode.UNUSED_LIST, "List not referred to by any other rule/macro", item.context)
        return tuple(rule for rule in rules if rule is not None), self.warnings

    def _warn(self, code: LoadCode, message: str, context: Context, place: Place | None = None) -> None:
        self.warnings.append(diagnostic(code, message, context, place))

    def _listed(self) -> Lists:
        """Put lists into the lists below them, one level deep."""
        found: dict[str, tuple[str, ...]] = {}
        for item in self._collection.lists.values():
            items: list[str] = []
            for name in item.items:
                other = self._collection.lists.get(name)
                if other is not None and other.index < item.visibility:
                    self._used_lists.add(name)
                    items.extend(other.items)
                else:
                    items.append(name)
            found[item.name] = tuple(items)
        return Lists(found)

    def _parse(self, text: Text, context: Context) -> _Parsed:
        parsed = _Parsed(text, context, self._lists, self._memory)
        self._used_lists |= parsed.lists
        return parsed

    def _expand_macros(self) -> None:
        items = self._collection.macros
        parsed = {item.name: self._parse(item.condition, item.context) for item in items.values()}
        for macro in parsed.values():
            self._owners.update(dict.fromkeys(macro.owned, macro))
        indexes = {name: item.index for name, item in items.items()}
        self._macros = Macros({name: macro.expr for name, macro in parsed.items()}, indexes)
        for name, macro in parsed.items():
            self._macros.keep(name, self._expand(macro, items[name].visibility))

    def _expand(self, parsed: _Parsed, below: int | None) -> Expanded:
        try:
            expanded = self._macros.expand(parsed.expr, below)
        except MacroError as error:
            raise parsed.failure(LoadCode.ERR_VALIDATE, error) from error
        except ConditionError as error:
            raise parsed.failure(LoadCode.ERR_COMPILE_CONDITION, error) from error
        self._used_macros |= expanded.used
        return expanded

    def _rule(self, item: RuleItem) -> FalcoRule | None:
        """Compile a rule; None if it is skipped for what it does not know."""
        source = source_of(item)
        condition = with_exceptions(item.condition, item.exceptions)
        output_text = joined(item.output)
        if _CONTAINER_INFO in output_text:
            self._warn(LoadCode.DEPRECATED_ITEM, _CONTAINER_INFO_WARNING, item.context)
            output_text = output_text.replace(_CONTAINER_INFO, "")
        try:
            output = parse_output(f"*{output_text}", source)
        except OutputError as error:
            self._skip_or_fail(item, error)
            return None
        self._warn_of_output(item, output_text)
        parsed = self._parse(condition, item.context)
        expanded = self._expand(parsed, None)
        self._checks += expanded.checks
        if self._checks > CHECKS_MAX:
            message = f"with its macros the rules have more than {CHECKS_MAX} comparisons"
            raise LoadError(diagnostic(LoadCode.ERR_VALIDATE, message, item.context))
        if not self._check(item, parsed, expanded.expr, source):
            return None
        if source.has_event_types and item.warn_evttypes and len(event_types(expanded.expr)) > EVENT_TYPES_MAX:
            message = "Rule matches too many evt.type values. This has a significant performance penalty."
            self._warn(LoadCode.NO_EVTTYPE, message, item.context)
        return finished(item, expanded.expr, output, output_text, self._packs[item.context.place.path])

    def _skip_or_fail(self, item: RuleItem, error: OutputError) -> None:
        place = locate(item.output, max(error.offset - 1, 0))
        if not (error.unknown and item.skip_if_unknown):
            raise LoadError(diagnostic(LoadCode.ERR_COMPILE_OUTPUT, error.message, item.context, place)) from error
        self._warn(LoadCode.UNKNOWN_FILTER, error.message, item.context, place)

    def _warn_of_output(self, item: RuleItem, output: str) -> None:
        for name in DEPRECATED_FIELDS:
            if name in output:
                message = f"usage of deprecated field '{name}' has been detected in the rule output"
                self._warn(LoadCode.DEPRECATED_ITEM, message, item.context, item.output[0].place)

    def _check(self, item: RuleItem, parsed: _Parsed, expr: Expr, source: Source) -> bool:
        """Check every comparison of a rule against its source; False if the rule is to be skipped."""
        for check in checks(expr):
            key = (source.name, source.untyped_lists, id(check))
            if key in self._warned:
                continue
            try:
                if key not in self._memory.checked:
                    compile_check(check, source)
                    self._memory.checked[key] = _warnings(check, source)
            except ConditionError as error:
                place = self._owner(parsed, check).place(check.offset)
                if isinstance(error, UnknownInConditionError) and item.skip_if_unknown:
                    self._warn(LoadCode.UNKNOWN_FILTER, error.message, item.context, place)
                    return False
                code = LoadCode.ERR_COMPILE_CONDITION
                raise LoadError(diagnostic(code, error.message, item.context, place)) from error
            self._warned.add(key)
            for warned, message in self._memory.checked[key]:
                self._warn(warned, message, item.context, self._owner(parsed, check).place(check.offset))
        return True

    def _owner(self, parsed: _Parsed, check: Check) -> _Parsed:
        """Return the condition, of the rule or of a macro, that a comparison was read from."""
        if id(check) in parsed.owned:
            return parsed
        return self._owners.get(id(check), parsed)


def _warnings(check: Check, source: Source) -> list[tuple[LoadCode, str]]:
    found = [(LoadCode.COMPILE_CONDITION, message) for message in doubts(check, source)]
    left = check.left.name if isinstance(check.left, Field) else ""
    if left.startswith(("ka.", "jevt.")) and check.op in _EQUALITY and isinstance(check.right, Values):
        found += [(LoadCode.UNSAFE_NA_CHECK, _UNSAFE_NA)] * ("<NA>" in check.right.items)
    for field in fields_of(check.left):
        if field.name in DEPRECATED_FIELDS:
            message = f"usage of deprecated field '{field.name}' has been detected in the rule condition"
            found.append((LoadCode.DEPRECATED_ITEM, message))
    return found
