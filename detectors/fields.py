"""From a field name to its values in a document.

A dotted name is looked up at each object as the longest literal key first (`annotations` holds
`authorization.k8s.io/decision`), then nested; SigmaHQ's Kubernetes rules need both. Lists are transparent: a name goes
on in every element, and a list at the end stands for its elements. Where one reading of a name finds nothing, the next
is tried. A missing field has no values; an empty list and an object stand for themselves, so that they exist without
equalling anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from detectors.values import is_list, is_object, kind_of

Path = tuple[str | int, ...]
"""Where a value stands: keys and list positions from the root."""
Getter = Callable[[dict[str, Any]], tuple[Any, ...]]

_PLAIN_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


def getter(field: str | None) -> Getter:
    """Compile a field name to a function from a document to the field's values; None gives every leaf value."""
    if field is None:
        return _leaf_values
    names = field.split(".")
    if len(names) == 1:
        return _top_getter(field)
    if len(names) == len(("object", "key")):
        return _pair_getter(field, *names)
    return _deep_getter(names)


def _leaf_values(doc: dict[str, Any]) -> tuple[Any, ...]:
    found: list[Any] = []
    stack: list[Any] = [doc]
    while stack:
        value = stack.pop()
        kind = kind_of(value)
        if kind is str:
            found.append(value)
        elif kind is dict:
            stack.extend(reversed(value.values()))
        elif kind is list:
            stack.extend(reversed(value))
        elif value is not None:
            found.append(value)
    return tuple(found)


def _top_getter(key: str) -> Getter:
    def get(doc: Any) -> tuple[Any, ...]:
        value = doc.get(key)
        if kind_of(value) is str:
            return (value,)
        if value is None:
            return (None,) if key in doc else ()
        return _elements(value) if is_list(value) else (value,)

    return get


def _pair_getter(field: str, first: str, second: str) -> Getter:
    deep = _deep_getter([first, second])

    def get(doc: Any) -> tuple[Any, ...]:
        whole = doc.get(field)
        if kind_of(whole) is str:
            return (whole,)
        inner = doc.get(first)
        if kind_of(inner) is dict and field not in doc:
            value = inner.get(second)
            if kind_of(value) is str:
                return (value,)
            if value is None:
                return (None,) if second in inner else ()
        return deep(doc)

    return get


def _deep_getter(names: list[str]) -> Getter:
    last = len(names)
    steps = tuple(
        tuple((".".join(names[at:end]), end) for end in range(len(names), at, -1)) for at in range(len(names))
    )
    literals = tuple(tuple(key for key, _ in step[:-1]) for step in steps)
    field = ".".join(names)

    def get(doc: Any) -> tuple[Any, ...]:
        value: Any = doc.get(field)
        if kind_of(value) is str:
            return (value,)
        value = doc
        at = 0
        while kind_of(value) is dict:
            for literal in literals[at]:
                if literal in value:
                    return _collected(doc, steps, 0)
            if names[at] not in value:
                return ()
            value = value[names[at]]
            at += 1
            if at == last and kind_of(value) is not list:
                return (value,)
        return _collected(value, steps, at) if kind_of(value) is list else ()

    return get


def _collected(value: Any, steps: Steps, at: int) -> tuple[Any, ...]:
    found: list[Any] = []
    _collect(value, steps, at, found)
    return tuple(found)


Steps = tuple[tuple[tuple[str, int], ...], ...]
"""For each position in a name: the keys that may follow, longest first, each with the position behind it."""


def _collect(value: Any, steps: Steps, at: int, found: list[Any]) -> None:
    if kind_of(value) is list and (value or at < len(steps)):
        for element in value:
            _collect(element, steps, at, found)
    elif at == len(steps):
        found.append(value)
    elif kind_of(value) is dict:
        before = len(found)
        for key, end in steps[at]:
            if key in value:
                _collect(value[key], steps, end, found)
                if len(found) > before:
                    return


def _elements(items: list[Any]) -> tuple[Any, ...]:
    found: list[Any] = []
    _collect(items, (), 0, found)
    return tuple(found)


def locate(field: str | None, doc: dict[str, Any]) -> Iterator[tuple[Path, Any]]:
    """Yield where each value of a field stands, with the value, in the order of `getter`."""
    return leaves(doc) if field is None else _walk(doc, tuple(field.split(".")), ())


def _walk(value: Any, names: tuple[str, ...], path: Path) -> Iterator[tuple[Path, Any]]:
    if is_list(value) and (value or names):
        for position, element in enumerate(value):
            yield from _walk(element, names, (*path, position))
    elif not names:
        yield path, value
    elif is_object(value):
        yield from _walk_object(value, names, path)


def _walk_object(value: dict[str, Any], names: tuple[str, ...], path: Path) -> Iterator[tuple[Path, Any]]:
    for count in range(len(names), 0, -1):
        key = ".".join(names[:count])
        if key in value:
            found = list(_walk(value[key], names[count:], (*path, key)))
            if found:
                yield from found
                return


def leaves(doc: dict[str, Any]) -> Iterator[tuple[Path, Any]]:
    """Yield every string, number and boolean of a document with its place, in document order."""
    stack: list[tuple[Path, Any]] = [((), doc)]
    while stack:
        path, value = stack.pop()
        if is_object(value):
            stack.extend(((*path, key), value[key]) for key in reversed(value))
        elif is_list(value):
            stack.extend(((*path, at), value[at]) for at in range(len(value) - 1, -1, -1))
        elif value is not None:
            yield path, value


def render(path: Path) -> str:
    """Write a place as people read it: `spec.containers[1].image`, `annotations["authorization.k8s.io/decision"]`."""
    text = ""
    for step in path:
        if isinstance(step, str) and _PLAIN_KEY.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f"[{msgspec.json.encode(step).decode()}]"
    return text


def top_keys(field: str) -> tuple[str, ...]:
    """Return the top-level keys under which a field may stand: `a`, `a.b` and `a.b.c` for `a.b.c`."""
    names = field.split(".")
    return tuple(".".join(names[:count]) for count in range(1, len(names) + 1))
