"""What is known of workloads beside their profiles: when their pods started, which images they ran, who is inside.

A container's start is seen if its pod was bound to a node shortly before (`pods/binding` in the audit log), or if the
first that is heard of it is a program that the container runtime started.
"""

from __future__ import annotations

from typing import Final, cast

import orjson

from detectors.behaviour.profiles.lessons import ADDRESS, WORKLOAD, Lesson, life_key, profile_key
from detectors.behaviour.profiles.room import CLUSTER, Room
from detectors.behaviour.profiles.state import SEPARATOR, Life, Moments, Profile
from detectors.behaviour.profiles.terms import HOUR_NS, Aspect
from detectors.engine import bounded_text
from vedette.schema.limits import SECOND_NS
from vedette.schema.observation import Kind, Observation

PODS_MAX: Final = 64
"""Pods of a workload that are remembered, the latest."""
VERSIONS_MAX: Final = 16
"""Images of all containers of a workload that are remembered, the latest."""
BORN_MAX: Final = 1_000
"""Pods of a cluster that were bound and not heard of yet."""
SESSIONS_MAX: Final = 500
"""Pods of a cluster that somebody opened a session in lately."""
CONTACTS_MAX: Final = 60
"""Connections with one kind of peer, after which a new image has shown whom it talks to: a peer of one connection in
twelve was among them with 99 %."""
RUNTIMES: Final = frozenset({"containerd-shim", "containerd-shim-runc-v2", "runc", "crun", "conmon", "crio", "dockerd"})
SHELLS: Final = frozenset({"sh", "bash", "ash", "dash", "zsh", "ksh", "busybox"})
_SESSION_NS: Final = 15 * 60 * SECOND_NS
"""How long a session counts as open after the last word of it: requests are told when they begin and when they end."""
_BOUND: Final = "pods/binding"
_SESSIONS: Final = frozenset({"pods/exec", "pods/attach", "pods/ephemeralcontainers"})
_KINDS: Final = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "CronJob", "Job", "Pod", "")
_SOON_NS: Final = 60 * SECOND_NS
"""How long after a pod was first heard of its container may be seen to start."""


