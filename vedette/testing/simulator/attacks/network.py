"""Attacks that the network shows: scans, data going out, calls home, new ways inside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vedette.schema.limits import SECOND_NS
from vedette.testing.simulator import falco, flow
from vedette.testing.simulator.cluster import outside_address
from vedette.testing.simulator.moments import MINUTE_NS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vedette.testing.simulator.attacks.stage import Stage
    from vedette.testing.simulator.record import Emission
    from vedette.testing.simulator.workload import WorkloadActor

    Steps = Iterator[Emission | int]

_COMMON_PORTS: Final = (21, 22, 25, 80, 111, 139, 443, 445, 1433, 2379, 3306, 3389, 5432, 5900, 6379, 6443, 8000)
_MORE_PORTS: Final = (8080, 8443, 8888, 9000, 9042, 9090, 9100, 9200, 10250, 10255, 10256, 11211, 15672, 27017, 30000)
_SWEPT_PORTS: Final = (22, 2379, 5432, 6379, 9200, 10250)
_KNOWN_SHARE: Final = 0.5
"""Of exfiltrations that go to a vendor of the workload, so that only the volume tells."""
_MB: Final = 1_000_000


def port_scan(stage: Stage) -> Steps:
    """Ports of one pod of another workload, in no order."""
    actor, at_ns = stage.victim(), stage.start_ns
    target = stage.random.choice(stage.others(actor))
    ports = stage.random.sample([*_COMMON_PORTS, *_MORE_PORTS, *range(1024, 1100)], stage.whole("ports"))
    for port in ports:
        yield at_ns
        server = stage.pod(target, at_ns).address
        yield from _probe(stage, actor, at_ns, (server, port))
        at_ns += stage.gap_ns()


def host_sweep(stage: Stage) -> Steps:
    """One port on addresses of pods and on such as nobody has."""
    actor, at_ns = stage.victim(), stage.start_ns
    port = stage.random.choice(_SWEPT_PORTS)
    hosts = [f"10.{128 + number // 250}.{number % 250}.4" for number in range(400)]
    for host in stage.random.sample(hosts, stage.whole("hosts")):
        yield at_ns
        yield from _probe(stage, actor, at_ns, (host, port))
        at_ns += stage.gap_ns()


def _probe(stage: Stage, actor: WorkloadActor, at_ns: int, server: tuple[str, int]) -> Iterator[Emission]:
    """One first contact: Falco sees the attempt, the flow log whether it was let through."""
    pod, own_port = stage.pod(actor, at_ns), stage.random.randrange(32_768, 60_000)
    accepted = stage.random.random() < stage.parameters["open_share"]
    yield falco.connected(pod.box, at_ns, actor.life.main, (pod.address, own_port, *server, "tcp"))
    talk = flow.Conversation(pod.address, own_port, *server, 60, 40, accepted=accepted)
    yield flow.sent(pod.interface, at_ns, talk, 0)
    if accepted:
        yield flow.received(pod.interface, at_ns, talk, 0)


def slow_exfiltration(stage: Stage) -> Steps:
    """A little every so many minutes."""
    yield from _exfiltrate(stage, stage.span_ns("hours"), stage.span_ns("chunk_min"))


def burst_exfiltration(stage: Stage) -> Steps:
    """All at once."""
    yield from _exfiltrate(stage, stage.span_ns("minutes"), MINUTE_NS)


def _exfiltrate(stage: Stage, length_ns: int, each_ns: int) -> Steps:
    random, actor = stage.random, stage.victim()
    known = actor.workload.externals if random.random() < _KNOWN_SHARE else ()
    server = known[0].addresses[0] if known else outside_address(random)
    pieces = max(2, length_ns // each_ns)
    size = int(stage.parameters["total_mb"] * _MB / pieces)
    for number in range(pieces):
        at_ns = stage.start_ns + number * each_ns + random.randrange(each_ns // 3)
        yield at_ns
        pod = stage.pod(actor, at_ns)
        port, sent = random.randrange(32_768, 60_000), int(size * random.uniform(0.8, 1.2))
        yield falco.connected(pod.box, at_ns, actor.life.main, (pod.address, port, server, 443, "tcp"))
        talk = flow.Conversation(pod.address, port, server, 443, sent, sent // 60)
        yield flow.sent(pod.interface, at_ns + SECOND_NS, talk, 30)
        yield flow.received(pod.interface, at_ns + SECOND_NS, talk, 30)


def beacon(stage: Stage) -> Steps:
    """Each period, give or take the jitter, a few hundred bytes out and back."""
    random, actor = stage.random, stage.victim()
    server, at_ns = outside_address(random), stage.start_ns
    jitter = stage.parameters["jitter"]
    while at_ns < stage.start_ns + stage.span_ns("hours"):
        yield at_ns
        pod, port = stage.pod(actor, at_ns), random.randrange(32_768, 60_000)
        yield falco.connected(pod.box, at_ns, actor.life.main, (pod.address, port, server, 443, "tcp"))
        talk = flow.Conversation(pod.address, port, server, 443, random.randrange(480, 560), random.randrange(300, 360))
        yield flow.sent(pod.interface, at_ns, talk)
        yield flow.received(pod.interface, at_ns, talk)
        at_ns += int(stage.span_ns("period_s") * random.uniform(1 - jitter, 1 + jitter))


def lateral_edge(stage: Stage) -> Steps:
    """Connections to the service of a workload that it has nothing to do with."""
    actor, at_ns = stage.victim(), stage.start_ns
    target = stage.random.choice(stage.others(actor))
    for _ in range(stage.whole("connections")):
        yield at_ns
        pod, port = stage.pod(actor, at_ns), stage.random.randrange(32_768, 60_000)
        service, server_port = target.workload.service, target.workload.archetype.port
        yield falco.connected(pod.box, at_ns, actor.life.main, (pod.address, port, service, server_port, "tcp"))
        server = stage.pod(target, at_ns).address
        talk = flow.Conversation(pod.address, port, server, server_port, 2_300, 8_900)
        yield flow.sent(pod.interface, at_ns + SECOND_NS, talk)
        yield flow.received(pod.interface, at_ns + SECOND_NS, talk)
        at_ns += stage.gap_ns()
