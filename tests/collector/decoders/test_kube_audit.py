"""Kubernetes audit events: a row for each trap that decoding meets (numbers as in KUBE.md, section 2)."""

import json
from typing import Any

import orjson
import pytest

from collector.decoders import DECODERS
from vedette.schema.errors import DecodeError
from vedette.schema.event import Facts, LogSource, Nature
from vedette.schema.limits import ITEM_BYTES_MAX, JSON_DEPTH_MAX, TEXT_CHARS_MAX

KUBE = DECODERS["kube_audit"]

EVENT: dict[str, Any] = {
    "kind": "Event",
    "apiVersion": "audit.k8s.io/v1",
    "level": "Metadata",
    "auditID": "f7cd5f51-67e2-44ac-9623-dd9d6748c934",
    "stage": "ResponseComplete",
    "requestURI": "/api/v1/namespaces/shop/pods/web-0",
    "verb": "get",
    "user": {
        "username": "alice",
        "groups": ["dev", "system:authenticated"],
        "extra": {"authentication.kubernetes.io/credential-id": ["X509SHA256=07a5"]},
    },
    "sourceIPs": ["10.20.9.40"],
    "userAgent": "kubectl/v1.35.4",
    "objectRef": {"resource": "pods", "namespace": "shop", "name": "web-0", "apiVersion": "v1"},
    "responseStatus": {"metadata": {}, "code": 200},
    "requestReceivedTimestamp": "2026-11-21T10:21:12.100000Z",
    "stageTimestamp": "2026-11-21T10:21:12.123456Z",
    "annotations": {"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": ""},
}


def event(**changes: Any) -> dict[str, Any]:
    """The event with some fields replaced; None removes one."""
    return {key: value for key, value in (EVENT | changes).items() if value is not None}


def facts(**changes: Any) -> Facts:
    return KUBE.facts(KUBE.decode_all(orjson.dumps(event(**changes)), ""))


def test_an_ordinary_event() -> None:
    assert facts() == Facts(
        actor="alice",
        groups=("dev", "system:authenticated"),
        credential="X509SHA256=07a5",
        user_agent="kubectl/v1.35.4",
        action="get",
        outcome="allow",
        status_code=200,
        resource="pods",
        namespace="shop",
        name="web-0",
        sources=("10.20.9.40",),
    )


def test_the_log_sources_are_those_of_sigmahq() -> None:
    assert KUBE.logsources == (LogSource("kubernetes", "audit", "application"),)


