"""What an observation teaches: of whom, which aspect, which value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import orjson

from detectors.behaviour.fields import FIELDS, general, network_of, scope_of
from detectors.behaviour.profiles.state import SEPARATOR
from detectors.behaviour.profiles.terms import Aspect
from detectors.engine import bounded_text
from vedette.schema.observation import Kind, Observation, Phase

_REMEMBERED_MAX: Final = 65_536
"""Combinations of values whose lessons are remembered: a matter of speed alone."""
_SERVICE_ACCOUNT: Final = "system:serviceaccount:"
_NODE: Final = "system:node:"
_ALLOWED: Final = ("allow", "")
_read_agent: Final = FIELDS["agent"]

CONTAINER: Final = "container"
WORKLOAD: Final = "workload"
SERVICE_ACCOUNT: Final = "service_account"
USER: Final = "user"
NODE: Final = "node"
NETWORK: Final = "network"
NAMESPACE: Final = "namespace"
ADDRESS: Final = "address"
EGRESS: Final = "egress"
INGRESS: Final = "ingress"


class Lesson(NamedTuple):
    """One value of one aspect of one entity. `key` names the profile, `life` the workload's life, "" if none.

    `alias` is the same value by another name: a peer by its address, where its workload is known by now. `peer` is the
    kind of a peer that was contacted, `version` that of the container, where the observation has its image's digest.
    """

    key: str
    entity: tuple[str, ...]
    aspect: Aspect
    value: str
    owner: str
    life: str = ""
    alias: str = ""
    peer: str = ""
    version: str = ""


Lessons = tuple[Lesson, ...]


class Reader:
    """Reads lessons out of observations, and remembers those of the values it saw."""

    def __init__(self) -> None:
        """Remember nothing."""
        self._known: dict[tuple[Any, ...], Lessons] = {}

    def of(self, seen: Observation) -> Lessons:
        """Return what an observation teaches, in a fixed order."""
        kind = seen.kind
        if kind is Kind.PROCESS:
            values: tuple[Any, ...] = (seen.process, seen.parent)
        elif kind is Kind.FILE:
            values = (general(seen.file),)
        elif kind is Kind.CALL:
            if seen.outcome not in _ALLOWED:
                return ()
            who = (kind, seen.cluster, seen.actor, seen.address, seen.user_agent, bool(seen.pod))
            what = (seen.verb, seen.api_group, seen.resource, seen.namespace)
            return self._remembered((*who, seen.workload_kind, seen.workload, *what), _calls, seen)
        elif kind is Kind.CONNECTION:
            if seen.phase is not Phase.OPENED or seen.outcome not in _ALLOWED:
                return ()
            peer = (seen.peer, seen.peer_namespace, seen.peer_workload, seen.port, seen.protocol, seen.address)
            where = (seen.direction, bool(seen.process))
            return self._remembered((*_workload(seen), *peer, *where), _connection, seen)
        else:
            return ()
        pod = (kind, seen.cluster, seen.namespace, seen.workload_kind, seen.workload, seen.container)
        return self._remembered((*pod, seen.image, seen.digest, *values), _contained, seen)

    def _remembered(self, key: tuple[Any, ...], read: Callable[[Observation], Lessons], seen: Observation) -> Lessons:
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= _REMEMBERED_MAX:
                self._known.clear()
            known = self._known[key] = read(seen)
        return known


def life_key(cluster: str, namespace: str, kind: str, workload: str) -> str:
    """Name the life of a workload."""
    return orjson.dumps(("life", cluster, namespace, kind, bounded_text(workload))).decode()


def profile_key(aspect: str, entity: tuple[str, ...]) -> str:
    """Name a profile."""
    return orjson.dumps((aspect, *entity)).decode()


def _workload(seen: Observation) -> tuple[str, str, str, str]:
    return seen.cluster, seen.namespace, seen.workload_kind, seen.workload


def _lesson(aspect: Aspect, entity: tuple[str, ...], parts: tuple[str, ...], owner: str, life: str = "") -> Lesson:
    named = tuple(map(bounded_text, entity))
    return Lesson(profile_key(aspect, named), named, aspect, _value(parts), bounded_text(owner), life)


def _value(parts: tuple[str, ...]) -> str:
    return bounded_text(SEPARATOR.join([part.replace(SEPARATOR, " ") for part in parts]))


def _contained(seen: Observation) -> Lessons:
    """A program or a file in a container, and its image."""
    if not seen.workload:
        return ()
    entity, life = (CONTAINER, *_workload(seen), seen.container), life_key(*_workload(seen))
    owner = seen.namespace or seen.workload
    if seen.kind is Kind.PROCESS:
        parts = (general(seen.process), seen.parent)
        lesson = _lesson(Aspect.PROGRAMS, entity, parts, owner, life)
    else:
        lesson = _lesson(Aspect.FILES, entity, (general(seen.file),), owner, life)
    if seen.digest:
        lesson = lesson._replace(version=f"{seen.container}{SEPARATOR}{seen.digest}")
    if not seen.image or not seen.namespace:
        return (lesson,)
    image = _lesson(Aspect.IMAGES, (NAMESPACE, seen.cluster, seen.namespace), (seen.image,), owner, life)
    return lesson, image


def _calls(seen: Observation) -> Lessons:
    """What somebody asked the API server for, and who asks from where."""
    if not seen.actor:
        return ()
    agent = _read_agent(seen)
    entity = (_kind_of(seen.actor), seen.cluster, seen.actor)
    parts = (seen.verb, seen.api_group, seen.resource, agent, seen.namespace)
    owner = _owner(seen.actor)
    life = life_key(seen.cluster, owner, seen.workload_kind, seen.workload) if _is_of_pod(seen) else ""
    lesson = _lesson(Aspect.CALLS, entity, parts, owner, life)
    if not seen.address:
        return (lesson,)
    network = network_of(seen.address)
    return lesson, _lesson(Aspect.ACTORS, (NETWORK, seen.cluster, network), (seen.actor, agent), network)


def _kind_of(actor: str) -> str:
    if actor.startswith(_SERVICE_ACCOUNT):
        return SERVICE_ACCOUNT
    return NODE if actor.startswith(_NODE) else USER


def _is_of_pod(seen: Observation) -> bool:
    return bool(seen.pod and seen.workload) and seen.actor.startswith(_SERVICE_ACCOUNT)


def _owner(actor: str) -> str:
    """Service accounts share the room of their namespace."""
    return actor.split(":")[2] if actor.startswith(_SERVICE_ACCOUNT) and actor.count(":") > 2 else actor  # noqa: PLR2004


def _connection(seen: Observation) -> Lessons:
    """Both ends of a connection, as far as they are workloads."""
    found: list[Lesson] = []
    port = str(seen.port)
    if seen.workload and seen.direction != INGRESS:
        life = life_key(*_workload(seen))
        peer = _peer(seen)
        if peer:
            entity = (WORKLOAD, seen.cluster, seen.namespace, seen.workload)
            lesson = _lesson(Aspect.PEERS, entity, (EGRESS, seen.protocol, *peer, port), seen.namespace, life)
            alias = (EGRESS, seen.protocol, ADDRESS, seen.peer, port)
            found.append(lesson._replace(alias=_value(alias) if seen.peer_workload else "", peer=peer[0]))
    elif seen.workload:  # a sensor at the server: the workload is the contacted end
        entity = (WORKLOAD, seen.cluster, seen.namespace, seen.workload)
        found.append(_lesson(Aspect.PEERS, entity, (INGRESS, seen.protocol, *_end(seen.address), port), seen.namespace))
    if seen.peer_workload and seen.direction != INGRESS and not _is_self(seen):
        client = (WORKLOAD, f"{seen.namespace}/{seen.workload}") if seen.workload else _end(seen.address)
        entity = (WORKLOAD, seen.cluster, seen.peer_namespace, seen.peer_workload)
        found.append(_lesson(Aspect.PEERS, entity, (INGRESS, seen.protocol, *client, port), seen.peer_namespace))
    return tuple(found)


def _is_self(seen: Observation) -> bool:
    """Say whether a workload talks to itself: its peers know it anyway."""
    return (seen.namespace, seen.workload) == (seen.peer_namespace, seen.peer_workload)


def _peer(seen: Observation) -> tuple[str, ...]:
    """Name the contacted end; () where it is an address inside that says nothing.

    A sensor at the client sees the address that was asked for, a service's, which stays. Behind it are those of pods,
    which come and go; a flow log has these.
    """
    if seen.peer_workload:
        return WORKLOAD, f"{seen.peer_namespace}/{seen.peer_workload}"
    if scope_of(seen.peer) == "outside":
        return _end(seen.peer)
    return (ADDRESS, seen.peer) if seen.process else ()


def _end(address: str) -> tuple[str, ...]:
    return (NETWORK, network_of(address), address) if scope_of(address) == "outside" else (ADDRESS, network_of(address))
