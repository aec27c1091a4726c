r"""A document as ArcSight's Common Event Format, version 0, after its implementation standard.

    CEF:0|Vedette|Vedette|<version>|<rule id>|<rule title>|<severity>|key=value key=value …

`\` and `|` are escaped in the header, `\` and `=` in values. Each value is one line: line breaks and all that is not
printable stand there as visible escapes (`\x0a`), so that neither CEF's own escapes for line breaks nor anything behind
them can make one message two.
"""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address
from typing import TYPE_CHECKING, Final

import msgspec

from vedette.schema.level import Level
from vedette.schema.text import safe_text

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME_CHARS_MAX: Final = 128
"""Characters of each header field."""
VALUE_CHARS_MAX: Final = 1023
"""Characters of a value: the length of most keys in the standard's dictionary."""
SHORT_CHARS_MAX: Final = {"act": 63, "deviceExternalId": 255, "externalId": 40, "outcome": 63, "proto": 31}
"""Keys whose values the dictionary wants shorter."""
SEVERITIES: Final = {Level.INFORMATIONAL: 1, Level.LOW: 3, Level.MEDIUM: 5, Level.HIGH: 8, Level.CRITICAL: 10}
_HEADER: Final = str.maketrans({"\\": "\\\\", "|": "\\|"})
_EXTENSION: Final = str.maketrans({"\\": "\\\\", "=": "\\="})


class _Product(msgspec.Struct):
    version: str


class _Metadata(msgspec.Struct):
    uid: str
    product: _Product


class _Rule(msgspec.Struct):
    id: str
    title: str
    level: Level
    attack: tuple[str, ...] = ()


class _Facts(msgspec.Struct):
    actor: str = ""
    actor_real: str = ""
    user_agent: str = ""
    action: str = ""
    outcome: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    pod: str = ""
    node: str = ""
    process: str = ""
    command: str = ""
    protocol: str = ""
    images: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    source_port: int = 0
    destinations: tuple[str, ...] = ()
    destination_port: int = 0


class _Unmapped(msgspec.Struct):
    alert_id: str
    cluster: str
    rule: _Rule
    facts: _Facts


class _Document(msgspec.Struct):
    time: int
    start_time: int
    end_time: int
    count: int
    message: str
    metadata: _Metadata
    unmapped: _Unmapped


_READER: Final = msgspec.json.Decoder(_Document)


def cef(document: bytes, source: str, bytes_max: int) -> bytes:
    """Say an alert's document, of the source of that name, in at most `bytes_max` bytes.

    Values that do not fit any more are left out whole. The header and `msg` take less than 6 KiB.
    """
    found = _READER.decode(document)
    rule = found.unmapped.rule
    names = ("Vedette", "Vedette", found.metadata.product.version, rule.id, rule.title, str(SEVERITIES[rule.level]))
    header = "|".join(safe_text(name, NAME_CHARS_MAX).translate(_HEADER) for name in names)
    text = f"CEF:0|{header}|".encode()
    room = bytes_max - len(text)
    parts: list[bytes] = []
    for pair in _pairs(found, source):
        room -= len(pair) + 1
        if room < 0:
            break
        parts.append(pair)
    return text + b" ".join(parts)


def _pairs(document: _Document, source: str) -> Iterator[bytes]:
    """Say what is known, the most important first; a key and its label are one pair, so that none stands alone."""
    for key, value, label in _values(document, source):
        if value:
            bounded = safe_text(value, SHORT_CHARS_MAX.get(key, VALUE_CHARS_MAX)).translate(_EXTENSION)
            named = f"{key}Label={label} " if label else ""
            yield f"{named}{key}={bounded}".encode()


def _values(document: _Document, source: str) -> Iterator[tuple[str, str, str]]:
    found, facts = document.unmapped, document.unmapped.facts
    yield "externalId", found.alert_id, ""
    yield "rt", str(document.time), ""
    yield "start", str(document.start_time), ""
    yield "end", str(document.end_time), ""
    yield "cnt", str(document.count), ""
    yield "flexString2", document.metadata.uid, "Revision"
    yield "msg", document.message, ""
    yield "cat", ",".join(found.rule.attack), ""
    yield "cs1", found.cluster, "Cluster"
    yield "cs2", facts.namespace, "Namespace"
    yield "suser", facts.actor, ""
    yield "flexString1", facts.actor_real, "Impersonated by"
    yield "act", facts.action, ""
    yield "outcome", "" if facts.outcome == "unknown" else facts.outcome, ""
    yield "cs3", f"{facts.resource} {facts.name}".strip(), "Resource"
    yield "cs4", facts.pod, "Pod"
    yield from _address(("src", "c6a2", "Source IPv6 Address"), facts.sources[-1:])
    yield "spt", str(facts.source_port or ""), ""
    yield from _address(("dst", "c6a3", "Destination IPv6 Address"), facts.destinations[:1])
    yield "dpt", str(facts.destination_port or ""), ""
    yield "proto", facts.protocol, ""
    yield "dhost", facts.node, ""
    yield "dproc", facts.process, ""
    yield "cs6", facts.command, "Command"
    yield "cs5", facts.images[0] if facts.images else "", "Image"
    yield "requestClientApplication", facts.user_agent, ""
    yield "deviceExternalId", source, ""


def _address(keys: tuple[str, str, str], found: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
    """Say an address under the key of its family; what is none can't stand under either."""
    for text in found:
        try:
            address = ip_address(text)
        except ValueError:
            continue
        if isinstance(address, IPv4Address):
            yield keys[0], str(address), ""
        else:
            yield keys[1], str(address), keys[2]
