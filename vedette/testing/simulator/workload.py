"""A workload that lives: its pods come, are rolled out anew, scaled, drained, and run their jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson

from vedette.schema.limits import SECOND_NS
from vedette.testing.simulator import flow
from vedette.testing.simulator.audit import Call, Caller, event, service_account
from vedette.testing.simulator.chance import hex_text, name_suffix, poisson, stream, uuid_text
from vedette.testing.simulator.cluster import NEVER_NS, Cluster, Workload
from vedette.testing.simulator.life import Life
from vedette.testing.simulator.moments import DAY_NS, HOUR_NS, MINUTE_NS, START_NS, is_weekend, load
from vedette.testing.simulator.pods import Pod, PodMaker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vedette.testing.simulator.record import Emission

_ROLLOUTS_A_DAY: Final = 0.25
"""Of a workload, on working days."""
_NEW_PEER_SHARE: Final = 0.1
"""Of rollouts that make a workload talk to a service that it never talked to."""
_BACKUP_H: Final = 2
"""The hour at which databases send their backup out."""
_BUILDS_H: Final = 1.2
"""Runs of a build an hour at mean load."""
_CONTROLLERS: Final = {
    "Deployment": "replicaset-controller",
    "StatefulSet": "statefulset-controller",
    "CronJob": "job-controller",
    "Job": "job-controller",
}


class WorkloadActor:
    """One workload; `advance` is called for one slot after another."""

    def __init__(self, workload: Workload, cluster: Cluster, actors: Sequence[WorkloadActor]) -> None:
        """`actors`: those of the workloads before it."""
        self.workload = workload
        self._cluster = cluster
        self._serving = [actor for actor in actors if actor.workload.archetype.port]
        self._random = stream(cluster.config.seed, "life", workload.index)
        self.maker = PodMaker(workload, cluster, self._random)
        self.life = Life(workload, self._random, [actors[index] for index in workload.peers])
        self._controller = _CONTROLLERS[workload.archetype.kind]
        self._rollouts = self._draw_rollouts()
        self._backup_ns = self._random.randrange(HOUR_NS)
        self._phase_ns = self._random.randrange(MINUTE_NS)
        self.pods: list[Pod] = []
        if self._stands and workload.born_ns < START_NS:
            self.pods = [self._make(START_NS - DAY_NS, number) for number in range(workload.replicas)]
        for pod in self.pods:
            pod.renewed_ns += DAY_NS

    @property
    def _stands(self) -> bool:
        """Whether its pods stay, other than those of jobs."""
        return self.workload.archetype.kind in ("Deployment", "StatefulSet")

    def pod_at(self, time_ns: int) -> Pod | None:
        """Return its oldest pod that runs at a time."""
        return next((pod for pod in self.pods if pod.lives_at(time_ns)), None)

    def advance(self, start_ns: int, end_ns: int, out: list[Emission]) -> None:
        """Live for a slot; what is emitted may lie after its end, never before its start."""
        if self.pods and any(pod.ended_ns <= start_ns for pod in self.pods):
            self.pods = [pod for pod in self.pods if pod.ended_ns > start_ns]
        if self.workload.born_ns >= end_ns:
            return
        if not self._stands:
            self._run_jobs(start_ns, end_ns, out)
            return
        self._change(start_ns, end_ns, out)
        self.life.slot(self.pods, start_ns, end_ns, out)
        due = [pod for pod in self.pods if pod.renewed_ns < end_ns and pod.lives_at(pod.renewed_ns)]
        out.extend(self.maker.renew(pod) for pod in due)

    def _change(self, start_ns: int, end_ns: int, out: list[Emission]) -> None:
        """Be born, roll out, drain, scale, back up: what is due in the slot."""
        workload = self.workload
        if start_ns <= workload.born_ns:
            self._deploy(max(workload.born_ns, start_ns) + 5 * SECOND_NS, out)
        while self._rollouts and self._rollouts[0] < end_ns:
            self._roll_out(max(self._rollouts.pop(0), start_ns + 5 * SECOND_NS), out)
        for number, pod in enumerate(list(self.pods)):
            if pod.ended_ns == NEVER_NS and pod.evicted_ns < end_ns:
                self._drain(max(pod.evicted_ns, start_ns + 5 * SECOND_NS), pod, number, out)
        if workload.archetype.kind == "Deployment" and (start_ns - START_NS) % HOUR_NS == 0:
            self._scale(start_ns + 5 * SECOND_NS + self._phase_ns, out)
        if workload.archetype.name == "database" and (start_ns - START_NS) % DAY_NS == _BACKUP_H * HOUR_NS:
            self._back_up(start_ns + self._backup_ns, out)

    def _draw_rollouts(self) -> list[int]:
        days = range(self._cluster.config.days)
        random = self._random
        times = [
            START_NS + day * DAY_NS + int(random.uniform(8.5, 17.5) * HOUR_NS)
            for day in days
            for _ in range(poisson(random, _ROLLOUTS_A_DAY))
            if not is_weekend(START_NS + day * DAY_NS)
        ]
        return sorted(time_ns for time_ns in times if time_ns > self.workload.born_ns + HOUR_NS)

    def _make(self, time_ns: int, number: int) -> Pod:
        """Make a pod; those of a StatefulSet are numbered."""
        stateful = self.workload.archetype.kind == "StatefulSet"
        return self.maker.make(time_ns, f"{self.workload.name}-{number}" if stateful else None)

    def _start(self, time_ns: int, number: int, out: list[Emission]) -> Pod:
        pod = self._make(time_ns, number)
        self.pods.append(pod)
        out.extend(self.maker.arrival(pod, self._controller))
        self.life.start(pod, out)
        return pod

    def _stop(self, time_ns: int, pod: Pod, out: list[Emission]) -> None:
        pod.ended_ns = time_ns
        out.extend(self.maker.departure(time_ns, pod, self._controller))

    def _deploy(self, time_ns: int, out: list[Emission]) -> None:
        """A new workload: its account, its service and itself, made by CI; then its pods."""
        name, namespace, created = self.workload.name, self.workload.namespace, 201
        caller = self._deployer()
        for call in (
            *((Call("create", "namespaces", "", namespace, code=created),) if self.workload.leads_team else ()),
            Call("create", "serviceaccounts", namespace, name, code=created),
            Call("create", "services", namespace, name, code=created),
            self._written("create", created),
        ):
            out.append(event(self._random, time_ns, caller, call))
            time_ns += self._random.randrange(SECOND_NS // 5, SECOND_NS)
        for number in range(self.workload.replicas):
            self._start(time_ns + 5 * SECOND_NS + number * SECOND_NS, number, out)

    def _roll_out(self, time_ns: int, out: list[Emission]) -> None:
        """A new image: CI patches the workload, controllers replace one pod after another."""
        random = self._random
        self.maker.new_release()
        out.append(event(random, time_ns, self._deployer(), self._written("patch", 200)))
        if self._serving and random.random() < _NEW_PEER_SHARE:
            self.life.services.append(random.choice(self._serving))
        system = self._cluster.system
        if self.workload.archetype.kind == "Deployment":
            name = f"{self.workload.name}-{self.maker.release.revision}"
            call = Call("create", "replicasets", self.workload.namespace, name, "apps", code=201)
            out.append(event(random, time_ns + SECOND_NS, system["deployment-controller"], call))
        at_ns = time_ns + 5 * SECOND_NS
        for number, pod in enumerate([pod for pod in self.pods if pod.ended_ns == NEVER_NS]):
            at_ns += random.randrange(5 * SECOND_NS, 25 * SECOND_NS)
            self._start(at_ns, number, out)
            self._stop(at_ns + 3 * SECOND_NS, pod, out)
        slices = Call("update", "endpointslices", self.workload.namespace, self.workload.name, "discovery.k8s.io")
        out.append(event(random, at_ns + 5 * SECOND_NS, system["endpointslice-controller"], slices))

    def _drain(self, time_ns: int, pod: Pod, number: int, out: list[Emission]) -> None:
        """The pod's node is drained: it is evicted, and comes back elsewhere."""
        call = Call("create", "pods", self.workload.namespace, pod.name, subresource="eviction", code=201)
        out.append(event(self._random, time_ns, self._cluster.system["cluster-autoscaler"], call))
        self._stop(time_ns + SECOND_NS, pod, out)
        self._start(time_ns + 6 * SECOND_NS, number, out)

    def _scale(self, time_ns: int, out: list[Emission]) -> None:
        """The autoscaler follows the load."""
        kind = self.workload.archetype
        alive = [pod for pod in self.pods if pod.ended_ns == NEVER_NS]
        wanted = max(1, round(self.workload.replicas * (0.75 + 0.25 * load(time_ns, kind.swing, kind.weekend))))
        if wanted == len(alive):
            return
        call = Call("update", "deployments", self.workload.namespace, self.workload.name, "apps", "scale")
        out.append(event(self._random, time_ns, self._cluster.system["horizontal-pod-autoscaler"], call))
        for number in range(len(alive), wanted):
            self._start(time_ns + 5 * SECOND_NS + number * SECOND_NS, number, out)
        for pod in alive[wanted:]:
            self._stop(time_ns + 2 * SECOND_NS, pod, out)

    def _back_up(self, time_ns: int, out: list[Emission]) -> None:
        """A database sends its backup to the vendor that it always goes to: gigabytes, each night."""
        pod, peer = self.pod_at(time_ns), self.workload.externals[0]
        if pod is None:
            return
        total = int(2e9 * self._random.lognormvariate(0.0, 0.15))
        port = 40_000 + self._random.randrange(9000)
        for minute in range(20):
            talk = flow.Conversation(pod.address, port, peer.addresses[0], peer.port, total // 20, 90_000)
            out.append(flow.sent(pod.interface, time_ns + minute * MINUTE_NS, talk, 59))

    def _run_jobs(self, start_ns: int, end_ns: int, out: list[Emission]) -> None:
        for time_ns in self._job_times(start_ns, end_ns):
            self._run_job(time_ns, out)

    def _job_times(self, start_ns: int, end_ns: int) -> list[int]:
        kind, random = self.workload.archetype, self._random
        if kind.kind == "Job":
            mean = _BUILDS_H * load(start_ns, kind.swing, kind.weekend) * (end_ns - start_ns) / HOUR_NS
            return [random.randrange(start_ns + 10 * SECOND_NS, end_ns) for _ in range(poisson(random, mean))]
        every_ns = self.workload.every_min * MINUTE_NS
        first_ns = start_ns + (START_NS - start_ns) % every_ns
        return [time_ns + 10 * SECOND_NS for time_ns in range(first_ns, end_ns, every_ns)]

    def _run_job(self, time_ns: int, out: list[Emission]) -> None:
        """One run: the job, its pod, what that does, its end."""
        random, workload, system = self._random, self.workload, self._cluster.system
        name = f"{workload.name}-{time_ns // MINUTE_NS}"
        if workload.archetype.kind == "CronJob":
            call = Call("create", "jobs", workload.namespace, name, "batch", code=201)
            out.append(event(random, time_ns - 5 * SECOND_NS, system["cronjob-controller"], call))
        pod = self.maker.make(time_ns, f"{name}-{name_suffix(random, 5)}")
        pod.ended_ns = time_ns + int(random.lognormvariate(5.0, 0.4) * SECOND_NS) + 20 * SECOND_NS
        self.pods.append(pod)
        out.extend(self.maker.arrival(pod, self._controller))
        self.life.start(pod, out)
        self.life.burst(pod, out, 0.6)
        call = Call("update", "jobs", workload.namespace, name, "batch", "status")
        out.append(event(random, pod.ended_ns, system["job-controller"], call))

    def _written(self, verb: str, code: int) -> Call:
        """The request that creates or patches this workload."""
        kind, release = self.workload.archetype.kind, self.maker.release
        container = {
            "name": self.workload.name,
            "image": f"{self.workload.repository}:{release.tag}@{release.digest}",
            "resources": {"requests": {"cpu": "100m"}, "limits": {"memory": "256Mi", "cpu": "1"}},
            "securityContext": {"runAsNonRoot": True, "allowPrivilegeEscalation": False},
        }
        body = {
            "kind": kind,
            "apiVersion": "apps/v1",
            "metadata": {"name": self.workload.name, "namespace": self.workload.namespace},
            "spec": {"replicas": self.workload.replicas, "template": {"spec": {"containers": [container]}}},
        }
        text = orjson.dumps(body).decode()
        name = self.workload.name
        return Call(verb, f"{kind.lower()}s", self.workload.namespace, name, "apps", code=code, request=text)

    def _deployer(self) -> Caller:
        """CI's account, in a job of its own each time: another pod, another token."""
        random = self._random
        address = f"10.127.1.{random.randrange(4, 60)}"
        token = {"credential-id": f"JTI={uuid_text(random)}", "pod-name": f"runner-{hex_text(random, 8)}"}
        return service_account("ci", "deployer", address, "helm/v3.19.0", token)
