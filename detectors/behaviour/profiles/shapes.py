"""Values made general: where there are too many of a kind to tell apart, they count as one.

A value is cut into segments, a trie: the directories of a path, the parts of a call. More children than a bound below
one beginning become `*` (Kubescape generalises paths so: 50 children, 100 below /etc). Numbers and hexadecimal ids in
paths are `*` from the start, since they differ each time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from detectors.behaviour.profiles.state import SEPARATOR, packed_of, unpacked
from detectors.behaviour.profiles.state import Times as _Times
from detectors.behaviour.profiles.terms import Aspect

ANY: Final = "*"
_SEGMENTS_MAX: Final = 16
_PATH_CHILDREN_MAX: Final = 50
_ETC_CHILDREN_MAX: Final = 100
_UNBOUNDED: Final = 1_000_000


class Shape(NamedTuple):
    """How values of an aspect are cut, how many children a beginning may have, and how many values a profile."""

    separator: str
    children_max: Callable[[str, int], int]
    values_max: int


def _of_path(beginning: str, _: int) -> int:
    return _ETC_CHILDREN_MAX if beginning == "/etc" or beginning.startswith("/etc/") else _PATH_CHILDREN_MAX


def _of_program(_: str, depth: int) -> int:
    return 2 * _PATH_CHILDREN_MAX if depth else _UNBOUNDED


def _levels(*bounds: int) -> Callable[[str, int], int]:
    return lambda _, depth: bounds[depth] if depth < len(bounds) else bounds[-1]


SHAPES: Final = {
    Aspect.PROGRAMS: Shape("/", _of_program, 300),
    Aspect.FILES: Shape("/", _of_path, 500),
    # direction, protocol, kind of peer, peer, then port, or (of a network) address and port
    Aspect.PEERS: Shape(SEPARATOR, _levels(_UNBOUNDED, _UNBOUNDED, _UNBOUNDED, 200, 12, 12), 600),
    # verb, group, resource, client, namespace
    Aspect.CALLS: Shape(SEPARATOR, _levels(_UNBOUNDED, _UNBOUNDED, 200, 20, 5), 600),
    Aspect.ACTORS: Shape(SEPARATOR, _levels(300, 20), 400),
    Aspect.IMAGES: Shape("/", _levels(_UNBOUNDED, _UNBOUNDED, 200), 300),
}
"""By aspect. Depth 0 is what follows the empty beginning."""


def settle(shape: Shape, value: str, wide: dict[str, int]) -> str:
    """Return a value with `*` for segments whose beginnings are wide."""
    segments = value.split(shape.separator, _SEGMENTS_MAX - 1)
    beginning = ""
    for depth in range(len(segments)):
        if depth and beginning in wide:
            segments[depth] = ANY
        beginning = beginning + shape.separator + segments[depth] if depth else segments[0]
    return shape.separator.join(segments)


def crowded(shape: Shape, value: str, values: dict[str, int]) -> str | None:
    """Return the longest beginning of a value with more children among the values than it may have; None if none.

    Costs all values: for new ones only.
    """
    cut = shape.separator
    segments = value.split(cut, _SEGMENTS_MAX - 1)
    for depth in range(len(segments) - 1, 0, -1):
        beginning = cut.join(segments[:depth])
        prefix = beginning + cut
        at = len(prefix)
        children = {other[at:].partition(cut)[0] for other in values if other.startswith(prefix)}
        if ANY not in children and len(children) > shape.children_max(beginning, depth):
            return beginning
    return None


def widen(shape: Shape, beginning: str, values: dict[str, int], wide: dict[str, int]) -> dict[str, int]:
    """Return the values with those below a wide beginning made one; their times join."""
    wide[beginning] = 1
    prefix, widened = beginning + shape.separator, dict[str, int]()
    for value, packed in values.items():
        name = settle(shape, value, wide) if value.startswith(prefix) else value
        known = widened.get(name)
        widened[name] = packed if known is None else _joined(known, packed)
    return widened


def _joined(one: int, other: int) -> int:
    a, b = unpacked(one), unpacked(other)
    return packed_of(_Times(min(a.first_h, b.first_h), max(a.last_h, b.last_h), max(a.hours, b.hours)))
