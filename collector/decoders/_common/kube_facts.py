"""Who did what to which object, out of a Kubernetes audit event (KUBE.md's traps; k8s.io/apiserver, audit/v1 types).

`name`, `namespace`, `container`, `images` and the workload are the target's. `pod` and `node` are the actor's own: what
the service account token that it used was issued for.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final
from urllib.parse import unquote_plus

from collector.decoders._common.values import TEXTS_MAX, items, last_texts, table, text, texts, whole
from vedette.schema.event import Document, Facts
from vedette.schema.limits import TEXT_CHARS_MAX

_EXTRA: Final = "authentication.kubernetes.io/"
_DECISION: Final = "authorization.k8s.io/decision"
_TRUNCATED: Final = "audit.k8s.io/truncated"
_NODE_USER: Final = "system:node:"
_CODE_MAX: Final = 999
_DENIALS: Final = (401, 403)
_FIRST_ERROR: Final = 400
_WORKLOADS: Final = {
    "cronjobs": "CronJob",
    "daemonsets": "DaemonSet",
    "deployments": "Deployment",
    "jobs": "Job",
    "replicasets": "ReplicaSet",
    "replicationcontrollers": "ReplicationController",
    "statefulsets": "StatefulSet",
}
_STREAMS: Final = ("/exec", "/attach")
_CONTAINERS: Final = ("initContainers", "containers", "ephemeralContainers")
_QUERY_CHARS_MAX: Final = 8 * TEXT_CHARS_MAX
"""Of a request URI: a command's first TEXT_CHARS_MAX characters, percent-encoded at worst."""


def facts_of(doc: Document) -> Facts:
    """Normalise one event; what is absent or of an unexpected type stays empty."""
    facts = Facts()
    _add_actor(facts, doc)
    _add_target(facts, doc)
    _add_command(facts, text_of_uri(doc.get("requestURI")))
    _add_outcome(facts, doc)
    facts.action = text(doc.get("verb"))
    facts.user_agent = text(doc.get("userAgent"))
    facts.sources = last_texts(doc.get("sourceIPs"))
    return facts


def text_of_uri(value: object) -> str:
    """The request URI, cut where no more of it is looked at."""
    return value[:_QUERY_CHARS_MAX] if isinstance(value, str) else ""


def _add_actor(facts: Facts, doc: Document) -> None:
    user, impersonated = table(doc.get("user")), table(doc.get("impersonatedUser"))
    acting = impersonated or user
    facts.actor = text(acting.get("username"))
    facts.actor_real = text(user.get("username")) if impersonated else ""
    facts.groups = texts(acting.get("groups"))
    extra = table(user.get("extra"))  # the credential is the real user's, whoever was impersonated
    facts.credential = _first(extra, "credential-id")
    facts.pod = _first(extra, "pod-name")
    name = text(user.get("username"))
    facts.node = _first(extra, "node-name") or (name.removeprefix(_NODE_USER) if name.startswith(_NODE_USER) else "")


def _first(extra: dict[str, Any], key: str) -> str:
    return next(iter(texts(extra.get(_EXTRA + key))), "")


def _add_target(facts: Facts, doc: Document) -> None:
    reference = table(doc.get("objectRef"))
    resource, subresource = text(reference.get("resource")), text(reference.get("subresource"))
    facts.resource = f"{resource}/{subresource}" if subresource else resource
    facts.api_group = text(reference.get("apiGroup"))
    facts.namespace = text(reference.get("namespace"))
    asked, answered = doc.get("requestObject"), doc.get("responseObject")
    named = _metadata(asked), _metadata(answered)
    facts.name = (
        text(reference.get("name"))
        or text(named[0].get("name"))
        or text(named[1].get("name"))
        or text(named[0].get("generateName"))
    )
    facts.images = _images(asked) or _images(answered)
    if resource in _WORKLOADS:
        facts.workload_kind, facts.workload = _WORKLOADS[resource], facts.name
    elif resource == "pods":
        facts.workload_kind, facts.workload = _controller(named[0]) or _controller(named[1]) or ("", "")


def _metadata(body: object) -> dict[str, Any]:
    """An object's metadata; empty for a Status (an error, a delete's answer), whose details name another kind."""
    return {} if table(body).get("kind") == "Status" else table(table(body).get("metadata"))


def _controller(metadata: dict[str, Any]) -> tuple[str, str] | None:
    for owner in items(metadata.get("ownerReferences"))[:TEXTS_MAX]:
        if table(owner).get("controller") is True:
            return text(owner.get("kind")), text(owner.get("name"))
    return None


def _images(body: object) -> tuple[str, ...]:
    """Images of a pod, of anything with a pod template, of a partial one (patches), or of a JSON patch."""
    found = _container_images(table(body)) if table(body) else _patched_images(body)
    return tuple(dict.fromkeys(islice((text(image) for image in found if image), TEXTS_MAX)))


def _container_images(body: dict[str, Any]) -> Iterator[str]:
    spec = table(body.get("spec"))
    job = table(table(spec.get("jobTemplate")).get("spec"))
    pods = [spec] + [table(table(owner.get("template")).get("spec")) for owner in (spec, job, body)]
    for pod in pods:
        for key in _CONTAINERS:
            for container in items(pod.get(key)):
                yield text(table(container).get("image"))


def _patched_images(patch: Any) -> Iterator[str]:
    """RFC 6902: an operation's value is an image, a container or a list of containers."""
    for operation in items(patch):
        path, value = text(table(operation).get("path")), table(operation).get("value")
        if path.endswith("/image"):
            yield text(value)
        elif "ontainers" in path:  # containers, initContainers, ephemeralContainers
            for container in items(value) or [value]:
                yield text(table(container).get("image"))


def _add_command(facts: Facts, uri: str) -> None:
    """The command line of an exec: repeated `command=`, percent-encoded; joined by spaces as process listings do.

    The path and the names of parameters may be percent-encoded too, so the path is asked only where there is no object.
    """
    if not facts.resource.endswith(_STREAMS) and not uri.partition("?")[0].endswith(_STREAMS):
        return
    words: list[str] = []
    for part in uri.partition("?")[2].split("&"):
        key, _, value = part.partition("=")
        name = unquote_plus(key)
        if name == "command":
            words.append(unquote_plus(value))
        elif name == "container":
            facts.container = text(unquote_plus(value))
    facts.command = text(" ".join(words))


def _add_outcome(facts: Facts, doc: Document) -> None:
    annotations = table(doc.get("annotations"))
    code = whole(table(doc.get("responseStatus")).get("code"), _CODE_MAX)
    facts.status_code = code
    if code in _DENIALS or annotations.get(_DECISION) == "forbid":
        facts.outcome = "deny"
    elif code:
        facts.outcome = "failure" if code >= _FIRST_ERROR else "allow"
    if annotations.get(_TRUNCATED) == "true":
        facts.incomplete = ("truncated",)
