"""Who of behaviour wants to see a record, told by its outline alone: most records of a busy API server nobody does.

An outline (`vedette.schema.outline`) has the few fields that many records share. A decoder says what of an observation
they tell (`outlined`); what they don't tell is taken to be anything. Where all that a detector reads of an observation
is told, and it does not matter to it whether the same is shown once or many times within a second, the first one in
each second is enough.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

import msgspec

from detectors.anchors import weaken
from detectors.behaviour.definition import Definition
from detectors.behaviour.fields import FIELDS
from detectors.behaviour.profiles.terms import HEARD_CALLS
from detectors.compiled import Check, compile_predicate
from detectors.predicate import fields as fields_of
from vedette.schema.event import Decoder
from vedette.schema.observation import Kind, Observation, Observer

_SOURCES: Final = frozenset({"source", "format"})
"""What every record of a source has alike: one sign of life says it for all."""
_DERIVED: Final = {
    "actor_kind": "actor",
    "agent": "user_agent",
    "network": "address",
    "scope": "address",
    "outcome": "code",
}
"""Fields that follow from one other."""
_SELDOM: Final = frozenset({"silence"})
"""Types of detectors to which it does not matter how often within a second they are shown the same."""
_LEARNING: Final = frozenset({"profile", "new_edge"})
"""Types over profiles, which are learned from all observations; of what the platform does, the first in a second."""
_PLATFORM: Final = "system:"
_ACCOUNT: Final = "system:serviceaccount:"
_OWN_ACCOUNT: Final = "system:serviceaccount:kube-system:"


class Wish(IntEnum):
    """How often records that have an outline in common are wanted."""

    NEVER = 0
    SELDOM = 1
    """The first in each second of arrival."""
    ALWAYS = 2


class Interest(NamedTuple):
    """What to ask outlines for, and who wants to see the records that have one."""

    fields: frozenset[str]
    wish: Callable[[dict[str, Any]], Wish]


@runtime_checkable
class Outlined(Protocol):
    """What a decoder may offer that is an `Observer` and an `Outliner`."""

    outlined: Mapping[str, tuple[str, ...]]
    """Fields of an observation that outlines tell, each with the outline's fields that it follows from."""


def interest_in(decoder: Decoder, definitions: Sequence[Definition]) -> Interest | None:
    """Return who wants what of a decoder's records; None where nobody watches."""
    if not definitions:
        return None
    if not isinstance(decoder, Observer) or not isinstance(decoder, Outlined):
        return Interest(frozenset(), _always)
    told = set(decoder.outlined)
    told |= {name for name, base in _DERIVED.items() if base in told}
    wanted = [found for found in definitions if found.kind in (Kind.CALL, Kind.ANY) and not _is_of_source(found)]
    asked = {name or "" for found in wanted for name in (*fields_of(found.predicate), *found.by, *found.value)}
    bases = {_DERIVED.get(name, name) for name in asked & told} | {"actor", "resource"}
    outline = frozenset(field for name in bases for field in decoder.outlined.get(name, ()))
    checks = [_check(found, told) for found in wanted]
    learns = any(found.type in _LEARNING for found in definitions)

    def wish(document: dict[str, Any]) -> Wish:
        seen = decoder.observe(msgspec.json.encode(document), "", None)
        if seen is None:
            return Wish.NEVER
        if not seen.resource:
            return Wish.ALWAYS  # a path, which an outline may not have
        known = {name: value for name in told if (value := FIELDS[name](seen) if name in FIELDS else None)}
        most = _learned(seen) if learns else Wish.NEVER
        return max([most, *(kind for check, kind in checks if check(known | {"code": seen.code}))])

    return Interest(outline, wish)


def _is_of_source(definition: Definition) -> bool:
    """Say whether a definition looks at nothing but where records come from."""
    asked = {name for name in fields_of(definition.predicate) if name} | {*definition.by, *definition.value}
    return definition.kind is Kind.ANY and asked <= _SOURCES


def _check(definition: Definition, told: set[str]) -> tuple[Check, Wish]:
    weakened = weaken(definition.predicate, lambda name: name in told)
    reads = {name for name in fields_of(definition.predicate) if name} | {*definition.by, *definition.value}
    rare = definition.type in _SELDOM and reads <= told | _SOURCES
    return _anything if weakened is None else compile_predicate(weakened), Wish.SELDOM if rare else Wish.ALWAYS


def _anything(_: dict[str, Any]) -> bool:
    return True


def _always(_: dict[str, Any]) -> Wish:
    return Wish.ALWAYS


def _learned(seen: Observation) -> Wish:
    """Say how often profiles want to see a call: of the platform's own, seldom, unless it tells of a pod."""
    if seen.resource in HEARD_CALLS:
        return Wish.ALWAYS
    is_platform = seen.actor.startswith(_PLATFORM) and (
        not seen.actor.startswith(_ACCOUNT) or seen.actor.startswith(_OWN_ACCOUNT)
    )
    return Wish.SELDOM if is_platform else Wish.ALWAYS
