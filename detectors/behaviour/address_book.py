"""Whose an address is: the pods behind the addresses of flow records, as far as other sources told.

Learned from sensors (a connection names the pod that made it), from calls (a service account's token names its pod) and
from flows that name their ends. An address belongs to whoever was last seen with it: Kubernetes gives it on. Addresses
that kubelets call from are nodes', shared by all that run there. Services' addresses are learned by pairs: a sensor saw
the connection to the service, a flow log the same one to a pod.
"""

from __future__ import annotations

from typing import Final

import msgspec
import orjson

from detectors.behaviour.fields import scope_of
from vedette.schema.observation import Observation
from vedette.schema.operator import KeyedState

ADDRESSES_MAX: Final = 100_000
"""Addresses known: about 45 MB. Beyond it the one learned first is forgotten."""
_REFRESH_NS: Final = 600_000_000_000
"""How much later an address is noted again with the same owner: each note is a write of the next checkpoint."""
_NODE: Final = "system:node:"
_SERVICE_ACCOUNT: Final = "system:serviceaccount:"
_NODE_KIND: Final = "Node"


class Holder(msgspec.Struct, array_like=True, gc=False):
    """Who has an address; of a node's `kind` is Node. `seen_ns` is event time."""

    namespace: str
    kind: str
    workload: str
    seen_ns: int


class AddressBook:
    """Holders by cluster and address. Implements `vedette.schema.operator.Operator`."""

    name = "behaviour_addresses"
    version = 1

    def __init__(self) -> None:
        """Begin empty."""
        self.state: KeyedState[Holder] = KeyedState(Holder)

    def rebuild(self) -> None:
        """Nothing is derived."""

    # --- learning -----------------------------------------------------------------------------------------------------
    def learn_call(self, seen: Observation) -> None:
        """Learn from a call of a pod or of a kubelet."""
        if seen.actor.startswith(_NODE):
            self._learn(seen.cluster, seen.address, Holder("", _NODE_KIND, seen.node, seen.time_ns))
            return
        of_pod = seen.pod and seen.workload and seen.actor.startswith(_SERVICE_ACCOUNT)
        if of_pod and scope_of(seen.address) == "inside":
            namespace = seen.actor.split(":")[2]
            holder = Holder(namespace, seen.workload_kind, seen.workload, seen.time_ns)
            self._learn(seen.cluster, seen.address, holder)

    def learn_end(self, seen: Observation) -> None:
        """Learn from a sensor's connection: its own end is that of the pod."""
        own = seen.peer if seen.direction == "ingress" else seen.address
        if own and seen.workload:
            self._learn(seen.cluster, own, Holder(seen.namespace, seen.workload_kind, seen.workload, seen.time_ns))

    def learn_service(self, cluster: str, service: str, server: str, time_ns: int) -> None:
        """Learn that the address of a service leads to a server."""
        holder = self._holder(cluster, server)
        if service != server and holder is not None and holder.kind != _NODE_KIND:
            self._learn(cluster, service, Holder(holder.namespace, holder.kind, holder.workload, time_ns))

    def _learn(self, cluster: str, address: str, holder: Holder) -> None:
        key = _key(cluster, address)
        known = self.state.get(key)
        if known is None:
            if len(self.state) >= ADDRESSES_MAX:
                self.state.pop(next(iter(self.state)))
            self.state.put(key, holder)
            return
        if known.kind == _NODE_KIND and holder.kind != _NODE_KIND:
            return  # a pod of the host's network: the address is not its own
        same = (known.namespace, known.kind, known.workload) == (holder.namespace, holder.kind, holder.workload)
        if holder.seen_ns < known.seen_ns + (_REFRESH_NS if same else 0):
            return
        self.state.touch(key)
        known.namespace, known.kind, known.workload = holder.namespace, holder.kind, holder.workload
        known.seen_ns = holder.seen_ns

    # --- naming -------------------------------------------------------------------------------------------------------
    def name_end(self, seen: Observation) -> None:
        """Fill in whose the end is that opened a connection, where the source did not say."""
        holder = None if seen.workload else self._holder(seen.cluster, seen.address)
        if holder is not None:
            if holder.kind == _NODE_KIND:
                seen.node = seen.node or holder.workload
                return
            seen.namespace, seen.workload_kind, seen.workload = holder.namespace, holder.kind, holder.workload

    def name_peer(self, seen: Observation) -> None:
        """Fill in whose the contacted end is."""
        holder = None if seen.peer_workload else self._holder(seen.cluster, seen.peer)
        if holder is not None and holder.kind != _NODE_KIND:
            seen.peer_namespace, seen.peer_workload = holder.namespace, holder.workload

    def _holder(self, cluster: str, address: str) -> Holder | None:
        return self.state.get(_key(cluster, address))


def _key(cluster: str, address: str) -> str:
    return orjson.dumps((cluster, address)).decode()
