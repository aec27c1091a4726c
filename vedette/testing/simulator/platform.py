"""What the cluster itself does: nodes report, sensors tell that they live, controllers lead, add-ons look round.

Beside it the internet's noise: strangers that knock at closed ports of nodes, one or two each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vedette.schema.limits import SECOND_NS
from vedette.testing.simulator import falco, flow
from vedette.testing.simulator.audit import Call, event
from vedette.testing.simulator.chance import poisson, stream
from vedette.testing.simulator.cluster import Cluster, Node, outside_address
from vedette.testing.simulator.moments import DAY_NS, HOUR_NS, MINUTE_NS, START_NS

if TYPE_CHECKING:
    from vedette.testing.simulator.record import Emission

_STATUS_NS: Final = 5 * MINUTE_NS
"""How often a kubelet reports its node without news (nodeStatusReportFrequency)."""
_RESTART_DAYS: Final = 7.0
"""Mean time between restarts of a sensor."""
_UPGRADE_DAYS: Final = 9
"""Every so many days all sensors are upgraded, one after another."""
_KNOCKS_H: Final = 0.6
"""Strangers that knock at a node in an hour."""
_KNOCKED: Final = (22, 23, 80, 443, 445, 1433, 3306, 3389, 5060, 5900, 6379, 8080, 9200)
_WATCHES: Final = (
    ("prometheus", "watch", ("pods", "services", "endpoints", "nodes"), 8.0),
    ("kube-state-metrics", "watch", ("pods", "configmaps", "nodes", "namespaces", "services"), 10.0),
    ("metrics-server", "list", ("nodes", "pods"), 20.0),
    ("argocd-application-controller", "get", ("namespaces", "services", "configmaps"), 20.0),
    ("cluster-autoscaler", "list", ("nodes", "pods"), 20.0),
)
"""Add-ons: who, verb, resources, requests an hour."""
_LEADERS: Final = (("scheduler", "kube-scheduler"), ("cluster-autoscaler", "cluster-autoscaler"))


class NodeActor:
    """One machine and its Falco."""

    def __init__(self, node: Node, cluster: Cluster) -> None:
        """Draw the moments at which its Falco restarts."""
        self.node = node
        self._system = cluster.system
        self._random = stream(cluster.config.seed, "node-life", node.name)
        self._phase_ns = self._random.randrange(MINUTE_NS)
        self.gaps = sorted(self._draw_gaps(cluster))
        """When its Falco is down: from, to."""

    def _draw_gaps(self, cluster: Cluster) -> list[tuple[int, int]]:
        random, config = self._random, cluster.config
        times = [
            START_NS + random.randrange(config.days * DAY_NS)
            for _ in range(poisson(random, config.days / _RESTART_DAYS))
        ]
        slot = int(self.node.name.split("-")[1])
        upgrades = range(_UPGRADE_DAYS // 2, config.days, _UPGRADE_DAYS)
        times += [START_NS + day * DAY_NS + 10 * HOUR_NS + slot * MINUTE_NS for day in upgrades]
        return [(time_ns, time_ns + random.randrange(15 * SECOND_NS, 45 * SECOND_NS)) for time_ns in times]

    def advance(self, start_ns: int, end_ns: int, out: list[Emission]) -> None:
        """Live for a slot."""
        node, random = self.node, self._random
        first_ns, last_ns = max(start_ns, node.started_ns), min(end_ns, node.ended_ns)
        if start_ns <= node.started_ns < end_ns:
            out.append(event(random, node.started_ns + SECOND_NS, node.kubelet, Call("create", "nodes", code=201)))
        if first_ns >= last_ns:
            return
        status = Call("patch", "nodes", "", node.name, subresource="status")
        minutes = [
            at_ns for at_ns in range(start_ns + self._phase_ns, end_ns, MINUTE_NS) if first_ns <= at_ns < last_ns
        ]
        out.extend(falco.snapshot(node.name, at_ns, at_ns // MINUTE_NS) for at_ns in minutes)
        reports = [at_ns for at_ns in minutes if (at_ns - self._phase_ns - START_NS) % _STATUS_NS == 0]
        out.extend(event(random, at_ns, node.kubelet, status) for at_ns in reports)
        for _ in range(poisson(random, _KNOCKS_H * (last_ns - first_ns) / HOUR_NS)):
            self._be_knocked_at(random.randrange(first_ns, last_ns), out)
        if last_ns == node.ended_ns:
            call = Call("delete", "nodes", "", node.name)
            out.append(event(random, last_ns - SECOND_NS // 2, self._system["cluster-autoscaler"], call))
        if start_ns <= node.ended_ns - 10 * MINUTE_NS < end_ns:
            cordon = Call("patch", "nodes", "", node.name)
            at_ns = node.ended_ns - 10 * MINUTE_NS
            out.append(event(random, at_ns, self._system["cluster-autoscaler"], cordon))

    def _be_knocked_at(self, time_ns: int, out: list[Emission]) -> None:
        random = self._random
        stranger = outside_address(random)
        for port in random.sample(_KNOCKED, random.choice((1, 1, 1, 2))):
            talk = flow.Conversation(stranger, random.randrange(32_768, 60_000), self.node.address, port, 44, 0)
            out.append(flow.knocked(self.node.interface, time_ns, talk))


class ControlPlane:
    """The control plane and the add-ons."""

    def __init__(self, cluster: Cluster) -> None:
        """Take the cluster."""
        self._cluster = cluster
        self._random = stream(cluster.config.seed, "control-plane")

    def advance(self, start_ns: int, end_ns: int, out: list[Emission]) -> None:
        """Live for a slot."""
        random, system = self._random, self._cluster.system
        for short, name in _LEADERS:
            for at_ns in range(start_ns + 7 * SECOND_NS, end_ns, MINUTE_NS):
                call = Call("update", "leases", "kube-system", name, "coordination.k8s.io")
                out.append(event(random, at_ns + random.randrange(SECOND_NS), system[short], call))
        for short, verb, resources, rate_h in _WATCHES:
            for _ in range(poisson(random, rate_h * (end_ns - start_ns) / HOUR_NS)):
                resource = random.choice(resources)
                query = f"?allowWatchBookmarks=true&watch={str(verb == 'watch').lower()}" if verb != "get" else ""
                name = resource[:-1] if verb == "get" else ""
                namespace = "shop" if verb == "get" and resource != "namespaces" else ""
                call = Call(verb, resource, namespace, name, query=query)
                out.append(event(random, start_ns + random.randrange(end_ns - start_ns), system[short], call))
