"""Which workload a pod belongs to, as far as its name tells: rules and profiles need the owner, whose name stays.

Kubernetes generates names: a ReplicaSet is its Deployment's name and a hash of the pod template, a pod its controller's
name and five random letters (k8s.io/apiserver, `names/generate.go`; both from k8s.io/apimachinery's `rand` alphabet), a
StatefulSet's pod ends in its ordinal, a CronJob's job in the scheduled minute. Anybody can name a pod like that; what
is read from a name is marked as inferred, and where the owner is known the name is not asked.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from vedette.schema.event import Facts

_LETTERS: Final = "[bcdfghjklmnpqrstvwxz2456789]"
"""No vowels, nothing that looks like another letter: k8s.io/apimachinery/pkg/util/rand."""
_NAME: Final = r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?"
_REPLICA_SET: Final = re.compile(rf"({_NAME})-{_LETTERS}{{6,10}}", re.ASCII)
_JOB: Final = re.compile(rf"({_NAME})-\d{{8,10}}", re.ASCII)
_GENERATED: Final = re.compile(rf"({_NAME})-{_LETTERS}{{5}}", re.ASCII)
_ORDINAL: Final = re.compile(rf"({_NAME})-(?:0|[1-9]\d{{0,3}})", re.ASCII)


class Workload(msgspec.Struct, frozen=True):
    """A workload; `kind` is empty where the name fits several (DaemonSet, Job, ReplicaSet, ReplicationController)."""

    kind: str
    name: str
    inferred: bool = False


def workload_of(facts: Facts) -> Workload | None:
    """The workload that facts name or let infer, None if they do neither."""
    if facts.workload:
        return _top_owner(facts.workload_kind, facts.workload)
    return likely_owner(facts.pod, facts.node) if facts.pod else None


def likely_owner(pod: str, node: str = "") -> Workload | None:
    """The workload that a pod's name speaks of, None for a name that nobody generated.

    `node`: where the pod runs; a kubelet appends its node's name to the names of static pods, so they end like a
    StatefulSet's if the node's does.
    """
    if node and pod.endswith(f"-{node}"):
        return Workload("Pod", pod.removesuffix(f"-{node}"), inferred=True)
    if ordinal := _ORDINAL.fullmatch(pod):
        return Workload("StatefulSet", ordinal[1], inferred=True)
    generated = _GENERATED.fullmatch(pod)
    if generated is None:
        return None
    owner = generated[1]
    if job := _JOB.fullmatch(owner):
        return Workload("CronJob", job[1], inferred=True)
    if replica_set := _REPLICA_SET.fullmatch(owner):
        return Workload("Deployment", replica_set[1], inferred=True)
    return Workload("", owner, inferred=True)


def _top_owner(kind: str, name: str) -> Workload:
    """The owner's owner, where a controller's name is a generated one."""
    if kind == "ReplicaSet" and (replica_set := _REPLICA_SET.fullmatch(name)):
        return Workload("Deployment", replica_set[1], inferred=True)
    if kind == "Job" and (job := _JOB.fullmatch(name)):
        return Workload("CronJob", job[1], inferred=True)
    return Workload(kind, name)