DEPLOYMENT = {"metadata": {"name": "web"}, "spec": {"template": {"spec": {"containers": [{"image": "nginx:1"}]}}}}
POD = {
    "metadata": {
        "generateName": "web-7c89-",
        "ownerReferences": [
            {"kind": "Node", "name": "n"},
            {"kind": "ReplicaSet", "name": "web-7c89", "controller": True},
        ],
    },
    "spec": {
        "initContainers": [{"image": "init:1"}],
        "containers": [{"image": "nginx:1"}, {"image": "sidecar:2"}, {"image": "nginx:1"}],
        "ephemeralContainers": [{"image": "busybox"}],
    },
}
CREATE = {"verb": "create", "objectRef": {"resource": "pods", "namespace": "shop"}}
EXEC = {
    "verb": "get",
    "objectRef": {"resource": "pods", "subresource": "exec", "namespace": "shop", "name": "web-0"},
    "requestURI": (
        "/api/v1/namespaces/shop/pods/web-0/exec?command=sh&command=-c&command=id%3B+cat+%2Fetc%2Fshadow"
        "&container=web&stdin=true"
    ),
    "responseStatus": {"metadata": {}, "code": 101},
    "stage": "ResponseStarted",
}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param(
            {"stage": "RequestReceived", "responseStatus": None, "annotations": None},
            {"outcome": "unknown", "status_code": 0},
            id="4 RequestReceived has no outcome yet",
        ),
        pytest.param(
            {"user": {}, "annotations": None, "responseStatus": {"metadata": {}, "status": "Failure", "code": 401}},
            {"actor": "", "groups": (), "outcome": "deny", "status_code": 401},
            id="5 a rejected token has no user",
        ),
        pytest.param(
            {"responseStatus": {"code": 403}, "annotations": {"authorization.k8s.io/decision": "forbid"}},
            {"outcome": "deny", "status_code": 403},
            id="6 forbidden",
        ),
        pytest.param(
            {"responseStatus": {"code": 403}},
            {"outcome": "deny"},
            id="20 an admission denial has decision allow and code 403",
        ),
        pytest.param(
            {"responseStatus": None, "annotations": {"authorization.k8s.io/decision": "forbid"}},
            {"outcome": "deny", "status_code": 0},
            id="20 forbid without a code",
        ),
        pytest.param({"responseStatus": {"code": 409}}, {"outcome": "failure", "status_code": 409}, id="19 conflict"),
        pytest.param({"stage": "Panic", "responseStatus": {"code": 500}}, {"outcome": "failure"}, id="4 panic"),
        pytest.param({"responseStatus": {"code": 304}}, {"outcome": "allow", "status_code": 304}, id="19 not modified"),
        pytest.param(
            {
                "user": {
                    "username": "system:serviceaccount:a:b",
                    "extra": {
                        "authentication.kubernetes.io/credential-id": ["JTI=1"],
                        "authentication.kubernetes.io/pod-name": ["b-1"],
                        "authentication.kubernetes.io/node-name": ["node-3"],
                    },
                }
            },
            {"credential": "JTI=1", "pod": "b-1", "node": "node-3"},
            id="8 what a token is bound to",
        ),
        pytest.param(
            {"user": {"username": "system:node:node-3"}}, {"node": "node-3", "credential": ""}, id="8 a node's own"
        ),
        pytest.param(
            {
                "impersonatedUser": {
                    "username": "system:admin",
                    "groups": ["system:masters"],
                    "extra": {
                        "authentication.kubernetes.io/credential-id": ["forged"],
                    },
                }
            },
            {
                "actor": "system:admin",
                "actor_real": "alice",
                "groups": ("system:masters",),
                "credential": "X509SHA256=07a5",
            },
            id="9 impersonated, with the real user's credential",
        ),
        pytest.param(
            {"responseStatus": {"code": 403, "message": 'users "system:admin" is forbidden'}, "annotations": None},
            {"actor": "alice", "actor_real": "", "outcome": "deny"},
            id="9 denied impersonation",
        ),
        pytest.param(
            {"sourceIPs": ["127.0.0.1", "10.96.0.1", "10.20.9.40"]},
            {"sources": ("127.0.0.1", "10.96.0.1", "10.20.9.40")},
            id="10 the peer comes last",
        ),
        pytest.param(
            {"sourceIPs": [f"10.0.0.{i}" for i in range(200)]},
            {"sources": tuple(f"10.0.0.{i}" for i in range(168, 200))},
            id="10 the peer stays where the client sends many",
        ),
        pytest.param(
            EXEC,
            {
                "resource": "pods/exec",
                "command": "sh -c id; cat /etc/shadow",
                "container": "web",
                "status_code": 101,
                "outcome": "allow",
            },
            id="12 exec",
        ),
        pytest.param(
            EXEC | {"requestURI": "/api/v1/namespaces/a/pods/b/exec?container=x&command=%zz%ff&command"},
            {"command": "%zz\ufffd ", "container": "x"},
            id="12 exec with broken escapes",
        ),
        pytest.param(
            EXEC | {"requestURI": "/api/v1/namespaces/shop/pods/web-0/e%78ec?%63ommand=id"},
            {"command": "id"},
            id="12 exec in disguise",
        ),
        pytest.param(
            EXEC | {"requestURI": "/exec?command=" + "%41" * 100_000},
            {"command": "A" * TEXT_CHARS_MAX},
            id="12 exec without end",
        ),
        pytest.param(
            {"requestURI": "/api/v1/namespaces/shop/configmaps?command=no"},
            {"command": ""},
            id="12 no exec, no command",
        ),
        pytest.param(
            {"objectRef": None, "requestURI": "/version"},
            {"resource": "", "namespace": "", "name": ""},
            id="13 nonresource URL",
        ),
        pytest.param(
            CREATE | {"requestObject": {"metadata": {"name": "web"}}}, {"name": "web"}, id="13 the name is in the body"
        ),
        pytest.param(
            CREATE | {"requestObject": POD, "responseObject": {"kind": "Pod", "metadata": {"name": "web-7c89-rqhfk"}}},
            {"name": "web-7c89-rqhfk"},
            id="13 generateName, and what became of it",
        ),
        pytest.param(
            CREATE | {"requestObject": POD, "responseObject": {"kind": "Status", "metadata": {"name": "no"}}},
            {
                "name": "web-7c89-",
                "images": ("init:1", "nginx:1", "sidecar:2", "busybox"),
                "workload_kind": "ReplicaSet",
                "workload": "web-7c89",
            },
            id="15 a Status is not the object",
        ),
        pytest.param(
            {"objectRef": {"resource": "deployments", "apiGroup": "apps"}, "requestObject": DEPLOYMENT},
            {"api_group": "apps", "workload_kind": "Deployment", "workload": "web", "images": ("nginx:1",)},
            id="workload template",
        ),
        pytest.param(
            {
                "objectRef": {"resource": "cronjobs", "name": "nightly"},
                "requestObject": {"spec": {"jobTemplate": {"spec": DEPLOYMENT["spec"]}}},
            },
            {"workload_kind": "CronJob", "workload": "nightly", "images": ("nginx:1",)},
            id="CronJob template",
        ),
        pytest.param(
            {"requestObject": {"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/__internal"}, "responseObject": POD},
            {"images": ("init:1", "nginx:1", "sidecar:2", "busybox")},
            id="14 a delete's options hold no images, its answer does",
        ),
        pytest.param(
            {
                "requestObject": [
                    {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "evil:1"},
                    {"op": "add", "path": "/spec/containers/-", "value": {"image": "evil:2"}},
                    {"op": "add", "path": "/spec/initContainers", "value": [{"image": "evil:3"}, 7]},
                    {"op": "remove", "path": "/metadata/labels/x"},
                    "nonsense",
                ]
            },
            {"images": ("evil:1", "evil:2", "evil:3")},
            id="14 JSON patch",
        ),
        pytest.param(
            {"requestObject": {"spec": {"containers": None, "template": None}, "metadata": {"ownerReferences": None}}},
            {"images": (), "workload": ""},
            id="18 nulls",
        ),
        pytest.param(
            {"annotations": {"audit.k8s.io/truncated": "true"}, "level": "RequestResponse"},
            {"incomplete": ("truncated",), "images": ()},
            id="26 truncated",
        ),
        pytest.param(
            {"objectRef": {"resource": "namespaces", "namespace": "x", "name": "x"}}, {"namespace": "x"}, id="13"
        ),
    ],
)
def test_facts(changes: dict[str, Any], expected: dict[str, Any]) -> None:
    found = facts(**changes)
    assert {name: getattr(found, name) for name in expected} == expected


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"verb": 7}, id="verb"),
        pytest.param({"user": ["alice"]}, id="user is a list"),
        pytest.param({"user": {"username": 1, "groups": "dev", "extra": [1]}}, id="inside user"),
        pytest.param({"user": {"extra": {"authentication.kubernetes.io/pod-name": "p"}}}, id="extra without lists"),
        pytest.param({"annotations": "x"}, id="annotations"),
        pytest.param({"annotations": {"audit.k8s.io/truncated": True}}, id="annotation of another type"),
        pytest.param({"auditID": 7}, id="auditID"),
        pytest.param({"sourceIPs": "10.0.0.1"}, id="sourceIPs"),
        pytest.param({"sourceIPs": [1, None, "10.0.0.1"]}, id="inside sourceIPs"),
        pytest.param({"responseStatus": {"code": "200"}}, id="code is a string"),
        pytest.param({"responseStatus": {"code": 2**70}}, id="code is huge"),
        pytest.param({"responseStatus": {"code": -1}}, id="code is negative"),
        pytest.param({"responseStatus": {"code": True}}, id="code is true"),
        pytest.param({"objectRef": "pods"}, id="objectRef"),
        pytest.param({"stageTimestamp": 17, "requestReceivedTimestamp": {}}, id="times"),
        pytest.param({"requestURI": None, "requestObject": 7, "responseObject": [1]}, id="bodies"),
        pytest.param({"impersonatedUser": "bob"}, id="impersonatedUser"),
    ],
)
def test_an_ill_typed_field_is_left_empty_and_the_event_kept(changes: dict[str, Any]) -> None:
    payload = json.dumps(event(**changes)).encode()
    head, doc = KUBE.decode(payload, ""), KUBE.decode_all(payload, "")
    assert head == {key: value for key, value in doc.items() if key in (KUBE.head_fields or ())}
    assert KUBE.nature(head) is Nature.EVENT
    assert isinstance(KUBE.facts(doc), Facts)
    assert KUBE.event_ids(head) == ((EVENT["auditID"],) if "auditID" not in changes else ())
    assert KUBE.time_ns(head) == (0 if "stageTimestamp" in changes else 1_795_256_472_123_456_000)


