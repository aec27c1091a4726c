"""What an operator decides about profiles: lock, unlock, forget, import. Each is a control record in the log."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from detectors.behaviour.profiles.lessons import CONTAINER, NAMESPACE, SERVICE_ACCOUNT, WORKLOAD, profile_key
from detectors.behaviour.profiles.reading import profile_id, rows_of
from detectors.behaviour.profiles.state import Profile
from detectors.behaviour.profiles.store import Profiles
from detectors.behaviour.profiles.transfer import row_of, unpack

_SILENT = (CONTAINER, WORKLOAD, SERVICE_ACCOUNT)


class Action(StrEnum):
    """What can be decided."""

    LOCK = "lock"
    """Nothing more is learned: what is not in it deviates, each time anew."""
    UNLOCK = "unlock"
    FORGET = "forget"
    """Begin to learn anew."""
    IMPORT = "import"


def decide(profiles: Profiles, action: Action, ids: Iterable[str], who: str, time_ns: int) -> int:
    """Carry out a decision on profiles by their ids; return of how many. Those that are gone by now are left out."""
    wanted = frozenset(ids)
    profiles.groups.now_ns = time_ns
    found = [(key, row) for key, row in rows_of(profiles.state) if profile_id(key) in wanted]
    for key, row in found:
        if action is Action.FORGET:
            _forget(profiles, key, row, time_ns)
        else:
            profiles.groups.forget(key)
            _lock(row, action is Action.LOCK, who, time_ns)
            profiles.groups.add(key, row)
    return len(found)


def take_in(profiles: Profiles, content: bytes, who: str, time_ns: int) -> int:
    """Import an export; profiles of the same entities and aspects are replaced. Return how many.

    Raises:
        ConfigError: it can't be used; nothing was imported.
    """
    moved = unpack(content)
    profiles.groups.now_ns = time_ns
    for one in moved:
        key, row = row_of(one, "", who, time_ns)
        row.owner = _owned(row)
        if profiles.groups.get(key) is not None:
            profiles.groups.forget(key)
        profiles.groups.add(key, row)
    return len(moved)


def _lock(row: Profile, locks: bool, who: str, time_ns: int) -> None:
    """Lock or unlock. A locked profile shares its room with nobody: no flood of its namespace pushes it out."""
    row.locked_ns, row.locked_by = (time_ns, who) if locks else (0, "")
    row.settled_ns = row.settled_ns or time_ns
    row.owner = _owned(row)


def _forget(profiles: Profiles, key: str, row: Profile, time_ns: int) -> None:
    """Begin anew. Whoever may be silent keeps an empty profile, else it would seem to have been silent all the time."""
    profiles.groups.forget(key)
    if row.entity[0] in _SILENT:
        fresh = Profile(_owner(row), row.entity, row.aspect, time_ns, time_ns, full=row.full)
        profiles.groups.add(key, fresh)


def _owned(row: Profile) -> str:
    return f"locked {profile_id(profile_key(row.aspect, row.entity))}" if row.locked_ns else _owner(row)


def _owner(row: Profile) -> str:
    """Name whose room a profile takes up, as observations do (`lessons`)."""
    kind, _, *names = row.entity
    if kind in (CONTAINER, WORKLOAD, NAMESPACE):
        return names[0]
    parts = names[0].split(":")
    return parts[2] if kind == SERVICE_ACCOUNT and len(parts) > 3 else names[0]  # noqa: PLR2004
