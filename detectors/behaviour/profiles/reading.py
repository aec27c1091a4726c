"""What was learned, as plain Structs: for people, for exports, and for whoever makes policies of it.

`entity` of a reading is by its kind: container (namespace, workload kind, workload, container), workload (namespace,
workload), service_account, user, node, network, namespace (one name each). The parts of a value are by the aspect:
programs (path, parent), files (path), peers (direction, protocol, workload, namespace/name, port; or network, CIDR,
address, port; or address, what, port), calls (verb, API group, resource, client, namespace), actors (actor, client),
images (repository). `*` stands for anything in a part, or for all of the rest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Final, cast

import msgspec
import orjson

from detectors.behaviour.profiles.lessons import CONTAINER
from detectors.behaviour.profiles.state import SEPARATOR, Life, Profile, Row, unpacked
from detectors.behaviour.profiles.store import Profiles, is_learning, settled_at
from detectors.behaviour.profiles.terms import DAY_NS, HOUR_NS, Aspect, Terms
from vedette.schema.operator import KeyedState

ID_CHARS: Final = 12


class State(StrEnum):
    """How far a profile is."""

    LEARNING = "learning"
    PROPOSED = "proposed"
    UNSTABLE = "unstable"
    """It never settles: it does something else each time, and is left alone."""
    LOCKED = "locked"


class LearnedValue(msgspec.Struct, frozen=True):
    """One value: from when to when it was seen (ns, by the hour), and in how many hours."""

    parts: tuple[str, ...]
    first_ns: int
    last_ns: int
    hours: int


class Summary(msgspec.Struct, frozen=True):
    """A profile without its values."""

    profile_id: str
    kind: str
    cluster: str
    names: tuple[str, ...]
    aspect: str
    state: State
    full: bool
    since_ns: int
    settled_ns: int
    locked_ns: int
    locked_by: str
    values: int
    startup: int
    outside: int
    generalised: int


class Reading(msgspec.Struct, frozen=True):
    """A profile whole. `outside` is what deviated and was not learned; `wide` are beginnings made general."""

    summary: Summary
    values: tuple[LearnedValue, ...]
    startup: tuple[LearnedValue, ...]
    outside: tuple[LearnedValue, ...]
    wide: tuple[str, ...]


def profile_id(key: str) -> str:
    """Name a profile shortly, the same in every process."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:ID_CHARS]


def rows_of(state: KeyedState[Row]) -> Iterator[tuple[str, Profile]]:
    """Return all profiles with their keys, the oldest first."""
    for key in list(state):
        row = state.get(key)
        if isinstance(row, Profile):
            yield key, row


def summaries(profiles: Profiles) -> list[Summary]:
    """Return all profiles, the oldest first."""
    now_ns = _now_ns(profiles)
    return [_summary(key, row, profiles, now_ns) for key, row in rows_of(profiles.state)]


def readings(profiles: Profiles, wanted: Iterable[str] | None = None) -> list[Reading]:
    """Return profiles whole: all, or those whose ids begin with one of `wanted`."""
    now_ns = _now_ns(profiles)
    beginnings = None if wanted is None else tuple(wanted)
    return [
        Reading(
            _summary(key, row, profiles, now_ns),
            _values(row.aspect, row.values),
            _values(row.aspect, row.startup),
            _values(row.aspect, row.outside),
            tuple(row.wide),
        )
        for key, row in rows_of(profiles.state)
        if beginnings is None or profile_id(key).startswith(beginnings)
    ]


def parts_of(aspect: str, value: str) -> tuple[str, ...]:
    """Cut a value into its parts."""
    return tuple(value.split(SEPARATOR)) if aspect != Aspect.FILES else (value,)


def _values(aspect: str, values: Mapping[str, int]) -> tuple[LearnedValue, ...]:
    found: list[LearnedValue] = []
    for value, packed in values.items():
        times = unpacked(packed)
        found.append(
            LearnedValue(parts_of(aspect, value), times.first_h * HOUR_NS, times.last_h * HOUR_NS, times.hours)
        )
    return tuple(sorted(found, key=lambda one: one.parts))


def _summary(key: str, row: Profile, profiles: Profiles, now_ns: int) -> Summary:
    kind, cluster, *names = row.entity
    terms = profiles.terms[row.aspect]
    state = _state(row, _life(profiles, row), terms, now_ns)
    return Summary(
        profile_id(key),
        kind,
        cluster,
        tuple(names),
        row.aspect,
        state,
        row.full,
        row.since_ns,
        row.settled_ns or (settled_at(row, terms) if state is State.PROPOSED else 0),
        row.locked_ns,
        row.locked_by,
        len(row.values),
        len(row.startup),
        len(row.outside),
        len(row.wide),
    )


def _state(row: Profile, life: Life | None, terms: Terms, now_ns: int) -> State:
    if row.locked_ns:
        return State.LOCKED
    if is_learning(row, terms, life, now_ns):
        return State.LEARNING
    return State.UNSTABLE if row.is_unstable(now_ns // DAY_NS) else State.PROPOSED


def _life(profiles: Profiles, row: Profile) -> Life | None:
    """Return the life of a container's workload; of others it can't be told from the profile."""
    kind, cluster, *names = row.entity
    if kind != CONTAINER:
        return None
    return cast("Life | None", profiles.groups.get(orjson.dumps(("life", cluster, *names[:3])).decode()))


def _now_ns(profiles: Profiles) -> int:
    """Return the event time as far as it was seen."""
    last_h = 0
    for key in profiles.state:
        row = profiles.state.get(key)
        if isinstance(row, Life):
            last_h = max(last_h, row.last_h)
        elif isinstance(row, Profile):
            last_h = max(last_h, max((unpacked(packed).last_h for packed in row.values.values()), default=0))
    return (last_h + 1) * HOUR_NS
