"""A NetworkPolicy of whom a workload was seen to talk to, in both directions.

Namespaces are selected by `kubernetes.io/metadata.name`, which the API server sets itself; pods by a label that you
name (`app` by default), whose value is taken to be the workload's name: what was recorded does not tell labels, so look
at them. Name resolution is allowed even where it was not seen, since nothing works without it. Source: k8s.io/api,
networking/v1 types.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import yaml

from detectors.behaviour.fields import network_of, scope_of
from vedette.app.least_privilege.learned import Basis, Peer, comment, label_text, object_name
from vedette.schema.errors import ConfigError
from vedette.schema.observation import Kind, Observation

_NAMESPACE_LABEL: Final = "kubernetes.io/metadata.name"
_DNS: Final = (("UDP", 53), ("TCP", 53))
_DNS_PORT: Final = 53
_EGRESS, _INGRESS = "egress", "ingress"


class Workload(NamedTuple):
    """A workload."""

    namespace: str
    name: str


def workload_of(text: str) -> Workload:
    """Return the workload that `namespace/name` means.

    Raises:
        ConfigError: it is none.
    """
    namespace, slash, name = text.partition("/")
    if not slash:
        raise ConfigError(f"{text!r} is no workload; write namespace/name")
    return Workload(label_text(namespace, "a namespace"), label_text(name, "a workload"))


class NetworkPolicy:
    """The policy of one workload."""

    def __init__(self, workload: Workload, peers: Iterable[Peer], label: str = "app") -> None:
        """Allow exactly these peers, and name resolution. `label` holds the names of workloads.

        Raises:
            ConfigError: a name can't be a label's value.
        """
        self.workload = Workload(label_text(workload.namespace, "a namespace"), label_text(workload.name, "a workload"))
        self.peers = sorted(set(peers))
        self._label = label
        self._allowed = {(peer.direction, peer.protocol, peer.end, peer.port) for peer in self.peers}

    def concerns(self, seen: Observation) -> bool:
        """Say whether an observation is a connection of the workload, let through, to or from somebody known.

        An address inside whose pod is unknown may be a service's: a policy is about the pods behind it.
        """
        if seen.kind is not Kind.CONNECTION or seen.outcome == "deny":
            return False
        return any(_is_known(direction, seen) for direction in self._directions(seen))

    def allows(self, seen: Observation) -> bool:
        """Say whether the policy would let a connection through."""
        return all(self._allows(direction, seen) for direction in self._directions(seen))

    def told(self, seen: Observation) -> str:
        """Name a connection for people."""
        direction = next(iter(self._directions(seen)), _EGRESS)
        word = "to" if direction == _EGRESS else "from"
        return f"{direction} {word} {_end_of(direction, seen)[0]} port {seen.port}/{seen.protocol}"

    def _directions(self, seen: Observation) -> list[str]:
        ours = self.workload
        return [
            direction
            for direction, end in (
                (_EGRESS, (seen.namespace, seen.workload)),
                (_INGRESS, (seen.peer_namespace, seen.peer_workload)),
            )
            if end == ours
        ]

    def _allows(self, direction: str, seen: Observation) -> bool:
        if direction == _EGRESS and seen.port == _DNS_PORT:
            return True
        ends = _end_of(direction, seen)
        return any((direction, seen.protocol, end, seen.port) in self._allowed for end in ends)

    def text(self, basis: Basis, blocked: Iterable[str] = ()) -> str:
        """Return the object as YAML, with what it was learned from."""
        label = (
            f"Pods are selected by the label {self._label}, taken to be the workload's name: check your pods' labels."
        )
        return comment([*basis.sentences(), label, *blocked]) + yaml.safe_dump(self.object(), sort_keys=False)

    def object(self) -> dict[str, Any]:
        """Return the policy."""
        egress = [{"ports": [{"protocol": name, "port": port} for name, port in _DNS]}]
        egress += self._rules(_EGRESS, "to")
        return {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {
                "name": object_name(self.workload.name, "observed"),
                "namespace": self.workload.namespace,
            },
            "spec": {
                "podSelector": {"matchLabels": {self._label: self.workload.name}},
                "policyTypes": ["Ingress", "Egress"],
                "ingress": self._rules(_INGRESS, "from"),
                "egress": egress,
            },
        }

    def _rules(self, direction: str, key: str) -> list[dict[str, Any]]:
        """Return rules, ports of one end together."""
        ports: dict[str, list[dict[str, Any]]] = {}
        for peer in self.peers:
            if peer.direction == direction:
                port = {"protocol": peer.protocol.upper() or "TCP"} | ({"port": peer.port} if peer.port else {})
                ports.setdefault(peer.end, []).append(port)
        return [{key: [self._selector(end)], "ports": found} for end, found in ports.items()]

    def _selector(self, end: str) -> dict[str, Any]:
        if not Peer("", "", end, 0).is_workload:
            return {"ipBlock": {"cidr": end}}
        namespace, _, name = end.partition("/")
        return {
            "namespaceSelector": {"matchLabels": {_NAMESPACE_LABEL: label_text(namespace, "a namespace")}},
            "podSelector": {"matchLabels": {self._label: label_text(name, "a workload")}},
        }


def _is_known(direction: str, seen: Observation) -> bool:
    if direction == _EGRESS:
        return bool(seen.peer_workload) or scope_of(seen.peer) == "outside"
    return bool(seen.workload) or scope_of(seen.address) == "outside"


def _end_of(direction: str, seen: Observation) -> tuple[str, ...]:
    """Return the names that the other end may have been learned by."""
    if direction == _EGRESS:
        named, address = (seen.peer_namespace, seen.peer_workload), seen.peer
    else:
        named, address = (seen.namespace, seen.workload), seen.address
    return (f"{named[0]}/{named[1]}",) if named[1] else (network_of(address), f"{address}/32", f"{address}/128")
