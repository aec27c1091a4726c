"""Operands bound to a source: the type that each has, and the function that reads its value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from detectors.falco.field_types import FieldInfo, FieldType
from detectors.falco.sources import FieldError, Source
from detectors.falco.syntax import Field, Group, Literal, Operand, Transformer
from detectors.falco.transformers import apply, option, result_type
from detectors.values import is_list, text

GetValue = Callable[[str, str | None], Any]
"""From a field's name and argument to its value: a scalar, a list of them, or None where the event has none."""
Read = Callable[[GetValue], Any]

_JOIN_ARGUMENTS: Final = 2


class Bound(NamedTuple):
    """An operand's type, and how its value is read; an empty list counts as missing."""

    info: FieldInfo
    read: Read


def bind(operand: Operand, source: Source) -> Bound:
    """Bind an operand.

    Raises:
        UnknownFieldError, FieldError: the source lacks a field, or a type does not fit.
    """
    if isinstance(operand, Field):
        return _field(operand, source)
    if isinstance(operand, Literal):
        return Bound(FieldInfo("constant", FieldType.CHARBUF), _constant(operand.text))
    if isinstance(operand, Group):
        return _group(operand, source)
    if operand.arg is not None and operand.name != "getopt":
        raise FieldError(f"'{operand.name}' takes no argument in brackets")
    if operand.name in _SEVERAL:
        return _SEVERAL[operand.name](operand, source)
    if len(operand.args) != 1 or not isinstance(operand.args[0], Field | Transformer):
        raise FieldError(f"'{operand.name}' takes one field or transformer")
    return bind(operand.args[0], source) if operand.name == "val" else _one(operand, source)


def _constant(value: str) -> Read:
    def read(_get: GetValue) -> Any:
        return value

    return read


def _field(field: Field, source: Source) -> Bound:
    info, named = source.resolve(field)
    name, arg = named.name, named.arg

    def read(get: GetValue) -> Any:
        value = get(name, arg)
        return None if value == [] else value

    return Bound(info, read)


def _one(operand: Transformer, source: Source) -> Bound:
    inner = bind(operand.args[0], source)
    info = result_type(operand.name, inner.info)
    name, read_inner = operand.name, inner.read

    def read(get: GetValue) -> Any:
        value = read_inner(get)
        return None if value is None else apply(name, value)

    return Bound(info, read)


def _group(group: Group, source: Source) -> Bound:
    parts = [bind(item, source) for item in group.items]
    if any(part.info.is_list for part in parts):
        raise FieldError("a list in parentheses holds single values, not lists")
    reads = [part.read for part in parts]

    def read(get: GetValue) -> Any:
        values = [read_part(get) for read_part in reads]
        return None if None in values or not values else values

    return Bound(FieldInfo("list", FieldType.CHARBUF, is_list=True), read)


def _join(operand: Transformer, source: Source) -> Bound:
    if len(operand.args) != _JOIN_ARGUMENTS:
        raise FieldError("'join' takes two arguments: a separator and a list")
    separator, items = (bind(arg, source) for arg in operand.args)
    if separator.info.is_list or not items.info.is_list:
        raise FieldError("the arguments of 'join' are a string and a list, in this order")
    read_separator, read_items = separator.read, items.read

    def read(get: GetValue) -> Any:
        glue, values = read_separator(get), read_items(get)
        if glue is None or values is None:
            return None
        return str(glue).join(text(value) or "" for value in (values if is_list(values) else [values]))

    return Bound(FieldInfo("join", FieldType.CHARBUF), read)


def _concat(operand: Transformer, source: Source) -> Bound:
    parts = [bind(arg, source) for arg in operand.args]
    if len(parts) < _JOIN_ARGUMENTS or any(
        part.info.is_list or part.info.type is not FieldType.CHARBUF for part in parts
    ):
        raise FieldError("'concat' takes two strings or more")
    reads = [part.read for part in parts]

    def read(get: GetValue) -> Any:
        values = [read_part(get) for read_part in reads]
        return None if None in values else "".join(text(value) or "" for value in values)

    return Bound(FieldInfo("concat", FieldType.CHARBUF), read)


def _getopt(operand: Transformer, source: Source) -> Bound:
    parts = [bind(arg, source) for arg in operand.args]
    if len(parts) != _JOIN_ARGUMENTS or not isinstance(operand.args[1], Literal):
        raise FieldError("'getopt' takes two arguments: a list of words and getopt's string of options")
    known, wanted = operand.args[1].text, operand.arg
    if wanted is not None and (len(wanted) != 1 or wanted not in known):
        raise FieldError(f"'getopt' takes one of the options '{known}' in brackets, not '{wanted}'")
    read_words = parts[0].read

    def read(get: GetValue) -> Any:
        words = read_words(get)
        if words is None:
            return None
        return option([text(word) or "" for word in (words if is_list(words) else str(words).split())], known, wanted)

    return Bound(FieldInfo("getopt", FieldType.CHARBUF, is_list=wanted is None), read)


_SEVERAL: Final = {"join": _join, "concat": _concat, "getopt": _getopt}