class Lives:
    """Learns of pods; the rows are the store's."""

    def __init__(self, groups: Room) -> None:
        """Keep rows in `groups`."""
        self._groups = groups
        self._born: set[tuple[str, str]] = set()
        """Clusters and names of the pods that were bound and not heard of yet, as the rows have them."""

    def rebuild(self) -> None:
        """Recompute whom was not heard of yet."""
        self._born = set()
        for key in self._groups.state:
            what, cluster, *_ = orjson.loads(key)
            row = self._groups.get(key)
            if what == "born" and isinstance(row, Moments):
                self._born |= {(cluster, name) for name in row.times}

    # --- what the API server's log tells ------------------------------------------------------------------------------
    def hear_call(self, seen: Observation) -> None:
        """Take a call that is about a pod."""
        if seen.resource == _BOUND:
            gone = self._note("born", seen, seen.time_ns, BORN_MAX)
            self._born.add((seen.cluster, pod_name(seen.namespace, seen.name)))
            self._born.discard((seen.cluster, gone))
        elif seen.resource in _SESSIONS:
            self._note("sessions", seen, seen.time_ns + _SESSION_NS, SESSIONS_MAX)

    def _note(self, what: str, seen: Observation, time_ns: int, most: int) -> str:
        """Note a time for a pod; return which pod had to go for it, "" if none."""
        key = orjson.dumps((what, seen.cluster)).decode()
        row = cast("Moments | None", self._groups.get(key))
        if row is None:
            row = Moments(CLUSTER, {})
            self._groups.add(key, row)
        self._groups.touch(key)
        name = pod_name(seen.namespace, seen.name)
        row.times.pop(name, None)
        row.times[name] = time_ns
        gone = next(iter(row.times)) if len(row.times) > most else ""
        row.times.pop(gone, None)
        self._groups.weigh(key, row)
        return gone

    def has_session(self, cluster: str, pod: str, time_ns: int) -> bool:
        """Say whether somebody had a session in a pod (`pod_name`) at a time."""
        row = cast("Moments | None", self._groups.get(orjson.dumps(("sessions", cluster)).decode()))
        end_ns = 0 if row is None else row.times.get(pod, 0)
        return time_ns <= end_ns <= time_ns + 3 * _SESSION_NS

    def _was_born(self, namespace: str, seen: Observation) -> bool:
        key = orjson.dumps(("born", seen.cluster)).decode()
        row = cast("Moments | None", self._groups.get(key))
        name = pod_name(namespace, seen.pod)
        self._born.discard((seen.cluster, name))
        if row is None or name not in row.times:
            return False
        self._groups.touch(key)
        born_ns = row.times.pop(name)
        self._groups.weigh(key, row)
        return abs(seen.time_ns - born_ns) <= HOUR_NS

    def told_since(self, aspect: str, seen: Observation) -> int:
        """Return since when a cluster's sources tell of an aspect, and note it."""
        key = orjson.dumps(("told", seen.cluster)).decode()
        row = cast("Moments | None", self._groups.get(key))
        if row is None:
            row = Moments(CLUSTER)
            self._groups.add(key, row)
        if aspect not in row.times:
            self._groups.touch(key)
            row.times[aspect] = seen.time_ns
            self._groups.weigh(key, row)
        return row.times[aspect]

    def is_newcomer(self, lesson: Lesson, seen: Observation, young_ns: int) -> bool:
        """Say whether the contacted end is new itself: a workload first heard of, or a service first contacted, lately.

        Of a workload that nothing was ever heard of nobody can say that it is new.
        """
        if lesson.peer == ADDRESS:
            since_ns = self.contacted_since(lesson, seen)
        elif lesson.peer == WORKLOAD:
            rows = [self._groups.get(profile_key(Aspect.PEERS, (WORKLOAD, seen.cluster, *peer_of(seen))))]
            rows += [
                self._groups.get(life_key(seen.cluster, seen.peer_namespace, kind, seen.peer_workload))
                for kind in _KINDS
            ]
            known = [row.since_ns for row in rows if isinstance(row, Life | Profile)]
            since_ns = min(known, default=0)
        else:
            return False
        return since_ns > 0 and seen.time_ns - since_ns < young_ns

    def contacted_since(self, lesson: Lesson, seen: Observation) -> int:
        """Return since when anybody contacts an address, and note it."""
        key = orjson.dumps(("address", seen.cluster, bounded_text(seen.peer))).decode()
        row = cast("Moments | None", self._groups.get(key))
        if row is None:
            row = Moments(lesson.owner, {"first": seen.time_ns})
            self._groups.add(key, row)
        return row.times["first"]

    # --- what pods show -----------------------------------------------------------------------------------------------
    def live(self, lesson: Lesson, seen: Observation, hour: int) -> Life:
        """Note which pod and which image an observation is of. Hot: nearly always known ones."""
        key, namespace = lesson.life, lesson.owner
        life = cast("Life | None", self._groups.get(key))
        if life is None:
            life = Life(namespace, seen.time_ns)
            self._groups.add(key, life)
        if life.last_h < hour:
            self._groups.touch(key)
            life.last_h, life.hours = hour, life.hours + 1
        if seen.pod:
            first_ns = life.pods.get(seen.pod)
            is_young = first_ns is None or (first_ns < 0 and seen.time_ns + first_ns <= _SOON_NS)
            if is_young or (self._born and (seen.cluster, pod_name(namespace, seen.pod)) in self._born):
                self._arrive(key, life, namespace, seen)
        if seen.container:
            version = lesson.version or _version(seen)
            if version and version not in life.versions:
                self._release(key, life, version, seen)
        return life

    def count_contact(self, key: str, life: Life, peer: str) -> None:
        """Count a connection of a workload that runs a new image."""
        known = life.contacts.get(peer, 0)
        if known < CONTACTS_MAX:
            self._groups.touch(key)
            life.contacts[peer] = known + 1

    def _arrive(self, key: str, life: Life, namespace: str, seen: Observation) -> None:
        by_runtime = seen.kind is Kind.PROCESS and seen.parent in RUNTIMES
        is_seen = self._was_born(namespace, seen) or by_runtime
        if not is_seen and seen.pod in life.pods:
            return
        self._groups.touch(key)
        life.pods.pop(seen.pod, None)
        life.pods[seen.pod] = seen.time_ns if is_seen else -seen.time_ns
        life.full = life.full or is_seen
        if len(life.pods) > PODS_MAX:
            del life.pods[next(iter(life.pods))]
        self._groups.weigh(key, life)

    def _release(self, key: str, life: Life, version: str, seen: Observation) -> None:
        self._groups.touch(key)
        prefix = version[: version.index(SEPARATOR) + 1]
        if any(known.startswith(prefix) for known in life.versions):
            life.rollout_ns, life.contacts = seen.time_ns, {}
        life.versions[version] = seen.time_ns
        if len(life.versions) > VERSIONS_MAX:
            del life.versions[next(iter(life.versions))]
        self._groups.weigh(key, life)


def starts_up(life: Life, seen: Observation, start_up_ns: int) -> bool:
    """Say whether an observation is of a container's start-up."""
    started_ns = life.pods.get(seen.pod, 0)
    return started_ns > 0 and seen.time_ns - started_ns <= start_up_ns


def is_new_release(life: Life, seen: Observation, grace_ns: int) -> bool:
    """Say whether an observation is of an image that its workload began to run a short time ago."""
    if not life.rollout_ns:
        return False
    began_ns = life.versions.get(_version(seen), life.rollout_ns) if seen.container else life.rollout_ns
    return life.rollout_ns <= began_ns and seen.time_ns - began_ns <= grace_ns


def container_since(life: Life, container: str) -> int:
    """Return when a container was first seen, as far as its images are remembered; 0 if they are not."""
    prefix = container + SEPARATOR
    return min((since for version, since in life.versions.items() if version.startswith(prefix)), default=0)


def new_pods(life: Life) -> int:
    """Count the pods that were first seen since the last new image came."""
    return sum(abs(first_ns) >= life.rollout_ns for first_ns in life.pods.values())


def peer_of(seen: Observation) -> tuple[str, str]:
    """Name the workload at the other end, as its profile does."""
    return bounded_text(seen.peer_namespace), bounded_text(seen.peer_workload)


def pod_name(namespace: str, pod: str) -> str:
    """Name a pod."""
    return bounded_text(f"{namespace}/{pod}")


def _version(seen: Observation) -> str:
    """Name the version of a container: the image's digest, else its ReplicaSet, which a rollout replaces; else ""."""
    version = seen.digest
    if not version and seen.workload_kind == "Deployment":
        version = seen.pod.rpartition("-")[0]
    return f"{seen.container}{SEPARATOR}{version}" if version else ""
