"""What differs between an export and what is known now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from detectors.behaviour.profiles.lessons import profile_key
from detectors.behaviour.profiles.reading import Reading, parts_of, profile_id

if TYPE_CHECKING:
    from collections.abc import Iterable

    from detectors.behaviour.profiles.transfer import Moved


class Difference(NamedTuple):
    """One value that is on one side alone; without parts it is the whole profile."""

    profile_id: str
    entity: tuple[str, ...]
    aspect: str
    change: Literal["added", "removed", "outside"]
    """Learned since, not known any more, or deviated since."""
    parts: tuple[str, ...]


def differences(before: Iterable[Moved], now: Iterable[Reading]) -> list[Difference]:
    """Compare; profiles that the export does not have are left out."""
    present = {one.summary.profile_id: one for one in now}
    found: list[Difference] = []
    for one in before:
        name = profile_id(profile_key(one.aspect, one.entity))
        reading = present.get(name)
        if reading is None:
            found.append(Difference(name, one.entity, one.aspect, "removed", ()))
            continue
        known = {parts_of(one.aspect, value) for value, *_ in (*one.values, *one.startup)}
        has = {value.parts for value in (*reading.values, *reading.startup)}
        outside = {value.parts for value in reading.outside}
        found += [Difference(name, one.entity, one.aspect, "added", parts) for parts in sorted(has - known)]
        found += [Difference(name, one.entity, one.aspect, "removed", parts) for parts in sorted(known - has)]
        found += [Difference(name, one.entity, one.aspect, "outside", parts) for parts in sorted(outside - known)]
    return found
