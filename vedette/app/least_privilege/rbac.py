"""An RBAC role of what a service account was seen to do: no more verbs and resources than that.

Requests on one namespace become a Role and a RoleBinding there, all others (cluster-wide lists, objects without a
namespace, paths that are no resource) a ClusterRole and a ClusterRoleBinding. Names of single objects are not learned.
Source: k8s.io/api, rbac/v1 types; an audit event's `objectRef` has group, resource and subresource as rules name them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import yaml

from vedette.app.least_privilege.learned import Basis, Call, comment, label_text, object_name
from vedette.schema.errors import ConfigError
from vedette.schema.observation import Kind, Observation

_GROUP: Final = "rbac.authorization.k8s.io"
_ACCOUNT: Final = "system:serviceaccount:"


class Account(NamedTuple):
    """A service account."""

    namespace: str
    name: str


def account_of(actor: str) -> Account:
    """Return the account that a user name of the API server means, or `namespace/name`.

    Raises:
        ConfigError: it is no service account.
    """
    parts = actor.removeprefix(_ACCOUNT).replace("/", ":").split(":")
    if len(parts) != 2 or not all(parts):  # noqa: PLR2004 - namespace and name
        raise ConfigError(f"{actor!r} is no service account; write namespace/name")
    return Account(label_text(parts[0], "a namespace"), label_text(parts[1], "a service account"))


class Rbac:
    """The permissions of one account."""

    def __init__(self, account: Account, calls: Iterable[Call]) -> None:
        """Allow exactly these calls."""
        self.account = account
        self.calls = sorted(set(calls))
        self._allowed = frozenset(self.calls)

    @property
    def actor(self) -> str:
        """The account as the API server names it."""
        return f"{_ACCOUNT}{self.account.namespace}:{self.account.name}"

    def concerns(self, seen: Observation) -> bool:
        """Say whether an observation is a request of the account that was allowed."""
        return seen.kind is Kind.CALL and seen.actor == self.actor and seen.outcome != "deny"

    def allows(self, seen: Observation) -> bool:
        """Say whether the role would allow a request."""
        return Call(seen.verb, seen.api_group, seen.resource, seen.namespace) in self._allowed

    def told(self, seen: Observation) -> str:
        """Name a request for people."""
        where = f" in {seen.namespace}" if seen.namespace else ""
        group = f" ({seen.api_group})" if seen.api_group else ""
        return f"{seen.verb} {seen.resource}{group}{where}"

    def text(self, basis: Basis, blocked: Iterable[str] = ()) -> str:
        """Return the objects as YAML, with what they were learned from."""
        head = comment([*basis.sentences(), *blocked])
        return head + yaml.safe_dump_all(self.objects(), sort_keys=False)

    def objects(self) -> list[dict[str, Any]]:
        """Return the roles and their bindings."""
        found: list[dict[str, Any]] = []
        for namespace in sorted({call.namespace for call in self.calls}, key=lambda name: (not name, name)):
            rules = _rules(call for call in self.calls if call.namespace == namespace)
            name = object_name(*filter(None, (self.account.name, namespace and self.account.namespace)), "observed")
            kind = "Role" if namespace else "ClusterRole"
            where = {"namespace": label_text(namespace, "a namespace")} if namespace else {}
            name = name if namespace else object_name(self.account.namespace, self.account.name, "observed")
            metadata = {"name": name, **where}
            api = {"apiVersion": f"{_GROUP}/v1"}
            subject = {"kind": "ServiceAccount", "name": self.account.name, "namespace": self.account.namespace}
            found.append({**api, "kind": kind, "metadata": metadata, "rules": rules})
            reference = {"apiGroup": _GROUP, "kind": kind, "name": name}
            binding = {**api, "kind": f"{kind}Binding", "metadata": dict(metadata)}
            found.append({**binding, "roleRef": reference, "subjects": [subject]})
        return found


def _rules(calls: Iterable[Call]) -> list[dict[str, Any]]:
    """Return rules, resources with the same verbs together."""
    verbs: dict[tuple[str, str], list[str]] = {}
    for call in calls:
        verbs.setdefault((call.api_group, call.resource), []).append(call.verb)
    together: dict[tuple[str, bool, tuple[str, ...]], list[str]] = {}
    for (group, resource), known in sorted(verbs.items()):
        together.setdefault((group, resource.startswith("/"), tuple(sorted(known))), []).append(resource)
    return [
        {"nonResourceURLs": resources, "verbs": list(known)}
        if is_path
        else {"apiGroups": [group], "resources": resources, "verbs": list(known)}
        for (group, is_path, known), resources in together.items()
    ]
