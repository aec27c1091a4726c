"""Output templates: text with `%field`, `%field[arg]`, `%transformer(field)` and `%40field`.

Source: falcosecurity/libs, userspace/libsinsp/eventformatter.cpp; falcosecurity/falco, userspace/engine/formats.cpp.
The text after `%` is a field as far as it can be read as one. A leading `*` lets missing values show as `<NA>`;
without it a message ends at the first one. Values are the attacker's: control characters are written as JSON escapes
them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec

from detectors.falco.field_types import FieldType
from detectors.falco.lexer import FIELD, ConditionError
from detectors.falco.parser import TRANSFORMERS, parse_operand
from detectors.falco.resolving import Bound, GetValue, bind
from detectors.falco.sources import FieldError, Source, UnknownFieldError
from detectors.falco.syntax import Field, Operand, fields_of, render_operand
from detectors.values import is_list, text

MISSING: Final = "<NA>"
WIDTH_MAX: Final = 4096
"""Columns that `%40field` may ask for."""
TEMPLATE_CHARS_MAX: Final = 64 * 1024
"""One output; stock ones stay below 1 KiB."""
FIELD_CHARS_MAX: Final = 256
"""A field's name without its argument; the longest known one has 47."""

_WIDTH: Final = re.compile(r"[0-9]+")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


class OutputError(Exception):
    """A template is wrong; `unknown` if `skip-if-unknown-filter` forgives it. `offset` counts its characters."""

    def __init__(self, message: str, offset: int, *, unknown: bool = False) -> None:
        """Place the message."""
        super().__init__(message)
        self.message = message
        self.offset = offset
        self.unknown = unknown


class _Token(NamedTuple):
    """A field of a template; `inner` are the fields that it reads, under the names that JSON shows."""

    bound: Bound
    width: int
    inner: tuple[tuple[str, Bound], ...]


class Output(NamedTuple):
    """A parsed template."""

    parts: tuple[str | _Token, ...]
    lenient: bool

    def message(self, get: GetValue) -> str:
        """Write the message of an event."""
        out: list[str] = []
        for part in self.parts:
            if isinstance(part, str):
                out.append(part)
                continue
            value = part.bound.read(get)
            if value is None and not self.lenient:
                break
            shown = MISSING if value is None else _shown(part.bound, value)
            out.append(shown.ljust(part.width)[: part.width] if part.width else shown)
        return "".join(out)

    def fields(self, get: GetValue) -> dict[str, Any]:
        """Return the plain fields of the template with their values, as `output_fields` shows them: null if missing."""
        found: dict[str, Any] = {}
        for part in self.parts:
            for name, bound in part.inner if isinstance(part, _Token) else ():
                value = _json(bound, bound.read(get))
                if value is None and not self.lenient:
                    return found
                found[name] = value
        return dict(sorted(found.items()))


def parse_output(template: str, source: Source) -> Output:
    """Parse a template.

    Raises:
        OutputError: a field is unknown, takes no part in outputs, or is not there.
    """
    lenient = template.startswith("*")
    if not template:
        raise OutputError("empty formatting token", 0)
    if len(template) > TEMPLATE_CHARS_MAX:
        raise OutputError(f"an output of more than {TEMPLATE_CHARS_MAX} characters", 0)
    return Output(tuple(_parts(template, int(lenient), source)), lenient)


def _parts(template: str, at: int, source: Source) -> Iterator[str | _Token]:
    while at < len(template):
        percent = template.find("%", at)
        if percent < 0:
            yield template[at:]
            return
        if percent > at:
            yield template[at:percent]
        digits = _WIDTH.match(template, percent + 1)
        start = digits.end() if digits else percent + 1
        if start == len(template):
            end = "number" if digits else "%"
            raise OutputError(f"invalid formatting syntax: formatting cannot end with a {end}", percent)
        width = _width(digits.group(), percent) if digits else 0
        operand, length = _operand(template, start, source)
        yield _token(operand, width, percent, source)
        at = start + length


def _width(digits: str, offset: int) -> int:
    if len(digits) > len(str(WIDTH_MAX)) or int(digits) > WIDTH_MAX:
        raise OutputError(f"a width of more than {WIDTH_MAX} columns", offset)
    return int(digits)


def _operand(template: str, start: int, source: Source) -> tuple[Operand, int]:
    rest = template[start:]
    try:
        if rest.startswith(tuple(f"{name}(" for name in TRANSFORMERS)):
            found = parse_operand(rest)
            if found is not None:
                return found
        found = _longest(rest, source)
    except ConditionError as error:
        raise OutputError(error.message, start + error.offset) from error
    if found is None:
        raise OutputError(f"invalid formatting token {rest}", start, unknown=True)
    return found


def _longest(rest: str, source: Source) -> tuple[Operand, int] | None:
    """Read the longest field name that a text begins with, and its argument."""
    named = FIELD.match(rest, 0, FIELD_CHARS_MAX)
    for end in range(named.end() if named else 0, 0, -1):
        field = Field(rest[:end])
        if field.name in source.fields:
            found = parse_operand(rest) if rest[end : end + 1] == "[" and named and end == named.end() else None
            return found or (field, end)
        if _resolves(field, source):
            return field, end
    return None


def _resolves(field: Field, source: Source) -> bool:
    if not FIELD.fullmatch(field.name):
        return False
    try:
        source.resolve(field)
    except (UnknownFieldError, FieldError):
        return False
    return True


def _token(operand: Operand, width: int, offset: int, source: Source) -> _Token:
    try:
        bound = bind(operand, source)
        inner = tuple((render_operand(field), bind(field, source)) for field in fields_of(operand))
    except UnknownFieldError as error:
        raise OutputError(f"invalid formatting token {render_operand(operand)}", offset, unknown=True) from error
    except FieldError as error:
        raise OutputError(str(error), offset) from error
    for name, found in inner:
        if found.info.filter_only:
            raise OutputError(f"{name} is filter only and cannot be used as a display field", offset)
    return _Token(bound, width, inner)


def _shown(bound: Bound, value: Any) -> str:
    if is_list(value):
        shown = [_scalar(item) for item in value]
        return f"({','.join(shown)})" if bound.info.is_list else " ".join(shown)
    return _scalar(value)


def _scalar(value: Any) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    string = text(value)
    return _CONTROL.sub(_escape, str(value) if string is None else string)


def _escape(match: re.Match[str]) -> str:
    char = match.group()
    if char >= "\ud800":
        return "\ufffd"
    return msgspec.json.encode(char).decode()[1:-1] if char != "\x7f" else "\\u007f"


def _json(bound: Bound, value: Any) -> Any:
    if is_list(value):
        shown = [_json(bound, item) for item in value]
        return shown if bound.info.is_list else _shown(bound, value)
    if isinstance(value, int | float | bool) and bound.info.type is not FieldType.CHARBUF:
        return value
    return None if value is None else _scalar(value)
