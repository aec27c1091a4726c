"""Attacks that Falco's sight of containers shows: programs, files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vedette.schema.limits import SECOND_NS
from vedette.testing.simulator import falco, flow
from vedette.testing.simulator.chance import hex_text
from vedette.testing.simulator.cluster import outside_address
from vedette.testing.simulator.falco import Program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vedette.testing.simulator.attacks.stage import Stage
    from vedette.testing.simulator.record import Emission

    Steps = Iterator[Emission | int]

_TOOLS: Final = (
    ("/usr/bin/id", "id"),
    ("/usr/bin/curl", "curl -s http://10.0.255.10:10255/pods"),
    ("/usr/bin/find", "find / -perm -4000 -type f"),
    ("/bin/mount", "mount"),
    ("/usr/bin/getent", "getent hosts kubernetes.default"),
    ("/usr/bin/openssl", "openssl s_client -connect 10.96.0.1:443"),
    ("/usr/bin/perl", "perl -MIO::Socket -e 1"),
    ("/bin/tar", "tar cf - /app"),
    ("/usr/bin/base64", "base64 -w0 /app/config.yaml"),
    ("/bin/uname", "uname -a"),
)
_CREDENTIALS: Final = (
    "/etc/shadow",
    "/root/.aws/credentials",
    "/root/.kube/config",
    "/root/.ssh/id_rsa",
    "/home/app/.netrc",
    "/root/.docker/config.json",
    "/etc/kubernetes/pki/ca.key",
    "/app/.env",
    "/root/.pgpass",
    "/root/.config/gcloud/credentials.db",
    "/var/lib/kubelet/kubeconfig",
    "/root/.azure/accessTokens.json",
)
_POOL_PORT: Final = 14_444


def new_process(stage: Stage) -> Steps:
    """Tools of the image, started by the workload's own program."""
    actor, at_ns = stage.victim(), stage.start_ns
    for path, command in stage.random.sample(_TOOLS, stage.whole("commands")):
        yield at_ns
        program = Program(path, command, actor.life.main.name)
        yield falco.program_started(stage.pod(actor, at_ns).box, at_ns, program)
        at_ns += stage.gap_ns()


def drift(stage: Stage) -> Steps:
    """A file is written, then run."""
    actor, at_ns = stage.victim(), stage.start_ns
    path = f"/tmp/.{hex_text(stage.random, 6)}/agent"  # noqa: S108 - of a simulated container
    yield at_ns
    yield falco.file_written(stage.pod(actor, at_ns).box, at_ns, actor.life.main, path)
    for _ in range(stage.whole("runs")):
        at_ns += stage.span_ns("delay_s")
        yield at_ns
        program = Program(path, f"{path} -d", actor.life.main.name)
        yield falco.program_started(stage.pod(actor, at_ns).box, at_ns, program)


def miner(stage: Stage) -> Steps:
    """A miner under an innocent name, and its pool."""
    actor, at_ns, random = stage.victim(), stage.start_ns, stage.random
    server, end_ns = outside_address(random), stage.start_ns + stage.span_ns("hours")
    path = "/tmp/.cache/node-exporter"  # noqa: S108 - of a simulated container
    yield at_ns
    pod = stage.pod(actor, at_ns)
    yield falco.file_written(pod.box, at_ns, actor.life.main, path)
    program = Program(path, f"{path} --config /tmp/.cache/c.json", actor.life.main.name)
    yield falco.program_started(pod.box, at_ns + SECOND_NS, program)
    own_port = random.randrange(32_768, 60_000)
    yield falco.connected(pod.box, at_ns + 2 * SECOND_NS, program, (pod.address, own_port, server, _POOL_PORT, "tcp"))
    while at_ns < end_ns:
        at_ns += stage.span_ns("keepalive_s")
        yield at_ns
        if not pod.lives_at(at_ns):
            return
        talk = flow.Conversation(pod.address, own_port, server, _POOL_PORT, random.randrange(300, 900), 700)
        yield flow.sent(pod.interface, at_ns, talk, 15)
        yield flow.received(pod.interface, at_ns, talk, 15)


def credential_files_read(stage: Stage) -> Steps:
    """Files with credentials, read by the workload's own program: a path traversal."""
    actor, at_ns = stage.victim(), stage.start_ns
    for path in stage.random.sample(_CREDENTIALS, stage.whole("files")):
        yield at_ns
        yield falco.credential_read(stage.pod(actor, at_ns).box, at_ns, actor.life.main, path)
        at_ns += stage.gap_ns()
