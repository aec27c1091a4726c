"""Comparisons bound to a source: types checked, constants read, doubtful ones warned of.

Source: falcosecurity/libs, userspace/libsinsp/filter.cpp and sinsp_filtercheck.cpp (`add_filter_value`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from detectors.falco.event_names import EVENT_NAMES
from detectors.falco.field_types import FieldType, unsupported
from detectors.falco.lexer import ConditionError
from detectors.falco.operands import constant, value_of
from detectors.falco.operators import value_test
from detectors.falco.parser import TRANSFORMERS, parse_operand
from detectors.falco.resolving import Bound, GetValue, bind
from detectors.falco.sources import FieldError, Source, UnknownFieldError
from detectors.falco.syntax import Check, Field, Values
from detectors.values import is_list

Holds = Callable[[GetValue], bool]

_REGEX_SPECIAL: Final = frozenset(".+*?^$()[]{}|\\")
_REGEX_REPEAT: Final = frozenset("+*?")


class UnknownInConditionError(ConditionError):
    """A field or an event type is unknown: what `skip-if-unknown-filter` forgives."""


def compile_check(check: Check, source: Source) -> Holds:
    """Compile a comparison.

    Raises:
        ConditionError: a field is unknown, or types don't fit together.
    """
    try:
        return _compile(check, source)
    except UnknownFieldError as error:
        raise UnknownInConditionError(str(error), check.offset) from error
    except (FieldError, ValueError) as error:
        raise ConditionError(str(error), check.offset) from error


def _compile(check: Check, source: Source) -> Holds:
    left = bind(check.left, source)
    info = left.info._replace(is_list=False) if source.untyped_lists else left.info
    reason = unsupported(check.op, info)
    if reason:
        raise FieldError(reason)
    read = left.read
    if check.right is None:
        return lambda get: read(get) is not None
    if not isinstance(check.right, Values):
        return _against_field(check, left, bind(check.right, source))
    if check.left == Field("evt.type") and source.has_event_types:
        _check_event_types(check, check.right)
    constants = [constant(left.info.type, item, check.op) for item in check.right.items]
    test = value_test(check.op, check.modifier, left.info, constants)

    def holds(get: GetValue) -> bool:
        value = read(get)
        return value is not None and test(value)

    return holds


def _check_event_types(check: Check, values: Values) -> None:
    for name in values.items:
        if name not in EVENT_NAMES:
            raise UnknownInConditionError(f"unknown event type {name}", check.offset)


def _against_field(check: Check, left: Bound, right: Bound) -> Holds:
    _check_fields(check, left, right)
    op, modifier, info = check.op, check.modifier, left.info
    read_left, read_right = left.read, right.read

    def holds(get: GetValue) -> bool:
        value, other = read_left(get), read_right(get)
        if value is None or other is None:
            return False
        others = [value_of(info.type, item) for item in (other if is_list(other) else [other])]
        constants: list[Any] = [item for item in others if item is not None]
        return bool(constants) and value_test(op, modifier, info, constants)(value)

    return holds


def _check_fields(check: Check, left: Bound, right: Bound) -> None:
    if check.op in ("pmatch", "regex"):
        raise FieldError(f"operator '{check.op.upper()}' doesn't support right-hand side fields")
    if left.info.type is FieldType.IPNET:
        raise FieldError("field type 'IPNET' doesn't support right-hand side fields")
    if left.info.plain_only:
        raise FieldError(f"field '{left.info.name}' doesn't support right-hand side fields")
    if right.info.plain_only:
        raise FieldError(f"field '{right.info.name}' can't be used as a right-hand side field")
    if (left.info.type, left.info.is_list) != (right.info.type, right.info.is_list):
        raise FieldError(
            f"field '{left.info.name}' has type '{_type(left)}' while the right-hand side field '{right.info.name}' "
            f"has incompatible type '{_type(right)}'"
        )


def _type(bound: Bound) -> str:
    return f"{bound.info.type} (list)" if bound.info.is_list else bound.info.type


def doubts(check: Check, source: Source) -> list[str]:
    """Return the warnings that Falco has for the constants of a comparison."""
    found: list[str] = []
    if source.untyped_lists:
        reason = unsupported(check.op, bind(check.left, source).info)
        found += [f"{reason}; the file asks for an old engine, so some element has to pass"] * bool(reason)
    if not isinstance(check.right, Values):
        return found
    for item in check.right.items:
        if check.op == "regex" and _is_plain_regex(item):
            found.append(
                f"regex check with '{item}' may be optimized with simpler operators such as '=', 'contains', "
                "'startswith', 'endswith'"
            )
        bare = "".join(item.split())
        if _is_field(bare, source):
            found.append(f"'{item}' may be a valid field misused as a const string value")
        elif bare.endswith(")") and bare.startswith(tuple(f"{name}(" for name in ("val", *TRANSFORMERS))):
            found.append(f"'{item}' may be a valid field transformer misused as a const string value")
    return found


def _is_plain_regex(pattern: str) -> bool:
    """Say whether a pattern has nothing special but anchors, and any characters at its ends."""
    inner = pattern.removeprefix("^")
    inner = inner.removesuffix("$") if not inner.endswith("\\$") else inner
    if inner[:1] == "." and inner[1:2] and inner[1] in _REGEX_REPEAT:
        inner = inner[2:]
    if inner[-2:-1] == "." and inner[-1] in _REGEX_REPEAT:
        inner = inner[:-2]
    return _REGEX_SPECIAL.isdisjoint(inner)


def _is_field(string: str, source: Source) -> bool:
    if "." not in string:
        return False
    try:
        found = parse_operand(string)
        if found is None or not isinstance(found[0], Field) or found[1] != len(string):
            return False
        source.resolve(found[0])
    except (ConditionError, UnknownFieldError, FieldError):
        return False
    return True
