"""Structs that read a few members of a JSON object, and of the objects in it, and skip over all others.

A member of another type than expected is an error, not a missing value: so what is read is what a decoder of the whole
object would find under the same dotted name.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from operator import attrgetter
from typing import Any, cast

import msgspec

from vedette.schema.outline import Apart

_Members = dict[str, Any]
"""Types by name; for an object in it, the types of its own members."""


def outline_struct(types: Mapping[str, Any], required: Mapping[str, Any]) -> type[msgspec.Struct]:
    """Make a hashable struct with the fields of these names, `key` or `object.key` (the key may have dots itself).

    `required` are keys that stand there beside them, and without which an object is refused.
    """
    members: _Members = {}
    for field, kind in types.items():
        first, dot, rest = field.partition(".")
        if not dot:
            members[first] = kind
            continue
        inner = members.setdefault(first, {})
        inner[rest] = kind
        names = rest.split(".")
        for count in range(1, len(names)):  # a name's other readings, as objects in the object, are refused
            inner.setdefault(".".join(names[:count]), str)
    return _struct({**members, **required}, required)


def field_apart(struct: type[msgspec.Struct], field: str) -> Apart:
    """Return how to take one field of texts, a key without dots, out of outlines of the struct."""
    attributes = {
        encoded: name for name, encoded in zip(struct.__struct_fields__, struct.__struct_encode_fields__, strict=True)
    }
    take = attrgetter(attributes.pop(field), *attributes.values())

    def split(outline: msgspec.Struct) -> tuple[Hashable, str | msgspec.UnsetType]:
        found = take(outline)
        return found[1:], found[0]

    return Apart(field, split)


def _struct(members: _Members, required: Mapping[str, Any]) -> type[msgspec.Struct]:
    fields: list[tuple[str, Any, Any]] = []
    for number, (name, kind) in enumerate(members.items()):
        told: Any = _struct(cast("_Members", kind), {}) if isinstance(kind, dict) else kind
        if name in required:
            fields.append((f"f{number}", told, msgspec.field(name=name)))
        else:
            fields.append((f"f{number}", told | msgspec.UnsetType, msgspec.field(name=name, default=msgspec.UNSET)))
    return msgspec.defstruct("Outline", fields, frozen=True, gc=False, kw_only=True)
