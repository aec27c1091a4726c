"""YAML as configuration needs it: YAML 1.2's plain scalars, no duplicate keys, and a place for everything.

Only data comes out (no tags, no Python objects), and the size, the depth and the nodes behind aliases are bounded. No
message quotes a value, because a value may be a secret.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import yaml

from vedette.schema.errors import ConfigError
from vedette.schema.limits import KIB

if TYPE_CHECKING:
    from collections.abc import Callable

TEXT_BYTES_MAX: Final = 1024 * KIB
"""A configuration is written by people; this one is a mistake."""
NODES_MAX: Final = 50_000
"""Nodes after aliases are followed; aliases of aliases multiply."""
DEPTH_MAX: Final = 50
"""Nesting; the deepest key of the configuration stands at 6."""

Path = tuple[str | int, ...]
"""Keys and list indexes from the root to a value."""

_QUOTED: Final = re.compile(r"'([^']*)'")


class Place(NamedTuple):
    """Where something stands in the text; both count from 1."""

    line: int
    column: int


class Document(NamedTuple):
    """A parsed text: plain data, and the places of its keys and of its values."""

    value: Any
    keys: dict[Path, Place]
    values: dict[Path, Place]


class _Loader(yaml.SafeLoader):
    """Resolves plain scalars by YAML 1.2's core schema: `on`, `no` and `12:30` are strings."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose one node, and stop before hostile nesting costs time or the interpreter's stack."""
        self.depth += 1
        if self.depth > 4 * DEPTH_MAX:  # `build` names the place of what is only somewhat too deep
            raise RecursionError
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"null|Null|NULL|~|", ["n", "N", "~", ""]),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), list(_first))


def parse_yaml(text: str, file: str, expand: Callable[[str], str] = str) -> Document:
    """Parse one document; `expand` is applied to every string value (its ConfigError gets the place).

    Raises:
        ConfigError: the text is not YAML, repeats a key, or is too large; names file:line:column.
    """
    if len(text) > TEXT_BYTES_MAX:
        raise ConfigError(f"{file}: larger than {TEXT_BYTES_MAX} characters; this is not a configuration of Vedette")
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        raise ConfigError(f"{_at(file, error.problem_mark or error.context_mark)}: {_problem(error)}") from None
    except yaml.YAMLError:
        raise ConfigError(f"{file}: holds a character that YAML does not allow; save it as plain UTF-8 text") from None
    except RecursionError:
        raise ConfigError(f"{file}: nested too deeply") from None
    builder = _Builder(file, expand)
    value = None if root is None else builder.build(root, ())
    return Document(value, builder.keys, builder.values)


class _Builder:
    """Turns YAML nodes into plain data and remembers where they stood."""

    def __init__(self, file: str, expand: Callable[[str], str]) -> None:
        self.keys: dict[Path, Place] = {}
        self.values: dict[Path, Place] = {}
        self._file = file
        self._expand = expand
        self._nodes = 0

    def build(self, node: yaml.Node, path: Path) -> Any:
        self._nodes += 1
        if self._nodes > NODES_MAX or len(path) > DEPTH_MAX:
            raise self._error(node, "too much: aliases multiply what they name, or the nesting is too deep")
        self.values[path] = _place(node.start_mark)
        if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
            return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        raise self._error(node, "tags (!…) have no meaning here; a value that begins with ! must be quoted")

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node)
            if key in mapping:
                first = self.keys[(*path, key)]
                raise self._error(key_node, f"`{key}` stands here twice, first in line {first.line}; keep one of them")
            self.keys[(*path, key)] = _place(key_node.start_mark)
            mapping[key] = self.build(value_node, (*path, key))
        return mapping

    def _key(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise self._error(node, "a key must be a word, not a list or a mapping")
        if node.value == "<<" and not node.style:
            raise self._error(node, "merge keys (<<) are not part of YAML 1.2; repeat the keys or use a whole alias")
        return str(node.value)

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        kind = node.tag.removeprefix("tag:yaml.org,2002:")
        try:
            return self._convert(kind, node.value)
        except ConfigError as error:
            raise self._error(node, str(error)) from None
        except (KeyError, ValueError):
            raise self._error(node, "this value does not fit its tag; leave the tag out") from None

    def _convert(self, kind: str, text: str) -> Any:
        match kind:
            case "str":
                return self._expand(text)
            case "null":
                return None
            case "bool":
                return {"true": True, "false": False}[text.lower()]
            case "int":
                return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
            case "float":
                return float(text)
            case _:
                raise ConfigError("tags (!…) have no meaning here; a value that begins with ! must be quoted")

    def _error(self, node: yaml.Node, message: str) -> ConfigError:
        return ConfigError(f"{_at(self._file, node.start_mark)}: {message}")


def _place(mark: yaml.Mark) -> Place:
    return Place(mark.line + 1, mark.column + 1)


def _at(file: str, mark: yaml.Mark | None) -> str:
    return f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file


def _problem(error: yaml.MarkedYAMLError) -> str:
    """What PyYAML says, without what it quotes: `password: *hunter2` must not be repeated."""
    problem = error.problem or "not YAML"
    if "alias" in problem:
        return "an alias (*) that names nothing; a value that begins with * must be quoted"
    return " ".join(_QUOTED.sub(_without_values, part) for part in (error.context, problem) if part)


def _without_values(quoted: re.Match[str]) -> str:
    """Leave single characters and PyYAML's own words (`<stream end>`)."""
    text = quoted[1]
    return quoted.group() if len(text) <= 1 or text.startswith("<") else "'…'"
