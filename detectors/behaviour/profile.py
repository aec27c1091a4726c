"""Allow-list of a profile: what an entity does that is not in its profile deviates.

Profiles are learned by `detectors.behaviour.profiles`, whatever definitions look at: a definition names an aspect, and
selects of which observations it tells. It is silent while a profile learns, while only part of it was seen, in the time
of grace after a new image, and where a profile never settles; all of that is counted.

A program below a shell may be of a session that somebody opened in the pod. Its audit event may come later than the
sensor's word, so such a deviation waits for `_WAIT_NS` of arrival time, and is dropped if it was one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, cast

import msgspec
import orjson

from detectors.behaviour.definition import Definition
from detectors.behaviour.deviation import Deviation
from detectors.behaviour.groups import count, named
from detectors.behaviour.plain import Plain
from detectors.behaviour.profiles.lives import pod_name
from detectors.behaviour.profiles.state import Held, Row
from detectors.behaviour.profiles.store import News, Profiles
from detectors.behaviour.profiles.telling import Told, group_of, tell
from detectors.behaviour.profiles.terms import Aspect, Terms
from vedette.schema.limits import SECOND_NS
from vedette.schema.observation import Observation
from vedette.schema.operator import KeyedState

HELD_MAX: Final = 1_000
"""Deviations that wait; of more the oldest is told at once."""
_WAIT_NS: Final = 90 * SECOND_NS
"""An audit webhook batches for up to 30 s, and may retry."""


class Settings(Terms, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a definition may say, beside the terms of learning."""

    aspect: Aspect


class ProfileDeviations(Plain):
    """Judges by profiles, which it holds. Implements `detectors.behaviour.detector.Detector`."""

    type_name = "profile"
    name = "behaviour_profiles"
    version = 1
    settings: type[msgspec.Struct] = Settings

    def __init__(self) -> None:
        """Begin without having seen anything."""
        super().__init__()
        self.profiles = Profiles()
        self.state: KeyedState[Row] = self.profiles.state
        self._definitions: dict[str, Definition] = {}
        self._waiting: dict[str, int] = {}
        """Keys of held deviations in the order of their coming, with when they are due."""
        self._number = 0

    def use(self, definitions: Sequence[Definition]) -> None:
        """Put definitions in force; profiles stay."""
        self._definitions = {found.content_hash: found for found in definitions}
        settings = [cast("Settings", found.settings) for found in definitions]
        self.profiles.use(self.type_name, [(one.aspect, one) for one in settings])

    def rebuild(self) -> None:
        """Recompute weights, and what waits."""
        self.profiles.rebuild()
        rows = ((key, self.state.get(key)) for key in self.state)
        self._waiting = {key: row.due_ns for key, row in rows if isinstance(row, Held)}
        self._number = max((int(orjson.loads(key)[1]) + 1 for key in self._waiting), default=0)

    def observe(self, definition: Definition, seen: Observation) -> Deviation | None:
        """Say if the last observation is outside of a profile."""
        if not self.profiles.news:
            return None
        aspect = cast("Settings", definition.settings).aspect
        for news in self.profiles.news:
            if news.lesson.aspect is not aspect:
                continue
            if news.reason:
                count(self.left_out, news.reason, definition)
                continue
            told = tell(news, seen)
            if news.waits:
                return self._hold(definition, seen, news, told)
            return _deviation(definition, seen, told)
        return None

    def advance(self, arrival_ns: int) -> list[Deviation]:
        """Tell what waited long enough."""
        self._take_left_out()
        found: list[Deviation] = []
        while self._waiting:
            key = next(iter(self._waiting))
            if arrival_ns < self._waiting[key]:
                break
            told = self._release(key)
            if told is not None:
                found.append(told)
        return found

    def finish(self, arrival_ns: int) -> list[Deviation]:
        """Tell what waits."""
        return self.advance(arrival_ns + _WAIT_NS)

    def _take_left_out(self) -> None:
        """Count what profiles left out, of no definition."""
        for reason, times in self.profiles.take_left_out().items():
            self.left_out[reason, self.name] = self.left_out.get((reason, self.name), 0) + times

    # --- waiting ------------------------------------------------------------------------------------------------------
    def _hold(self, definition: Definition, seen: Observation, news: News, told: Told) -> Deviation | None:
        key = orjson.dumps(("held", self._number)).decode()
        self._number += 1
        held = Held(
            news.lesson.owner,
            definition.content_hash,
            seen.arrival_ns + _WAIT_NS,
            seen,
            news.lesson.key,
            news.value,
            (told.normal, told.seen, told.unusual),
            told.evidence,
        )
        self.profiles.groups.add(key, held)
        self._waiting[key] = held.due_ns
        return self._release(next(iter(self._waiting))) if len(self._waiting) > HELD_MAX else None

    def _release(self, key: str) -> Deviation | None:
        del self._waiting[key]
        if self.state.get(key) is None:
            return None
        held = cast("Held", self.profiles.groups.forget(key))
        definition, seen = self._definitions.get(held.content_hash), held.seen
        if definition is None:
            return None
        if self.profiles.lives.has_session(seen.cluster, pod_name(seen.namespace, seen.pod), seen.time_ns):
            count(self.left_out, "session", definition)
            self.profiles.withdraw(held.key, held.value)
            return None
        return _deviation(definition, seen, Told(*held.sentences, held.evidence))


def _deviation(definition: Definition, seen: Observation, told: Told) -> Deviation:
    return Deviation(
        definition,
        seen.cluster,
        named(*group_of(definition, seen)),
        normal=told.normal,
        seen=told.seen,
        unusual=told.unusual,
        last=seen.trace(),
        observation=seen,
        first_ns=seen.time_ns,
        evidence=told.evidence,
    )
