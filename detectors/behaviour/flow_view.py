"""The flow view: connections out of what flow logs and sensors say of them.

A flow log has a record for each direction of a connection, each window of aggregation and each interface that saw it; a
sensor tells of the same connection once more, at the client, by the address of the service. Here they become one: who
opened it is told by the TCP flags or the answer's mark, else by what was seen before, else by the ports. Its first
observation says `opened`, later ones `counted` with what they add. Of several interfaces that report one direction the
first counts.

An opened connection is known by its client's address, port and protocol for as long as it is heard of every
`_IDLE_NS`. A sensor's connection to a service and the log's to one of its pods share those. Bounded by client, and fair
to the networks that clients are in.
"""

from __future__ import annotations

from typing import Final

import msgspec
import orjson

from detectors.behaviour.address_book import AddressBook
from detectors.behaviour.fields import network_of, scope_of
from detectors.behaviour.groups import Groups
from vedette.schema.limits import SECOND_NS
from vedette.schema.observation import Kind, Observation, Phase
from vedette.schema.operator import KeyedState, Operator

CONNECTIONS_MAX: Final = 100_000
"""Connections of all clients that are remembered: about 40 MB."""
CLIENT_CONNECTIONS_MAX: Final = 512
"""Connections of one client; of one with more the oldest are forgotten."""
_IDLE_NS: Final = 15 * 60 * SECOND_NS
"""Longer than a flow log's window of aggregation (ten minutes at most)."""
_SENSOR_NS: Final = 2 * 60 * SECOND_NS
"""How far apart a sensor and a flow log tell the beginning of one connection."""
_SERVER_PORT_MAX: Final = 32_767
"""Linux takes the ports of clients from 32768 on (ip_local_port_range)."""


class Connection(msgspec.Struct, array_like=True):
    """One connection of a client: its server, when it was heard of, how it came out, and who reports which direction.

    `by_sensor`: whether only a sensor has told of it, who may name a service in place of the server.
    """

    server: str
    port: int
    last_ns: int
    outcome: str = ""
    sent_by: str = ""
    answered_by: str = ""
    by_sensor: bool = False


class Client(msgspec.Struct):
    """The open connections of one address, by its port and the protocol; the one heard of last stands last."""

    owner: str
    connections: dict[str, Connection]


