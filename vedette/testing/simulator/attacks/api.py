"""Attacks with the tokens of service accounts, as the API server's log shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson

from vedette.schema.limits import SECOND_NS
from vedette.testing.simulator import falco
from vedette.testing.simulator.audit import Call, event
from vedette.testing.simulator.chance import hex_text, name_suffix
from vedette.testing.simulator.cluster import outside_address
from vedette.testing.simulator.falco import Program
from vedette.testing.simulator.moments import MINUTE_NS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vedette.testing.simulator.attacks.stage import Stage
    from vedette.testing.simulator.pods import Pod
    from vedette.testing.simulator.record import Emission

    Steps = Iterator[Emission | int]

_KINDS: Final = (
    ("pods", ""),
    ("secrets", ""),
    ("configmaps", ""),
    ("services", ""),
    ("serviceaccounts", ""),
    ("persistentvolumeclaims", ""),
    ("deployments", "apps"),
    ("daemonsets", "apps"),
    ("jobs", "batch"),
    ("cronjobs", "batch"),
    ("roles", "rbac.authorization.k8s.io"),
    ("rolebindings", "rbac.authorization.k8s.io"),
    ("networkpolicies", "networking.k8s.io"),
)
_USUAL_NAMESPACES: Final = ("argocd", "ci", "default", "kube-public", "kube-system", "monitoring")
_NEW: Final = (
    ("list", "pods", "", 200),
    ("list", "secrets", "", 200),
    ("create", "pods", "", 201),
    ("patch", "deployments", "apps", 200),
    ("delete", "jobs", "batch", 200),
    ("list", "rolebindings", "rbac.authorization.k8s.io", 200),
)


def forbidden_enumeration(stage: Stage) -> Steps:
    """One kind after another, in one namespace after another."""
    random, actor, at_ns = stage.random, stage.victim(), stage.start_ns
    namespaces = sorted({namespace for namespace, _ in stage.names} | set(_USUAL_NAMESPACES))
    asked = [(kind, group, namespace) for namespace in namespaces for kind, group in _KINDS]
    for kind, group, namespace in random.sample(asked, stage.whole("requests")):
        yield at_ns
        code = 200 if random.random() < stage.parameters["allowed_share"] else 403
        yield event(
            random, at_ns, stage.pod(actor, at_ns).caller, Call("list", kind, namespace, group=group, code=code)
        )
        at_ns += stage.gap_ns()


def token_from_new_network(stage: Stage) -> Steps:
    """The token of a pod, used from the internet."""
    random, actor, at_ns = stage.random, stage.victim(), stage.start_ns
    address, namespace = outside_address(random), actor.workload.namespace
    yield at_ns
    stolen = stage.pod(actor, at_ns).caller._replace(address=address)
    for _ in range(stage.whole("requests")):
        yield at_ns
        call = Call("get", "configmaps", namespace, f"{actor.workload.name}-configmap")
        yield event(random, at_ns, stolen, call)
        at_ns += stage.gap_ns()


def service_account_new_verb(stage: Stage) -> Steps:
    """One request that its owner never makes, some times."""
    random, actor, at_ns = stage.random, stage.victim("operator", "web", "api"), stage.start_ns
    verb, kind, group, code = random.choice(_NEW)
    for _ in range(stage.whole("requests")):
        yield at_ns
        name = "" if verb in ("list", "create") else f"{actor.workload.name}-{random.randrange(9)}"
        call = Call(verb, kind, actor.workload.namespace, name, group, code=code)
        yield event(random, at_ns, stage.pod(actor, at_ns).caller, call)
        at_ns += stage.gap_ns()


def persistent_cron_job(stage: Stage) -> Steps:
    """A cron job is created; its pods come and run a script."""
    random, actor, at_ns = stage.random, stage.victim(), stage.start_ns
    name, namespace = f"housekeeping-{name_suffix(random, 4)}", actor.workload.namespace
    container = {"name": "c", "image": "registry.example.com/base/tools:1.4.0", "args": ["sh", "-c", "/run.sh"]}
    spec = {"schedule": "*/5 * * * *", "jobTemplate": {"spec": {"template": {"spec": {"containers": [container]}}}}}
    body = {"kind": "CronJob", "apiVersion": "batch/v1", "metadata": {"name": name}, "spec": spec}
    yield at_ns
    caller = stage.pod(actor, at_ns).caller
    request = orjson.dumps(body).decode()
    yield event(random, at_ns, caller, Call("create", "cronjobs", namespace, name, "batch", code=201, request=request))
    for _ in range(stage.whole("runs")):
        at_ns += stage.span_ns("every_min")
        yield at_ns
        yield from _run(stage, at_ns, stage.pod(actor, at_ns), (namespace, f"{name}-{at_ns // MINUTE_NS}"))


def _run(stage: Stage, at_ns: int, near: Pod, job: tuple[str, str]) -> Iterator[Emission]:
    """One run of the job, on the node of a pod of the victim."""
    random, system = stage.random, stage.cluster.system
    namespace, name = job
    pod = f"{name}-{name_suffix(random, 5)}"
    yield event(random, at_ns, system["cronjob-controller"], Call("create", "jobs", namespace, name, "batch", code=201))
    yield event(random, at_ns + SECOND_NS, system["job-controller"], Call("create", "pods", namespace, code=201))
    image = ("registry.example.com/base/tools", "1.4.0", f"sha256:{hex_text(random, 64)}")
    box = falco.make_box(near.node.name, hex_text(random, 12), "c", image, (namespace, pod), "root:0")
    program = Program("/bin/sh", "sh -c /run.sh", "containerd-shim")
    yield falco.program_started(box, at_ns + 4 * SECOND_NS, program)


def api_flood(stage: Stage) -> Steps:
    """What an operator always asks for, many times as often."""
    random, actor, at_ns = stage.random, stage.victim("operator"), stage.start_ns
    end_ns = at_ns + stage.span_ns("minutes")
    rate_h = stage.parameters["factor"] * actor.workload.archetype.calls_h
    while at_ns < end_ns:
        yield at_ns
        yield event(random, at_ns, stage.pod(actor, at_ns).caller, actor.life.usual_call(random))
        at_ns += int(random.expovariate(rate_h) * 60 * MINUTE_NS)
