"""What of a profile becomes a permission, and the sentences that say what it was learned from."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from vedette.schema.errors import ConfigError
from vedette.schema.limits import SECOND_NS
from vedette.schema.text import safe_text

_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", re.ASCII)
_COMMENT_CHARS_MAX: Final = 300


class Call(NamedTuple):
    """A request that an account makes: `resource` with its subresource, a path where there is none."""

    verb: str
    api_group: str
    resource: str
    namespace: str


class Peer(NamedTuple):
    """Whom a workload talks to: `namespace/workload`, or a network in CIDR form."""

    direction: str
    """egress or ingress, as the workload sees it."""
    protocol: str
    end: str
    port: int

    @property
    def is_workload(self) -> bool:
        """Whether the other end is known by name."""
        try:
            ipaddress.ip_network(self.end)
        except ValueError:
            return True
        return False


class Basis(NamedTuple):
    """What something was learned from: whose profile, its state, from when to when (ns), how many values."""

    entity: str
    state: str
    since_ns: int
    until_ns: int
    values: int
    full: bool

    def sentences(self) -> list[str]:
        """Say it for people."""
        length_h = max(0, self.until_ns - self.since_ns) // (3600 * SECOND_NS)
        lines = [
            f"Made by Vedette of the profile of {self.entity}, which is {self.state}:",
            f"{self.values} values, seen from {moment(self.since_ns)} to {moment(self.until_ns)} ({length_h} hours).",
        ]
        if not self.full:
            lines.append("The profile is partial: the workload's start was not seen, and may need more than this.")
        if self.state == "learning":
            lines.append("It is still learning: wait until it is proposed before you rely on this.")
        return lines


def moment(time_ns: int) -> str:
    """Write a time."""
    return f"{datetime.fromtimestamp(time_ns // SECOND_NS, UTC):%Y-%m-%d %H:%M}Z"


def comment(lines: Sequence[str]) -> str:
    """Write lines as comments of YAML: each one line, whatever is in it."""
    return "".join(f"# {safe_text(line, _COMMENT_CHARS_MAX)}\n" for line in lines)


def label_text(value: str, what: str) -> str:
    """Return a name that may stand in a label or be a namespace's.

    Raises:
        ConfigError: it may not; names come from what was recorded.
    """
    if _LABEL.fullmatch(value):
        return value
    raise ConfigError(f"{safe_text(repr(value), 80)} can't be the name of {what}; Kubernetes would refuse the object")


def object_name(*parts: str) -> str:
    """Return the name of an object, of parts that may hold other characters."""
    name = re.sub(r"[^a-z0-9.-]+", "-", "-".join(parts).lower()).strip("-.")[:253].rstrip("-.")
    assert _SUBDOMAIN.fullmatch(name), "there is at least one letter of ours"
    return name
