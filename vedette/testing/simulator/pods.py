"""Pods: how one is made, what the API server's log shows of its coming and going."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import orjson

from vedette.schema.limits import SECOND_NS
from vedette.testing.simulator.audit import Call, Caller, event, service_account
from vedette.testing.simulator.chance import hex_text, name_suffix, uuid_text
from vedette.testing.simulator.cluster import NEVER_NS, Cluster, Node, Workload
from vedette.testing.simulator.falco import Box, make_box
from vedette.testing.simulator.moments import MINUTE_NS

if TYPE_CHECKING:
    from random import Random

    from vedette.testing.simulator.record import Emission

_TOKEN_NS: Final = 48 * MINUTE_NS
"""A kubelet renews a token at four fifths of its hour."""
_BLOCK: Final = 250
"""Addresses that the pods of one workload go round in."""
_AGENTS: Final = {"operator": "manager/v0.21.0 (linux/amd64) controller-runtime"}
_CLIENT: Final = "client-go/v0.35.0 (linux/amd64)"


class Release(NamedTuple):
    """One version of a workload: its ReplicaSet's hash, its image."""

    revision: str
    tag: str
    digest: str


@dataclass(slots=True)
class Pod:
    """One pod. `ended_ns` is set when it goes."""

    name: str
    address: str
    node: Node
    interface: str
    box: Box
    caller: Caller
    started_ns: int
    evicted_ns: int
    """When the drain of its node reaches it."""
    renewed_ns: int
    """When its token is renewed."""
    ended_ns: int = NEVER_NS

    def lives_at(self, time_ns: int) -> bool:
        """Whether it runs."""
        return self.started_ns <= time_ns < self.ended_ns


class PodMaker:
    """Makes the pods of one workload."""

    def __init__(self, workload: Workload, cluster: Cluster, random: Random) -> None:
        """`random` is the workload's own."""
        self._workload = workload
        self._cluster = cluster
        self._random = random
        self._made = 0
        self.release = self._draw_release()

    def _draw_release(self) -> Release:
        random = self._random
        tag = f"{random.randrange(1, 5)}.{random.randrange(40)}.{random.randrange(10)}"
        return Release(name_suffix(random, 10), tag, f"sha256:{hex_text(random, 64)}")

    def new_release(self) -> Release:
        """Begin another version."""
        self.release = self._draw_release()
        return self.release

    @property
    def generate_name(self) -> str:
        """What the names of pods begin with."""
        workload = self._workload
        return (
            f"{workload.name}-{self.release.revision}-"
            if workload.archetype.kind == "Deployment"
            else f"{workload.name}-"
        )

    def make(self, time_ns: int, name: str | None = None) -> Pod:
        """Make a pod that starts at a time; `name` None: as a ReplicaSet names it."""
        random, workload, release = self._random, self._workload, self.release
        name = name or self.generate_name + name_suffix(random, 5)
        node = self._cluster.node_at(random.randrange(10_000), time_ns)
        drained_ns = node.ended_ns - 10 * MINUTE_NS + random.randrange(5 * MINUTE_NS)
        block = workload.index
        address = f"10.{128 + block // 250}.{block % 250}.{self._made % _BLOCK + 4}"
        self._made += 1
        image = (workload.repository, release.tag, release.digest)
        box = make_box(
            node.name,
            hex_text(random, 12),
            workload.name,
            image,
            (workload.namespace, name),
            workload.archetype.user,
        )
        renewed_ns = time_ns + random.randrange(_TOKEN_NS)
        caller = self.token(name, node, address)
        return Pod(name, address, node, hex_text(random, 17), box, caller, time_ns, drained_ns, renewed_ns)

    def token(self, pod: str, node: Node, address: str) -> Caller:
        """Return the pod's service account with a new token."""
        workload = self._workload
        token = {"credential-id": f"JTI={uuid_text(self._random)}", "node-name": node.name, "pod-name": pod}
        agent = _AGENTS.get(workload.archetype.name, _CLIENT)
        return service_account(workload.namespace, workload.name, address, agent, token)

    def renew(self, pod: Pod) -> Emission:
        """Give a pod another token: what the kubelet asks for."""
        workload, time_ns = self._workload, pod.renewed_ns
        pod.caller = self.token(pod.name, pod.node, pod.address)
        pod.renewed_ns += _TOKEN_NS + self._random.randrange(MINUTE_NS)
        call = Call("create", "serviceaccounts", workload.namespace, workload.name, subresource="token", code=201)
        return event(self._random, time_ns, pod.node.kubelet, call)

    def arrival(self, pod: Pod, controller: str) -> list[Emission]:
        """What the log shows when a pod comes: created by its controller, bound, seen running by its kubelet."""
        random, system, namespace = self._random, self._cluster.system, self._workload.namespace
        request, response = self._bodies(pod)
        status = orjson.dumps(
            {
                "status": {"phase": "Running", "podIP": pod.address, "hostIP": pod.node.address},
                "metadata": {"name": pod.name},
            }
        ).decode()
        create = Call("create", "pods", namespace, code=201, request=request, response=response)
        bind = Call("create", "pods", namespace, pod.name, subresource="binding", code=201)
        patch = Call("patch", "pods", namespace, pod.name, subresource="status", request=status)
        at_ns = pod.started_ns
        return [
            event(random, at_ns - 3 * SECOND_NS, system[controller], create),
            event(random, at_ns - 3 * SECOND_NS + 40_000_000, system["scheduler"], bind),
            event(random, at_ns - 2 * SECOND_NS, pod.node.kubelet, Call("get", "pods", namespace, pod.name)),
            event(random, at_ns + SECOND_NS, pod.node.kubelet, patch),
        ]

    def departure(self, time_ns: int, pod: Pod, controller: str) -> list[Emission]:
        """What the log shows when a pod goes: deleted by its controller, then for good by its kubelet."""
        random, namespace = self._random, self._workload.namespace
        call = Call("delete", "pods", namespace, pod.name)
        return [
            event(random, time_ns, self._cluster.system[controller], call),
            event(random, time_ns + 10 * SECOND_NS, pod.node.kubelet, call),
        ]

    def _bodies(self, pod: Pod) -> tuple[str, str]:
        """The body that a controller sends, and what the API server makes of it."""
        workload, release = self._workload, self.release
        uid, _, number = workload.archetype.user.partition(":")
        security = {"runAsUser": int(number), "runAsNonRoot": True, "allowPrivilegeEscalation": False} if uid else {}
        spec = {
            "containers": [
                {
                    "name": workload.name,
                    "image": f"{workload.repository}:{release.tag}@{release.digest}",
                    "resources": {"requests": {"cpu": "100m"}, "limits": {"memory": "256Mi", "cpu": "1"}},
                    "securityContext": security | {"capabilities": {"drop": ["ALL"]}},
                }
            ],
            "serviceAccountName": workload.name,
        }
        owner = {"kind": "ReplicaSet", "name": f"{workload.name}-{release.revision}", "controller": True}
        metadata = {"generateName": self.generate_name, "labels": {"app": workload.name}, "ownerReferences": [owner]}
        base = {"kind": "Pod", "apiVersion": "v1"}
        request = orjson.dumps(base | {"metadata": metadata, "spec": spec}).decode()
        named = metadata | {"name": pod.name, "namespace": workload.namespace}
        return request, orjson.dumps(base | {"metadata": named, "spec": spec}).decode()
