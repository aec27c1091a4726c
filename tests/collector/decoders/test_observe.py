"""What decoders tell of behaviour: the observation of each kind of record, and nothing where it can't be read."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.decoders import DECODERS
from collector.decoders.vpc_flow import DEFAULT_FIELDS
from vedette.schema.errors import DecodeError
from vedette.schema.observation import Kind, Observation, Observer
from vedette.testing.simulator import FLOW_FIELDS, Simulation, SimulationConfig

CALL = {
    "kind": "Event",
    "apiVersion": "audit.k8s.io/v1",
    "auditID": "x",
    "stage": "ResponseComplete",
    "verb": "create",
    "requestURI": "/api/v1/namespaces/shop/pods/cart-0/exec?command=sh",
    "user": {
        "username": "system:serviceaccount:shop:cart",
        "extra": {
            "authentication.kubernetes.io/credential-id": ["JTI=1"],
            "authentication.kubernetes.io/pod-name": ["cart-0"],
            "authentication.kubernetes.io/node-name": ["n1"],
        },
    },
    "sourceIPs": ["1.2.3.4", "10.0.0.7"],
    "userAgent": "kubectl/v1.35",
    "objectRef": {"resource": "pods", "subresource": "exec", "namespace": "shop", "name": "cart-0"},
    "responseStatus": {"code": 403},
    "stageTimestamp": "2026-01-01T00:00:01.000000Z",
}
DEED: dict[str, Any] = {
    "hostname": "n1",
    "rule": "r",
    "priority": "Notice",
    "source": "syscall",
    "time": "2026-01-01T00:00:01.000000000Z",
    "output_fields": {
        "evt.type": "connect",
        "fd.name": "10.0.0.7:40000->10.0.0.9:443",
        "fd.l4proto": "tcp",
        "k8s.ns.name": "shop",
        "k8s.pod.name": "cart-0",
        "container.id": "abc",
        "container.name": "cart",
        "container.image.repository": "r/cart",
        "container.image.digest": "sha256:1",
        "proc.exepath": "/bin/curl",
        "proc.pname": "sh",
        "proc.cmdline": "curl x",
        "user.name": "root",
    },
}
FLOW = "2 1 eni-1 10.0.0.7 10.0.0.9 40000 443 6 1 840 1767225600 1767225601 REJECT OK"
HUBBLE: dict[str, dict[str, Any]] = {
    "flow": {
        "time": "2026-01-01T00:00:01Z",
        "verdict": "DROPPED",
        "IP": {"source": "10.0.0.7", "destination": "10.0.0.9"},
        "l4": {"TCP": {"source_port": 40000, "destination_port": 443}},
        "source": {"namespace": "shop", "pod_name": "cart-0", "workloads": [{"name": "cart", "kind": "StatefulSet"}]},
        "destination": {"namespace": "data", "pod_name": "postgres-0"},
        "node_name": "c/n1",
        "is_reply": False,
    }
}
NS = 1_767_225_601 * 10**9


def observe(name: str, payload: bytes, context: str = "", *, head: Any = None) -> Observation | None:
    decoder = DECODERS[name]
    assert isinstance(decoder, Observer)
    return decoder.observe(payload, context, head)


def told(seen: Observation | None) -> dict[str, Any]:
    assert seen is not None
    return {name: value for name, value in msgspec.to_builtins(seen).items() if value not in ("", 0)}


CASES = [
    pytest.param(
        "kube_audit",
        json.dumps(CALL).encode(),
        {
            "kind": "call",
            "time_ns": NS,
            "actor": "system:serviceaccount:shop:cart",
            "user_agent": "kubectl/v1.35",
            "address": "10.0.0.7",
            "credential": "JTI=1",
            "verb": "create",
            "resource": "pods/exec",
            "name": "cart-0",
            "code": 403,
            "outcome": "deny",
            "namespace": "shop",
            "pod": "cart-0",
            "node": "n1",
        },
        id="call",
    ),
    pytest.param(
        "falco",
        json.dumps(DEED).encode(),
        {
            "kind": "connection",
            "time_ns": NS,
            "actor": "root",
            "address": "10.0.0.7",
            "namespace": "shop",
            "container": "cart",
            "image": "r/cart",
            "digest": "sha256:1",
            "pod": "cart-0",
            "node": "n1",
            "process": "/bin/curl",
            "parent": "sh",
            "command": "curl x",
            "peer": "10.0.0.9",
            "port": 443,
            "protocol": "tcp",
            "direction": "egress",
            "source_port": 40_000,
        },
        id="connection",
    ),
    pytest.param(
        "vpc_flow",
        FLOW.encode(),
        {
            "kind": "flow",
            "time_ns": NS,
            "address": "10.0.0.7",
            "outcome": "deny",
            "peer": "10.0.0.9",
            "port": 443,
            "protocol": "tcp",
            "bytes_out": 840,
            "window_s": 1,
            "source_port": 40_000,
            "reporter": "eni-1",
        },
        id="flow",
    ),
    pytest.param(
        "hubble",
        json.dumps(HUBBLE).encode(),
        {
            "kind": "flow",
            "time_ns": NS,
            "address": "10.0.0.7",
            "outcome": "deny",
            "namespace": "shop",
            "workload_kind": "StatefulSet",
            "workload": "cart",
            "node": "n1",
            "peer": "10.0.0.9",
            "peer_namespace": "data",
            "peer_workload": "postgres-0",
            "port": 443,
            "protocol": "tcp",
            "source_port": 40_000,
            "sender": "client",
            "reporter": "n1",
        },
        id="hubble",
    ),
]


@pytest.mark.parametrize(("name", "payload", "expected"), CASES)
def test_what_a_record_shows(name: str, payload: bytes, expected: dict[str, Any]) -> None:
    assert told(observe(name, payload)) == expected


@pytest.mark.parametrize(("name", "payload", "expected"), CASES)
def test_a_decoded_record_shows_the_same(name: str, payload: bytes, expected: dict[str, Any]) -> None:
    head = DECODERS[name].decode(payload, "")
    assert told(observe(name, payload, head=head)) == expected


def test_a_line_of_an_agent_shows_what_it_wraps() -> None:
    line = json.dumps({"log": json.dumps(CALL), "stream": "stdout"}).encode()
    head = DECODERS["kube_audit"].decode(line, "")
    assert told(observe("kube_audit", line, head=head))["actor"] == "system:serviceaccount:shop:cart"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({"evt.type": "execve"}, "process", id="a program"),
        pytest.param({"evt.type": "openat", "fd.name": "/etc/shadow"}, "file", id="a file"),
        pytest.param({"evt.type": "setuid"}, "life", id="anything else"),
        pytest.param({"fd.name": "<NA>"}, "life", id="a connection to nobody knows where"),
    ],
)
def test_kinds_of_system_calls(change: dict[str, str], expected: str) -> None:
    alert = DEED | {"output_fields": {**DEED["output_fields"], **change}}
    assert told(observe("falco", json.dumps(alert).encode()))["kind"] == expected


def test_a_request_that_is_only_received_shows_nothing() -> None:
    assert observe("kube_audit", json.dumps(CALL | {"stage": "RequestReceived"}).encode()) is None


def test_a_sensor_that_speaks_of_itself_lives() -> None:
    alert = {"hostname": "n1", "rule": "Falco internal: metrics snapshot", "source": "internal"}
    assert told(observe("falco", json.dumps(alert).encode())) == {"kind": "life", "node": "n1"}


@pytest.mark.parametrize("name", DECODERS)
@given(payload=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_what_can_not_be_read_shows_nothing_and_never_raises(name: str, payload: bytes) -> None:
    seen = observe(name, payload)
    assert seen is None or isinstance(seen, Observation)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
WHOLE: dict[str, dict[str, Any]] = {"kube_audit": CALL, "falco": DEED, "hubble": HUBBLE["flow"]}


@pytest.mark.parametrize("name", WHOLE)
@given(data=st.data())
def test_members_of_unexpected_types_never_raise(name: str, data: st.DataObject) -> None:
    record: dict[str, Any] = dict(WHOLE[name])
    for key in data.draw(st.lists(st.sampled_from(sorted(record)), min_size=1, max_size=3)):
        record[key] = data.draw(JSON)
    if name == "falco":
        fields = data.draw(st.dictionaries(st.sampled_from(sorted(DEED["output_fields"])), JSON, max_size=4))
        record.setdefault("output_fields", {})
        if isinstance(record["output_fields"], dict):
            record["output_fields"] = record["output_fields"] | fields
    payload = json.dumps(record).encode()
    try:
        head = DECODERS[name].decode(payload, "")
    except DecodeError:
        head = None
    seen = observe(name, payload, head=head)
    assert seen is None or isinstance(seen, Observation)


def test_every_simulated_record_shows_something_at_its_time() -> None:
    simulation = Simulation(SimulationConfig(pods=20, days=1, seed=11, learning_days=0))
    kinds: Counter[tuple[str, Kind]] = Counter()
    for record in simulation.records():
        seen = observe(record.format, record.payload, FLOW_FIELDS if record.format == "vpc_flow" else "")
        if seen is None:
            assert b'"RequestReceived"' in record.payload
            continue
        assert seen.time_ns == record.time_ns
        kinds[record.format, seen.kind] += 1
    assert set(kinds) == {
        ("kube_audit", Kind.CALL),
        ("vpc_flow", Kind.FLOW),
        *(("falco", kind) for kind in (Kind.PROCESS, Kind.FILE, Kind.CONNECTION, Kind.LIFE)),
    }


def test_default_flows_need_no_context() -> None:
    assert told(observe("vpc_flow", FLOW.encode())) == told(observe("vpc_flow", FLOW.encode(), DEFAULT_FIELDS))
