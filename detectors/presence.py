"""Leaving out, at once, the parts of an Or none of whose fields a document has.

Rules about Kubernetes workloads ask the same of a pod, of a template and of a job's template: some thirty fields, of
which a given object has a third. One walk down the fields' names finds which.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from detectors.values import kind_of

PARTS_MIN: Final = 3
"""Fewer parts are not worth the walk."""

Presence = Callable[[dict[str, Any]], int]
"""From a document to the parts of which some field may have a value, as bits."""


class _Step(NamedTuple):
    """What follows from a key: the parts of which it ends a field's name, and the keys that may come next.

    `unclear`: a key with dots that stands for the middle of a name.
    """

    bits: int
    next: _Steps
    unclear: bool


_Steps = dict[str, _Step]


class Walk:
    """One walk that serves several presences: of rules that ask the same document, the first one walks.

    The document last walked over is kept, and must not be changed while it is asked again.
    """

    def __init__(self) -> None:
        """Begin with no fields."""
        self._parts: list[Sequence[str]] = []
        self._present: Presence | None = None
        self._doc: dict[str, Any] | None = None
        self._found = 0

    def presence(self, parts: Sequence[Sequence[str]]) -> Presence:
        """Return what tells which of some parts may have values; all are to be named before the first is asked."""
        assert self._present is None, "the walk has begun"
        shift, mask = len(self._parts), (1 << len(parts)) - 1
        self._parts += parts

        def present(doc: dict[str, Any]) -> int:
            if doc is not self._doc:
                self._go(doc)
            return self._found >> shift & mask

        return present

    def _go(self, doc: dict[str, Any]) -> None:
        if self._present is None:
            self._present = _presence(self._parts)
        self._found = self._present(doc)
        self._doc = doc


def _presence(parts: Sequence[Sequence[str]]) -> Presence:
    names = [(field.split("."), 1 << number) for number, part in enumerate(parts) for field in part]
    root = _steps(names)
    every = (1 << len(parts)) - 1

    def present(doc: dict[str, Any]) -> int:
        found = 0
        stack: list[tuple[_Steps, Any]] = [(root, doc)]
        while stack:
            steps, value = stack.pop()
            if kind_of(value) is list:
                stack.extend((steps, item) for item in value if kind_of(item) is dict or kind_of(item) is list)
                continue
            for key in steps.keys() & value.keys():
                bits, following, unclear = steps[key]
                if unclear:
                    return every
                found |= bits
                if following:
                    inner = value[key]
                    if kind_of(inner) is dict or kind_of(inner) is list:
                        stack.append((following, inner))
        return found

    return present


def _steps(names: list[tuple[list[str], int]]) -> _Steps:
    """Gather what may come first in some names, each of the parts given by its bits."""
    ends: dict[str, int] = {}
    rests: dict[str, list[tuple[list[str], int]]] = {}
    unclear: set[str] = set()
    for name, bits in names:
        whole = ".".join(name)
        ends[whole] = ends.get(whole, 0) | bits
        if len(name) > 1:
            rests.setdefault(name[0], []).append((name[1:], bits))
            unclear.update(".".join(name[:count]) for count in range(2, len(name)))
    keys = ends.keys() | rests.keys() | unclear
    return {key: _Step(ends.get(key, 0), _steps(rests.get(key, [])), key in unclear) for key in keys}