class FlowView:
    """Makes connections of what is observed. Implements `vedette.schema.operator.Operator`."""

    name = "behaviour_flows"
    version = 1

    def __init__(self) -> None:
        """Begin without connections."""
        self._clients: Groups[Client] = Groups(Client, CONNECTIONS_MAX, lambda client: len(client.connections))
        self.state: KeyedState[Client] = self._clients.state
        self.book = AddressBook()
        self.evicted = 0
        """Clients and connections forgotten for want of room, since somebody last set it to 0."""

    @property
    def operators(self) -> tuple[Operator, ...]:
        """The stateful parts, for checkpoints."""
        return (self, self.book)

    def rebuild(self) -> None:
        """Recompute weights."""
        self._clients.rebuild()

    def take(self, seen: Observation) -> Observation | None:
        """Return the observation that detectors are shown in place of one; None if it adds nothing."""
        if seen.kind is Kind.CALL:
            self.book.learn_call(seen)
            return seen
        if seen.kind is Kind.FLOW:
            return self._flow(seen)
        if seen.kind is Kind.CONNECTION:
            self._sensor(seen)
        return seen

    # --- what sensors tell --------------------------------------------------------------------------------------------
    def _sensor(self, seen: Observation) -> None:
        """Remember a connection that a sensor told of; it is the first to know."""
        self.book.learn_end(seen)
        self.book.name_peer(seen)
        if seen.source_port:
            key, client = self._client(seen)
            self._put(key, client, seen, Connection(seen.peer, seen.port, seen.time_ns, by_sensor=True))

    # --- what flow logs tell ------------------------------------------------------------------------------------------
    def _flow(self, seen: Observation) -> Observation | None:
        self._orient(seen)
        answers, seen.sender = seen.sender == "server", ""
        if answers:
            seen.bytes_in, seen.bytes_out = seen.bytes_out, 0
        key, client = self._client(seen)
        known = None if client is None else self._known(client, seen)
        if known is None:
            connection = Connection(seen.peer, seen.port, seen.time_ns, seen.outcome)
            self._reported(connection, seen.reporter, answers)
            self._put(key, client, seen, connection)
            return self._named(seen, Phase.OPENED)
        self._clients.touch(key)
        if not self._reported(known, seen.reporter, answers):
            return None
        if known.by_sensor:
            self.book.learn_service(seen.cluster, known.server, seen.peer, seen.time_ns)
            known.server, known.port, known.by_sensor = seen.peer, seen.port, False
        known.last_ns = max(known.last_ns, seen.time_ns)
        if seen.outcome == known.outcome and not seen.bytes_out and not seen.bytes_in:
            return None
        known.outcome = seen.outcome or known.outcome
        return self._named(seen, Phase.COUNTED)

    def _orient(self, seen: Observation) -> None:
        """Make the end that opened the connection the `address`, and `sender` client or server."""
        if not seen.sender:
            seen.sender = "server" if self._is_answer(seen) else "client"
        if seen.sender == "server":
            seen.address, seen.peer = seen.peer, seen.address
            seen.source_port, seen.port = seen.port, seen.source_port
            seen.namespace, seen.peer_namespace = seen.peer_namespace, seen.namespace
            seen.workload, seen.peer_workload = seen.peer_workload, seen.workload

    def _is_answer(self, seen: Observation) -> bool:
        forward = self._find(seen.cluster, seen.address, _port_key(seen.source_port, seen.protocol))
        if forward is not None and (forward.server, forward.port) == (seen.peer, seen.port):
            return False
        backward = self._find(seen.cluster, seen.peer, _port_key(seen.port, seen.protocol))
        if backward is not None and (backward.server, backward.port) == (seen.address, seen.source_port):
            return True
        return seen.source_port <= _SERVER_PORT_MAX < seen.port or 0 < seen.source_port < min(seen.port, 1024)

    def _find(self, cluster: str, address: str, port: str) -> Connection | None:
        client = self._clients.get(_client_key(cluster, address))
        return None if client is None else client.connections.get(port)

    def _known(self, client: Client, seen: Observation) -> Connection | None:
        """Return the connection that a flow belongs to."""
        known = client.connections.get(_port_key(seen.source_port, seen.protocol))
        if known is None or abs(seen.time_ns - known.last_ns) > _IDLE_NS:
            return None
        if (known.server, known.port) == (seen.peer, seen.port):
            return known
        return known if known.by_sensor and abs(seen.time_ns - known.last_ns) <= _SENSOR_NS else None

    def _reported(self, connection: Connection, reporter: str, answers: bool) -> bool:
        """Say whether a direction is reported by whom it was reported before; the first one counts."""
        before = connection.answered_by if answers else connection.sent_by
        if not before:
            if answers:
                connection.answered_by = reporter
            else:
                connection.sent_by = reporter
        return before in ("", reporter)

    def _named(self, seen: Observation, phase: Phase) -> Observation:
        """Finish a connection's observation: whose ends these are, and which way it goes."""
        seen.kind, seen.phase = Kind.CONNECTION, phase
        self.book.name_end(seen)
        self.book.name_peer(seen)
        inside = scope_of(seen.address) == "inside" or bool(seen.workload)
        seen.direction = "egress" if inside else "ingress"
        return seen

    # --- the table ----------------------------------------------------------------------------------------------------
    def _client(self, seen: Observation) -> tuple[str, Client | None]:
        key = _client_key(seen.cluster, seen.address)
        return key, self._clients.get(key)

    def _put(self, key: str, client: Client | None, seen: Observation, connection: Connection) -> None:
        port = _port_key(seen.source_port, seen.protocol)
        if client is None:
            fresh = Client(f"{seen.cluster} {network_of(seen.address)}", {port: connection})
            self.evicted += self._clients.add(key, fresh)
            return
        self._clients.touch(key)
        connections = client.connections
        connections.pop(port, None)
        connections[port] = connection
        self._forget_idle(connections, seen.time_ns)
        self.evicted += self._clients.weigh(key, client)

    def _forget_idle(self, connections: dict[str, Connection], now_ns: int) -> None:
        """Forget what is over, and what is too much: the oldest stand first."""
        while connections:
            oldest = next(iter(connections))
            idle = now_ns - connections[oldest].last_ns > _IDLE_NS
            if not idle and len(connections) <= CLIENT_CONNECTIONS_MAX:
                return
            self.evicted += not idle
            del connections[oldest]


def _client_key(cluster: str, address: str) -> str:
    return orjson.dumps((cluster, address)).decode()


def _port_key(port: int, protocol: str) -> str:
    return f"{port}/{protocol}"
