"""One credential in several places at once: somebody else has a copy of it.

A credential that moves is used here, and then there. One that two people have is used here, there, and here again. So
what counts is how many values (`value`: its network, or whether that is inside or outside) it was seen with since it
was last seen with the present one, within `within`. Pods on the host's network, proxies and address translation do so
from one client: each entity (`by`, the class of its credentials) is learned for `learn_for`, and what deviates is more
places at once than any of its credentials had.

The credential is the `credential-id` of the audit event (Kubernetes 1.32: tokens by their JTI, certificates by their
fingerprint); calls without one are not looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, cast

import msgspec

from detectors.behaviour.definition import Definition
from detectors.behaviour.deviation import Deviation
from detectors.behaviour.first_seen_texts import GROUP_WEIGHT, Reader, Reading, plain_text
from detectors.behaviour.groups import Groups, count, named, owner_of
from detectors.behaviour.plain import Plain, days, shown
from detectors.engine import bounded_text
from vedette.schema.limits import SECOND_NS
from vedette.schema.observation import Observation

USES_MAX: Final = 60_000
"""What all holders may weigh together (a place of a credential weighs 1, a holder 8 more): about 30 MB."""
PLACES_MAX: Final = 16
"""Places of one credential; more are more at once than anybody has."""
_HOUR_NS: Final = 3_600 * SECOND_NS
_DAY_NS: Final = 24 * _HOUR_NS
_GRAINS: Final = 12
"""Parts of `within`: where a credential was only ever seen in one place, that it was is written down so often."""
_SHOWN: Final = 5


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a definition may say."""

    within_ns: int = _HOUR_NS
    learn_for_ns: int = 7 * _DAY_NS
    credentials_max: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 256
    """Credentials of one entity that are watched at a time; those in use longest go first."""


class Uses(msgspec.Struct):
    """Where a credential was last seen when (ns), and when that was last told."""

    places: dict[str, int] = {}
    told_ns: int = 0


class Holder(msgspec.Struct):
    """Whose credentials: each with its uses, the one that was first seen first; and the most places one had at once."""

    owner: str
    since_ns: int
    credentials: dict[str, Uses] = {}
    size: int = 0
    usual: int = 1


