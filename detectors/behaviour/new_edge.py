"""New edges: a workload talks to a workload, or to a network outside, that it never talked to.

Edges are the aspect `peers` of the profiles that `detectors.behaviour.profile` holds, by the names of workloads where
they are known, by the address of a service or the network outside else. What a new image brings along belongs to it:
it is given until it has opened 40 connections to show whom it talks to, and a peer that two of its pods talk to, or one
now and then, is learned. One pod of several that turns to a new peer again and again within minutes is no release.

An edge is told ten minutes after it was seen: until then a release may be heard of that brought it along.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import msgspec

from detectors.behaviour.definition import Definition
from detectors.behaviour.deviation import Deviation
from detectors.behaviour.groups import count
from detectors.behaviour.plain import Plain
from detectors.behaviour.profiles.lessons import EGRESS
from detectors.behaviour.profiles.state import Moments
from detectors.behaviour.profiles.store import Profiles
from detectors.behaviour.profiles.telling import tell
from detectors.behaviour.profiles.terms import Aspect, Terms
from detectors.behaviour.profiles.waiting import Waiting
from vedette.schema.observation import Observation
from vedette.schema.operator import KeyedState


class Settings(Terms, frozen=True, forbid_unknown_fields=True):
    """What a definition may say: the terms of learning."""


class NewEdge(Plain):
    """Tells of new edges. Implements `detectors.behaviour.detector.Detector`; it has no state but the profiles."""

    type_name = "new_edge"
    name = "behaviour_new_edge"
    version = 1
    settings: type[msgspec.Struct] = Settings

    def __init__(self) -> None:
        """Begin with profiles of its own, until it is given others."""
        super().__init__()
        self.state: KeyedState[Moments] = KeyedState(Moments)
        self.profiles = Profiles()
        self.waiting = Waiting(self.profiles)

    def share(self, profiles: Profiles, waiting: Waiting) -> None:
        """Judge by the profiles of another, who tells what waited long enough."""
        self.profiles, self.waiting = profiles, waiting

    def use(self, definitions: Sequence[Definition]) -> None:
        """Put definitions in force."""
        self.waiting.use(self.type_name, definitions)
        terms = [cast("Terms", found.settings) for found in definitions]
        self.profiles.use(self.type_name, [(Aspect.PEERS, one) for one in terms])

    def rebuild(self) -> None:
        """Nothing is derived."""

    def observe(self, definition: Definition, seen: Observation) -> Deviation | None:
        """Say if the last observation is an edge that its client never had."""
        for news in self.profiles.news:
            if news.lesson.aspect is not Aspect.PEERS or not news.lesson.value.startswith(EGRESS):
                continue
            if news.reason:
                count(self.left_out, news.reason, definition)
                continue
            return next(self.waiting.hold(definition, seen, news, tell(news, seen)), None)
        return None
