"""Scans: somebody knocks at one door after another, and most of them are shut.

Each entity (`by`) has a set of targets (`value`) that it has contacted. Only the first contact with a target counts:
let in, it speaks for one who knows where to go; refused, for one who tries. The likelihood ratio of the two is followed
contact by contact (its logarithm, never below 0: what somebody did well yesterday excuses nothing today), over the
contacts of a time window. Where it passes the bound, a scan is told, and again each time that twice as many targets
have refused.

Source: Threshold Random Walk (Jung, Paxson, Berger, Balakrishnan 2004), with Page's floor (1954). Inside a cluster
names are looked up before they are called, so ordinary first contacts are refused far more seldom than on the Internet:
the defaults take 5 % for the most where Jung has 20 %, and still tell of a scan that finds two of six doors open.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Final, NamedTuple, cast

import msgspec

from detectors.behaviour.definition import Definition
from detectors.behaviour.deviation import TRACES_MAX, Deviation
from detectors.behaviour.fields import reader
from detectors.behaviour.groups import Groups, count, named, owner_of
from detectors.behaviour.plain import Plain, days, shown
from detectors.engine import bounded_text
from vedette.schema.limits import SECOND_NS
from vedette.schema.observation import Kind, Observation, Trace

CONTACTS_MAX: Final = 150_000
"""What all entities of all definitions may weigh: a target 1, an entity `_SOURCE_WEIGHT` more. Measured: 40 MB."""
RECENT_MAX: Final = 64
"""First contacts of the window that are kept for the test; it needs a handful."""
_SOURCE_WEIGHT: Final = 5
_HOUR_NS: Final = 3_600 * SECOND_NS
_SHOWN: Final = 12
_LAST: Final = 8
"""Refused targets that tell what differs: somebody may sweep hosts right after ports."""
_LOG_RATIO_MAX: Final = math.log(1e9)
_OUTCOMES: Final = ("allow", "deny")
_Share = Annotated[float, msgspec.Meta(gt=0, lt=1)]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a definition may say."""

    normal_success: _Share = 0.95
    """Share of first contacts that are let in, at the least, of those who know where to go."""
    scan_success: _Share = 0.3
    """The same of a scan, at the most."""
    false_alarm: _Share = 0.000_3
    """Share of ordinary entities that may be taken for scanners."""
    detection: _Share = 0.99
    """Share of scanners that must be found."""
    refused_min: Annotated[int, msgspec.Meta(ge=1, le=RECENT_MAX)] = 4
    """Targets that must have refused within the window, whatever the ratio says."""
    differs: str = ""
    """The field of `value` that differs most among the targets that refused; "": any."""
    window_ns: int = _HOUR_NS
    forget_after_ns: int = 24 * _HOUR_NS
    contacts_max: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1_024
    """Targets of one entity; the first that it contacted are forgotten first."""


class Contact(msgspec.Struct, array_like=True, frozen=True):
    """One first contact of the window."""

    refused: bool
    target: tuple[str, ...]
    trace: Trace


class Source(msgspec.Struct):
    """Whom an entity has contacted: each target with the hour (since the epoch) of the last time; and the window.

    `recent` begins with a refused contact, and is empty while nothing speaks for a scan. `refused` counts the refused
    ones since it was, `told` is what that was when a scan was last told.
    """

    owner: str
    contacts: dict[str, int]
    recent: list[Contact] = []
    refused: int = 0
    told: int = 0


class _Test(NamedTuple):
    """The test of a definition, as logarithms."""

    refused: float
    let_in: float
    bound: float


