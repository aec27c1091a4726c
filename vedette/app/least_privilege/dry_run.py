"""What a role or policy would have blocked: it is held against the archive, record by record."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple, Protocol

from vedette.app.least_privilege.learned import moment
from vedette.schema.observation import Observation

BLOCKED_MAX: Final = 1_000
"""Different things that are told apart."""
_SHOWN: Final = 20


class Permissions(Protocol):
    """A role or a policy."""

    def concerns(self, seen: Observation) -> bool:
        """Say whether an observation is about it, and was let through when it happened."""
        ...

    def allows(self, seen: Observation) -> bool:
        """Say whether it would have been let through."""
        ...

    def told(self, seen: Observation) -> str:
        """Name what was observed."""
        ...


class Blocked(NamedTuple):
    """Something that would have been blocked, how often, and when last (ns)."""

    what: str
    times: int
    last_ns: int


class DryRun(NamedTuple):
    """How the archive stands to permissions. Times in ns; `others` were blocked beyond `BLOCKED_MAX` kinds."""

    looked_at: int
    blocked: list[Blocked]
    others: int
    first_ns: int
    last_ns: int

    def sentences(self) -> list[str]:
        """Say it for people, most often blocked first."""
        if not self.looked_at:
            return ["Dry run: nothing of it is in the archive."]
        count = sum(found.times for found in self.blocked) + self.others
        span = f"{moment(self.first_ns)} to {moment(self.last_ns)}"
        lines = [f"Dry run over the archive from {span}: {count} of {self.looked_at} would have been blocked."]
        lines += [
            f"  {found.times} times {found.what}, last {moment(found.last_ns)}" for found in self.blocked[:_SHOWN]
        ]
        if len(self.blocked) > _SHOWN:
            lines.append(f"  and {len(self.blocked) - _SHOWN} more kinds")
        return lines


def dry_run(permissions: Permissions, observed: Iterable[Observation]) -> DryRun:
    """Hold observations, in the order of the log, against permissions."""
    found: dict[str, Blocked] = {}
    looked_at = others = first_ns = last_ns = 0
    for seen in _about(permissions, observed):
        looked_at += 1
        first_ns, last_ns = first_ns or seen.time_ns, max(last_ns, seen.time_ns)
        if permissions.allows(seen):
            continue
        what = permissions.told(seen)
        known = found.get(what)
        if known is None and len(found) >= BLOCKED_MAX:
            others += 1
        else:
            count = known.times if known else 0
            found[what] = Blocked(what, count + 1, max(seen.time_ns, known.last_ns if known else 0))
    blocked = sorted(found.values(), key=lambda one: (-one.times, one.what))
    return DryRun(looked_at, blocked, others, first_ns, last_ns)


def _about(permissions: Permissions, observed: Iterable[Observation]) -> Iterator[Observation]:
    return (seen for seen in observed if permissions.concerns(seen))
