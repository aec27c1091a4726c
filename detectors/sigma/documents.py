"""YAML texts taken apart into documents that know where each of their keys stands.

Rule files come from people and from bundles, so the reading is bounded: in size, in nesting (PyYAML's composer recurses
on the C stack and dies of 200,000 levels) and in what aliases may expand to. Each document is parsed alone, so a syntax
error in one does not hide the others: a line that begins with `---` always ends a document (YAML 1.2.2 §9.1.2).

Dates stay text: events are JSON, which has none, and pySigma reads `date:` from text as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final, NamedTuple, Protocol

import yaml

from detectors.rule import RuleText
from detectors.values import is_list, is_object
from vedette.schema.errors import RuleError

TEXT_CHARS_MAX: Final = 4 * 1024 * 1024
"""One rule file. The largest published rules have some 100 KB; a pack's tests carry whole events."""
NODES_MAX: Final = 1_000_000
"""Values of a document with its aliases written out; a text of the size above has about as many without."""
DEPTH_MAX: Final = 100
"""Nesting of a document; test events are Kubernetes objects, which stay below it."""

SEPARATOR: Final = re.compile(r"^---(?=\s|$)", re.MULTILINE)
"""Where one document ends and the next one begins."""
_CORE: Final = "tag:yaml.org,2002:"
_STRING: Final = f"{_CORE}str"
_MERGE: Final = f"{_CORE}merge"
_TIMESTAMP: Final = f"{_CORE}timestamp"

LIST: Final = ""
"""The key of a document that is a list, where those may be."""

Key = str | int
"""A mapping's key, or a position in a sequence or mapping."""


class Mark(Protocol):
    """A place in a text, counted from 0; PyYAML has two classes of it."""

    @property
    def line(self) -> int:
        """Line in the parsed part."""
        ...

    @property
    def column(self) -> int:
        """Column in that line."""
        ...


class _Loader(yaml.CSafeLoader):
    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own name for it, and read only
        first: [(tag, regexp) for tag, regexp in resolvers if tag != _TIMESTAMP]
        for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
    }


def _construct_strictly(loader: _Loader, node: yaml.ScalarNode) -> Any:
    """Construct what a tag says, or tell where that fails: PyYAML dies of `!!bool x` and of `!!int ''`."""
    try:
        return yaml.CSafeLoader.yaml_constructors[node.tag](loader, node)
    except (ValueError, LookupError) as error:
        kind = node.tag.removeprefix(_CORE)
        raise yaml.MarkedYAMLError(problem=f"{node.value!r} is no {kind}", problem_mark=node.start_mark) from error


for _name in ("bool", "int", "float"):
    _Loader.add_constructor(_CORE + _name, _construct_strictly)
_Loader.add_constructor(_TIMESTAMP, lambda _, node: str(node.value))


class Document(NamedTuple):
    """One YAML document: its data, and the nodes that tell where the data stood."""

    source: RuleText
    data: dict[str, Any]
    node: yaml.Node
    line_offset: int

    def error(self, message: str, *keys: Key, at_key: bool = False, column: int = 1) -> RuleError:
        """Return an error at the value that `keys` lead to (`at_key`: at its key), or as far as they lead.

        `column` counts from 1 inside a plain value that stands on one line.
        """
        return _error(self.source, message, self._mark(keys, at_key=at_key), self.line_offset, column - 1)

    def place(self) -> str:
        """Return where the document begins, as `path:line`."""
        return f"{self.source.path}:{self.node.start_mark.line + self.line_offset + 1}"

    def _mark(self, keys: tuple[Key, ...], *, at_key: bool) -> Mark:
        node, mark = self.node, self.node.start_mark
        for key in keys:
            found = _child(node, key)
            if found is None:
                return mark
            key_node, node = found
            mark = (key_node if at_key else node).start_mark
        return mark


def read_documents(source: RuleText, *, lists: bool = False) -> Iterator[Document | RuleError]:
    """Yield every document of a text in order, or in its place the reason why it can't be read.

    `lists`: documents may be lists; the data of one is `{LIST: …}`, and its places begin with positions in it.
    """
    if len(source.text) > TEXT_CHARS_MAX:
        yield RuleError(f"the file is larger than {TEXT_CHARS_MAX} characters; split it", path=source.path, line=1)
        return
    starts = [0, *(match.start() for match in SEPARATOR.finditer(source.text) if match.start()), len(source.text)]
    for start, end in pairwise(starts):
        yield from _read_part(source, source.text[start:end], source.text.count("\n", 0, start), lists=lists)


