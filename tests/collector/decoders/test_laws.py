"""What holds for every decoder, whatever it is fed."""

import json
import re
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.decoders import DECODERS
from vedette.schema.errors import DecodeError
from vedette.schema.event import Decoder, Facts, Nature
from vedette.schema.limits import TEXT_CHARS_MAX
from vedette.schema.rule import RuleInfo

every_decoder = pytest.mark.parametrize("decoder", DECODERS.values(), ids=DECODERS.keys())

SEEDS: dict[str, dict[str, Any]] = {
    "falco": {
        "hostname": "node-1",
        "output": "x",
        "output_fields": {
            "container.id": "3f2b1c4d5e6f",
            "evt.time": 1739178940698757000,
            "k8s.pod.name": None,
            "n_drops": "7",
        },
        "priority": "Notice",
        "rule": "Falco internal: syscall event drop",
        "source": "internal",
        "tags": ["T1059", "container"],
        "time": "2025-02-10T09:15:40.698757000Z",
        "uuid": "u",
    },
    "hubble": {
        "flow": {
            "time": "2026-11-21T10:21:12.123456789Z",
            "uuid": "60e8fedd",
            "verdict": "DROPPED",
            "drop_reason_desc": "POLICY_DENIED",
            "IP": {"source": "10.0.1.13", "destination": "10.0.1.178", "ipVersion": "IPv4"},
            "l4": {"TCP": {"source_port": 40000, "destination_port": 80, "flags": {"SYN": True}}},
            "source": {
                "identity": 39459,
                "namespace": "n",
                "labels": ["k8s:io.cilium.k8s.policy.serviceaccount=s"],
                "pod_name": "p",
                "workloads": [{"name": "w", "kind": "Deployment"}],
            },
            "destination": {"identity": 2, "labels": ["reserved:world"]},
            "destination_names": ["example.com"],
            "Type": "L7",
            "l7": {
                "dns": {"query": "example.com."},
                "http": {"code": 200, "url": "u", "headers": [{"key": "User-Agent", "value": "v"}]},
            },
            "event_type": {"type": 129},
            "is_reply": False,
        },
        "node_name": "c/node-1",
        "lost_events": {"num_events_lost": "7"},
    },
    "kube_audit": {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "RequestResponse",
        "auditID": "f7cd5f51",
        "stage": "ResponseComplete",
        "requestURI": "/api/v1/namespaces/n/pods/p/exec?command=sh&command=%2Fx&container=c",
        "verb": "create",
        "user": {"username": "u", "groups": ["g"], "extra": {"authentication.kubernetes.io/pod-name": ["p"]}},
        "impersonatedUser": {"username": "v"},
        "sourceIPs": ["203.0.113.1", "10.0.0.1"],
        "userAgent": "kubectl",
        "objectRef": {"resource": "pods", "namespace": "n", "subresource": "exec"},
        "responseStatus": {"metadata": {}, "code": 101},
        "requestObject": {
            "metadata": {"generateName": "x-", "ownerReferences": [{"controller": True, "kind": "Job", "name": "j"}]},
            "spec": {
                "containers": [{"image": "nginx"}],
                "jobTemplate": {"spec": {"template": {"spec": {"containers": []}}}},
            },
        },
        "responseObject": {"kind": "Status"},
        "requestReceivedTimestamp": "2026-11-21T10:21:12.123456Z",
        "stageTimestamp": "2026-11-21T10:21:12.123456Z",
        "annotations": {"authorization.k8s.io/decision": "allow"},
    },
    "vpc_flow": {
        "version": 5,
        "account-id": "123456789010",
        "srcaddr": "10.0.0.1",
        "pkt-srcaddr": "10.0.0.9",
        "dstaddr": "10.0.0.2",
        "srcport": 4,
        "dstport": 5,
        "protocol": 6,
        "bytes": 7,
        "start": 1418530010,
        "end": 1418530070,
        "action": "ACCEPT",
        "log-status": "SKIPDATA",
    },
}

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from([2**63, -1, "-", "<NA>", "2026-11-21T10:21:12.123456Z", "(a,b)", "9" * 30, "a" * 3000]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@st.composite
def mutated(draw: st.DrawFn, doc: Any) -> Any:
    """The document with some of its values, at any depth, replaced or removed."""
    fate = draw(st.integers(0, 19))
    if fate == 0:
        return draw(JSON)
    if isinstance(doc, dict):
        kept = {key: value for key, value in doc.items() if draw(st.integers(0, 9))}
        return {key: draw(mutated(value)) for key, value in kept.items()}
    if isinstance(doc, list):
        return [draw(mutated(item)) for item in doc] * draw(st.integers(0, 2))
    return doc


def examine(decoder: Decoder, payload: bytes, doc: dict[str, Any]) -> Facts:
    """Ask everything that a decoder can be asked, and check the answers' promises."""
    assert isinstance(decoder.nature(doc), Nature)
    assert all(0 < loss.lost <= 2**32 for loss in decoder.losses(doc))
    assert 0 <= decoder.time_ns(doc) < 2**63
    assert all(isinstance(event_id, str) for event_id in decoder.event_ids(doc))
    uid = decoder.uid(payload, doc)
    assert re.fullmatch(r"[0-9a-f]{32}", uid)
    finding = decoder.finding(doc)
    assert finding is None or isinstance(finding, RuleInfo)
    facts = decoder.facts(doc)
    for field in Facts.__struct_fields__:
        value = getattr(facts, field)
        texts = value if isinstance(value, tuple) else (value,) if isinstance(value, str) else ()
        assert len(texts) <= 32
        assert all(isinstance(text, str) and len(text) <= 2 * TEXT_CHARS_MAX + 100 for text in texts), field
        assert isinstance(value, (tuple, str, int)), field
    return facts


@every_decoder
def test_is_a_decoder_by_the_name_of_its_module(decoder: Decoder) -> None:
    assert DECODERS[decoder.name] is decoder
    assert type(decoder).__module__ == f"collector.decoders.{decoder.name}"
    assert decoder.logsources
    assert decoder.dedup_by


@every_decoder
@given(doc=st.dictionaries(st.text(), JSON))
def test_any_object_can_be_examined(decoder: Decoder, doc: dict[str, Any]) -> None:
    examine(decoder, b"", doc)


@every_decoder
@given(data=st.data())
def test_a_mutated_event_can_be_examined(decoder: Decoder, data: st.DataObject) -> None:
    doc = data.draw(mutated(SEEDS[decoder.name]))
    if isinstance(doc, dict):
        examine(decoder, b"", doc)


@every_decoder
@given(data=st.data())
def test_a_mutated_event_is_decoded_or_refused(decoder: Decoder, data: st.DataObject) -> None:
    payload = json.dumps(data.draw(mutated(SEEDS[decoder.name]))).encode()
    at = data.draw(st.integers(0, len(payload)))
    payload = payload[:at] + data.draw(st.sampled_from([b"", b"", b'"', b"\x00", b"\xff", b"{"])) + payload[at:]
    for piece in decoder.split(payload):
        for item in piece.items:
            check(decoder, item, piece.context)


@every_decoder
@given(body=st.binary(max_size=200), context=st.text(max_size=20))
def test_any_bytes_are_decoded_or_refused(decoder: Decoder, body: bytes, context: str) -> None:
    for piece in decoder.split(body, context):
        assert piece.record >= 1
        for item in piece.items:
            assert item
            check(decoder, item, piece.context)


def check(decoder: Decoder, item: bytes, context: str) -> None:
    try:
        head = decoder.decode(item, context)
        doc = decoder.decode_all(item, context)
    except DecodeError as refused:
        assert refused.reason  # noqa: PT017 - anything else must escape
        assert len(refused.detail) < 300  # noqa: PT017
        return
    assert orjson.dumps(doc)
    assert orjson.dumps(head)
    assert head.keys() <= (decoder.head_fields or doc.keys())
    assert {key: doc[key] for key in head} == head
    examine(decoder, item, head)
    examine(decoder, item, doc)
    assert decoder.time_ns(head) == decoder.time_ns(doc)
    assert decoder.uid(item, doc) == decoder.uid(item, decoder.decode_all(item, context))


@every_decoder
def test_the_seed_is_an_event_whose_uid_survives_reordering(decoder: Decoder) -> None:
    seed = SEEDS[decoder.name]
    payload, backwards = (json.dumps(dict(order)).encode() for order in (seed.items(), reversed(seed.items())))
    check(decoder, payload, "")
    doc = decoder.decode_all(payload, "")
    assert decoder.uid(payload, doc) == decoder.uid(backwards, decoder.decode_all(backwards, ""))
    assert decoder.time_ns(doc) > 0
    assert decoder.facts(doc) != Facts()