class CredentialAddresses(Plain):
    """Watches where credentials are used. Implements `detectors.behaviour.detector.Detector`."""

    type_name = "credential_addresses"
    name = "behaviour_credential_addresses"
    version = 1
    settings: type[msgspec.Struct] = Settings

    def __init__(self) -> None:
        """Begin without having seen anything."""
        super().__init__()
        self.holders: Groups[Holder] = Groups(Holder, USES_MAX, lambda holder: GROUP_WEIGHT + holder.size)
        self.state = self.holders.state
        self._readers: dict[str, Reader] = {}

    def use(self, definitions: Sequence[Definition]) -> None:
        """Put definitions in force."""
        self._readers = {found.content_hash: Reader(found, self.holders) for found in definitions}
        self.holders.keep(definitions)

    def rebuild(self) -> None:
        """Recompute weights."""
        self.holders.rebuild()

    def observe(self, definition: Definition, seen: Observation) -> Deviation | None:
        """Take note of where a credential is used, and say if it was somewhere else in between."""
        if not seen.credential:
            return None
        reading = self._readers[definition.content_hash].read(seen)
        if not reading.key or not reading.value:
            return None
        holder = self.holders.get(reading.key)
        uses = (
            None if holder is None else holder.credentials.get(seen.credential)
        )  # a longer one is not found like this
        if uses is not None and len(uses.places) == 1:
            last_ns, now_ns = uses.places.get(reading.value), seen.time_ns
            if last_ns is not None:
                if now_ns - last_ns >= cast("Settings", definition.settings).within_ns // _GRAINS:
                    self.holders.touch(reading.key)
                    uses.places[reading.value] = now_ns
                return None
        return self._take(definition, seen, reading)

    def _take(self, definition: Definition, seen: Observation, reading: Reading) -> Deviation | None:
        settings, (key, place, entity, _) = cast("Settings", definition.settings), reading
        holder, now_ns = self.holders.get(key), seen.time_ns
        if holder is None:
            holder = Holder(owner_of(seen), now_ns, {})
            count(self.left_out, "evicted", definition, self.holders.add(key, holder))
        self.holders.touch(key)
        holder.since_ns = min(holder.since_ns, now_ns)
        uses = self._uses(definition, holder, bounded_text(seen.credential), now_ns)
        others = _others(uses, place, now_ns, settings.within_ns)
        self._put(definition, holder, uses, place, now_ns)
        count(self.left_out, "evicted", definition, self.holders.weigh(key, holder))
        at_once = 1 + len(others)
        if at_once <= holder.usual:
            return None
        if now_ns - holder.since_ns < settings.learn_for_ns:
            holder.usual = at_once
            return None
        if uses.told_ns and abs(now_ns - uses.told_ns) < settings.within_ns:
            return None
        uses.told_ns = now_ns
        return _deviation(definition, seen, holder, entity, [place, *others])

    def _uses(self, definition: Definition, holder: Holder, credential: str, now_ns: int) -> Uses:
        """Return where a credential was used, making room for it if it is new."""
        uses = holder.credentials.get(credential)
        if uses is not None:
            return uses
        settings = cast("Settings", definition.settings)
        if len(holder.credentials) >= settings.credentials_max:
            old_ns = now_ns - settings.within_ns
            gone = [name for name, old in holder.credentials.items() if max(old.places.values()) <= old_ns]
            if not gone:
                gone = [next(iter(holder.credentials))]
                count(self.left_out, "overflowing", definition)
            for name in gone:
                holder.size -= len(holder.credentials.pop(name).places)
        uses = holder.credentials[credential] = Uses({})
        return uses

    def _put(self, definition: Definition, holder: Holder, uses: Uses, place: str, now_ns: int) -> None:
        last_ns = uses.places.pop(place, None)
        if last_ns is None and len(uses.places) >= PLACES_MAX:
            del uses.places[min(uses.places, key=lambda known: (uses.places[known], known))]
            count(self.left_out, "overflowing", definition)
        elif last_ns is None:
            holder.size += 1
        uses.places[place] = now_ns if last_ns is None else max(last_ns, now_ns)


def _others(uses: Uses, place: str, now_ns: int, within_ns: int) -> list[str]:
    """Return where a credential was since it was last here, the latest first; nowhere if that is long ago."""
    last_ns = uses.places.get(place)
    if last_ns is None or last_ns <= now_ns - within_ns:
        return []
    between = [(at_ns, other) for other, at_ns in uses.places.items() if last_ns < at_ns < now_ns and other != place]
    return [other for _, other in sorted(between, reverse=True)]


def _deviation(
    definition: Definition, seen: Observation, holder: Holder, entity: tuple[str, ...], places: list[str]
) -> Deviation:
    settings, who = cast("Settings", definition.settings), shown(entity)
    told, fields = [plain_text(place) for place in places[: _SHOWN + 1]], ", ".join(definition.value)
    length = days(seen.time_ns - holder.since_ns)
    return Deviation(
        definition,
        seen.cluster,
        (*named(definition.by, entity), *named(("credential",), (seen.credential,))),
        normal=f"in {length} no credential of {who} was used from more than {holder.usual} {fields} at once",
        seen=f"{shown([seen.credential])} was used from {told[0]}, then from {', '.join(told[1:])}, then from "
        f"{told[0]} again, within {days(settings.within_ns)}",
        unusual=f"{len(places)} places at once, {holder.usual} is the most; a credential that moves does not come back",
        last=seen.trace(),
        observation=seen,
        first_ns=seen.time_ns,
        evidence=(("address", bounded_text(seen.address)), ("places at once", len(places)), ("usual", holder.usual)),
    )
