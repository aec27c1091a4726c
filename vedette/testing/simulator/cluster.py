"""What the cluster is before anything happens: nodes and their replacements, teams, workloads, services, outside peers.

All of it follows from the seed and the names of things, so that more workloads leave the others as they are.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from vedette.testing.simulator.archetypes import ARCHETYPES, Archetype
from vedette.testing.simulator.audit import VERSION, Caller, certificate, service_account
from vedette.testing.simulator.chance import hex_text, name_suffix, stream, uuid_text
from vedette.testing.simulator.moments import DAY_NS, HOUR_NS, MINUTE_NS, START_NS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

CONTROL_PLANE: Final = "10.0.255.10"
NAME_SERVER: Final = "10.96.0.10"
PROMETHEUS: Final = "10.127.0.10"
NEVER_NS: Final = 2**62
PODS_PER_NODE: Final = 25
_WORKLOADS_PER_TEAM: Final = 6
_NODE_LIFE_DAYS: Final = 10.0
"""Mean time between replacements of a node."""
_LATE_SHARE: Final = 0.08
"""Of teams that come while the simulation runs."""
_PROBED_SHARE: Final = 0.03
"""Of workloads whose probes are in the flow log; the second one's always are."""
_TEAMS: Final = (
    "shop",
    "pay",
    "search",
    "media",
    "risk",
    "growth",
    "data",
    "core",
    "mobile",
    "partner",
    "supply",
    "legal",
)
_NETWORKS: Final = ("198.51.100", "203.0.113", "198.18.10", "198.18.77", "198.19.3", "198.19.200")
"""The simulated internet: ranges for documentation (RFC 5737) and for benchmarks (RFC 2544). Not 192.0.2.0/24, which a
shipped rule takes for misuse. Vendors have addresses below 128, strangers the others."""
_VENDORS_PER_NETWORK: Final = 31


@dataclass(frozen=True, slots=True)
class SimulationConfig:
    """What is simulated. `nodes` None: enough for the pods. Attacks begin after `learning_days`."""

    pods: int = 50
    days: int = 2
    seed: int = 7
    learning_days: int = 1
    attacks: tuple[str, ...] = ()
    nodes: int | None = None

    @property
    def end_ns(self) -> int:
        """When the simulation ends."""
        return START_NS + self.days * DAY_NS


class Node(NamedTuple):
    """One machine; a replacement is another one."""

    name: str
    address: str
    interface: str
    kubelet: Caller
    started_ns: int
    ended_ns: int
    """When it is deleted; it is drained in the ten minutes before."""


class Peer(NamedTuple):
    """Somebody outside: addresses that one name stands for, and how much is sent to and taken from it each time."""

    addresses: tuple[str, ...]
    port: int
    sent_bytes: int
    received_bytes: int


@dataclass(frozen=True, slots=True)
class Workload:
    """One workload as its owner wrote it."""

    index: int
    name: str
    namespace: str
    archetype: Archetype
    replicas: int
    repository: str
    peers: tuple[int, ...]
    """Indexes of the workloads whose services it calls: always lower ones."""
    externals: tuple[Peer, ...]
    born_ns: int
    every_min: int
    """How often a cron job runs."""
    probed: bool
    """Whether its probes are in the flow log (they are where the node and the pod are in different subnets)."""

    @property
    def leads_team(self) -> bool:
        """Whether it is the first workload of its team."""
        return self.index % _WORKLOADS_PER_TEAM == 0

    @property
    def service(self) -> str:
        """The address of its service."""
        return f"10.{96 + self.index // 62_500}.{self.index // 250 % 250 + 1}.{self.index % 250 + 1}"


