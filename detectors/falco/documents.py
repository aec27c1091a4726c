"""Rule files as YAML nodes, which know their places and keep scalars as they were written.

Falco reads scalars without YAML's types (yaml-cpp): `yes`, `1.0` and `2024-01-01` are those texts. The reading is
bounded before anything is built: size, nesting (PyYAML's composer recurses on the C stack), and what aliases expand to.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import yaml

from detectors.falco.diagnostics import Context, LoadCode, LoadError, Mark, Place, diagnostic, invalid, place_of
from detectors.rule import RuleText

TEXT_CHARS_MAX: Final = 4 * 1024 * 1024
"""One rule file; Falco's own have some 150 KB."""
NODES_MAX: Final = 1_000_000
"""Values of a file with its aliases written out."""
DEPTH_MAX: Final = 50
"""Nesting of a file; rules with exceptions have seven levels."""

_NULL: Final = "tag:yaml.org,2002:null"
_TRUE: Final = frozenset(("y", "yes", "true", "on"))
_FALSE: Final = frozenset(("n", "no", "false", "off"))


def read_items(source: RuleText) -> list[yaml.Node]:
    """Return the items of all documents of a file, in order; empty ones are left out.

    Raises:
        LoadError: it is not YAML, or no list of items.
    """
    context = Context("rules content", "", Place(source.path))
    if len(source.text) > TEXT_CHARS_MAX:
        raise _unreadable(context, f"the file is larger than {TEXT_CHARS_MAX} characters; split it")
    items: list[yaml.Node] = []
    for root in _documents(source, context):
        if is_null(root):
            continue
        if not isinstance(root, yaml.SequenceNode):
            what = "yaml array of objects" if isinstance(root, yaml.MappingNode) else "yaml"
            place = place_of(source, root.start_mark)
            message = f"Rules content is not {what}"
            raise invalid(message, context, place)
        items.extend(node for node in root.value if not is_null(node))
    return items


def _documents(source: RuleText, context: Context) -> list[yaml.Node]:
    try:
        _check_bounds(source, context)
        return list(yaml.compose_all(source.text, Loader=yaml.CSafeLoader))
    except yaml.MarkedYAMLError as error:
        message = " ".join(filter(None, (error.context, error.problem)))
        place = place_of(source, error.problem_mark or error.context_mark)
        raise _unreadable(context, message, place) from error
    except (yaml.YAMLError, ValueError) as error:
        raise _unreadable(context, f"not readable as YAML: {error}", Place(source.path, 1)) from error


def _unreadable(context: Context, message: str, place: Place | None = None) -> LoadError:
    return LoadError(diagnostic(LoadCode.ERR_YAML_PARSE, message, context, place))


def _check_bounds(source: RuleText, context: Context) -> None:
    """Read nothing but the parser's events, which are not recursive, and add up what each anchor stands for."""
    open_nodes: list[tuple[str | None, int]] = []
    sizes: dict[str, int] = {}
    total = 0
    for event in yaml.parse(source.text, Loader=yaml.CSafeLoader):
        grown = 0
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise _refused(source, context, "an alias contains itself or has no anchor", event.start_mark)
            grown = sizes[event.anchor]
        elif isinstance(event, yaml.ScalarEvent):
            grown = 1
            if event.anchor:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, total))
            grown = 1
            if len(open_nodes) > DEPTH_MAX:
                raise _refused(source, context, f"nested deeper than {DEPTH_MAX} levels", event.start_mark)
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            if anchor:
                sizes[anchor] = total - before
        total += grown
        if total > NODES_MAX:
            message = f"its aliases expand to more than {NODES_MAX} values"
            raise _refused(source, context, message, event.start_mark)


def _refused(source: RuleText, context: Context, message: str, mark: Mark | None) -> LoadError:
    return _unreadable(context, message, place_of(source, mark))


def is_null(node: yaml.Node) -> bool:
    """Say whether a node is YAML's null: nothing, `~` or `null`, not in quotes."""
    return isinstance(node, yaml.ScalarNode) and node.tag == _NULL


def pairs(node: yaml.Node) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
    """Yield the keys that are scalars, with their values."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                yield key, value


def boolean(text: str) -> bool | None:
    """Read a truth value as yaml-cpp does; None if it is none."""
    folded = text.lower() if text in (text.lower(), text.upper(), text.capitalize()) else ""
    return True if folded in _TRUE else False if folded in _FALSE else None
