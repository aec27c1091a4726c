"""Exceptions as text: written so that no value means more than itself, and ended without touching anything else."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson
import yaml

from vedette.schema.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from detectors.sigma.metadata import ExceptionInfo

LITERAL: Final = ("startswith", "endswith", "contains", "cased")
"""Modifiers whose values are text; in it, `*`, `?` and backslashes are given without meaning."""
OTHER: Final = ("cidr", "re")
"""Modifiers whose values have a language of their own."""
_SELECTION: Final = "excepted"


class Field(NamedTuple):
    """A test of an exception: a field, with modifiers behind `|`, and the value that it must have."""

    name: str
    value: str

    @property
    def pattern(self) -> str:
        """The value as Sigma reads it."""
        modifiers = self.name.split("|")[1:]
        return self.value if set(modifiers) & set(OTHER) else re.sub(r"([\\*?])", r"\\\1", self.value)


def parse_field(text: str) -> Field:
    """Read `user.username=backup` or `user.username|startswith=system:`.

    Raises:
        ConfigError: it is neither.
    """
    name, equals, value = text.partition("=")
    field, *modifiers = name.split("|")
    unknown = [modifier for modifier in modifiers if modifier not in (*LITERAL, *OTHER)]
    if not field or not equals:
        raise ConfigError(f"`--field {text}` is no field with a value; write --field user.username=backup")
    if unknown:
        known = ", ".join((*LITERAL, *OTHER))
        raise ConfigError(f"`--field {text}`: there is no modifier `{unknown[0]}`; known are {known}")
    if not value:
        raise ConfigError(f"`--field {text}` has no value: an exception for every event without one hides too much")
    return Field(name, value)


def write_exception(
    title: str,
    exception_id: str,
    rule_id: str,
    logsource: Mapping[str, str],
    fields: Iterable[Field],
    info: ExceptionInfo,
) -> str:
    """Write a Sigma filter: all fields have to have one of the values that are given for them.

    Without a log source it is for all.

    Raises:
        ConfigError: a text can't be written in a file.
    """
    selection: dict[str, list[str]] = {}
    for field in fields:
        selection.setdefault(field.name, []).append(field.pattern)
    said = {name: value for name in info.__struct_fields__ if (value := getattr(info, name))}
    document: dict[str, Any] = {
        "title": title,
        "id": exception_id,
        **({"logsource": dict(logsource)} if logsource else {}),
        "filter": {
            "rules": [rule_id],
            _SELECTION: {name: values[0] if len(values) == 1 else values for name, values in selection.items()},
            "condition": f"not {_SELECTION}",
        },
        "vedette": said,
    }
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=False, width=1_000)
    with contextlib.suppress(orjson.JSONEncodeError):  # it holds half of a character
        if orjson.loads(orjson.dumps(document)) == yaml.safe_load(text):
            return text
    raise ConfigError("the exception holds characters that no YAML file can; leave them out")


def set_expiry(text: str, number: int, day: str) -> str:
    """Return a text whose document of that number (from 0) expires on a day (`2026-12-31`); all else stays as it is.

    Raises:
        ConfigError: the document is not written so that this can be done.
    """
    node = list(yaml.compose_all(text, yaml.SafeLoader))[number]
    expected = list(yaml.load_all(text, _Plain))
    section = _value(node, "vedette")
    old = _value(section, "expires") if section is not None else None
    if old is not None:
        changed = f"{text[: old.start_mark.index]}'{day}'{text[old.end_mark.index :]}"
    elif isinstance(section, yaml.MappingNode) and section.value:
        changed = _inserted(text, section, f"expires: '{day}'")
    else:
        changed = _inserted(text, node, f"vedette: {{expires: '{day}'}}")
    known = expected[number].get("vedette", {})
    with contextlib.suppress(yaml.YAMLError, TypeError):  # TypeError: it is no mapping
        expected[number] = {**expected[number], "vedette": {**known, "expires": day}}
        if list(yaml.load_all(changed, _Plain)) == expected:
            return changed
    raise ConfigError(f"the file is written in a way that can't be changed safely; write `expires: '{day}'` yourself")


class _Plain(yaml.SafeLoader):
    """Reads dates as text, as rules do."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own name for it, and read only
        first: [(tag, regexp) for tag, regexp in resolvers if not tag.endswith(":timestamp")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def _value(node: yaml.Node, key: str) -> yaml.Node | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for name, value in node.value if name.value == key), None)


def _inserted(text: str, mapping: yaml.Node, entry: str) -> str:
    """Put an entry before the first one of a mapping that is not empty."""
    assert isinstance(mapping, yaml.MappingNode), "exceptions and their attributes are mappings"
    mark = mapping.value[0][0].start_mark
    separator = ", " if mapping.flow_style else "\n" + " " * mark.column
    return f"{text[: mark.index]}{entry}{separator}{text[mark.index :]}"
