"""Where an attack is played: its time, its parameters, its victims, and the ground truth about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from vedette.schema.limits import SECOND_NS
from vedette.testing.simulator.chance import stream
from vedette.testing.simulator.moments import DAY_NS, HOUR_NS, MINUTE_NS, START_NS, is_weekend
from vedette.testing.simulator.record import Label
from vedette.testing.simulator.scenarios import SCENARIOS, Phase, phase_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vedette.testing.simulator.cluster import Cluster
    from vedette.testing.simulator.people import PersonActor
    from vedette.testing.simulator.pods import Pod
    from vedette.testing.simulator.workload import WorkloadActor

_SPARE_NS: Final = HOUR_NS
"""What an attack may need beyond its hours."""
_VICTIMS: Final = ("web", "api", "worker")


class Entity(NamedTuple):
    """Whom an alert about the attack would name: a workload, user, node or source."""

    kind: str
    name: str
    namespace: str = ""


class Quiet(NamedTuple):
    """A sensor or source that sends nothing for a while; `node` "": wherever it is."""

    format: str
    node: str
    start_ns: int
    end_ns: int

    def covers(self, time_ns: int, format_name: str, node: str) -> bool:
        """Whether it swallows such a record."""
        return self.start_ns <= time_ns < self.end_ns and self.format == format_name and self.node in ("", node)


_NOBODY: Final = Entity("", "")


@dataclass(slots=True)
class Attack:
    """The ground truth: what, by or on whom, from when, and how many records show it."""

    attack_id: str
    scenario: str
    phase: Phase
    techniques: tuple[str, ...]
    detectors: tuple[str, ...]
    parameters: Mapping[str, float]
    start_ns: int
    """Of its first record; of a silence, its beginning."""
    entity: Entity = _NOBODY
    end_ns: int = 0
    """Of its last record so far, or the silence's end."""
    records: int = 0
    """Records with its label so far; a silence has none."""

    def count(self, time_ns: int) -> None:
        """Count a record of it."""
        self.start_ns = min(self.start_ns, time_ns) if self.records else time_ns
        self.end_ns = max(self.end_ns, time_ns)
        self.records += 1


class Stage:
    """What a play is given."""

    def __init__(
        self,
        number: int,
        name: str,
        cluster: Cluster,
        workloads: Sequence[WorkloadActor],
        people: Sequence[PersonActor],
    ) -> None:
        """Draw parameters and time.

        Raises:
            ValueError: too few days.
        """
        scenario, seed = SCENARIOS[name], cluster.config.seed
        self.cluster = cluster
        self.random = stream(seed, "attack", number, name)
        self.parameters = scenario.draw(phase_of(seed), self.random)
        self.start_ns = self._draw_start(name)
        self.label = Label(f"{name}-{number}", name)
        self.quiet: list[Quiet] = []
        self._workloads = workloads
        self._people = people
        self.attack = Attack(
            self.label.attack,
            name,
            phase_of(seed),
            scenario.techniques,
            tuple(scenario.detectors),
            self.parameters,
            self.start_ns,
        )

    def _draw_start(self, name: str) -> int:
        """Draw a day after learning on which it can begin and has time to end; a working day in working hours."""
        config, hour = self.cluster.config, self.parameters["start_h"]
        needs_ns = int(self.parameters.get("hours", 0.0) * HOUR_NS) + _SPARE_NS
        times = [START_NS + day * DAY_NS + int(hour * HOUR_NS) for day in range(config.learning_days, config.days)]
        fitting = [at_ns for at_ns in times if at_ns + needs_ns <= config.end_ns and not is_weekend(at_ns)]
        if not fitting:
            raise ValueError(
                f"{name} needs more days after learning: {config.days} in all, {config.learning_days} of learning"
            )
        return self.random.choice(fitting)

    def whole(self, name: str) -> int:
        """Return a parameter that is a count."""
        return int(self.parameters[name])

    def span_ns(self, name: str) -> int:
        """Return a parameter that is a time, by the unit in its name."""
        unit_ns = {"s": SECOND_NS, "min": MINUTE_NS, "minutes": MINUTE_NS, "hours": HOUR_NS}[name.rpartition("_")[2]]
        return int(self.parameters[name] * unit_ns)

    def gap_ns(self) -> int:
        """Draw a pause around the parameter `gap_s`."""
        return int(self.span_ns("gap_s") * self.random.uniform(0.7, 1.3))

    def victim(self, *kinds: str) -> WorkloadActor:
        """Draw a workload of some kinds (default: those that serve), there from the start; it is the attack's entity.

        Of more than one pod where there is one, so that a rollout does not end the attack.
        """
        standing = [
            actor
            for actor in self._workloads
            if actor.workload.born_ns < START_NS and actor.workload.archetype.name in (kinds or _VICTIMS)
        ]
        steady = [actor for actor in standing if actor.workload.replicas > 1] or standing
        if not steady:
            raise ValueError(
                f"{self.attack.scenario} needs a workload of kind {' or '.join(kinds or _VICTIMS)}: more pods"
            )
        actor = self.random.choice(steady)
        self.attack.entity = Entity("workload", actor.workload.name, actor.workload.namespace)
        return actor

    def others(self, actor: WorkloadActor) -> list[WorkloadActor]:
        """Workloads that one has nothing to do with, there from the start."""
        known = {id(service) for service in actor.life.services} | {id(actor)}
        return [
            other
            for other in self._workloads
            if id(other) not in known
            and other.workload.born_ns < START_NS
            and other.workload.archetype.port
            and other.pods
        ]

    def pod(self, actor: WorkloadActor, time_ns: int) -> Pod:
        """Return a pod of a workload at a time, or the next best one while it is being replaced."""
        return actor.pod_at(time_ns) or actor.pods[-1]

    def pods(self, time_ns: int) -> list[Pod]:
        """Return all pods at a time."""
        return [pod for actor in self._workloads for pod in actor.pods if pod.lives_at(time_ns)]

    def person(self, role: str) -> PersonActor:
        """Draw somebody of a role; they are the attack's entity."""
        actor = self.random.choice([actor for actor in self._people if actor.person.role == role])
        self.attack.entity = Entity("user", actor.person.name)
        return actor

    @property
    def names(self) -> list[tuple[str, str]]:
        """Namespaces and names of all workloads."""
        return [(actor.workload.namespace, actor.workload.name) for actor in self._workloads]