@pytest.mark.parametrize(
    ("changes", "accepted"),
    [
        pytest.param({"kind": None, "apiVersion": None}, True, id="1 an item of an EventList"),
        pytest.param({"apiVersion": None}, True, id="no apiVersion"),
        pytest.param({"apiVersion": "audit.k8s.io/v1beta1"}, True, id="v1beta1"),
        pytest.param({"date": 1795256472.123456}, True, id="Fluent Bit's date"),
        pytest.param({"apiVersion": "v1"}, False, id="a core Event"),
        pytest.param({"apiVersion": "events.k8s.io/v1"}, False, id="an event of another API"),
        pytest.param({"kind": "EventList"}, False, id="a list in a record"),
        pytest.param({"kind": ["Event"]}, False, id="kind of another type"),
        pytest.param({"apiVersion": 1}, False, id="apiVersion of another type"),
        pytest.param(dict.fromkeys(("auditID", "stage", "verb", "requestURI", "user")), False, id="nothing telling"),
    ],
)
def test_what_an_audit_event_is(changes: dict[str, Any], accepted: bool) -> None:
    payload = orjson.dumps(event(**changes))
    for decode in (KUBE.decode, KUBE.decode_all):
        if accepted:
            assert decode(payload, "")
        else:
            with pytest.raises(DecodeError, match=r"^not an audit event: "):
                decode(payload, "")


