"""Exceptions of rules, written as conditions.

Source: falcosecurity/falco, userspace/engine/rule_loader_collector.cpp (`validate_exception_info`) and
rule_loader_compiler.cpp (`build_rule_exception_infos`). A tuple with a missing field is false, so the rule still fires.
"""

from __future__ import annotations

from typing import Final

from detectors.falco.diagnostics import Context, wrong
from detectors.falco.items import Entry, ExceptionItem
from detectors.falco.lexer import ConditionError
from detectors.falco.parser import LIST_OPS, OPERATORS, STRING_OPS, WORD_OPS, parse_operand
from detectors.falco.sources import FieldError, Source, UnknownFieldError
from detectors.falco.syntax import MODIFIERS, Field
from detectors.falco.texts import Piece, Text

_MODIFIED: Final = frozenset(f"{op} {modifier}" for op in (*STRING_OPS, *WORD_OPS) for modifier in MODIFIERS)
_COMPARISONS: Final = frozenset(OPERATORS) | _MODIFIED
_OF_LISTS: Final = frozenset(LIST_OPS) | _MODIFIED


def checked(item: ExceptionItem, source: Source | None) -> ExceptionItem:
    """Fill in what an exception leaves open, and check that its parts fit together.

    Raises:
        LoadError: they don't.
    """
    fields = item.fields
    if fields is None:
        raise wrong("Rule exception must have fields property with a list of fields", item.context)
    if fields.items is None:
        item.comps = _scalar_comparison(item)
        names = [fields.text]
    else:
        item.comps = _listed_comparisons(item, len(fields.items))
        names = [_text(entry, item.context) for entry in fields.items]
    for name in names if source else ():
        if source and not _is_field(name, source):
            raise wrong(f"'{name}' is not a supported filter field", item.context)
    return item


def _scalar_comparison(item: ExceptionItem) -> Entry:
    if item.comps is None:
        return Entry("in")
    if item.comps.is_list:
        raise wrong("Fields and comps must both be strings", item.context)
    name = " ".join(item.comps.text.split())
    if name not in _OF_LISTS:
        message = "When fields is a single value, comps must be one of (in, pmatch, intersects)"
        raise wrong(f"{message} or an operator with oneof, anyof or allof", item.context)
    return Entry(name)


def _listed_comparisons(item: ExceptionItem, count: int) -> Entry:
    if item.comps is None:
        return Entry(items=(Entry("="),) * count)
    if item.comps.items is None or len(item.comps.items) != count:
        raise wrong("Fields and comps lists must have equal length", item.context)
    names = [" ".join(_text(entry, item.context).split()) for entry in item.comps.items]
    for name in names:
        if name not in _COMPARISONS:
            raise wrong(f"'{name}' is not a supported comparison operator", item.context)
    return Entry(items=tuple(map(Entry, names)))


def _text(entry: Entry, context: Context) -> str:
    if entry.is_list:
        raise wrong("Expected a text, not a list", context)
    return entry.text


def _is_field(name: str, source: Source) -> bool:
    try:
        found = parse_operand(name)
    except ConditionError:
        return False
    if found is None or found[1] != len(name):
        return False
    if isinstance(found[0], Field):
        try:
            source.resolve(found[0])
        except (UnknownFieldError, FieldError):
            return False
    return True


def with_exceptions(condition: Text, exceptions: list[ExceptionItem]) -> Text:
    """Return a condition that does not hold where an exception does; unchanged if there is no exception.

    Raises:
        LoadError: values do not fit the fields of their exception.
    """
    if not exceptions:
        return condition
    text = [Piece("(", condition[0].place), *condition, Piece(")", condition[-1].place)]
    for item in exceptions:
        clause = _clause(item)
        if clause:
            text.append(Piece(f" and not {clause}", item.context.place))
    return tuple(text)


def _clause(item: ExceptionItem) -> str:
    fields, comps = item.fields, item.comps
    assert fields is not None, "the collection has checked it"
    assert comps is not None, "the collection has filled it in"
    if not item.values:
        return ""
    if fields.items is None:
        if any(value.is_list for value in item.values):
            raise wrong("Expected values array to contain a list of strings", item.context)
        return f"({fields.text} {comps.text} ({', '.join(quoted(value.text) for value in item.values)}))"
    tuples = [_tuple(item, fields.items, comps.items or (), value) for value in item.values]
    return f"({' or '.join(tuples)})"


def _tuple(item: ExceptionItem, fields: tuple[Entry, ...], comps: tuple[Entry, ...], value: Entry) -> str:
    if value.items is None or len(value.items) != len(fields):
        raise wrong("Fields and values lists must have equal length", item.context)
    parts = [
        f"{field.text} {comp.text} {_right(item, comp.text, part)}"
        for field, comp, part in zip(fields, comps, value.items, strict=True)
    ]
    return f"({' and '.join(parts)})"


def _right(item: ExceptionItem, comp: str, value: Entry) -> str:
    if value.items is not None:
        return f"({', '.join(quoted(_text(part, item.context)) for part in value.items)})"
    if comp in _OF_LISTS:
        return value.text if value.text.startswith("(") else f"({value.text})"
    return quoted(value.text)


def quoted(text: str) -> str:
    """Quote a value with a blank, unless it is quoted already; nothing is escaped, as in Falco."""
    return f'"{text}"' if " " in text and text[0] not in "\"'" else text
