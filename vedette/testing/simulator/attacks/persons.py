"""Attacks with the credentials of people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vedette.schema.limits import SECOND_NS
from vedette.testing.simulator import falco
from vedette.testing.simulator.audit import Call, event, session
from vedette.testing.simulator.cluster import outside_address
from vedette.testing.simulator.falco import Program
from vedette.testing.simulator.people import EXEC_QUERY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vedette.testing.simulator.attacks.stage import Stage
    from vedette.testing.simulator.record import Emission

    Steps = Iterator[Emission | int]

_SECRETS: Final = ("secret", "tls", "db", "api-key", "oauth", "smtp", "queue", "signing")
_COMMANDS: Final = ("id", "cat /etc/passwd", "env", "ls -la /", "ps aux", "cat /proc/1/environ", "df -h", "whoami")
_DELETED: Final = tuple((kind, group, "") for kind, group in (("deployments", "apps"), ("services", ""))) + tuple(
    (kind, "", f"-{number}") for kind in ("configmaps", "secrets", "persistentvolumeclaims") for number in range(5)
)
"""Kinds of objects, their group, and what their names have beside the workload's."""


def secret_harvest(stage: Stage) -> Steps:
    """Different secrets by name, spread over the window."""
    random, actor = stage.random, stage.person("sre")
    count, window_ns = stage.whole("secrets"), stage.span_ns("window_min")
    names = [(namespace, f"{name}-{kind}") for namespace, name in stage.names for kind in _SECRETS]
    times = sorted(stage.start_ns + random.randrange(window_ns) for _ in range(count))
    caller = actor.caller_at(stage.start_ns)
    for at_ns, (namespace, name) in zip(times, random.sample(names, count), strict=True):
        yield at_ns
        yield event(random, at_ns, caller, Call("get", "secrets", namespace, name))


def credential_in_two_networks(stage: Stage) -> Steps:
    """The owner's certificate, from the internet, for what the owner does as well."""
    random, actor, at_ns = stage.random, stage.person("developer"), stage.start_ns
    stolen = actor.caller_at(at_ns)._replace(address=outside_address(random))
    for _ in range(stage.whole("requests")):
        yield at_ns
        workload = random.choice(actor.own).workload
        verb = random.choice(("get", "list"))
        yield event(
            random, at_ns, stolen, Call(verb, "services", workload.namespace, workload.name if verb == "get" else "")
        )
        at_ns += stage.gap_ns()


def mass_delete(stage: Stage) -> Steps:
    """Objects of namespaces, one after another."""
    random, actor, at_ns = stage.random, stage.person("admin"), stage.start_ns
    objects = [
        Call("delete", kind, namespace, name + suffix, group)
        for namespace, name in stage.names
        for kind, group, suffix in _DELETED
    ]
    caller = actor.caller_at(at_ns)
    for call in random.sample(objects, stage.whole("objects")):
        yield at_ns
        yield event(random, at_ns, caller, call)
        at_ns += stage.gap_ns()


def night_exec(stage: Stage) -> Steps:
    """A shell in a pod that the developer looks after by day."""
    random, actor, at_ns = stage.random, stage.person("developer"), stage.start_ns
    yield at_ns
    target = random.choice([own for own in actor.own if own.pod_at(at_ns)])
    pod, count = stage.pod(target, at_ns), stage.whole("commands")
    end_ns = at_ns + (count + 1) * 2 * stage.span_ns("gap_s")
    query = EXEC_QUERY.format(target.workload.name)
    call = Call("get", "pods", target.workload.namespace, pod.name, subresource="exec", query=query, code=101)
    yield from session(random, at_ns, end_ns, actor.caller_at(at_ns), call)
    yield falco.shell_opened(pod.box, at_ns + SECOND_NS // 5, Program("/bin/sh", "sh", "containerd-shim"))
    for _ in range(count):
        at_ns += stage.gap_ns()
        yield at_ns
        command = random.choice(_COMMANDS)
        program = Program(f"/bin/{command.split()[0]}", command, "sh")
        yield falco.program_started(pod.box, at_ns, program)
