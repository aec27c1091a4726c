"""Hubble's flows: wrapped and bare, both directions of a connection, what Hubble says of itself, what is refused."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.decoders import DECODERS
from vedette.schema.errors import DecodeError
from vedette.schema.event import Facts, LogSource, Loss, Nature
from vedette.schema.limits import TEXT_CHARS_MAX
from vedette.schema.record import Piece

HUBBLE = DECODERS["hubble"]

TIME = "2026-11-21T10:21:12.123456789Z"
NS = 1_795_256_472_123_456_789
API: dict[str, Any] = {
    "ID": 7,
    "identity": 39459,
    "cluster_name": "prod",
    "namespace": "shop",
    "labels": ["k8s:app=api", "k8s:io.cilium.k8s.policy.serviceaccount=api", "k8s:io.kubernetes.pod.namespace=shop"],
    "pod_name": "api-0",
    "workloads": [{"name": "api", "kind": "StatefulSet"}],
}
DB: dict[str, Any] = {"identity": 40000, "namespace": "data", "pod_name": "db-0", "workloads": [{"name": "db"}]}
WORLD: dict[str, Any] = {"identity": 2, "labels": ["reserved:world"]}
FLOW: dict[str, Any] = {
    "time": TIME,
    "uuid": "60e8fedd-6d98-49d8-b7f6-cb84455757ab",
    "verdict": "FORWARDED",
    "IP": {"source": "10.0.1.13", "destination": "10.0.2.78", "ipVersion": "IPv4"},
    "l4": {"TCP": {"source_port": 40000, "destination_port": 5432, "flags": {"SYN": True}}},
    "source": API,
    "destination": DB,
    "Type": "L3_L4",
    "node_name": "prod/node-1",
    "event_type": {"type": 4},
    "traffic_direction": "INGRESS",
    "trace_observation_point": "TO_ENDPOINT",
    "is_reply": False,
    "Summary": "TCP Flags: SYN",
}
CONNECTION = "tcp 10.0.1.13:40000 10.0.2.78:5432"
DOC = FLOW | {"connection": CONNECTION}
LOST: dict[str, Any] = {"source": "HUBBLE_RING_BUFFER", "num_events_lost": "12", "cpu": 5}


def decode(record: object) -> dict[str, Any]:
    return HUBBLE.decode(orjson.dumps(record), "")


def wrapped(flow: dict[str, Any]) -> dict[str, Any]:
    return {"flow": flow, "node_name": "prod/node-1", "time": TIME}


def answer(flow: dict[str, Any]) -> dict[str, Any]:
    """The packet back, as the same node reports it."""
    ip, ports = flow["IP"], flow["l4"]["TCP"]
    return flow | {
        "IP": ip | {"source": ip["destination"], "destination": ip["source"]},
        "l4": {"TCP": {"source_port": ports["destination_port"], "destination_port": ports["source_port"]}},
        "source": flow["destination"],
        "destination": flow["source"],
        "is_reply": True,
    }


def test_a_flow() -> None:
    assert decode(wrapped(FLOW)) == HUBBLE.decode_all(orjson.dumps(wrapped(FLOW)), "") == DOC
    assert HUBBLE.logsources == (LogSource("cilium", "hubble", "flow"),)
    assert HUBBLE.nature(DOC) is Nature.EVENT
    assert HUBBLE.losses(DOC) == ()
    assert HUBBLE.finding(DOC) is None
    assert HUBBLE.time_ns(DOC) == NS
    assert HUBBLE.event_ids(DOC) == (FLOW["uuid"],)
    assert HUBBLE.event_ids({"uuid": 7}) == ()


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        pytest.param(FLOW, DOC, id="bare, as tools write it that unwrap"),
        pytest.param({"flow": FLOW}, DOC, id="wrapped without node and time"),
        pytest.param(
            {"flow": {"verdict": "DROPPED"}, "node_name": "n", "time": TIME},
            {"verdict": "DROPPED", "node_name": "n", "time": TIME},
            id="a field mask: the wrapper tells node and time",
        ),
        pytest.param(wrapped(FLOW) | {"date": 1.5, "kubernetes": {"host": "x"}}, DOC, id="what an agent adds"),
        pytest.param(
            {"date": 1.5, "log": orjson.dumps(wrapped(FLOW)).decode() + "\n", "stream": "stdout"}, DOC, id="a line"
        ),
        pytest.param({"message": orjson.dumps(FLOW).decode(), "logtag": "F"}, DOC, id="a line under message"),
        pytest.param({"flow": {"l7": {"dns": {}}}}, {"l7": {"dns": {}}}, id="no address, no connection"),
    ],
)
def test_shapes_of_a_flow(record: dict[str, Any], expected: dict[str, Any]) -> None:
    assert decode(record) == expected


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        pytest.param(b"Nov 21 10:21:12: shop/api-0:1 -> db FORWARDED", "not a JSON object", id="compact output"),
        pytest.param(b"[1]", "not a JSON object", id="array"),
        pytest.param(b'{"flow":{"verdict":', "invalid JSON", id="cut off"),
        pytest.param(b'{"flow":{"pkts_toserver":4,"age":0},"event_type":"x"}', "not a Hubble record", id="Suricata"),
        pytest.param(b'{"flow":{}}', "not a Hubble record", id="an empty flow"),
        pytest.param(b'{"flow":"x","verdict":"x","Type":"L7"}', "not a Hubble record", id="flow of another type"),
        pytest.param(b'{"verdict":"clean"}', "not a Hubble record", id="another product's verdict"),
        pytest.param(b'{"lost_events":3}', "not a Hubble record", id="lost_events of another type"),
        pytest.param(b'{"rule":"x","output":"y","log":"z"}', "not a JSON object", id="a line of something else"),
        pytest.param(b'{"log":"{\\"a\\":1}"}', "not a Hubble record", id="a line of other JSON"),
        pytest.param(b'{"log":"{\\"log\\":\\"{}\\"}"}', "not a Hubble record", id="a line in a line"),
        pytest.param(b'{"log":"{\\"flow\\":{","_p":"P"}', "part of a line", id="part of a line"),
        pytest.param(b'{"message":"x","logtag":"P","log":7}', "part of a line", id="part of a line under message"),
        pytest.param(b'{"log":7}', "not a Hubble record", id="log of another type"),
    ],
)
def test_refusals(payload: bytes, reason: str) -> None:
    with pytest.raises(DecodeError) as refused:
        HUBBLE.decode(payload, "")
    assert refused.value.reason == reason


@pytest.mark.parametrize(
    ("record", "losses"),
    [
        pytest.param({"lost_events": LOST}, (Loss("hubble_lost_events", 12),), id="protojson: a string"),
        pytest.param({"lost_events": {"num_events_lost": 3}}, (Loss("hubble_lost_events", 3),), id="a number"),
        pytest.param({"lost_events": {"num_events_lost": "many"}}, (Loss("hubble_lost_events", 1),), id="unreadable"),
        pytest.param({"lost_events": {"num_events_lost": "9" * 19}}, (Loss("hubble_lost_events", 1),), id="no count"),
        pytest.param({"lost_events": {"num_events_lost": None}}, (Loss("hubble_lost_events", 1),), id="null"),
        pytest.param({"lost_events": {"source": "PERF_EVENT_RING_BUFFER"}}, (), id="zero is left out"),
        pytest.param({"lost_events": {"num_events_lost": "0"}}, (), id="zero"),
        pytest.param({"node_status": {"state_change": "NODE_CONNECTED"}}, (), id="node status"),
        pytest.param({"agent_event": {"type": "AGENT_STARTED"}}, (), id="agent event"),
        pytest.param({"debug_event": {"type": "DBG_GENERIC"}}, (), id="debug event"),
    ],
)
def test_what_hubble_says_of_itself(record: dict[str, Any], losses: tuple[Loss, ...]) -> None:
    doc = decode(record | {"node_name": "n", "time": TIME})
    assert doc == record | {"node_name": "n", "time": TIME}
    assert HUBBLE.nature(doc) is Nature.HEALTH
    assert HUBBLE.losses(doc) == losses
    assert HUBBLE.time_ns(doc) == NS


def test_the_time_of_lost_events_without_their_wrapper() -> None:
    assert HUBBLE.time_ns(decode({"lost_events": LOST | {"last": TIME}})) == NS
    assert HUBBLE.time_ns({}) == 0


def test_a_flow_never_loses_anything() -> None:
    doc = decode(FLOW | {"lost_events": LOST})
    assert HUBBLE.nature(doc) is Nature.EVENT
    assert HUBBLE.losses(doc) == ()


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(FLOW | {"node_name": "prod/node-2", "trace_observation_point": "TO_OVERLAY"}, id="another node"),
        pytest.param({key: FLOW[key] for key in FLOW if key not in ("is_reply", "traffic_direction")}, id="less known"),
        pytest.param(answer(FLOW), id="the answer"),
        pytest.param(FLOW | {"Type": "L7", "l7": {"http": {"url": "/"}}}, id="a message on it"),
    ],
)
def test_reports_of_a_connection_share_its_key_and_no_uid(other: dict[str, Any]) -> None:
    doc = decode(other)
    assert doc["connection"] == CONNECTION
    assert HUBBLE.uid(b"", doc) != HUBBLE.uid(b"", DOC)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, CONNECTION, id="TCP"),
        pytest.param({"l4": {"ICMPv4": {"type": 8}}}, "icmp 10.0.1.13 10.0.2.78", id="ICMP has no ports"),
        pytest.param({"l4": {}}, "ip 10.0.1.13 10.0.2.78", id="no protocol"),
        pytest.param(
            {"IP": {"source": "fd00::2", "destination": "fd00::1"}, "l4": {"UDP": {"source_port": 1}}},
            "udp fd00::1 [fd00::2]:1",
            id="IPv6",
        ),
        pytest.param({"l4": {"VRRP": {"type": 1}}}, "vrrp 10.0.1.13 10.0.2.78", id="another protocol"),
        pytest.param({"IP": {"source": "10.0.1.13"}}, None, id="one end"),
        pytest.param({"IP": []}, None, id="of another type"),
    ],
)
def test_connections(changes: dict[str, Any], expected: str | None) -> None:
    assert decode(FLOW | changes).get("connection") == expected


ADDRESSES = st.ip_addresses().map(str)
PORTS = st.integers(0, 65_535)


@given(source=ADDRESSES, destination=ADDRESSES, ports=st.tuples(PORTS, PORTS))
def test_a_connection_is_the_same_from_both_ends(source: str, destination: str, ports: tuple[int, int]) -> None:
    there = FLOW | {
        "IP": {"source": source, "destination": destination},
        "l4": {"TCP": {"source_port": ports[0], "destination_port": ports[1]}},
    }
    assert decode(there)["connection"] == decode(answer(there))["connection"]


def test_uid_is_the_same_for_every_way_a_flow_can_come() -> None:
    ways = (FLOW, wrapped(FLOW), wrapped(FLOW) | {"date": 2}, FLOW | {"date": 1, "kubernetes": {}, "stream": "stdout"})
    uids = {HUBBLE.uid(b"", decode(way)) for way in (*ways, {"log": orjson.dumps(FLOW).decode()})}
    assert len(uids) == 1
    assert HUBBLE.uid(b"", decode(FLOW | {"verdict": "DROPPED"})) not in uids


FACTS = Facts(
    actor="system:serviceaccount:shop:api",
    action="FORWARDED",
    outcome="allow",
    namespace="shop",
    pod="api-0",
    workload_kind="StatefulSet",
    workload="api",
    node="node-1",
    sources=("10.0.1.13",),
    source_port=40000,
    destinations=("10.0.2.78",),
    destination_port=5432,
    protocol="tcp",
)
REQUEST = {"type": "REQUEST", "http": {"method": "GET", "url": "http://db/x", "headers": [{"key": "User-Agent"}]}}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, {}, id="between pods: the one that speaks"),
        pytest.param(
            {"verdict": "DROPPED", "drop_reason_desc": "POLICY_DENIED"},
            {"action": "DROPPED POLICY_DENIED", "outcome": "deny"},
            id="dropped",
        ),
        pytest.param({"verdict": "AUDIT"}, {"action": "AUDIT"}, id="would have been dropped"),
        pytest.param({"verdict": "ERROR"}, {"action": "ERROR", "outcome": "failure"}, id="error"),
        pytest.param({"verdict": "TRACED"}, {"action": "TRACED", "outcome": "unknown"}, id="traced"),
        pytest.param(
            {"source": WORLD},
            {"actor": "", "namespace": "data", "pod": "db-0", "workload_kind": "", "workload": "db"},
            id="from outside: the pod that it reaches",
        ),
        pytest.param(
            {"destination": WORLD, "destination_names": ["a.example", "b.example"]},
            {"destinations": ("10.0.2.78", "a.example", "b.example")},
            id="to outside, by name",
        ),
        pytest.param({"source": DB, "destination": API, "is_reply": True}, {}, id="an answer: the pod that it is for"),
        pytest.param({"source": DB, "destination": API, "reply": True, "is_reply": None}, {}, id="by the old key"),
        pytest.param(
            {"source": DB, "destination": API, "reply": True, "is_reply": False},
            {"actor": "", "namespace": "data", "pod": "db-0", "workload_kind": "", "workload": "db"},
            id="the new key counts",
        ),
        pytest.param(
            {"l7": {"type": "RESPONSE", "dns": {"query": "a.example.", "rcode": 3}}},
            {"resource": "dns", "name": "a.example."},
            id="DNS",
        ),
        pytest.param({"l7": REQUEST}, {"resource": "http", "name": "http://db/x"}, id="HTTP"),
        pytest.param(
            {"l7": {"http": {"code": 503, "headers": [3, {"key": "user-agent", "value": "curl"}]}}},
            {"resource": "http", "status_code": 503, "user_agent": "curl"},
            id="HTTP answer",
        ),
        pytest.param({"l7": {"kafka": {"topic": "t"}}}, {"resource": "kafka", "name": "t"}, id="Kafka"),
        pytest.param({"node_name": "node-1"}, {}, id="a node without its cluster"),
    ],
)
def test_facts(changes: dict[str, Any], expected: dict[str, Any]) -> None:
    facts = HUBBLE.facts(decode(FLOW | changes))
    assert {field: getattr(facts, field) for field in Facts.__struct_fields__} == {
        field: expected.get(field, getattr(FACTS, field)) for field in Facts.__struct_fields__
    }


def test_hostile_names_stay_in_bounds() -> None:
    long = "a" * 10_000
    pod = API | {"pod_name": long, "namespace": long, "labels": [f"k8s:io.cilium.k8s.policy.serviceaccount={long}"]}
    facts = HUBBLE.facts(
        decode(FLOW | {"source": pod, "destination_names": [long] * 100, "l7": {"dns": {"query": long}}})
    )
    assert len(facts.actor) <= TEXT_CHARS_MAX
    assert len(facts.pod) == len(facts.name) == TEXT_CHARS_MAX
    assert len(facts.destinations) == 32


def test_split_cuts_lines_and_an_agents_array() -> None:
    one, two = orjson.dumps(wrapped(FLOW)), orjson.dumps({"lost_events": LOST})
    assert HUBBLE.split(one + b"\n" + two + b"\n") == [Piece([one, two], "", 1)]
    assert HUBBLE.split(b"[" + one + b"," + two + b"]") == [Piece([one, two], "", 1)]
    assert HUBBLE.split(one + two) == [Piece([one, two], "", 1)]
