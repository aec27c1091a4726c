"""Kubernetes audit events (`audit.k8s.io/v1`), as the log backend of Kubernetes 1.35 writes them.

The policy of the simulated cluster: metadata for most, bodies for changes of workloads, nothing for the leases of
nodes, for health checks and for the stage RequestReceived.
"""

from __future__ import annotations

from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from vedette.testing.simulator.chance import uuid_text
from vedette.testing.simulator.moments import audit_text
from vedette.testing.simulator.record import Emission

if TYPE_CHECKING:
    from random import Random

FORMAT: Final = "kube_audit"
VERSION: Final = "v1.35.4"
_SLOWEST_NS: Final = 40_000_000
"""The longest that an ordinary request takes."""
_FIRST_ERROR: Final = 400
_REFUSED: Final = '{"authorization.k8s.io/decision":"forbid","authorization.k8s.io/reason":""}'
_REASONS: Final = {403: "Forbidden", 404: "NotFound", 409: "AlreadyExists"}


class Caller(NamedTuple):
    """Who calls, from where, with what. `user` is JSON; name, address and agent need no escapes in it."""

    name: str
    address: str
    user: str
    agent: str
    granted: str
    """The annotations of an allowed request."""


class Call(NamedTuple):
    """A request on a resource, and its answer. `query` may hold `?…`; `request` is the body in JSON."""

    verb: str
    resource: str
    namespace: str = ""
    name: str = ""
    group: str = ""
    subresource: str = ""
    query: str = ""
    code: int = 200
    request: str = ""
    response: str = ""

    @property
    def uri(self) -> str:
        """The request URI."""
        parts = ["/apis", self.group] if self.group else ["/api"]
        parts += ["v1", *(["namespaces", self.namespace] if self.namespace else []), self.resource]
        parts += [part for part in (self.name, self.subresource) if part]
        return "/".join(parts) + self.query


def certificate(name: str, groups: tuple[str, ...], address: str, agent: str, credential: str) -> Caller:
    """Somebody with a client certificate, a person or a component; `credential` is its fingerprint."""
    extra = {"authentication.kubernetes.io/credential-id": [f"X509SHA256={credential}"]}
    user = {"username": name, "groups": [*groups, "system:authenticated"], "extra": extra}
    binding = f"{groups[0] if groups else name}-edit".removeprefix("system:")
    return _caller(user, address, agent, f'ClusterRoleBinding "{binding}" of ClusterRole "{binding}" to User "{name}"')


def service_account(namespace: str, name: str, address: str, agent: str, token: dict[str, str]) -> Caller:
    """A service account; `token`: what `user.extra` says of it (credential-id, pod-name, …)."""
    extra = {f"authentication.kubernetes.io/{key}": [value] for key, value in token.items()}
    groups = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"]
    user = {"username": f"system:serviceaccount:{namespace}:{name}", "groups": groups, "extra": extra}
    return _caller(
        user, address, agent, f'RoleBinding "{name}/{namespace}" of Role "{name}" to ServiceAccount "{name}"'
    )


def _caller(user: dict[str, Any], address: str, agent: str, binding: str) -> Caller:
    granted = {
        "authorization.k8s.io/decision": "allow",
        "authorization.k8s.io/reason": f"RBAC: allowed by {binding}",
    }
    return Caller(str(user["username"]), address, orjson.dumps(user).decode(), agent, orjson.dumps(granted).decode())


def event(random: Random, time_ns: int, caller: Caller, call: Call) -> Emission:
    """One answered request; `time_ns` is when it was answered."""
    received_ns = time_ns - random.randrange(500_000, _SLOWEST_NS)
    return _emit(uuid_text(random), (received_ns, time_ns), caller, call, "ResponseComplete")


def session(random: Random, time_ns: int, end_ns: int, caller: Caller, call: Call) -> list[Emission]:
    """A request that stays open (exec, port-forward): both stages, with one audit id."""
    audit_id, received_ns = uuid_text(random), time_ns - random.randrange(500_000, _SLOWEST_NS)
    stages = (("ResponseStarted", time_ns), ("ResponseComplete", end_ns))
    return [_emit(audit_id, (received_ns, at_ns), caller, call, stage) for stage, at_ns in stages]


def _emit(audit_id: str, times_ns: tuple[int, int], caller: Caller, call: Call, stage: str) -> Emission:
    level = "RequestResponse" if call.request else "Metadata"
    annotations = _REFUSED if call.code == HTTPStatus.FORBIDDEN else caller.granted
    before, after = _texts(call)
    stage_ns = times_ns[1] // 1000 * 1000
    payload = (
        f'{{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"{level}","auditID":"{audit_id}","stage":"{stage}",'
        f'{before},"user":{caller.user},"sourceIPs":["{caller.address}"],"userAgent":"{caller.agent}",'
        f'{after},"requestReceivedTimestamp":"{audit_text(times_ns[0])}",'
        f'"stageTimestamp":"{audit_text(stage_ns)}","annotations":{annotations}}}'
    ).encode()
    return Emission(stage_ns, payload, FORMAT, "")


@lru_cache(maxsize=2048)
def _texts(call: Call) -> tuple[str, str]:
    """Render what stands before and after the caller."""
    named = {"resource": call.resource, "namespace": call.namespace, "name": call.name, "apiGroup": call.group}
    reference = {key: value for key, value in named.items() if value} | {"apiVersion": "v1"}
    if call.subresource:
        reference["subresource"] = call.subresource
    after = f'"objectRef":{orjson.dumps(reference).decode()},"responseStatus":{orjson.dumps(_status(call)).decode()}'
    if call.request:
        after += f',"requestObject":{call.request},"responseObject":{call.response or call.request}'
    uri = orjson.dumps(call.uri).decode().replace("&", "\\u0026")
    return f'"requestURI":{uri},"verb":"{call.verb}"', after


def _status(call: Call) -> dict[str, Any]:
    if call.code < _FIRST_ERROR:
        return {"metadata": {}, "code": call.code}
    reason = _REASONS[call.code]
    message = f'{call.resource} "{call.name}" is {reason.lower()}'
    return {"metadata": {}, "status": "Failure", "message": message, "reason": reason, "code": call.code}