class Scan(Plain):
    """Tests who scans. Implements `detectors.behaviour.detector.Detector`."""

    type_name = "scan"
    name = "behaviour_scan"
    version = 1
    settings: type[msgspec.Struct] = Settings

    def __init__(self) -> None:
        """Begin without having seen anything."""
        super().__init__()
        self._sources: Groups[Source] = Groups(
            Source, CONTACTS_MAX, lambda source: _SOURCE_WEIGHT + len(source.contacts) + len(source.recent)
        )
        self.state = self._sources.state
        self._tests: dict[str, _Test] = {}

    def use(self, definitions: Sequence[Definition]) -> None:
        """Put definitions in force."""
        self._reads = {found.content_hash: (reader(found.by), reader(found.value)) for found in definitions}
        self._tests = {found.content_hash: _test(cast("Settings", found.settings)) for found in definitions}
        self._sources.keep(definitions)

    def rebuild(self) -> None:
        """Recompute weights."""
        self._sources.rebuild()

    def observe(self, definition: Definition, seen: Observation) -> Deviation | None:
        """Take a contact whose outcome is known; say if it makes a scan."""
        if seen.outcome not in _OUTCOMES:
            return None
        read_entity, read_target = self._reads[definition.content_hash]
        entity, parts = read_entity(seen), read_target(seen)
        key = self._sources.key(definition, seen.cluster, entity)
        source, target, hour = self._sources.get(key), " ".join(parts), seen.time_ns // _HOUR_NS
        if source is None:
            source = Source(owner_of(seen), {})
            count(self.left_out, "evicted", definition, self._sources.add(key, source))
        elif source.contacts.get(target, -1) >= hour:
            return None
        target = bounded_text(target)
        last = source.contacts.get(target, -1)
        if last >= hour:
            return None
        settings = cast("Settings", definition.settings)
        self._sources.touch(key)
        is_first = last < 0 or (hour - last) * _HOUR_NS > settings.forget_after_ns
        self._remember(definition, source, target, hour)
        told = self._first_contact(definition, source, seen, (entity, parts)) if is_first else None
        count(self.left_out, "evicted", definition, self._sources.weigh(key, source))
        return told

    def _remember(self, definition: Definition, source: Source, target: str, hour: int) -> None:
        source.contacts[target] = hour
        if len(source.contacts) > cast("Settings", definition.settings).contacts_max:
            del source.contacts[next(iter(source.contacts))]
            count(self.left_out, "overflowing", definition)

    def _first_contact(
        self, definition: Definition, source: Source, seen: Observation, found: tuple[tuple[str, ...], ...]
    ) -> Deviation | None:
        refused = seen.outcome == "deny"
        if not refused and not source.recent:
            return None
        settings, test = cast("Settings", definition.settings), self._tests[definition.content_hash]
        target = tuple(map(bounded_text, found[1]))
        oldest_ns = seen.time_ns - settings.window_ns
        recent = [contact for contact in source.recent if contact.trace.time_ns >= oldest_ns][1 - RECENT_MAX :]
        recent.append(Contact(refused, target, seen.trace()))
        ratio = _ratio(test, recent)
        if len(recent) == 1 or ratio == 0:
            source.refused = source.told = 0
        source.recent = recent if ratio > 0 else []
        source.refused += refused
        in_window = sum(contact.refused for contact in recent)
        if not refused or ratio < test.bound or in_window < settings.refused_min or source.refused < 2 * source.told:
            return None
        if settings.differs and settings.differs != _differs(definition, recent):
            return None
        source.told = source.refused
        return _tell(definition, source, seen, found[0], ratio)


def _test(settings: Settings) -> _Test:
    return _Test(
        math.log((1 - settings.scan_success) / (1 - settings.normal_success)),
        math.log(settings.scan_success / settings.normal_success),
        math.log(settings.detection / settings.false_alarm),
    )


def _ratio(test: _Test, recent: Sequence[Contact]) -> float:
    ratio = 0.0
    for contact in recent:
        ratio = max(0.0, ratio + (test.refused if contact.refused else test.let_in))
    return ratio


def _differs(definition: Definition, recent: Sequence[Contact]) -> str:
    """Name the field that has the most values among the last refused targets; of equals the first."""
    refused = [contact.target for contact in recent if contact.refused][-_LAST:]
    counts = [len({target[position] for target in refused}) for position in range(len(definition.value))]
    return definition.value[counts.index(max(counts))]


def _tell(
    definition: Definition, source: Source, seen: Observation, entity: tuple[str, ...], ratio: float
) -> Deviation:
    settings = cast("Settings", definition.settings)
    refused = [contact for contact in source.recent if contact.refused]
    first_ns = min(contact.trace.time_ns for contact in refused)
    group = named(definition.by, entity)
    who = shown(entity)
    if seen.kind is Kind.CONNECTION and seen.workload:
        group = named(("namespace", "workload"), (seen.namespace, seen.workload))
        who = f"{shown((f'{seen.namespace}/{seen.workload}',))} ({who})"
    targets = "; ".join(shown(contact.target) for contact in refused[-_SHOWN:])
    what = ", ".join(definition.value)
    known = len(source.contacts) - len(source.recent)
    return Deviation(
        definition,
        seen.cluster,
        group,
        normal=f"who knows where to go is let in at first contact {settings.normal_success:.0%} of the time or more; "
        f"{who} knew {max(0, known)} targets ({what}) before",
        seen=f"{len(refused)} of {len(source.recent)} targets contacted for the first time in "
        f"{days(seen.time_ns - first_ns)} refused: {targets}",
        unusual=f"{math.exp(min(ratio, _LOG_RATIO_MAX)):,.0f} times as likely for a scan as for ordinary use",
        last=seen.trace(),
        observation=seen,
        first_ns=first_ns,
        traces=tuple(contact.trace for contact in refused[-TRACES_MAX - 1 : -1]),
        evidence=(
            *(zip(definition.by, map(bounded_text, entity), strict=True)),
            ("targets that refused", source.refused),
            ("targets in the window", len(source.recent)),
        ),
    )
