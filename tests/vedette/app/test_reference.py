"""The reference: every key is explained with its default, the docs are current, the schema takes what Vedette takes."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic.fields import FieldInfo

from vedette.app.config import Config
from vedette.app.config_file import parse_config
from vedette.app.config_reference import json_schema, keys, markdown
from vedette.app.config_show import plain_config

DOCS = Path(__file__).parents[3] / "docs" / "configuration.md"
KEYS = list(keys())
KINDS: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
}
UNITS = {"_s": "second", "_bytes": "bytes", "_days": "days"}


def example() -> str:
    blocks = re.findall(r"^```yaml\n(.*?)^```$", DOCS.read_text(), re.DOTALL | re.MULTILINE)
    return "".join(blocks)


def test_the_docs_hold_the_reference_as_it_is() -> None:
    assert DOCS.read_text().partition("-->\n\n")[2] == markdown(), (
        "replace the end of docs/configuration.md by the output of `vedette config schema --format markdown`"
    )


@pytest.mark.parametrize(("path", "field"), KEYS, ids=[path for path, _ in KEYS])
def test_every_key_is_explained(path: str, field: FieldInfo) -> None:
    assert field.description, f"{path} has no description; is `use_attribute_docstrings` set?"
    bare = re.sub(r"_(max|min)$", "", path)
    for unit, word in UNITS.items():
        if bare.endswith(unit):
            assert word in field.description.lower()


@pytest.mark.parametrize(("path", "field"), KEYS, ids=[path for path, _ in KEYS])
def test_a_worded_default_is_the_default(path: str, field: FieldInfo) -> None:
    worded = (field.description or "").partition("Default: ")[2].split(";")[0].split(" (")[0].rstrip(".")
    if isinstance(field.default, int | float) and worded:
        assert worded.split(",")[0] in (f"{field.default:.12g}", json.dumps(field.default))


@pytest.mark.parametrize("config", [pytest.param(None, id="defaults"), pytest.param("example", id="example")])
def test_the_schema_takes_what_vedette_takes(config: str | None) -> None:
    value = plain_config(Config()) if config is None else yaml.safe_load(example())
    assert list(mistakes(json_schema(), value)) == []


@pytest.mark.parametrize(
    "text",
    [
        "clutser: x",
        "sources: {a: {http: {lisen: x}}}",
        "sources: {A: {http: {}}}",
        "sources: {}",
        "alerts: {rollup_window_s: 0}",
        "journal: {keep_days: week}",
        "log: {level: loud}",
        "sinks: {s: {store: {}, min_level: hgh}}",
        "sources: {f: {files: {paths: [x]}}}",
    ],
)
def test_the_schema_refuses_what_vedette_refuses(text: str) -> None:
    assert list(mistakes(json_schema(), yaml.safe_load(text)))


def test_the_example_of_the_docs_is_a_configuration() -> None:
    config = parse_config(example(), "docs", environment={"FALCO_TOKEN": "x"}, folder=Path("/etc/vedette"))
    assert {name: entry.kind for name, entry in config.sources.items()} == {
        "falco": "http",
        "audit": "http",
        "vpc": "files",
    }


def test_what_is_shown_can_be_read_again() -> None:
    shown = yaml.safe_dump(plain_config(Config()))
    assert parse_config(shown, "shown", environment={}, folder=Path("/")) == Config()


def test_every_section_refuses_unknown_keys() -> None:
    sections = [schema for schema in json_schema()["$defs"].values() if schema.get("type") == "object"]
    assert sections
    assert all(schema["additionalProperties"] is False for schema in sections)


def mistakes(schema: dict[str, Any], value: Any, root: dict[str, Any] | None = None) -> Any:
    """The part of JSON Schema that pydantic writes."""
    root = root or schema
    if "$ref" in schema:
        schema = {**root["$defs"][schema["$ref"].rpartition("/")[2]], **schema}
    if "anyOf" in schema and all(any(True for _ in mistakes(option, value, root)) for option in schema["anyOf"]):
        yield f"{value!r} is none of {len(schema['anyOf'])}"
    kind = schema.get("type")
    if kind == "null":
        if value is not None:
            yield f"{value!r} is not null"
    elif kind and not isinstance(value, KINDS[kind]):
        yield f"{value!r} is no {kind}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{value!r} is none of {schema['enum']}"
    if value is not None and "exclusiveMinimum" in schema and value <= schema["exclusiveMinimum"]:
        yield f"{value!r} is too small"
    if "pattern" in schema and not re.search(schema["pattern"], str(value)):
        yield f"{value!r} does not match"
    if isinstance(value, dict) and kind == "object":
        yield from object_mistakes(schema, value, root)
    if isinstance(value, list) and "items" in schema:
        for item in value:
            yield from mistakes(schema["items"], item, root)


def object_mistakes(schema: dict[str, Any], value: dict[str, Any], root: dict[str, Any]) -> Any:
    yield from (f"{name} is missing" for name in schema.get("required", []) if name not in value)
    if len(value) < schema.get("minProperties", 0):
        yield "too few"
    patterns = schema.get("patternProperties", {})
    for name, item in value.items():
        inner = schema.get("properties", {}).get(name) or next(
            (found for pattern, found in patterns.items() if re.search(pattern, name)), None
        )
        inner = inner if inner is not None else schema.get("additionalProperties", not patterns)
        if inner is False:
            yield f"{name} is unknown"
        elif isinstance(inner, dict):
            yield from mistakes(inner, item, root)
