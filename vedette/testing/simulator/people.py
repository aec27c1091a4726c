"""People: developers, site reliability engineers, administrators, and whoever is on call at night."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from vedette.schema.limits import SECOND_NS
from vedette.testing.simulator import falco
from vedette.testing.simulator.audit import Call, Caller, certificate, event, session
from vedette.testing.simulator.chance import hex_text, poisson, stream
from vedette.testing.simulator.falco import Program
from vedette.testing.simulator.moments import DAY_NS, HOUR_NS, START_NS, day_of, hour_of, is_weekend

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vedette.testing.simulator.cluster import Cluster
    from vedette.testing.simulator.pods import Pod
    from vedette.testing.simulator.record import Emission
    from vedette.testing.simulator.workload import WorkloadActor

_NAMES: Final = ("alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy", "mallory", "niaj")
_AGENTS: Final = (
    "kubectl/v1.35.4 (linux/amd64) kubernetes/4f5e2c1",
    "kubectl/v1.34.1 (darwin/arm64) kubernetes/93248f9",
    "k9s/v0.50.9 (darwin/arm64)",
)
_PODS_PER_PERSON: Final = 40
_PEOPLE_MIN: Final = 3
_READS: Final = (
    ("get", "pods", 6.0),
    ("list", "pods", 5.0),
    ("list", "deployments", 2.0),
    ("get", "deployments", 2.0),
    ("list", "events", 2.0),
    ("get", "pods/log", 3.0),
    ("get", "services", 1.0),
    ("get", "configmaps", 0.7),
    ("list", "nodes", 0.5),
)
_APPS: Final = frozenset({"deployments"})
_FORBIDDEN_SHARE: Final = 0.012
"""Of requests: the wrong namespace, refused."""
_MISSING_SHARE: Final = 0.02
"""Of requests: a name mistyped, or gone."""
_SHELL_SHARE: Final = 0.002
"""Of requests of those who may: a shell in a pod."""
_SECRET_SHARE: Final = 0.004
"""Of requests of site reliability engineers: one secret read."""
_INCIDENTS_A_NIGHT: Final = 0.12
"""Calls to whoever is on call."""
_LOOKS: Final = (
    "ps aux",
    "cat /etc/resolv.conf",
    "df -h",
    "env",
    "ls -l /app",
    "top -b -n 1",
    "wget -qO- localhost:8080",
)
EXEC_QUERY: Final = "?command=sh&container={}&stdin=true&stdout=true&tty=true"


@dataclass(frozen=True, slots=True)
class Person:
    """Who it is, when they work, how much."""

    name: str
    role: str
    begins_h: float
    ends_h: float
    requests_h: float
    agent: str
    credential: str


def make_people(cluster: Cluster) -> tuple[Person, ...]:
    """Draw the people of a cluster: the first is an administrator, the second is on call."""
    count = max(_PEOPLE_MIN, cluster.config.pods // _PODS_PER_PERSON)
    return tuple(_person(cluster.config.seed, number) for number in range(count))


def _person(seed: int, number: int) -> Person:
    random = stream(seed, "person", number)
    name = _NAMES[number % len(_NAMES)] + (str(number // len(_NAMES) + 1) if number >= len(_NAMES) else "")
    role = ("admin", "sre", "developer", "developer", "developer")[number % 5]
    begins = random.uniform(6.5, 9.5)
    return Person(
        f"{name}@example.com",
        role,
        begins,
        begins + random.uniform(7.5, 9.5),
        random.lognormvariate(2.4, 0.4),
        random.choice(_AGENTS),
        hex_text(random, 64),
    )


class PersonActor:
    """One person; `advance` is called for one slot after another."""

    def __init__(self, person: Person, cluster: Cluster, actors: Sequence[WorkloadActor]) -> None:
        """`actors`: the workloads; a person looks after some of them."""
        self.person = person
        self._seed = cluster.config.seed
        self._random = stream(self._seed, "work", person.name)
        standing = [actor for actor in actors if actor.workload.archetype.kind in ("Deployment", "StatefulSet")]
        self._called_ns = 0
        self.own = self._random.sample(standing, min(len(standing), 8))

    def caller_at(self, time_ns: int) -> Caller:
        """The person as the API server sees them: the office's network assigns another address each day."""
        random = stream(self._seed, "address", self.person.name, day_of(time_ns))
        address = f"10.200.{random.randrange(16)}.{random.randrange(4, 250)}"
        groups = {"admin": ("platform-admins",), "sre": ("sre-team",)}.get(self.person.role, ("dev-team",))
        return certificate(self.person.name, groups, address, self.person.agent, self.person.credential)

    def advance(self, start_ns: int, end_ns: int, out: list[Emission]) -> None:
        """Work for a slot, if it is time to."""
        person, random = self.person, self._random
        if person.begins_h <= hour_of(start_ns) < person.ends_h and not is_weekend(start_ns):
            caller = self.caller_at(start_ns)
            for _ in range(poisson(random, person.requests_h * (end_ns - start_ns) / HOUR_NS)):
                self._act(start_ns + random.randrange(end_ns - start_ns), caller, out)
        if person.role == "sre" and (start_ns - START_NS) % DAY_NS == 0 and random.random() < _INCIDENTS_A_NIGHT:
            self._called_ns = start_ns + random.randrange(5 * HOUR_NS)
        if start_ns <= self._called_ns < end_ns:
            self._answer_call(self._called_ns, out)

    def _act(self, time_ns: int, caller: Caller, out: list[Emission]) -> None:
        random, draw = self._random, self._random.random()
        actor = random.choice(self.own)
        pod = actor.pod_at(time_ns)
        namespace = actor.workload.namespace
        if pod is not None and draw < _SHELL_SHARE:
            self._open_shell(time_ns, caller, actor, pod, out)
        elif self.person.role == "sre" and draw < _SHELL_SHARE + _SECRET_SHARE:
            call = Call("get", "secrets", namespace, f"{actor.workload.name}-secret")
            out.append(event(random, time_ns, caller, call))
        elif self.person.role == "developer" and draw > 1 - _FORBIDDEN_SHARE:
            out.append(event(random, time_ns, caller, Call("list", "pods", "kube-system", code=403)))
        else:
            code = 404 if draw > 1 - _FORBIDDEN_SHARE - _MISSING_SHARE else 200
            out.append(event(random, time_ns, caller, self._read(actor, pod, code)))

    def _read(self, actor: WorkloadActor, pod: Pod | None, code: int) -> Call:
        verb, resource, _ = self._random.choices(_READS, weights=[weight for _, _, weight in _READS])[0]
        kind, _, subresource = resource.partition("/")
        name = "" if verb == "list" else pod.name if kind == "pods" and pod is not None else actor.workload.name
        namespace = "" if kind == "nodes" else actor.workload.namespace
        code = code if name else 200
        return Call(verb, kind, namespace, name, "apps" if kind in _APPS else "", subresource, code=code)

    def _open_shell(self, time_ns: int, caller: Caller, actor: WorkloadActor, pod: Pod, out: list[Emission]) -> None:
        """A shell in a pod, some commands, the end."""
        random = self._random
        end_ns = time_ns + random.randrange(20 * SECOND_NS, 400 * SECOND_NS)
        query = EXEC_QUERY.format(actor.workload.name)
        call = Call("get", "pods", actor.workload.namespace, pod.name, subresource="exec", query=query, code=101)
        out.extend(session(random, time_ns, end_ns, caller, call))
        shell = Program("/bin/sh", "sh", "containerd-shim")
        out.append(falco.shell_opened(pod.box, time_ns + SECOND_NS // 5, shell))
        for command in random.sample(_LOOKS, random.randint(1, 4)):
            at_ns = random.randrange(time_ns + SECOND_NS, end_ns)
            program = Program(f"/bin/{command.split()[0]}", command, "sh")
            out.append(falco.program_started(pod.box, at_ns, program))

    def _answer_call(self, time_ns: int, out: list[Emission]) -> None:
        """Something broke at night: look around, open a shell, look again."""
        random, caller = self._random, self.caller_at(time_ns)
        actor = random.choice(self.own)
        for _ in range(random.randint(8, 25)):
            out.append(event(random, time_ns, caller, self._read(actor, actor.pod_at(time_ns), 200)))
            time_ns += random.randrange(5 * SECOND_NS, 90 * SECOND_NS)
        pod = actor.pod_at(time_ns)
        if pod is not None:
            self._open_shell(time_ns, caller, actor, pod, out)
