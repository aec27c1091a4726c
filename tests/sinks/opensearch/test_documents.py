"""The documents of events: bounded, faithful, and with no field that the record named."""

from __future__ import annotations

from typing import Any, Final

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.decoders import DECODERS
from sinks.opensearch.documents import ITEMS_MAX, EventDocuments, event_id
from vedette.runtime.sink import ForwardedEvent
from vedette.schema.event import Event, Facts
from vedette.schema.limits import TEXT_CHARS_MAX
from vedette.schema.record import Record, Run
from vedette.schema.text import clip_text, whole_text
from vedette.testing.sinks import HOSTILE, OPENED_NS

AUDIT: Final = {
    "kind": "Event",
    "apiVersion": "audit.k8s.io/v1",
    "level": "Metadata",
    "auditID": "a-1",
    "stage": "ResponseComplete",
    "requestURI": "/api/v1/namespaces/payment/secrets/card",
    "verb": "get",
    "user": {"username": "mara", "groups": ["system:authenticated"]},
    "sourceIPs": ["10.0.0.1"],
    "objectRef": {"resource": "secrets", "namespace": "payment", "name": "card"},
    "responseStatus": {"code": 200},
    "requestReceivedTimestamp": "2026-03-27T11:59:58.500000Z",
    "stageTimestamp": "2026-03-27T11:59:58.600000Z",
}


def forwarded(payload: bytes, kind: str = "kube_audit", **more: Any) -> ForwardedEvent:
    decoder = DECODERS[kind]
    record = Record(7, OPENED_NS + 999_999, payload, Run("audit", kind, 1, origin="audit.log"), 3)
    return ForwardedEvent(
        Event(record, decoder, decoder.decode(payload, "")), "prod", more.get("labels", {"team": "x"})
    )


def audit(**change: Any) -> ForwardedEvent:
    return forwarded(orjson.dumps({**AUDIT, **change}))


def document(event: ForwardedEvent, original_bytes_max: int = 16384) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(EventDocuments(original_bytes_max).encode(event))
    return found


def test_a_whole_one() -> None:
    event = audit()
    found = document(event)
    facts = found.pop("facts")
    assert found == {
        "@timestamp": OPENED_NS // 10**6 - 1400,
        "arrival": OPENED_NS // 10**6,
        "seq": 7,
        "uid": event.event.uid,
        "event_ids": ["a-1"],
        "source": "audit",
        "format": "kube_audit",
        "origin": "audit.log",
        "record": 3,
        "cluster": "prod",
        "labels": ["team:x"],
        "event": {"original": event.event.record.payload.decode(), "cut": False},
    }
    assert facts["actor"] == "mara"
    assert facts["namespace"] == "payment"
    assert event_id(event) == f"7-{event.event.uid}"


@pytest.mark.parametrize("text", [*HOSTILE.values(), "\ud800", "\U0001f680" * 2000], ids=lambda text: ascii(text[:9]))
def test_hostile_strings_are_bounded_but_otherwise_as_they_came(text: str) -> None:
    event = audit()
    event.event.__dict__["facts"] = Facts(actor=text, groups=(text,) * 50, command=text, bytes_count=1 << 70)
    facts = document(event)["facts"]
    expected = clip_text(text if text.isprintable() else whole_text(text))
    assert facts["actor"] == facts["command"] == expected
    assert set(facts["groups"]) == {expected}


def test_what_one_event_is_told_of_its_source_is_not_carried_over_to_another() -> None:
    first, second = audit(), audit(auditID="a-2")
    other = first.event.record._replace(run=Run('a"b', "kube_audit", 1, origin="\n"), record=4)
    elsewhere = ForwardedEvent(Event(other, first.event.decoder, first.event.head), "prod", {})
    mixed = [first, elsewhere, first._replace(cluster="test"), second, first._replace(labels={}), first]
    documents = EventDocuments(16384)
    assert [orjson.loads(documents.encode(event)) for event in mixed] == [document(event) for event in mixed]
    assert document(elsewhere)["source"] == 'a"b'


@given(origin=st.text(), cluster=st.text(), key=st.text(), value=st.text())
def test_a_document_is_one_line_of_json_whatever_the_operator_wrote(
    origin: str, cluster: str, key: str, value: str
) -> None:
    event = audit()
    event.event.record = event.event.record._replace(run=Run("audit", "kube_audit", 1, origin=origin))
    encoded = EventDocuments(16384).encode(event._replace(cluster=cluster, labels={key: value}))
    assert b"\n" not in encoded
    found = orjson.loads(encoded)
    assert (found["origin"], found["cluster"], found["labels"]) == (origin, cluster, [f"{key}:{value}"])


def test_lists_are_bounded() -> None:
    event = audit()
    event.event.__dict__["facts"] = Facts(actor="mara", groups=("developers",) * 500)
    assert document(event)["facts"] == {"actor": "mara", "groups": ["developers"] * ITEMS_MAX}


def test_a_file_name_that_is_no_text() -> None:
    event = audit()
    event.event.record = event.event.record._replace(run=Run("audit", "kube_audit", 1, origin="a\udcff.log"))
    assert document(event)["origin"] == "a\ufffd.log"


@given(
    st.dictionaries(st.text(max_size=5), st.recursive(st.integers() | st.text(), st.lists, max_leaves=5), max_size=5)
)
def test_no_field_is_named_by_the_record(change: dict[str, Any]) -> None:
    plain, odd = document(audit()), document(forwarded(_json({**change, **AUDIT})))
    assert odd.keys() == plain.keys()
    assert odd["facts"].keys() == plain["facts"].keys()


def _json(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        return orjson.dumps(AUDIT)


@pytest.mark.parametrize(
    ("bytes_max", "original", "cut"),
    [(10_000, "äöü", False), (6, "äöü", False), (5, "äö", True), (1, "", True)],
)
def test_the_record_as_received_is_bounded_at_a_character(bytes_max: int, original: str, cut: bool) -> None:
    event = audit()
    record = event.event.record._replace(payload="äöü".encode())
    event.event.uid  # noqa: B018 - computed from the payload
    event.event.doc  # noqa: B018 - as above
    event.event.record = record
    assert document(event, bytes_max)["event"] == {"original": original, "cut": cut}


def test_without_the_record_as_received() -> None:
    assert document(audit(), 0)["event"] is None


def test_bytes_that_are_no_text_are_shown_as_such() -> None:
    event = audit()
    event.event.uid  # noqa: B018 - computed from the payload
    event.event.doc  # noqa: B018 - as above
    event.event.record = event.event.record._replace(payload=b"a\xff\x00b")
    assert document(event)["event"]["original"] == "a\ufffd\x00b"


def test_labels_are_bounded() -> None:
    labels = {f"key{number:03}": "v" * 2000 for number in range(100)}
    found = document(forwarded(orjson.dumps(AUDIT), labels=labels))["labels"]
    assert len(found) == ITEMS_MAX
    assert {len(label) for label in found} == {TEXT_CHARS_MAX}