DEEP = b"[" * (JSON_DEPTH_MAX + 1) + b"]" * (JSON_DEPTH_MAX + 1)


@pytest.mark.parametrize("field", [b"requestObject", b"unheardOf"])
def test_what_the_head_skips_is_refused_when_it_is_looked_at(field: bytes) -> None:
    payload = b'{"auditID":"1","%s":' % field + DEEP + b"}"
    assert KUBE.decode(payload, "") == {"auditID": "1"}
    with pytest.raises(DecodeError, match="nested too deep"):
        KUBE.decode_all(payload, "")


def test_the_head_is_the_document_without_its_bodies() -> None:
    payload = orjson.dumps(event(requestObject=POD, responseObject=None, unheardOf=1))
    head, doc = KUBE.decode(payload, ""), KUBE.decode_all(payload, "")
    assert doc.keys() - head.keys() == {"requestObject", "unheardOf"}
    assert KUBE.head_fields is not None
    assert head.keys() <= KUBE.head_fields


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        pytest.param(b'{"kind":"Event","auditID":"1","requestObject":"\xff"}', "invalid UTF-8", id="in a body"),
        pytest.param(b'{"kind":"Event","auditID":"\xff"}', "invalid UTF-8", id="in the head"),
        pytest.param(b'{"kind":"Event","auditID":"1","requestObject":{"a":}}', "invalid JSON", id="broken body"),
        pytest.param(b'{"kind":"Event","auditID":"1"}{', "invalid JSON", id="more after it"),
        pytest.param(b'["Event"]', "not a JSON object", id="array"),
        pytest.param(b'{"auditID":"' + b"x" * ITEM_BYTES_MAX + b'"}', "record too large", id="too large"),
        pytest.param(b'{"auditID":"1","user":' + DEEP + b"}", "nested too deep", id="deep user"),
        pytest.param(b'{"auditID":"1","requestObject":' + b"[" * 50_000, "nested too deep", id="bottomless"),
    ],
)
def test_refusals_of_the_head(payload: bytes, reason: str) -> None:
    with pytest.raises(DecodeError) as refused:
        KUBE.decode(payload, "")
    assert refused.value.reason == reason


