"""Profiles as a document that goes from one agent to another: versioned, with a checksum, bounded when it comes in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Annotated, Final

import msgspec

from detectors.behaviour.profiles.lessons import profile_key
from detectors.behaviour.profiles.shapes import SHAPES
from detectors.behaviour.profiles.state import HOUR_MAX, Profile, Times, packed_of, unpacked
from detectors.behaviour.profiles.store import OUTSIDE_MAX
from detectors.behaviour.profiles.terms import Aspect
from detectors.engine import bounded_text
from vedette.schema.errors import ConfigError

VERSION: Final = 1
BYTES_MAX: Final = 16 * 1024 * 1024
PROFILES_MAX: Final = 20_000
_VALUES_MAX: Final = max(shape.values_max for shape in SHAPES.values())
_ENTITY_MAX: Final = 6
_KINDS_PARTS: Final = {
    "container": 6,
    "workload": 4,
    "service_account": 3,
    "user": 3,
    "node": 3,
    "network": 3,
    "namespace": 3,
}

_Hour = Annotated[int, msgspec.Meta(ge=0, le=HOUR_MAX)]
_Nanoseconds = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_Value = tuple[str, _Hour, _Hour, _Hour]
_Values = Annotated[list[_Value], msgspec.Meta(max_length=_VALUES_MAX)]


class Moved(msgspec.Struct, forbid_unknown_fields=True):
    """One profile on its way. Values: text, first and last hour since the epoch, in how many hours."""

    entity: Annotated[tuple[str, ...], msgspec.Meta(min_length=3, max_length=_ENTITY_MAX)]
    aspect: Aspect
    since_ns: _Nanoseconds
    settled_ns: _Nanoseconds
    full: bool
    locked: bool
    values: _Values
    startup: Annotated[list[_Value], msgspec.Meta(max_length=OUTSIDE_MAX)] = []
    wide: Annotated[list[str], msgspec.Meta(max_length=_VALUES_MAX)] = []


class _Document(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    sha256: str
    profiles: msgspec.Raw


_encode: Final = msgspec.json.Encoder(order="sorted").encode


def pack(rows: Iterable[Profile]) -> bytes:
    """Write profiles as a document."""
    profiles = _encode([_moved(row) for row in rows])
    return _encode(_Document(VERSION, hashlib.sha256(profiles).hexdigest(), msgspec.Raw(profiles))) + b"\n"


def unpack(content: bytes) -> list[Moved]:
    """Read a document.

    Raises:
        ConfigError: it is none, of another version, damaged or too large.
    """
    if len(content) > BYTES_MAX:
        raise ConfigError(f"profiles of {len(content)} bytes are too large; at most {BYTES_MAX} can be imported")
    try:
        document = msgspec.json.decode(content, type=_Document)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"this is no export of profiles: {error}. `vedette profiles export` writes one") from error
    if document.version != VERSION:
        raise ConfigError(f"the export is of version {document.version}; this Vedette reads version {VERSION}")
    if hashlib.sha256(bytes(document.profiles)).hexdigest() != document.sha256:
        raise ConfigError("the export was changed or damaged: its checksum is wrong. Export the profiles again")
    try:
        moved = msgspec.json.decode(document.profiles, type=list[Moved])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"the export holds something that is no profile: {error}") from error
    _check(moved)
    return moved


def _check(moved: list[Moved]) -> None:
    if len(moved) > PROFILES_MAX:
        raise ConfigError(f"the export has {len(moved)} profiles; at most {PROFILES_MAX} can be imported at once")
    for number, one in enumerate(moved, 1):
        if _KINDS_PARTS.get(one.entity[0]) != len(one.entity):
            kinds = ", ".join(_KINDS_PARTS)
            raise ConfigError(f"profile {number} of the export is of no entity; kinds are {kinds}, each with its names")
        if len(one.values) > SHAPES[one.aspect].values_max:
            raise ConfigError(f"profile {number} of the export has more values than a profile of {one.aspect} may have")


def row_of(moved: Moved, owner: str, who: str, time_ns: int) -> tuple[str, Profile]:
    """Return a profile with its key, as if it had been learned here; `time_ns` is when, and `who` brought it."""
    entity = tuple(map(bounded_text, moved.entity))
    row = Profile(owner, entity, moved.aspect, min(moved.since_ns, time_ns), min(moved.since_ns, time_ns))
    row.settled_ns = min(moved.settled_ns, time_ns) or (time_ns if moved.locked else 0)
    row.full = moved.full
    if moved.locked:
        row.locked_ns, row.locked_by = time_ns, who
    row.values = {bounded_text(value): packed_of(Times(*times)) for value, *times in moved.values}
    row.startup = {bounded_text(value): packed_of(Times(*times)) for value, *times in moved.startup}
    row.wide = {bounded_text(beginning): 1 for beginning in moved.wide}
    return profile_key(moved.aspect, entity), row


def _moved(row: Profile) -> Moved:
    return Moved(
        row.entity,
        Aspect(row.aspect),
        row.since_ns,
        row.settled_ns,
        row.full,
        bool(row.locked_ns),
        [_timed(value, packed) for value, packed in sorted(row.values.items())],
        [_timed(value, packed) for value, packed in sorted(row.startup.items())],
        list(row.wide),
    )


def _timed(value: str, packed: int) -> _Value:
    times = unpacked(packed)
    return value, times.first_h, times.last_h, times.hours
