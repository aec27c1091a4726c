"""The ordinary life of a workload: what its pods do all day.

A slot is a stretch of ten minutes. All that happens in one is drawn at once: a Poisson count of acts whose mean follows
the hour of the day and a gamma factor (real counts scatter more than Poisson's), then their times and kinds.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Final, TypeAlias

from vedette.schema.limits import SECOND_NS
from vedette.testing.simulator import falco, flow
from vedette.testing.simulator.audit import Call, event
from vedette.testing.simulator.chance import hex_text, overdispersion, poisson
from vedette.testing.simulator.cluster import NAME_SERVER, PROMETHEUS, Peer, Workload
from vedette.testing.simulator.falco import Program
from vedette.testing.simulator.moments import HOUR_NS, MINUTE_NS, load

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from vedette.testing.simulator.pods import Pod
    from vedette.testing.simulator.record import Emission
    from vedette.testing.simulator.workload import WorkloadActor

    Act: TypeAlias = Callable[[Pod, int, list[Emission]], None]

TOKEN_PATH: Final = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105 - a path
_SCATTER: Final = 4.0
"""Shape of the gamma factor: counts of a slot have a variance of mean + mean²/4."""
_PROMETHEUS_INTERFACE: Final = "0aa1b2c3d4e5f6071"
_TOKEN_READS_H: Final = 0.1
"""Readings of its token by a pod in an hour."""
_PROBED_PODS: Final = 2
"""Pods of a probed workload that are in another subnet than their nodes, so that the flow log has their probes."""
_FIRST_PORT: Final = 32_768
_EPHEMERAL_PORTS: Final = 28_000
_OUTSIDE_SHARE: Final = 0.25
"""Of conversations, for workloads that have somebody outside."""
_NAMES_SHARE: Final = 0.2
"""Of conversations: with the name server."""
_STALE_SHARE: Final = 0.004
"""Of conversations: with an address whose pod is gone, turned away."""


class Life:
    """Draws what the pods of one workload do. `services` are the workloads that it may talk to by now."""

    def __init__(self, workload: Workload, random: Random, services: Sequence[WorkloadActor]) -> None:
        """`random` is the workload's own."""
        self._workload = workload
        self._random = random
        self.services = list(services)
        kind = workload.archetype
        self.main = self._filled(kind.start[-1])
        acts: list[tuple[Act, float]] = [
            (self._talk, kind.talks_h),
            (self._connect, kind.connects_h),
            (self._run, kind.programs_h if kind.programs else 0.0),
            (self._write, kind.files_h),
            (self._call, kind.calls_h),
            (self._read_token, 0.0 if kind.kind == "Job" else _TOKEN_READS_H),
        ]
        self._acts = [act for act, _ in acts]
        self._weights = list(accumulate(rate for _, rate in acts))
        self._phase_ns = random.randrange(5 * MINUTE_NS)
        self._calls = self._usual_calls()
        self._base_bytes = int(random.lognormvariate(8.0, 0.7))

    def start(self, pod: Pod, out: list[Emission]) -> None:
        """A container starts: its programs, its configuration read through the API where it does so."""
        at_ns = pod.started_ns + SECOND_NS // 2
        for program in self._workload.archetype.start:
            out.append(falco.program_started(pod.box, at_ns, self._filled(program)))
            at_ns += self._random.randrange(SECOND_NS // 10, 3 * SECOND_NS)
        workload = self._workload
        if workload.archetype.kind != "Job":  # builds are given no token
            out.append(falco.credential_read(pod.box, at_ns, self.main, TOKEN_PATH))
        if workload.index % 3 == 0:
            for resource in ("configmaps", "secrets"):
                call = Call("get", resource, workload.namespace, f"{workload.name}-{resource[:-1]}")
                out.append(event(self._random, at_ns, pod.caller, call))
                at_ns += self._random.randrange(SECOND_NS)

    def slot(self, pods: Sequence[Pod], start_ns: int, end_ns: int, out: list[Emission]) -> None:
        """Draw a slot."""
        random, kind = self._random, self._workload.archetype
        busy = load((start_ns + end_ns) // 2, kind.swing, kind.weekend) * overdispersion(random, _SCATTER)
        span_ns = end_ns - start_ns
        count = poisson(random, self._weights[-1] * len(pods) * busy * span_ns / HOUR_NS)
        for act in random.choices(self._acts, cum_weights=self._weights, k=count) if count else ():
            pod, at_ns = random.choice(pods), start_ns + random.randrange(span_ns)
            if pod.lives_at(at_ns):
                act(pod, at_ns, out)
        self._regular(pods, start_ns, end_ns, out)

    def burst(self, pod: Pod, out: list[Emission], hours: float) -> None:
        """All that a short-lived pod does in its life: `hours` of acts at the archetype's rates."""
        random = self._random
        count = max(1, poisson(random, self._weights[-1] * hours))
        for act in random.choices(self._acts, cum_weights=self._weights, k=count):
            act(pod, random.randrange(pod.started_ns + 2 * SECOND_NS, pod.ended_ns), out)

    def _regular(self, pods: Sequence[Pod], start_ns: int, end_ns: int, out: list[Emission]) -> None:
        """What comes like clockwork: scrapes, probes, pushes to a vendor, leases."""
        kind, workload = self._workload.archetype, self._workload
        for number, pod in enumerate(pods):
            at_ns = start_ns + self._phase_ns
            if kind.scraped and pod.lives_at(at_ns):
                talk = flow.Conversation(PROMETHEUS, 40_000 + workload.index % 9000, pod.address, 9090, 9_400, 310_000)
                out.append(flow.sent(_PROMETHEUS_INTERFACE, at_ns, talk, 59))
            if workload.probed and number < _PROBED_PODS:
                self._each_minute(self._probe, pod, start_ns, end_ns, out)
            if kind.pushes:
                self._each_minute(self._push, pod, start_ns, end_ns, out)
        if kind.calls_h and pods:
            self._each_minute(self._lead, pods[0], start_ns, end_ns, out)

    def _each_minute(self, act: Act, pod: Pod, start_ns: int, end_ns: int, out: list[Emission]) -> None:
        for at_ns in range(start_ns + self._phase_ns % MINUTE_NS, end_ns, MINUTE_NS):
            if pod.lives_at(at_ns):
                act(pod, at_ns, out)

    def _probe(self, pod: Pod, at_ns: int, out: list[Emission]) -> None:
        port = self._port()
        talk = flow.Conversation(pod.node.address, port, pod.address, self._workload.archetype.port, 420, 310)
        out.append(flow.received(pod.node.interface, at_ns, talk))

    def _push(self, pod: Pod, at_ns: int, out: list[Emission]) -> None:
        self._talk_to(pod, at_ns + self._random.randrange(SECOND_NS), out, self._workload.externals[0])

    def _lead(self, pod: Pod, at_ns: int, out: list[Emission]) -> None:
        name = f"{self._workload.name}.example.io"
        call = Call("update", "leases", self._workload.namespace, name, "coordination.k8s.io")
        out.append(event(self._random, at_ns, pod.caller, call))

    def _talk(self, pod: Pod, at_ns: int, out: list[Emission]) -> None:
        """A conversation in the flow log."""
        random, workload = self._random, self._workload
        draw = random.random()
        if draw < _NAMES_SHARE:
            self._converse(pod, at_ns, out, NAME_SERVER, 53, (120, 340, flow.UDP))
        elif workload.externals and draw < _NAMES_SHARE + _OUTSIDE_SHARE:
            self._talk_to(pod, at_ns, out, random.choice(workload.externals))
        elif self.services:
            server = random.choice(self.services)
            peers = [peer for peer in server.pods if peer.lives_at(at_ns)]
            if peers:
                sent = int(self._base_bytes * random.lognormvariate(0.0, 0.8))
                port = server.workload.archetype.port
                self._converse(pod, at_ns, out, random.choice(peers).address, port, (sent, sent * 3, flow.TCP))

    def _talk_to(self, pod: Pod, at_ns: int, out: list[Emission], peer: Peer) -> None:
        factor = self._random.lognormvariate(0.0, 0.6)
        counts = (int(peer.sent_bytes * factor), int(peer.received_bytes * factor), flow.TCP)
        self._converse(pod, at_ns, out, self._random.choice(peer.addresses), peer.port, counts)

    def _converse(
        self, pod: Pod, at_ns: int, out: list[Emission], server: str, port: int, counts: tuple[int, int, int]
    ) -> None:
        accepted = self._random.random() >= _STALE_SHARE or port == 53  # noqa: PLR2004 - DNS
        talk = flow.Conversation(pod.address, self._port(), server, port, *counts, accepted)
        out.append(flow.sent(pod.interface, at_ns, talk))
        if accepted:
            out.append(flow.received(pod.interface, at_ns, talk))

    def _connect(self, pod: Pod, at_ns: int, out: list[Emission]) -> None:
        """A connection that Falco tells of: to a service's address, to a vendor, to the name server."""
        random, workload = self._random, self._workload
        if workload.externals and random.random() < _OUTSIDE_SHARE:
            peer = random.choice(workload.externals)
            server, port, protocol = random.choice(peer.addresses), peer.port, "tcp"
        elif self.services and random.random() > _NAMES_SHARE:
            service = random.choice(self.services).workload
            server, port, protocol = service.service, service.archetype.port, "tcp"
        else:
            server, port, protocol = NAME_SERVER, 53, "udp"
        out.append(falco.connected(pod.box, at_ns, self.main, (pod.address, self._port(), server, port, protocol)))

    def _run(self, pod: Pod, at_ns: int, out: list[Emission]) -> None:
        program = self._filled(self._random.choice(self._workload.archetype.programs))
        out.append(falco.program_started(pod.box, at_ns, program))

    def _write(self, pod: Pod, at_ns: int, out: list[Emission]) -> None:
        path = self._fill(self._random.choice(self._workload.archetype.files))
        out.append(falco.file_written(pod.box, at_ns, self.main, path))

    def _read_token(self, pod: Pod, at_ns: int, out: list[Emission]) -> None:
        out.append(falco.credential_read(pod.box, at_ns, self.main, TOKEN_PATH))

    def _call(self, pod: Pod, at_ns: int, out: list[Emission]) -> None:
        out.append(event(self._random, at_ns, pod.caller, self._random.choice(self._calls)))

    def usual_call(self, random: Random) -> Call:
        """One of the requests that this workload always makes."""
        return random.choice(self._calls)

    def _usual_calls(self) -> list[Call]:
        """What an operator asks the API server for: its own resources, what it makes of them, events."""
        group, resource = self._workload.archetype.resource
        if not resource:
            return []
        namespace = self._workload.namespace
        names = [f"{resource[:-1]}-{number}" for number in range(12)]
        calls = [Call("list", resource, group=group), Call("watch", resource, group=group, query="?watch=true")]
        for name in names:
            calls.append(Call("get", resource, namespace, name, group))
            calls.append(Call("update", resource, namespace, name, group, "status"))
            calls.append(Call("get", "configmaps", namespace, name))
        return [*calls, Call("create", "events", namespace, code=201)]

    def _port(self) -> int:
        return _FIRST_PORT + int(self._random.random() * _EPHEMERAL_PORTS)

    def _filled(self, program: Program) -> Program:
        return program._replace(command=self._fill(program.command)) if _fills(program) else program

    def _fill(self, text: str) -> str:
        if "{" not in text:
            return text
        text = text.replace("{name}", self._workload.name)
        if "{n}" in text:
            text = text.replace("{n}", str(self._random.randrange(10_000)))
        return text.replace("{id}", hex_text(self._random, 8)) if "{id}" in text else text


def _fills(program: Program) -> bool:
    return "{" in program.command
