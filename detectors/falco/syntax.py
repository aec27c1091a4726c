"""The syntax tree of a Falco condition, and its text.

`render` writes what libs' `ast::as_string` writes (falcosecurity/libs, userspace/libsinsp/filter/ast.cpp), save that a
value which would not be read back bare is quoted: `parse(render(tree)) == tree`. Offsets count characters of the text
that was parsed; they take no part in comparison.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the event, `name` or `name[arg]`."""

    name: str
    arg: str | None = None


@dataclass(frozen=True, slots=True)
class Literal:
    """A quoted string or a number among the arguments of a transformer."""

    text: str


@dataclass(frozen=True, slots=True)
class Group:
    """A list in parentheses among the arguments of a transformer."""

    items: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Transformer:
    """A function of fields: `name(args)`, or `name(args)[arg]`."""

    name: str
    args: tuple[Operand, ...]
    arg: str | None = None


Operand = Field | Literal | Group | Transformer


@dataclass(frozen=True, slots=True)
class Values:
    """The constants on the right: one value (or the name of a list), or with `is_list` those in parentheses."""

    items: tuple[str, ...]
    is_list: bool = False


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison; `op` is `exists` exactly if there is no right side, `modifier` one of MODIFIERS or empty."""

    left: Operand
    op: str
    right: Values | Operand | None = None
    modifier: str = ""
    offset: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Macro:
    """The name of a macro, not yet replaced by its condition."""

    name: str
    offset: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class And:
    """All parts hold; there are at least two."""

    parts: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Some part holds; there are at least two."""

    parts: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold."""

    part: Expr


Expr = Check | Macro | And | Or | Not

MODIFIERS: Final = ("oneof", "anyof", "allof")

_BARE: Final = re.compile(r"[^()\"'\s=,\\\x00-\x1f]+")
_BARE_ARG: Final = re.compile(r"[^\]\[\"'\s\x00-\x1f]+")
_ESCAPES: Final = {"\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\", '"': '\\"'}
_NUMERIC: Final = frozenset(("<", "<=", ">", ">="))


def render(expr: Expr) -> str:
    """Write a condition as text."""
    if isinstance(expr, Macro):
        return expr.name
    if isinstance(expr, Not):
        inner = render(expr.part)
        return f"not ({inner})" if isinstance(expr.part, Not) else f"not {inner}"
    if isinstance(expr, Check):
        return _check(expr)
    word = " and " if isinstance(expr, And) else " or "
    return f"({word.join(map(render, expr.parts))})"


def render_operand(operand: Operand) -> str:
    """Write a field, a transformer or one of its arguments."""
    if isinstance(operand, Field):
        return operand.name + _arg(operand.arg)
    if isinstance(operand, Literal):
        return quoted(operand.text)
    if isinstance(operand, Group):
        return f"({', '.join(map(render_operand, operand.items))})"
    return f"{operand.name}({', '.join(map(render_operand, operand.args))}){_arg(operand.arg)}"


def quoted(text: str) -> str:
    """Write a string in double quotes, with the escapes that a condition knows.

    A backslash at the end is written as backslash and blank: a quote behind a backslash never ends a string.
    """
    inner = "".join(_ESCAPES.get(char, char) for char in text)
    return f'"{inner[:-1]} "' if text.endswith("\\") else f'"{inner}"'


def _check(check: Check) -> str:
    words = [render_operand(check.left), check.op]
    if check.modifier:
        words.append(check.modifier)
    if isinstance(check.right, Values):
        words.append(_values(check.right, check.op))
    elif check.right is not None:
        words.append(render_operand(check.right))
    return " ".join(words)


def _values(values: Values, op: str) -> str:
    if values.is_list:
        return f"({', '.join(map(_value, values.items))})"
    return values.items[0] if op in _NUMERIC else _value(values.items[0])


def _value(text: str) -> str:
    return text if _BARE.fullmatch(text) else quoted(text)


def _arg(arg: str | None) -> str:
    if arg is None:
        return ""
    return f"[{arg}]" if _BARE_ARG.fullmatch(arg) else f"[{quoted(arg)}]"


def checks(expr: Expr) -> Iterator[Check]:
    """Yield every comparison, in order."""
    if isinstance(expr, Check):
        yield expr
    elif isinstance(expr, Not):
        yield from checks(expr.part)
    elif isinstance(expr, And | Or):
        for part in expr.parts:
            yield from checks(part)


def fields_of(operand: Operand) -> Iterator[Field]:
    """Yield the fields that an operand reads."""
    if isinstance(operand, Field):
        yield operand
    elif isinstance(operand, Group | Transformer):
        for part in operand.items if isinstance(operand, Group) else operand.args:
            yield from fields_of(part)
