"""Whom nothing new is learned of for a while: after a severe alert what comes may be the attacker's."""

from __future__ import annotations

from typing import Final, cast

import orjson

from detectors.behaviour.profiles.lessons import CONTAINER, NAMESPACE, WORKLOAD, Lesson
from detectors.behaviour.profiles.room import CLUSTER, Room
from detectors.behaviour.profiles.state import SEPARATOR, Moments
from detectors.behaviour.profiles.terms import DAY_NS
from detectors.engine import bounded_text
from vedette.schema.observation import Observation

FREEZE_NS: Final = DAY_NS
"""How long after a severe alert: until somebody has looked, and no longer than a working profile can do without."""
FREEZES_MAX: Final = 500
"""Entities of a cluster that nothing is learned of at a time; beyond it the oldest may learn again."""


class Freezes:
    """Remembers them; the rows are the store's."""

    def __init__(self, groups: Room) -> None:
        """Keep rows in `groups`."""
        self._groups = groups

    def freeze(self, cluster: str, entity: str, time_ns: int) -> None:
        """Learn nothing new of an entity (`workload_name`, `actor_name`) for `FREEZE_NS` after an event time."""
        self._groups.now_ns, until_ns = time_ns, time_ns + FREEZE_NS
        key = _key(cluster)
        row = cast("Moments | None", self._groups.get(key))
        if row is None:
            row = Moments(CLUSTER, {})
            self._groups.add(key, row)
        self._groups.touch(key)
        row.times[entity] = max(until_ns, row.times.pop(entity, 0))
        if len(row.times) > FREEZES_MAX:
            del row.times[next(iter(row.times))]
        self._groups.weigh(key, row)

    def holds(self, lesson: Lesson, seen: Observation) -> bool:
        """Say whether nothing may be learned of a lesson's entity now."""
        row = cast("Moments | None", self._groups.get(_key(seen.cluster)))
        if row is None:
            return False
        kind, _, *names = lesson.entity
        if kind in (CONTAINER, WORKLOAD):
            workload = names[2] if kind == CONTAINER else names[1]
            wanted = (workload_name(names[0], workload), workload_name(names[0], ""))
        elif kind == NAMESPACE:
            wanted = (workload_name(names[0], ""), workload_name(names[0], seen.workload))
        else:
            wanted = (actor_name(seen.actor), actor_name(seen.actor))
        return any(seen.time_ns < row.times.get(name, 0) for name in wanted)


def workload_name(namespace: str, workload: str) -> str:
    """Name a workload, or with "" all of a namespace."""
    return bounded_text(f"{namespace}{SEPARATOR}{workload}")


def actor_name(actor: str) -> str:
    """Name whoever calls."""
    return bounded_text(f"{SEPARATOR}{SEPARATOR}{actor}")


def _key(cluster: str) -> str:
    return orjson.dumps(("frozen", cluster)).decode()
