"""Whether a value passes an operator: the meaning of every comparison of the Falco language.

Source: falcosecurity/libs, userspace/libsinsp/filter_compare.cpp and sinsp_filtercheck.cpp (`compare_rhs`). Nothing is
three-valued: who has no value does not get here, and the check is false, even for `!=`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import ge, gt, le, lt
from typing import Any, Final

from detectors.falco.field_types import FieldInfo, FieldType, unsupported
from detectors.falco.operands import Constant, value_of
from detectors.falco.patterns import glob, lower, path_prefix, posix_regex
from detectors.values import is_list, number

Test = Callable[[Any], bool]

_EQUALITY: Final = frozenset(("=", "==", "in", "intersects"))
_ORDER: Final[dict[str, Callable[[Any, Any], bool]]] = {"<": lt, "<=": le, ">": gt, ">=": ge}


def value_test(op: str, modifier: str, info: FieldInfo, constants: Sequence[Constant]) -> Test:
    """Compile a comparison with constants to a test of what was extracted: a value, or a list of them.

    A field that is no list may have several values all the same (`fd.ip`, `proc.aname`): it passes if any does, and
    `!=` if all do. Values that are not of the field's type count as missing.

    Raises:
        ValueError: a pattern can't be compiled.
    """
    if op == "exists":
        return lambda _value: True
    single = _single(op, modifier, info.type, constants)
    kind = info.type
    if info.is_list:
        needed = all if op == "in" else any

        def list_test(value: Any) -> bool:
            found = [value_of(kind, item) for item in (value if is_list(value) else [value])]
            return bool(found) and needed(item is not None and single(item) for item in found)

        return list_test

    quantity = all if op == "!=" else any

    def test(value: Any) -> bool:
        if not is_list(value):
            found = value_of(kind, value)
            return found is not None and single(found)
        found_all = [found for found in (value_of(kind, item) for item in value) if found is not None]
        return bool(found_all) and quantity(map(single, found_all))

    return test


def _single(op: str, modifier: str, kind: FieldType, constants: Sequence[Constant]) -> Test:
    if modifier:
        return _modified(modifier, [_one(op, kind, item) for item in constants])
    if op in ("in", "intersects"):
        return _member(kind, constants)
    if op == "pmatch":
        paths = [_one(op, kind, item) for item in constants]
        return lambda value: any(path(value) for path in paths)
    return _one(op, kind, constants[0])


def _modified(modifier: str, tests: list[Test]) -> Test:
    if not tests:
        return lambda _value: False
    if modifier == "oneof":
        return lambda value: sum(test(value) for test in tests) == 1
    if modifier == "anyof":
        return lambda value: any(test(value) for test in tests)
    return lambda value: all(test(value) for test in tests)


def _member(kind: FieldType, constants: Sequence[Constant]) -> Test:
    if kind in (FieldType.IPNET, FieldType.DYN):
        tests = [_one("=", kind, item) for item in constants]
        return lambda value: any(test(value) for test in tests)
    return frozenset(constants).__contains__


def _one(op: str, kind: FieldType, constant: Any) -> Test:
    if kind is FieldType.IPNET:
        equal = op in _EQUALITY
        return lambda value: (value.version == constant.version and value in constant) is equal
    if kind is FieldType.DYN:
        return _dynamic(op, constant)
    if op in _EQUALITY:
        return lambda value: bool(value == constant)
    if op == "!=":
        return lambda value: bool(value != constant)
    if op in _ORDER:
        compared = _ORDER[op]
        return lambda value: compared(value, constant)
    return _text_test(op, constant)


def _text_test(op: str, constant: Any) -> Test:
    if op in ("contains", "bcontains"):
        return lambda value: constant in value
    if op in ("startswith", "bstartswith"):
        return lambda value: bool(value.startswith(constant))
    if op == "endswith":
        return lambda value: bool(value.endswith(constant))
    if op == "icontains":
        folded = lower(constant)
        return lambda value: folded in lower(value)
    if op == "regex":
        return posix_regex(constant)
    if op == "pmatch":
        return path_prefix(constant)
    return glob(constant, folded=op == "iglob")


def _dynamic(op: str, constant: str | bytes) -> Test:
    """Compare a value as what it is: text, bytes, a truth value or a number; false if that lacks the operator."""
    in_bytes = constant if isinstance(constant, bytes) else constant.encode("utf-8", "surrogateescape")
    in_text = "" if isinstance(constant, bytes) else constant
    as_number = number(in_text)

    def test(value: Any) -> bool:
        if isinstance(value, bytes) or (isinstance(value, str) and isinstance(constant, bytes)):
            data = value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")
            return _has(op, FieldType.BYTEBUF) and _one(op, FieldType.BYTEBUF, in_bytes)(data)
        if isinstance(value, str):
            return _one(op, FieldType.CHARBUF, in_text)(value)
        if isinstance(value, bool):
            return _has(op, FieldType.BOOL) and _one(op, FieldType.CHARBUF, in_text)("true" if value else "false")
        return as_number is not None and _has(op, FieldType.INT64) and _one(op, FieldType.INT64, as_number)(value)

    return test


def _has(op: str, kind: FieldType) -> bool:
    return not unsupported(op, FieldInfo("", kind))
