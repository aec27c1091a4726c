"""The simulation: all entities live slot by slot, and what they emit leaves in the order of event times.

Memory holds one slot of ten minutes and what sessions and jobs have scheduled beyond it.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Final, Protocol

from vedette.testing.simulator import falco
from vedette.testing.simulator.attacks import Attack, AttackActor, Quiet
from vedette.testing.simulator.cluster import Cluster, SimulationConfig, make_cluster
from vedette.testing.simulator.moments import MINUTE_NS, START_NS
from vedette.testing.simulator.people import PersonActor, make_people
from vedette.testing.simulator.platform import ControlPlane, NodeActor
from vedette.testing.simulator.record import Emission, SimulatedRecord
from vedette.testing.simulator.workload import WorkloadActor

if TYPE_CHECKING:
    from collections.abc import Iterator

SLOT_NS: Final = 10 * MINUTE_NS


class Actor(Protocol):
    """Who lives slot by slot."""

    def advance(self, start_ns: int, end_ns: int, out: list[Emission]) -> None:
        """Live for a slot; what is emitted may lie after its end, never before its start."""
        ...


class Simulation:
    """One run. `records` can be asked for once; `attacks` and `waiting` say how far it is."""

    def __init__(self, config: SimulationConfig) -> None:
        """Draw the cluster, its people and the attacks.

        Raises:
            ValueError: a scenario that there isn't, or too few days for one.
        """
        self.cluster: Cluster = make_cluster(config)
        self._workloads: list[WorkloadActor] = []
        for workload in self.cluster.workloads:
            self._workloads.append(WorkloadActor(workload, self.cluster, self._workloads))
        people = [PersonActor(person, self.cluster, self._workloads) for person in make_people(self.cluster)]
        nodes = [NodeActor(node, self.cluster) for node in self.cluster.nodes]
        self._actors: list[Actor] = [*self._workloads, *nodes, ControlPlane(self.cluster), *people]
        self._attacks = [
            AttackActor(number, name, self.cluster, self._workloads, people)
            for number, name in enumerate(config.attacks, 1)
        ]
        self._labelled = {actor.attack.attack_id: actor.attack for actor in self._attacks}
        self._quiet = [Quiet(falco.FORMAT, node.node.name, *gap) for node in nodes for gap in node.gaps]
        self.waiting = 0
        """Records held at the moment."""

    @property
    def attacks(self) -> tuple[Attack, ...]:
        """The ground truth: each attack as far as it was played."""
        return tuple(actor.attack for actor in self._attacks)

    def records(self) -> Iterator[SimulatedRecord]:
        """Yield all records in the order of their times."""
        held: list[Emission] = []
        for start_ns in range(START_NS, self.cluster.config.end_ns, SLOT_NS):
            end_ns = start_ns + SLOT_NS
            for actor in self._actors:
                actor.advance(start_ns, end_ns, held)
            for attack in self._attacks:
                attack.advance(start_ns, end_ns, held)
            held.sort()
            self.waiting = len(held)
            cut = bisect_left(held, (end_ns,))
            quiet = self._quiet_in(start_ns, end_ns)
            for time_ns, payload, format_name, node, label in held[:cut]:
                if not quiet or not any(hush.covers(time_ns, format_name, node) for hush in quiet):
                    if label is not None:
                        self._labelled[label.attack].count(time_ns)
                    yield SimulatedRecord(format_name, time_ns, payload, label)
            del held[:cut]

    def _quiet_in(self, start_ns: int, end_ns: int) -> list[Quiet]:
        found = [*self._quiet, *(quiet for actor in self._attacks for quiet in actor.quiet)]
        return [quiet for quiet in found if quiet.start_ns < end_ns and quiet.end_ns > start_ns]
