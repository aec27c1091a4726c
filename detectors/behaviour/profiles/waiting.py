"""Deviations that wait for what other sources may still say, since sources may be minutes apart.

A program below a shell may be of a session that the audit log tells of later; a new peer may be the first that is heard
of a release. Those that the later word explains are dropped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, cast

import orjson

from detectors.behaviour.definition import Definition
from detectors.behaviour.deviation import Deviation
from detectors.behaviour.groups import named
from detectors.behaviour.profiles.lives import pod_name
from detectors.behaviour.profiles.state import Held, Life
from detectors.behaviour.profiles.store import News, Profiles
from detectors.behaviour.profiles.telling import Told, group_of
from detectors.behaviour.profiles.terms import Aspect
from vedette.schema.limits import SECOND_NS
from vedette.schema.observation import Observation

HELD_MAX: Final = 1_000
"""Deviations that wait; of more the oldest is told at once."""
SESSION_WAIT_NS: Final = 90 * SECOND_NS
"""An audit webhook batches for up to 30 s, and may retry."""
RELEASE_WAIT_NS: Final = 10 * 60 * SECOND_NS
"""How long a release takes until one of its containers is heard of."""
_WAITS_NS: Final = {Aspect.PROGRAMS: SESSION_WAIT_NS, Aspect.PEERS: RELEASE_WAIT_NS}


class Waiting:
    """Holds deviations; the rows are the store's."""

    def __init__(self, profiles: Profiles) -> None:
        """Begin with nothing held."""
        self._profiles = profiles
        self._definitions: dict[str, dict[str, Definition]] = {}
        self._due: dict[str, int] = {}
        """Keys of held deviations in the order of their coming, with when they are due."""
        self._number = 0

    def use(self, whose: str, definitions: Sequence[Definition]) -> None:
        """Know the definitions of a type; what others held is dropped when it is due."""
        self._definitions[whose] = {found.content_hash: found for found in definitions}

    def rebuild(self) -> None:
        """Recompute what waits."""
        rows = ((key, self._profiles.state.get(key)) for key in self._profiles.state)
        self._due = {key: row.due_ns for key, row in rows if isinstance(row, Held)}
        self._number = max((int(orjson.loads(key)[1]) + 1 for key in self._due), default=0)

    def hold(self, definition: Definition, seen: Observation, news: News, told: Told) -> Iterator[Deviation]:
        """Hold a deviation; return those for which there is no room any more."""
        key = orjson.dumps(("held", self._number)).decode()
        self._number += 1
        held = Held(
            news.lesson.owner,
            definition.content_hash,
            seen.arrival_ns + _WAITS_NS[news.lesson.aspect],
            seen,
            news.lesson.key,
            news.value,
            (told.normal, told.seen, told.unusual),
            told.evidence,
            news.lesson.life if news.lesson.aspect is Aspect.PEERS else "",
        )
        self._profiles.groups.add(key, held)
        self._due[key] = held.due_ns
        if len(self._due) > HELD_MAX:
            yield from self._release(next(iter(self._due)))

    def due(self, arrival_ns: int) -> Iterator[Deviation]:
        """Return what waited long enough, the earliest due first."""
        ready = sorted((due_ns, key) for key, due_ns in self._due.items() if due_ns <= arrival_ns)
        for _, key in ready:
            yield from self._release(key)

    def _release(self, key: str) -> Iterator[Deviation]:
        del self._due[key]
        if self._profiles.state.get(key) is None:
            return
        held = cast("Held", self._profiles.groups.forget(key))
        known = (found.get(held.content_hash) for found in self._definitions.values())
        definition = next((found for found in known if found is not None), None)
        if definition is None or self._is_explained(held):
            return
        yield deviation_of(definition, held.seen, Told(*held.sentences, held.evidence))

    def _is_explained(self, held: Held) -> bool:
        """Say whether what was heard since explains it."""
        profiles, seen = self._profiles, held.seen
        if held.life:
            life = profiles.groups.get(held.life)
            if not isinstance(life, Life) or life.rollout_ns < seen.time_ns:
                return False
            profiles.try_after_all(held.key, held.value, seen)
            return True
        if not profiles.lives.has_session(seen.cluster, pod_name(seen.namespace, seen.pod), seen.time_ns):
            return False
        profiles.withdraw(held.key, held.value)
        return True


def deviation_of(definition: Definition, seen: Observation, told: Told) -> Deviation:
    """Return a deviation from a profile."""
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
