"""The reference of all keys, made from the models: JSON Schema for editors, Markdown for docs/configuration.md."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, Literal, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from vedette.app.config import Config
from vedette.app.config_errors import options

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_WORDS: Final[dict[Any, str]] = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "true or false",
    SecretStr: "secret text",
}


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of the configuration file (before `${…}` is replaced)."""
    return {"$schema": SCHEMA_DIALECT, "title": "Configuration of Vedette", **Config.model_json_schema()}


def markdown() -> str:
    """Render every key with its type, default and meaning, one table for each section."""
    return "\n".join(_sections(Config, "", ("The whole file", Config.__doc__ or ""))).rstrip() + "\n"


def keys(model: type[BaseModel] = Config, prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Yield the dotted path and the field of every key; `<name>` stands for a name of the operator's choice."""
    for name, field in model.model_fields.items():
        path = f"{prefix}{name}"
        yield path, field
        for inner, models in _models(field.annotation):
            for each in models:
                yield from keys(each, f"{path}.{inner}")


def _models(annotation: Any) -> Iterator[tuple[str, list[type[BaseModel]]]]:
    """The models that a value of a type may hold, with what stands between its key and theirs."""
    for option in options(annotation):
        if isinstance(option, type) and issubclass(option, BaseModel):
            yield "", [option]
        elif get_origin(option) is dict:
            found = [each for _, models in _models(get_args(option)[1]) for each in models]
            yield "<name>.", found


def _sections(model: type[BaseModel], prefix: str, heading: tuple[str, str]) -> Iterator[str]:
    title, about = heading
    yield from (
        f"### {title}",
        "",
        " ".join(about.split()),
        "",
        "| Key | Type | Default | Meaning |",
        "|---|---|---|---|",
    )
    for name, field in model.model_fields.items():
        yield f"| `{name}` | {_type(field.annotation)} | {_default(field)} | {_meaning(field)} |"
    yield ""
    for name, field in model.model_fields.items():
        for inner, models in _models(field.annotation):
            for each in models:
                path = f"{prefix}{name}.{inner}".rstrip(".")
                yield from _sections(each, f"{path}.", (f"`{path}`", each.__doc__ or ""))


def _type(annotation: Any) -> str:
    return " or ".join(_cell(_word(option)) for option in options(annotation))


def _word(option: Any) -> str:
    if get_origin(option) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(option))
    if get_origin(option) is dict:
        return f"name → {_type(get_args(option)[1])}"
    if get_origin(option) is list:
        return f"list of {_type(get_args(option)[0])}"
    if isinstance(option, type) and issubclass(option, BaseModel):
        return "section"
    return _WORDS.get(option, "text")


def _default(field: FieldInfo) -> str:
    """The default as the description words it, else as it is."""
    if field.is_required():
        return "required"
    worded = _description(field)[1]
    if worded:
        return _cell(worded)
    if field.default is None or field.default == "":
        return "none"
    value = field.default
    whole = int(value) if isinstance(value, float) and value.is_integer() else value
    return f"`{_cell(json.dumps(whole, default=_plain).strip(chr(34)))}`"


def _plain(value: Any) -> Any:
    return value.model_dump(exclude_defaults=True) if isinstance(value, BaseModel) else str(value)


def _meaning(field: FieldInfo) -> str:
    return _cell(_description(field)[0])


def _description(field: FieldInfo) -> tuple[str, str]:
    """What a key means, and how its default is worded ("" where it is not)."""
    meaning, _, default = " ".join((field.description or "").split()).partition(" Default: ")
    return meaning, default.removesuffix(".")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
