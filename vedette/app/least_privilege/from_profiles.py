"""From profiles to permissions: the calls of a service account, the peers of a workload."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from detectors.behaviour.profiles.reading import Reading
from vedette.app.least_privilege.learned import Basis, Call, Peer
from vedette.app.profiles.query import Query, ask_readings
from vedette.schema.errors import ConfigError
from vedette.schema.text import safe_text

if TYPE_CHECKING:
    from vedette.journal.sqlite import DataFolder

_ANYTHING: Final = "*"
_WORKLOAD, _NETWORK = "workload", "network"
_CALL_PARTS: Final = 5
_SHOWN: Final = 5


class Learned(NamedTuple):
    """What a profile makes of permissions, and what of it could not become any, for people."""

    basis: Basis
    calls: tuple[Call, ...] = ()
    peers: tuple[Peer, ...] = ()
    left_out: tuple[str, ...] = ()


def learned_calls(folder: DataFolder, actor: str, cluster: str) -> Learned:
    """Return what an account was seen to call.

    Raises:
        ConfigError: there is no profile of it, or several clusters have one. TransientError: as `ask_readings`.
    """
    one = _the_one(
        ask_readings(folder, Query(kind="service_account", aspect="calls", name=actor, cluster=cluster)), actor
    )
    calls: list[Call] = []
    left_out: list[str] = []
    for value in one.values:
        parts = value.parts
        if len(parts) != _CALL_PARTS or _ANYTHING in parts[:3] or parts[4] == _ANYTHING:
            left_out.append(" ".join(parts))
            continue
        verb, group, resource, _, namespace = parts
        calls.append(Call(verb, group, resource, namespace))
    return Learned(_basis(one, f"the service account {actor}"), calls=tuple(calls), left_out=_said(left_out))


def learned_peers(folder: DataFolder, namespace: str, workload: str, cluster: str) -> Learned:
    """Return whom a workload was seen to talk to.

    Raises:
        ConfigError: there is no profile of it, or several clusters have one. TransientError: as `ask_readings`.
    """
    found = ask_readings(folder, Query(kind="workload", aspect="peers", name=workload, cluster=cluster))
    whose = f"{namespace}/{workload}"
    one = _the_one([each for each in found if each.summary.names == (namespace, workload)], whose)
    peers: list[Peer] = []
    left_out: list[str] = []
    for value in one.values:
        direction, protocol, kind, *rest = value.parts
        if kind not in (_WORKLOAD, _NETWORK) or not rest[-1].isdigit():
            left_out.append(" ".join(value.parts))
            continue
        peers.append(Peer(direction, protocol, rest[0], int(rest[-1])))
    return Learned(_basis(one, f"the workload {whose}"), peers=tuple(peers), left_out=_said(left_out))


def _the_one(found: Sequence[Reading], whose: str) -> Reading:
    if not found:
        raise ConfigError(
            f"nothing was learned of {safe_text(whose, 200)}; `vedette profiles list` shows of whom there is"
        )
    if len(found) > 1:
        clusters = ", ".join(safe_text(one.summary.cluster, 80) for one in found)
        raise ConfigError(f"several clusters have one: {clusters}; name it with --cluster")
    return found[0]


def _basis(one: Reading, entity: str) -> Basis:
    until_ns = max((value.last_ns for value in one.values), default=one.summary.since_ns)
    summary = one.summary
    return Basis(entity, summary.state.value, summary.since_ns, until_ns, len(one.values), full=summary.full)


def _said(left_out: Iterable[str]) -> tuple[str, ...]:
    found = list(left_out)
    if not found:
        return ()
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return (f"Left out, since nobody can name the other end exactly: {'; '.join(found[:_SHOWN])}{more}",)
