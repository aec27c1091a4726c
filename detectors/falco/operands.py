"""What constants mean for a field's type, and what values of events do.

Source: falcosecurity/libs, userspace/libsinsp/value_parser.cpp. A value that is not of its field's type (events come
from elsewhere) counts as missing; a constant that is not is an error of the rule.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Any, Final

from detectors.falco.field_types import NUMERIC, FieldType
from detectors.values import address, number, text

Constant = str | bytes | int | float | bool | IPv4Address | IPv6Address | IPv4Network | IPv6Network

_BITS: Final = {FieldType.INT16: 16, FieldType.INT32: 32, FieldType.UINT32: 32, FieldType.PORT: 16}
_SIGNED: Final = frozenset((FieldType.INT16, FieldType.INT32, FieldType.INT64))
_HEX: Final = re.compile(r"(?:[0-9a-fA-F]{2})+")
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,20}|0[xX][0-9a-fA-F]{1,16}")
_BOOLEANS: Final = {"true": True, "false": False}


def constant(kind: FieldType, string: str, op: str) -> Constant:
    """Read a constant of a rule as a field's type has it.

    Raises:
        ValueError: it is none.
    """
    if op in ("bcontains", "bstartswith"):
        return _unhex(string)
    if kind is FieldType.BYTEBUF:
        return string.encode("utf-8", "surrogateescape")
    if kind in NUMERIC:
        return _whole(kind, string)
    if kind is FieldType.BOOL:
        if string not in _BOOLEANS:
            raise ValueError(f"filter error: unrecognized boolean '{string}'; it must be true or false")
        return _BOOLEANS[string]
    if kind is FieldType.IPADDR:
        found = address(string)
        if found is None:
            raise ValueError(f"unrecognized IP address {string}")
        return found
    return _network(string) if kind is FieldType.IPNET else string


def _unhex(string: str) -> bytes:
    if not _HEX.fullmatch(string):
        raise ValueError("filter error: bcontains and bstartswith operator support hex strings only")
    return bytes.fromhex(string)


def _whole(kind: FieldType, string: str) -> int:
    if kind is FieldType.PORT and not string:
        return 0
    if not _NUMBER.fullmatch(string):
        raise ValueError(f"{string} is not a valid number")
    value = int(string, 16 if string[:2] in ("0x", "0X") else 10)
    bits = _BITS.get(kind, 64)
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if kind in _SIGNED else (0, (1 << bits) - 1)
    if kind is not FieldType.DOUBLE and not low <= value <= high:
        raise ValueError(f"{string} is out of range for type '{kind}'")
    return value


def _network(string: str) -> IPv4Network | IPv6Network:
    if "/" not in string:
        raise ValueError(f"unrecognized IP network {string}; write it as address/bits")
    try:
        return ip_network(string, strict=False)
    except ValueError:
        raise ValueError(f"unrecognized IP network {string}") from None


def value_of(kind: FieldType, value: Any) -> Any:
    """Read a single value of an event as a field's type has it; None if it is none."""
    if kind is FieldType.CHARBUF:
        return value if isinstance(value, str) else text(value)
    if kind in NUMERIC:
        return number(int(value) if isinstance(value, bool) else value)
    if kind is FieldType.BYTEBUF:
        return value if isinstance(value, bytes) else _bytes(value)
    if kind is FieldType.BOOL:
        return _BOOLEANS.get(value) if isinstance(value, str) else value if isinstance(value, bool) else None
    if kind in (FieldType.IPADDR, FieldType.IPNET):
        return address(value)
    return None if isinstance(value, dict | list) else value


def _bytes(value: Any) -> bytes | None:
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else None
