"""On which terms profiles are learned: settings that definitions of detectors over profiles share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Annotated, Final

import msgspec

from vedette.schema.limits import SECOND_NS

HOUR_NS: Final = 3_600 * SECOND_NS
DAY_NS: Final = 24 * HOUR_NS
HEARD_CALLS: Final = frozenset({"pods/binding", "pods/exec", "pods/attach", "pods/ephemeralcontainers"})
"""Calls that tell of single pods, whoever makes them."""


class Aspect(StrEnum):
    """What is learned of an entity."""

    PROGRAMS = "programs"
    """Of a container: path of the program, and what started it."""
    FILES = "files"
    """Of a container: paths of files that it opened."""
    PEERS = "peers"
    """Of a workload: direction, protocol, workload or network at the other end, port."""
    CALLS = "calls"
    """Of a user, service account or node: verb, API group, resource, kind of client, namespace."""
    ACTORS = "actors"
    """Of a source network: who calls from there, with which kind of client."""
    IMAGES = "images"
    """Of a namespace: repositories of the images that run in it."""


class Terms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a profile is learned. Where several definitions speak of an aspect, the longest times hold."""

    learn_for_ns: int = 3 * DAY_NS
    partial_for_ns: int = 5 * DAY_NS
    """As `learn_for`, for a workload of which no container was seen to start: part of what it does may be unseen."""
    learn_hours: Annotated[int, msgspec.Meta(ge=0, le=1_000)] = 36
    """In so many hours something must have been seen of a workload: one that runs once a day shows little in days."""
    settle_for_ns: int = DAY_NS
    """Learning ends when this long nothing new has come."""
    forget_after_ns: int = 30 * DAY_NS
    start_up_ns: int = 60 * SECOND_NS
    """What a container does in its first minute is kept apart and never deviates."""
    grace_ns: int = 2 * HOUR_NS
    """After a new image of the workload: what is new then belongs to it, and is learned."""
    lock: bool = False
    """Lock profiles when learning ends, in place of an operator's hand."""


def agreed(given: Sequence[Terms]) -> Terms:
    """Return terms that honour all of the given ones: the longest times, a lock if one asks for it."""
    if not given:
        return Terms()
    names = (name for name in Terms.__struct_fields__ if name.endswith("_ns"))
    longest = {name: max(getattr(terms, name) for terms in given) for name in (*names, "learn_hours")}
    return Terms(**longest, lock=any(terms.lock for terms in given))


def by_aspect(given: Iterable[tuple[str, Terms]]) -> dict[str, Terms]:
    """Return the terms of every aspect."""
    pairs = list(given)
    return {aspect: agreed([terms for name, terms in pairs if name == aspect]) for aspect in Aspect}
