"""A few fields of a record as one value: most records are let go on these, before they are decoded.

Most events of a stream differ in names, numbers and times alone, which hardly any rule asks for. A decoder that can
read the other fields without the rest of the record offers an `Outline` of them; who knows the rules decides on that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable

    import msgspec


class Apart(NamedTuple):
    """A field that an outline holds although it takes many values: what is remembered of it is apart from the others.

    `split` returns the hashable rest of an outline, and the text under this key of the head; UNSET if there is none.
    """

    field: str
    split: Callable[[msgspec.Struct], tuple[Hashable, str | msgspec.UnsetType]]


class Outline(NamedTuple):
    """How to read some fields of a format's records.

    `read` returns a hashable struct whose JSON is a document in which these `fields` read as they do in the head of the
    record. It returns None for a record that must be decoded to be understood, and for what is not of this format at
    all. What the struct does not hold is skipped over: that it is JSON is all that is known of it.
    """

    fields: frozenset[str]
    read: Callable[[bytes], msgspec.Struct | None]
    apart: Apart | None = None


@runtime_checkable
class Outliner(Protocol):
    """What a decoder may offer beside `Decoder`."""

    def outline(self, fields: Collection[str]) -> Outline:
        """Return an outline of those of the `fields` that take few values, in few combinations; others are apart."""
        ...
