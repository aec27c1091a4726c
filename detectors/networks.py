"""Membership of an address in many networks at once: rules name whole address plans ("any public address")."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from ipaddress import IPv4Network, IPv6Network, collapse_addresses
from typing import Any

from detectors.predicate import network
from detectors.values import address


def in_networks(cidrs: Iterable[str]) -> Callable[[Any], bool]:
    """Compile a test of a value against networks of both versions, in time logarithmic in their number."""
    networks = [network(cidr) for cidr in cidrs]
    ranges = {
        4: _ranges(collapse_addresses(block for block in networks if isinstance(block, IPv4Network))),
        6: _ranges(collapse_addresses(block for block in networks if isinstance(block, IPv6Network))),
    }

    def check(value: Any) -> bool:
        ip = address(value)
        if ip is None:
            return False
        firsts, lasts = ranges[ip.version]
        position = bisect_right(firsts, int(ip)) - 1
        return position >= 0 and int(ip) <= lasts[position]

    return check


def _ranges(blocks: Iterable[IPv4Network | IPv6Network]) -> tuple[list[int], list[int]]:
    """Return first and last addresses of networks that are sorted and apart."""
    found = list(blocks)
    return [int(block.network_address) for block in found], [int(block.broadcast_address) for block in found]
