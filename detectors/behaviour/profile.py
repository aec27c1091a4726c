"""Allow-list of a profile: what an entity does that is not in its profile deviates.

Profiles are learned by `detectors.behaviour.profiles`, whatever definitions look at: a definition names an aspect, and
selects of which observations it tells. It is silent while a profile learns, while only part of it was seen, in the time
of grace after a new image, and where a profile never settles; all of that is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import msgspec

from detectors.behaviour.definition import Definition
from detectors.behaviour.deviation import Deviation
from detectors.behaviour.groups import count
from detectors.behaviour.plain import Plain
from detectors.behaviour.profiles.state import Row
from detectors.behaviour.profiles.store import Profiles
from detectors.behaviour.profiles.telling import tell
from detectors.behaviour.profiles.terms import Aspect, Terms
from detectors.behaviour.profiles.waiting import RELEASE_WAIT_NS, Waiting, deviation_of
from vedette.schema.observation import Observation
from vedette.schema.operator import KeyedState


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
        self.waiting = Waiting(self.profiles)
        self.state: KeyedState[Row] = self.profiles.state

    def use(self, definitions: Sequence[Definition]) -> None:
        """Put definitions in force; profiles stay."""
        settings = [cast("Settings", found.settings) for found in definitions]
        self.profiles.use(self.type_name, [(one.aspect, one) for one in settings])
        self.waiting.use(self.type_name, definitions)

    def rebuild(self) -> None:
        """Recompute weights, and what waits."""
        self.profiles.rebuild()
        self.waiting.rebuild()

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
                return next(self.waiting.hold(definition, seen, news, told), None)
            return deviation_of(definition, seen, told)
        return None

    def advance(self, arrival_ns: int) -> list[Deviation]:
        """Tell what waited long enough."""
        for reason, times in self.profiles.take_left_out().items():  # of no definition
            self.left_out[reason, self.name] = self.left_out.get((reason, self.name), 0) + times
        return list(self.waiting.due(arrival_ns))

    def finish(self, arrival_ns: int) -> list[Deviation]:
        """Tell what waits."""
        return self.advance(arrival_ns + RELEASE_WAIT_NS)
