"""The fields that definitions name in `by` and `value`: those of an observation, and some derived from them."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from functools import lru_cache
from operator import attrgetter
from typing import Final

from detectors.behaviour import first_seen_fields as calls
from vedette.schema.observation import Observation

Read = Callable[[Observation], str]
"""Reads one field of an observation, as text."""

_IPV4_PREFIX: Final = 24
_IPV6_PREFIX: Final = 64
_PLAIN: Final = (
    *("source", "format", "actor", "user_agent", "address", "credential", "verb", "resource", "api_group", "name"),
    *("outcome", "namespace", "workload_kind", "workload", "container", "image", "digest", "pod", "node"),
    *("process", "parent", "command", "file", "peer", "peer_namespace", "peer_workload", "protocol", "direction"),
)
_NUMBERS: Final = ("code", "port")
_SERVICE_ACCOUNT: Final = "system:serviceaccount:"
_SYSTEM: Final = "system:"
_NODE: Final = "system:node:"
_VERSION: Final = re.compile(r"[/\s].*", re.DOTALL)
_VARIES: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{8,}|\d+", re.ASCII)
_MARK: Final = "*"
_DAY_NS: Final = 86_400_000_000_000
_HOUR_NS: Final = 3_600_000_000_000
_NIGHT_BEFORE_H: Final = 6
_NIGHT_FROM_H: Final = 22


@lru_cache(maxsize=65_536)
def network_of(address: str) -> str:
    """Return the network that an address is taken for: /24 of IPv4, /64 of IPv6; the text itself if it is none."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    prefix = _IPV4_PREFIX if found.version == 4 else _IPV6_PREFIX  # noqa: PLR2004 - versions of IP
    return str(ipaddress.ip_network(f"{address}/{prefix}", strict=False))


@lru_cache(maxsize=65_536)
def scope_of(address: str) -> str:
    """Say whether an address is `inside` (private, shared, link-local or loopback) or `outside`; "" if it is none.

    Ranges by RFC 1918, RFC 6598 and RFC 4193, not by `is_private`: documentation networks are outside.
    """
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return ""
    return "inside" if any(found in network for network in _INSIDE if network.version == found.version) else "outside"


_INSIDE: Final = tuple(
    map(
        ipaddress.ip_network,
        (
            *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8"),
            *("fc00::/7", "fe80::/10", "::1/128"),
        ),
    )
)


def _number(name: str) -> Read:
    read = attrgetter(name)
    return lambda seen: str(read(seen))


def _actor_kind(seen: Observation) -> str:
    actor = seen.actor
    if actor.startswith(_SERVICE_ACCOUNT):
        return "service account"
    if actor.startswith(_NODE):
        return "node"
    return "system" if actor.startswith(_SYSTEM) else "user"


def _part_of_day(seen: Observation) -> str:
    hour = seen.time_ns % _DAY_NS // _HOUR_NS
    return "night" if hour < _NIGHT_BEFORE_H or hour >= _NIGHT_FROM_H else "day"


def general(path: str) -> str:
    """Return a path or name with `*` in place of numbers and hexadecimal ids: what differs each time is no news."""
    return _VARIES.sub(_MARK, path)


_DERIVED: Final[dict[str, Read]] = {
    "actor_kind": _actor_kind,
    "agent": lambda seen: _VERSION.sub("", seen.user_agent),
    "network": lambda seen: network_of(seen.address),
    "scope": lambda seen: scope_of(seen.address),
    "peer_network": lambda seen: network_of(seen.peer),
    "peer_scope": lambda seen: scope_of(seen.peer),
    "opener": lambda seen: f"{seen.namespace}/{seen.workload}" if seen.workload else seen.address,
    "peer_name": lambda seen: f"{seen.peer_namespace}/{seen.peer_workload}" if seen.peer_workload else seen.peer,
    "general_file": lambda seen: general(seen.file),
    "general_name": lambda seen: general(seen.name),
    "part_of_day": _part_of_day,
    "deed": calls.deed,
    "night_deed": calls.night_deed,
    "privilege_deed": calls.privilege_deed,
    "deed_or_list": calls.deed_or_list,
    "reach": calls.reach,
    "token_account": calls.token_account,
    "wide_network": lambda seen: calls.wide_network(seen.address),
}
FIELDS: Final[dict[str, Read]] = {
    **{name: attrgetter(name) for name in _PLAIN},
    **{name: _number(name) for name in _NUMBERS},
    **_DERIVED,
}
"""Every field by its name."""


def reader(names: tuple[str, ...]) -> Callable[[Observation], tuple[str, ...]]:
    """Return what reads several fields at once, as texts."""
    if not names:
        return lambda _: ()
    if len(names) > 1 and all(name in _PLAIN for name in names):
        return attrgetter(*names)
    reads = tuple(FIELDS[name] for name in names)
    if len(reads) == 1:
        (read,) = reads
        return lambda seen: (read(seen),)
    return lambda seen: tuple([read(seen) for read in reads])