@dataclass(frozen=True, slots=True)
class Cluster:
    """Everything that stands."""

    config: SimulationConfig
    slots: tuple[tuple[Node, ...], ...]
    """For each place of a node, the machines that filled it one after another."""
    workloads: tuple[Workload, ...]
    system: dict[str, Caller]
    """The cluster's own components by short name."""

    def node_at(self, slot: int, time_ns: int) -> Node:
        """Return the machine in a place at a time."""
        lives = self.slots[slot % len(self.slots)]
        return lives[bisect_right([node.started_ns for node in lives], time_ns) - 1]

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All machines."""
        return tuple(node for lives in self.slots for node in lives)


def make_cluster(config: SimulationConfig) -> Cluster:
    """Draw the cluster."""
    workloads: list[Workload] = []
    pods = 0.0
    while pods < config.pods or len(workloads) < len(ARCHETYPES):
        workload = _workload(config, workloads)
        workloads.append(workload)
        pods += workload.replicas if workload.archetype.kind in ("Deployment", "StatefulSet") else 0
    count = config.nodes or max(3, config.pods // PODS_PER_NODE)
    slots = tuple(_machines(config, slot) for slot in range(count))
    return Cluster(config, slots, tuple(workloads), _system(config))


def _machines(config: SimulationConfig, slot: int) -> tuple[Node, ...]:
    random = stream(config.seed, "node", slot)
    lives: list[Node] = []
    started_ns = START_NS - DAY_NS
    while started_ns < config.end_ns:
        ended_ns = _working_time(random, started_ns + int(random.expovariate(1 / _NODE_LIFE_DAYS) * DAY_NS) + DAY_NS)
        number = len(lives)
        name = f"node-{slot}-{name_suffix(random, 5)}"
        address = f"10.{number}.{slot // 250}.{slot % 250 + 4}"
        agent = f"kubelet/{VERSION} (linux/amd64) kubernetes/4f5e2c1"
        kubelet = certificate(f"system:node:{name}", ("system:nodes",), address, agent, hex_text(random, 64))
        lives.append(Node(name, address, hex_text(random, 17), kubelet, started_ns, ended_ns))
        started_ns = ended_ns - 15 * MINUTE_NS
    return tuple(lives)


def _working_time(random: Random, time_ns: int) -> int:
    """Move a time to the working hours of its day."""
    return time_ns - (time_ns - START_NS) % DAY_NS + int(random.uniform(9.0, 17.0) * HOUR_NS)


def _workload(config: SimulationConfig, before: Sequence[Workload]) -> Workload:
    """Draw the workload after those before it; it calls some of them that serve."""
    index = len(before)
    random = stream(config.seed, "workload", index)
    team = index // _WORKLOADS_PER_TEAM
    drawn = random.choices(ARCHETYPES, weights=[archetype.share for archetype in ARCHETYPES])[0]
    archetype = ARCHETYPES[index] if index < len(ARCHETYPES) else drawn  # one of each at least
    noun = random.choice(archetype.nouns)
    namespace = _TEAMS[team % len(_TEAMS)] + (f"-{team // len(_TEAMS) + 1}" if team >= len(_TEAMS) else "")
    if archetype.kind == "Job":
        namespace = "ci"
    name = f"{noun}-{index}"
    serving = [workload.index for workload in before if workload.archetype.port]
    peers = random.sample(serving, min(len(serving), random.randint(*archetype.peers)))
    externals = tuple(_peer(random) for _ in range(random.randint(*archetype.externals)))
    return Workload(
        index,
        name,
        namespace,
        archetype,
        random.randint(*archetype.replicas),
        f"registry.example.com/{namespace}/{noun}",
        tuple(sorted(peers)),
        externals,
        _born_ns(config, team, index),
        random.choice((10, 15, 30, 60, 60, 360, 1440)),
        index == 1 or random.random() < _PROBED_SHARE,
    )


def _born_ns(config: SimulationConfig, team: int, index: int) -> int:
    """Before the start for most teams, on some working day for the others; the first team is always there."""
    random = stream(config.seed, "team", team)
    if team == 0 or random.random() >= _LATE_SHARE:
        return START_NS - DAY_NS
    day = random.uniform(0.2, 0.9) * config.days
    return _working_time(random, START_NS + int(day * DAY_NS)) + index % _WORKLOADS_PER_TEAM * 10 * MINUTE_NS


def _peer(random: Random) -> Peer:
    """Draw a vendor: few addresses, or the rotating ones of a content network."""
    network = random.choice(_NETWORKS)
    base = 4 * random.randrange(_VENDORS_PER_NETWORK)
    addresses = tuple(f"{network}.{base + number}" for number in range(1, random.choice((1, 1, 2, 4)) + 1))
    return Peer(addresses, 443, int(random.lognormvariate(10.5, 1.2)), int(random.lognormvariate(10.5, 1.2)))


def outside_address(random: Random) -> str:
    """Draw an address outside that no vendor has."""
    return f"{random.choice(_NETWORKS)}.{random.randrange(130, 250)}"


def _system(config: SimulationConfig) -> dict[str, Caller]:
    random = stream(config.seed, "system")
    callers: dict[str, Caller] = {}
    manager = f"kube-controller-manager/{VERSION} (linux/amd64) kubernetes/4f5e2c1"
    for short in _CONTROLLERS:
        token = {"credential-id": f"JTI={uuid_text(random)}"}
        agent = f"{manager}/system:serviceaccount:kube-system:{short}"
        callers[short] = service_account("kube-system", short, CONTROL_PLANE, agent, token)
    scheduler = f"kube-scheduler/{VERSION} (linux/amd64) kubernetes/4f5e2c1/scheduler"
    callers["scheduler"] = certificate("system:kube-scheduler", (), CONTROL_PLANE, scheduler, hex_text(random, 64))
    for namespace, short, address, agent in _ADD_ONS:
        token = {"credential-id": f"JTI={uuid_text(random)}"}
        callers[short] = service_account(namespace, short, address, agent, token)
    return callers


_CONTROLLERS: Final = (
    "deployment-controller",
    "replicaset-controller",
    "statefulset-controller",
    "endpointslice-controller",
    "horizontal-pod-autoscaler",
    "cronjob-controller",
    "job-controller",
    "namespace-controller",
    "node-controller",
)
_ADD_ONS: Final = (
    ("monitoring", "prometheus", PROMETHEUS, "Prometheus/3.5.0"),
    ("monitoring", "kube-state-metrics", "10.127.0.11", "kube-state-metrics/v2.17.0"),
    ("kube-system", "metrics-server", "10.127.0.12", "metrics-server/v0.8.0"),
    ("argocd", "argocd-application-controller", "10.127.0.13", "argocd-application-controller/v3.1.0"),
    ("kube-system", "cluster-autoscaler", "10.127.0.14", "cluster-autoscaler/v1.35.0"),
)
