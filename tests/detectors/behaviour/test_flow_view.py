"""The flow view: which connections come out of what flow logs and sensors tell."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from detectors.behaviour.flow_view import CLIENT_CONNECTIONS_MAX, FlowView
from vedette.schema.limits import SECOND_NS
from vedette.schema.observation import Kind, Observation
from vedette.testing.law import assert_law

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vedette.schema.operator import Operator

CLIENT, SERVER, SERVICE, OUTSIDE = "10.1.0.4", "10.1.0.9", "172.20.0.7", "198.51.100.7"


def flow(time_s: float, *ends: str | int, **values: Any) -> Observation:
    source, source_port, destination, port = ends
    plain = {
        "kind": Kind.FLOW,
        "time_ns": int(time_s * SECOND_NS),
        "protocol": "tcp",
        "outcome": "allow",
        "reporter": "eni-1",
    }
    told = {"address": source, "source_port": source_port, "peer": destination, "port": port}
    return msgspec.convert(plain | told | values, Observation)


def sent(time_s: float, size: int = 100, **values: Any) -> Observation:
    return flow(time_s, CLIENT, 40_000, SERVER, 5432, bytes_out=size, **values)


def answered(time_s: float, size: int = 900, **values: Any) -> Observation:
    return flow(time_s, SERVER, 5432, CLIENT, 40_000, bytes_out=size, **values)


def sensed(time_s: float, peer: str = SERVICE, **values: Any) -> Observation:
    told = {
        "kind": Kind.CONNECTION,
        "time_ns": int(time_s * SECOND_NS),
        "protocol": "tcp",
        "address": CLIENT,
        "source_port": 40_000,
        "peer": peer,
        "port": 5432,
        "namespace": "shop",
        "workload_kind": "Deployment",
        "workload": "cart",
        "direction": "egress",
    }
    return msgspec.convert(told | values, Observation)


def shown(view: FlowView, *seen: Observation) -> list[tuple[Any, ...]]:
    found = [view.take(one) for one in seen]
    return [
        (one.phase.value, one.address, one.peer, one.port, one.bytes_out, one.bytes_in)
        for one in found
        if one is not None
    ]


OPENED = ("opened", CLIENT, SERVER, 5432, 100, 0)
ANSWER = ("counted", CLIENT, SERVER, 5432, 0, 900)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        pytest.param([sent(0), answered(1)], [OPENED, ANSWER], id="both directions are one connection"),
        pytest.param(
            [answered(0), sent(1)],
            [("opened", CLIENT, SERVER, 5432, 0, 900), ("counted", CLIENT, SERVER, 5432, 100, 0)],
            id="the answer comes first: ports tell",
        ),
        pytest.param(
            [sent(0), sent(0, reporter="eni-2"), answered(1, reporter="eni-2"), answered(1)],
            [OPENED, ANSWER],
            id="of two interfaces the first to report a direction counts",
        ),
        pytest.param(
            [sent(0), sent(600, 50)], [OPENED, ("counted", CLIENT, SERVER, 5432, 50, 0)], id="the next window"
        ),
        pytest.param([sent(0), sent(3600)], [OPENED, OPENED], id="the port is used again much later"),
        pytest.param([sent(0), sent(1, 0)], [OPENED], id="a record that adds nothing"),
        pytest.param(
            [sent(0, 40, outcome="deny")], [("opened", CLIENT, SERVER, 5432, 40, 0)], id="one that was turned away"
        ),
        pytest.param(
            [flow(0, CLIENT, 40_000, SERVER, 40_001, bytes_out=7, sender="server")],
            [("opened", SERVER, CLIENT, 40_000, 0, 7)],
            id="flags tell who answers, whatever the ports",
        ),
        pytest.param(
            [flow(0, OUTSIDE, 50_000, SERVER, 22, bytes_out=60)],
            [("opened", OUTSIDE, SERVER, 22, 60, 0)],
            id="a stranger knocks",
        ),
        pytest.param(
            [sensed(0), sent(2), answered(3)],
            [("opened", CLIENT, SERVICE, 5432, 0, 0), ("counted", CLIENT, SERVER, 5432, 100, 0), ANSWER],
            id="the sensor saw it first, at the service's address",
        ),
        pytest.param(
            [sensed(0), sent(300)],
            [("opened", CLIENT, SERVICE, 5432, 0, 0), OPENED],
            id="too much later to be what the sensor saw",
        ),
        pytest.param(
            [sent(0, cluster="a"), sent(1, cluster="b")], [OPENED, OPENED], id="clusters have addresses of their own"
        ),
    ],
)
def test_connections(seen: list[Observation], expected: list[tuple[Any, ...]]) -> None:
    assert shown(FlowView(), *seen) == expected


def test_ends_are_named_by_what_others_told() -> None:
    view = FlowView()
    shown(view, sensed(0, SERVER), sensed(1, address=SERVER, peer=OUTSIDE, namespace="data", workload="postgres"))
    found = view.take(flow(900, CLIENT, 41_000, SERVER, 5432, bytes_out=10))
    assert found is not None
    assert (found.namespace, found.workload, found.direction) == ("shop", "cart", "egress")
    assert (found.peer_namespace, found.peer_workload) == ("data", "postgres")


def test_a_service_leads_to_the_workload_that_answered() -> None:
    view = FlowView()
    shown(view, sensed(0, address=SERVER, peer=OUTSIDE, namespace="data", workload="postgres"), sensed(1), sent(2))
    later = view.take(sensed(500, source_port=41_000))
    assert later is not None
    assert (later.peer, later.peer_namespace, later.peer_workload) == (SERVICE, "data", "postgres")


def test_an_address_is_given_on() -> None:
    view = FlowView()
    shown(view, sensed(0), sensed(4000, workload="mailer"))
    found = view.take(flow(4100, CLIENT, 42_000, OUTSIDE, 443))
    assert found is not None
    assert found.workload == "mailer"


def test_an_address_of_a_node_is_nobodys_own() -> None:
    view = FlowView()
    kubelet = Observation(Kind.CALL, 0, actor="system:node:n1", node="n1", address=CLIENT)
    shown(view, kubelet, sensed(1))
    found = view.take(flow(2, CLIENT, 43_000, OUTSIDE, 443))
    assert found is not None
    assert (found.workload, found.node) == ("", "n1")


def test_a_token_used_outside_says_nothing_of_addresses() -> None:
    view = FlowView()
    call = {"actor": "system:serviceaccount:shop:cart", "pod": "cart-0", "workload": "cart", "address": OUTSIDE}
    shown(view, msgspec.convert({"kind": "call", **call}, Observation))
    assert len(view.book.state) == 0


def test_one_client_can_not_fill_the_table() -> None:
    view = FlowView()
    for port in range(3 * CLIENT_CONNECTIONS_MAX):
        view.take(flow(port / 1000, CLIENT, 1024 + port, SERVER, 80 if port % 2 else 443))
    (key,) = view.state
    client = view.state.get(key)
    assert client is not None
    assert len(client.connections) == CLIENT_CONNECTIONS_MAX
    assert view.evicted == 2 * CLIENT_CONNECTIONS_MAX


class Bench:
    def __init__(self) -> None:
        self.view = FlowView()

    @property
    def operators(self) -> Sequence[Operator]:
        return self.view.operators

    def feed(self, item: Observation) -> Iterable[bytes]:
        found = self.view.take(msgspec.structs.replace(item))
        return [] if found is None else [msgspec.msgpack.encode(found)]

    def restored(self) -> None:
        for operator in self.operators:
            operator.rebuild()


def log_of(seed: int) -> list[Observation]:
    chance = random.Random(seed)
    hosts = [f"10.1.0.{number}" for number in range(6)]
    return [_one(chance, chance.sample(hosts, 2), number * 7) for number in range(400)]


def _one(chance: random.Random, ends: list[str], time_s: int) -> Observation:
    ports = [chance.choice((40_000, 40_001, 53)), chance.choice((443, 53))]
    if chance.random() < 0.2:
        return sensed(time_s, ends[1], address=ends[0], source_port=ports[0], workload=f"w{ends[0][-1]}")
    if chance.random() < 0.5:
        ends, ports = ends[::-1], ports[::-1]
    values = {
        "reporter": chance.choice(("eni-1", "eni-2")),
        "bytes_out": chance.randrange(100),
        "outcome": chance.choice(("allow", "deny")),
    }
    return flow(time_s, ends[0], ports[0], ends[1], ports[1], **values)


@pytest.mark.parametrize("seed", range(3))
def test_law(seed: int) -> None:
    assert_law(Bench, log_of(seed), random.Random(seed))