def test_a_number_beyond_all_doubles_in_a_body_is_found_by_the_full_decoder_alone() -> None:
    payload = b'{"kind":"Event","auditID":"1","requestObject":{"a":1e999}}'
    assert KUBE.decode(payload, "")["auditID"] == "1"
    with pytest.raises(DecodeError, match=r"^invalid JSON"):
        KUBE.decode_all(payload, "")


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        pytest.param({"kind": None, "apiVersion": None}, True, id="1 log line and webhook item"),
        pytest.param({"date": 1795256472.1}, True, id="by way of Fluent Bit"),
        pytest.param({"auditID": "not a uuid <x>"}, False, id="11 another audit ID"),
        pytest.param({"stage": "ResponseStarted"}, False, id="11 another stage of the same request"),
        pytest.param({"requestURI": "/other"}, False, id="11 another request under the same audit ID"),
    ],
)
def test_uid_is_over_the_content(changes: dict[str, Any], same: bool) -> None:
    one, other = event(), event(**changes)
    assert (KUBE.uid(b"1", one) == KUBE.uid(b"2", other)) is same


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, 1_795_256_472_123_456_000, id="23 stageTimestamp"),
        pytest.param({"stageTimestamp": None}, 1_795_256_472_100_000_000, id="requestReceivedTimestamp"),
        pytest.param({"stageTimestamp": "soon"}, 1_795_256_472_100_000_000, id="stageTimestamp is no time"),
        pytest.param(
            {"stageTimestamp": None, "requestReceivedTimestamp": None, "timestamp": "2026-11-21T10:21:12Z"},
            1_795_256_472_000_000_000,
            id="v1beta1 timestamp",
        ),
        pytest.param({"stageTimestamp": None, "requestReceivedTimestamp": None}, 0, id="none"),
    ],
)
def test_time(changes: dict[str, Any], expected: int) -> None:
    assert KUBE.time_ns(event(**changes)) == expected


def test_3_hostile_text_comes_through_unchanged() -> None:
    agent = 'x"\n{"kind":"Event"}\u202e\0\\'
    line = json.dumps(event(userAgent=agent)).encode().replace(b"<", b"\\u003c")
    [piece] = KUBE.split(line + b"\n" + line)
    assert piece.items == [line, line]
    assert KUBE.facts(KUBE.decode_all(line, "")).user_agent == agent


def test_11_any_string_is_an_audit_id() -> None:
    assert KUBE.event_ids(event(auditID="not a uuid <x>")) == ("not a uuid <x>",)
    assert KUBE.event_ids(event(auditID="")) == ()


def test_21_annotation_keys_keep_their_dots_and_slashes() -> None:
    assert KUBE.decode(orjson.dumps(event()), "")["annotations"]["authorization.k8s.io/decision"] == "allow"
