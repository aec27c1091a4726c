"""Says what is wrong with a configuration: place, key, reason and remedy; never a value, which may be a secret."""

from __future__ import annotations

import difflib
import types
from typing import TYPE_CHECKING, Annotated, Any, Final, Union, get_args, get_origin

from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import ValidationError
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

    from vedette.app.yaml_text import Document, Path

PROBLEMS_MAX: Final = 20
"""Problems that one message lists."""
_REASONS: Final = {
    "dict_type": "must be a mapping, such as {key: value}",
    "model_type": "must be a mapping, such as {key: value}",
    "list_type": "must be a list, such as [value]",
    "string_type": "must be text; put it in quotes",
    "too_short": "must not be empty",
}
"""Pydantic's error types in the words of the file."""
_KEY_MARK: Final = "[key]"
"""What pydantic puts behind a key that is itself wrong."""


def explain(error: ValidationError, document: Document, file: str, model: type[BaseModel]) -> str:
    """Render a validation error, one line for each problem, in the order of the file."""
    problems = sorted(_problem(detail, document, model) for detail in error.errors(include_input=False))
    lines = [f"{file}:{line}:{column}: {text}" for line, column, text in problems[:PROBLEMS_MAX]]
    if len(problems) > PROBLEMS_MAX:
        lines.append(f"{file}: and {len(problems) - PROBLEMS_MAX} more")
    return "\n".join(lines)


def _problem(detail: ErrorDetails, document: Document, model: type[BaseModel]) -> tuple[int, int, str]:
    path = tuple(step for step in detail["loc"] if step != _KEY_MARK)
    is_key = detail["type"] == "extra_forbidden" or _KEY_MARK in detail["loc"]
    known = _nearest(path, document)
    place = document.keys.get(known) if is_key else None
    line, column = place or document.values.get(known) or (1, 1)
    return line, column, f"{_dotted(path)}{_reason(detail, path, model)}"


def _nearest(path: Path, document: Document) -> Path:
    """The path itself, or the deepest part of it that stands in the file."""
    while path and path not in document.values:
        path = path[:-1]
    return path


def _dotted(path: Path) -> str:
    return ".".join(map(str, path)) + ": " if path else ""


def _reason(detail: ErrorDetails, path: Path, model: type[BaseModel]) -> str:
    match detail["type"]:
        case "extra_forbidden":
            return unknown(str(path[-1]), list(_fields_at(model, path[:-1])))
        case "missing":
            return f"is missing; {_meaning(model, path)}"
        case "string_pattern_mismatch":
            return "is no valid name here; use small letters, digits, `-` and `_`, beginning with a letter or a digit"
        case "value_error":
            return detail["msg"].removeprefix("Value error, ")
        case other:
            text = _REASONS.get(other) or detail["msg"].removeprefix("Input ").replace("should be", "must be", 1)
            meaning = _meaning(model, path)
            return f"{text}; {meaning}" if meaning else text


def unknown(word: str, known: list[str], what: str = "key") -> str:
    """Say that a word is not known, and which one may be meant."""
    close = difflib.get_close_matches(word, known, n=1)
    if close:
        return f"unknown {what} `{word}`; did you mean `{close[0]}`?"
    return f"unknown {what} `{word}`; known are {', '.join(sorted(known))}"


def _meaning(model: type[BaseModel], path: Path) -> str:
    field = _fields_at(model, path[:-1]).get(str(path[-1])) if path else None
    if field is None or not field.description:
        return ""
    text = " ".join(field.description.split()).partition(" Default:")[0]
    return text[:1].lower() + text[1:].rstrip(".")


def _fields_at(model: type[BaseModel], path: Path) -> dict[str, FieldInfo]:
    """The keys that are known at a path."""
    annotation: Any = model
    for step in path:
        annotation = _step(annotation, step)
    return {
        name: field
        for option in options(annotation)
        if isinstance(option, type) and issubclass(option, BaseModel)
        for name, field in option.model_fields.items()
    }


def _step(annotation: Any, step: str | int) -> Any:
    for option in options(annotation):
        if isinstance(option, type) and issubclass(option, BaseModel) and step in option.model_fields:
            return option.model_fields[str(step)].annotation
        if get_origin(option) is dict:
            return get_args(option)[1]
        if get_origin(option) is list:
            return get_args(option)[0]
    return Any


def options(annotation: Any) -> Iterator[Any]:
    """Yield what a value of a type may be: the members of unions, without `Annotated` and `None`."""
    if get_origin(annotation) is Annotated:
        yield from options(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from options(member)
    elif annotation is not types.NoneType:
        yield annotation
