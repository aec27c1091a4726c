"""Records as Fluent Bit posts them: arrays, lines and streams, with the event merged into them or as a line of text."""

from typing import Any

import orjson
import pytest

from collector.decoders import DECODERS
from vedette.schema.errors import DecodeError
from vedette.schema.event import Decoder, Document

EVENTS: dict[str, dict[str, Any]] = {
    "falco": {
        "hostname": "node-1",
        "output": "x \u00e9 \n",
        "output_fields": {"evt.time": 1739178940698757000, "proc.cmdline": 'sh -c "\\\\"'},
        "priority": "Notice",
        "rule": "Terminal shell in container",
        "time": "2025-02-10T09:15:40.698757000Z",
    },
    "hubble": {
        "flow": {"time": "2026-11-21T10:21:12.1Z", "verdict": "DROPPED", "IP": {"source": "a", "destination": "b"}},
        "node_name": "node-1",
    },
    "kube_audit": {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Request",
        "auditID": "f7cd5f51",
        "stage": "ResponseComplete",
        "verb": "create",
        "requestObject": {"spec": {"containers": [{"image": "nginx", "command": ["\u2028"]}]}},
        "stageTimestamp": "2026-11-21T10:21:12.123456Z",
    },
}
POD: dict[str, Any] = {"pod_name": "p", "namespace_name": "n", "host": "node-1", "labels": {"rule": "x", "verb": "y"}}

every_format = pytest.mark.parametrize("name", EVENTS)


def line(name: str) -> str:
    return orjson.dumps(EVENTS[name]).decode()


def docs(decoder: Decoder, body: bytes) -> list[Document]:
    return [decoder.decode_all(item, piece.context) for piece in decoder.split(body) for item in piece.items]


SHAPES = {
    "merged": lambda name: {"date": 1.5} | EVENTS[name],
    "merged, with the pod": lambda name: EVENTS[name] | {"date": 1.5, "stream": "stdout", "_p": "F", "kubernetes": POD},
    "merged, and the line kept": lambda name: {"date": 1.5, "log": line(name), "stream": "stdout"} | EVENTS[name],
    "docker": lambda name: {"date": 1, "log": line(name) + "\n", "stream": "stderr", "time": "2026-11-21T10:21:13Z"},
    "cri": lambda name: {"date": 1.5, "time": "2026-11-21T10:21:13Z", "stream": "stdout", "_p": "F", "log": line(name)},
    "cri, the other parser": lambda name: {"stream": "stdout", "logtag": "F", "message": line(name), "kubernetes": POD},
    "merged under a key, and the line kept": lambda name: {"log": line(name), "log_processed": EVENTS[name]},
}


@every_format
@pytest.mark.parametrize("wrap", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize(
    ("before", "between", "after"),
    [(b"[", b",", b"]"), (b"", b"\n", b"\n"), (b"", b"", b"")],
    ids=["json", "json_lines", "json_stream"],
)
def test_every_shape_is_the_event(name: str, wrap: Any, before: bytes, between: bytes, after: bytes) -> None:
    decoder, record = DECODERS[name], orjson.dumps(wrap(name))
    [own] = docs(decoder, orjson.dumps(EVENTS[name]))
    found = docs(decoder, before + between.join([record, orjson.dumps(EVENTS[name]), record]) + after)
    assert len(found) == 3
    for doc in found:
        assert doc.items() >= own.items()
        assert decoder.uid(b"", doc) == decoder.uid(b"", own)
        assert decoder.time_ns(doc) == decoder.time_ns(own) > 0
        assert decoder.facts(doc) == decoder.facts(own)
        assert decoder.nature(doc) == decoder.nature(own)


@every_format
def test_a_line_has_the_same_head_and_nothing_of_its_record(name: str) -> None:
    decoder = DECODERS[name]
    payload = orjson.dumps({"log": line(name), "date": 1.5, "kubernetes": POD})
    head, doc = decoder.decode(payload, ""), decoder.decode_all(payload, "")
    assert head == {key: doc[key] for key in head}
    assert doc == decoder.decode_all(line(name).encode(), "")


@every_format
@pytest.mark.parametrize(
    ("record", "reason"),
    [
        pytest.param({"log": '{"cut":', "_p": "P"}, "part of a line", id="a part, built-in parser"),
        pytest.param({"message": "end of it}", "logtag": "P"}, "part of a line", id="a part, the other parser"),
        pytest.param({"log": '{"cut":', "_p": "F"}, "invalid JSON", id="broken"),
        pytest.param({"log": "[" * 5000}, None, id="brackets"),
        pytest.param({"log": "{" * 5000}, None, id="braces"),
        pytest.param({"log": '{"a":' * 300 + "1" + "}" * 300}, None, id="deep"),
        pytest.param({"log": ""}, None, id="nothing"),
        pytest.param({"log": "\x00\ud7ff"}, None, id="NUL"),
    ],
)
def test_lines_that_are_refused(name: str, record: dict[str, Any], reason: str | None) -> None:
    with pytest.raises(DecodeError) as refused:
        DECODERS[name].decode(orjson.dumps(record), "")
    assert reason in (None, refused.value.reason)


@every_format
def test_a_line_in_a_line_is_not_looked_for(name: str) -> None:
    inner = orjson.dumps({"log": line(name)}).decode()
    with pytest.raises(DecodeError):
        DECODERS[name].decode(orjson.dumps({"log": inner}), "")


@every_format
@pytest.mark.parametrize("record", [{"message": "hello"}, {"log": 7, "message": None}, {"logs": "{}"}], ids=str)
def test_a_record_without_a_line_is_refused_for_itself(name: str, record: dict[str, Any]) -> None:
    reasons = {"falco": "no Falco rule", "hubble": "not a Hubble record", "kube_audit": "not an audit event"}
    with pytest.raises(DecodeError) as refused:
        DECODERS[name].decode(orjson.dumps(record), "")
    assert refused.value.reason == reasons[name]


def test_an_event_wins_over_the_line_beside_it() -> None:
    payload = orjson.dumps(EVENTS["falco"] | {"log": line("falco").replace("Terminal", "Another")})
    assert DECODERS["falco"].decode(payload, "")["rule"] == "Terminal shell in container"