def _read_part(source: RuleText, text: str, line_offset: int, *, lists: bool) -> Iterator[Document | RuleError]:
    try:
        too_deep = _too_deep(text)
        if too_deep is not None:
            yield _error(source, f"nested deeper than {DEPTH_MAX} levels", too_deep, line_offset)
            return
        for node, data in _compose(text):
            if isinstance(data, _Refused):
                yield _error(source, data.message, data.mark, line_offset)
            elif is_object(data):
                yield Document(source, data, node, line_offset)
            elif lists and is_list(data):
                yield Document(source, {LIST: data}, node, line_offset)
            elif data is not None:
                yield _error(source, "a rule is a YAML mapping", node.start_mark, line_offset)
    except yaml.MarkedYAMLError as error:
        message = " ".join(filter(None, (error.context, error.problem)))
        yield _error(source, message, error.problem_mark or error.context_mark, line_offset)
    except (yaml.YAMLError, ValueError) as error:
        yield RuleError(f"not readable as YAML: {error}", path=source.path, line=line_offset + 1)


class _Refused(NamedTuple):
    message: str
    mark: Mark


def _compose(text: str) -> Iterator[tuple[yaml.Node, Any]]:
    """Yield every document's root and its data, or in place of that why it is refused."""
    loader = _Loader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            if node is not None:
                yield node, _problem(node) or loader.construct_document(node)
    finally:
        loader.dispose()


def _too_deep(text: str) -> Mark | None:
    """Return where the nesting passes the limit, reading nothing but the parser's events (which are not recursive)."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEPTH_MAX:
                return event.start_mark
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    return None


def _problem(root: yaml.Node) -> _Refused | None:
    """Find what YAML would let pass: aliases that grow or turn in circles, keys that are given twice or no strings."""
    sizes: dict[int, int] = {}
    entered: set[int] = set()
    stack = [(root, False)]
    while stack:
        node, is_done = stack.pop()
        inner = _inner(node)
        if is_done:
            entered.discard(id(node))
            sizes[id(node)] = 1 + sum(sizes[id(child)] for child in inner)
            if sizes[id(node)] > NODES_MAX:
                return _Refused(f"its aliases expand to more than {NODES_MAX} values", node.start_mark)
        elif id(node) in entered:
            return _Refused("an alias contains itself", node.start_mark)
        elif id(node) not in sizes:
            problem = _key_problem(node)
            if problem is not None:
                return problem
            entered.add(id(node))
            stack.append((node, True))
            stack.extend((child, False) for child in reversed(inner))
    return None


def _inner(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        return list(node.value)
    return [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else []


def _key_problem(node: yaml.Node) -> _Refused | None:
    keys: set[str] = set()
    for key in [pair[0] for pair in node.value] if isinstance(node, yaml.MappingNode) else []:
        if key.tag not in (_STRING, _MERGE):
            return _Refused("a key must be a string; quote it", key.start_mark)
        if key.value in keys:
            return _Refused(f"the key {key.value!r} is given twice", key.start_mark)
        keys.add(key.value)
    return None


def _child(node: yaml.Node, key: Key) -> tuple[yaml.Node, yaml.Node] | None:
    """Return the nodes of a key and of its value."""
    if isinstance(node, yaml.SequenceNode):
        return (node.value[key],) * 2 if isinstance(key, int) and key < len(node.value) else None
    if not isinstance(node, yaml.MappingNode):
        return None
    if isinstance(key, int):
        return node.value[key] if key < len(node.value) else None
    return next((pair for pair in node.value if pair[0].value == key), None)


def _error(source: RuleText, message: str, mark: Mark | None, line_offset: int, column_offset: int = 0) -> RuleError:
    if mark is None:
        return RuleError(message, path=source.path, line=line_offset + 1)
    line, column = mark.line + line_offset + 1, mark.column + column_offset + 1
    return RuleError(message, path=source.path, line=line, column=column)
