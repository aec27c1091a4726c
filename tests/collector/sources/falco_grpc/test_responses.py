"""What becomes of a response: the alert that Falco's HTTP output would have sent, and what a decoder makes of it."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from collector.decoders import DECODERS
from collector.sources.falco_grpc.outputs_pb2 import priority, response
from collector.sources.falco_grpc.responses import SHORTENED, to_record
from vedette.schema.errors import DecodeError
from vedette.schema.event import Loss, Nature
from vedette.schema.limits import DEAD_LETTER_BYTES_MAX, ITEM_BYTES_MAX

from .falco import alert

FALCO = DECODERS["falco"]
TIMES = st.integers(0, 253_402_300_799)
TEXTS = st.text(max_size=20)


def decoded(payload: bytes) -> dict[str, Any]:
    found: dict[str, Any] = FALCO.decode(to_record(payload), "")
    return found


def test_the_whole_record() -> None:
    assert to_record(alert(7).SerializeToString()) == (
        b'{"hostname":"node-1","output":"A shell was spawned (7)",'
        b'"output_fields":{"evt.time":"1795255200000000000","k8s.pod.name":"cart-0","proc.pid":"7"},'
        b'"priority":"Notice","rule":"Terminal shell in container","source":"syscall","tags":["container","shell"],'
        b'"time":"2026-11-21T10:00:00.000000007Z"}'
    )


@given(
    st.builds(
        response,
        time=st.builds(Timestamp, seconds=TIMES, nanos=st.integers(0, 999_999_999)),
        priority=st.sampled_from(priority.values()),
        rule=TEXTS,
        output=TEXTS,
        output_fields=st.dictionaries(TEXTS, TEXTS),
        hostname=TEXTS,
        tags=st.lists(TEXTS),
        source=TEXTS,
    )
)
def test_nothing_is_lost_or_made_up(given_response: response) -> None:
    record = orjson.loads(to_record(given_response.SerializeToString()))
    time, nanos = record["time"].rstrip("Z").split(".")
    seconds = int(datetime.fromisoformat(time).replace(tzinfo=UTC).timestamp())
    assert (
        response(
            time=Timestamp(seconds=seconds, nanos=int(nanos)),
            priority=record["priority"].upper(),
            rule=record["rule"],
            output=record["output"],
            output_fields=record["output_fields"],
            hostname=record["hostname"],
            tags=record["tags"],
            source=record.get("source", ""),
        )
        == given_response
    )
    assert len(nanos) == 9


@given(st.binary(max_size=200))
def test_whatever_comes_is_an_item_that_a_decoder_can_judge(payload: bytes) -> None:
    record = to_record(payload)
    with contextlib.suppress(DecodeError):
        assert FALCO.decode(record, "")["rule"]


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        pytest.param(Timestamp(seconds=0, nanos=1), "1970-01-01T00:00:00.000000001Z", id="first"),
        pytest.param(Timestamp(seconds=253_402_300_799), "9999-12-31T23:59:59.000000000Z", id="last"),
        pytest.param(Timestamp(seconds=253_402_300_800), None, id="after the last"),
        pytest.param(Timestamp(seconds=-1), None, id="before the first"),
        pytest.param(Timestamp(nanos=-1), None, id="negative nanoseconds"),
        pytest.param(Timestamp(nanos=1_000_000_000), None, id="a second of nanoseconds"),
        pytest.param(None, None, id="none"),
    ],
)
def test_times(time: Timestamp | None, expected: str | None) -> None:
    document = decoded(alert(1, time=time).SerializeToString())
    assert document.get("time") == expected
    if expected is None:
        assert FALCO.time_ns(document) == 1_795_255_200_000_000_000, "evt.time stands in"


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (0, "Emergency"),
        (1, "Alert"),
        (2, "Critical"),
        (3, "Error"),
        (4, "Warning"),
        (5, "Notice"),
        (6, "Informational"),
        (7, "Debug"),
        (99, "99"),
    ],
)
def test_priorities(number: int, name: str) -> None:
    assert decoded(alert(1, priority=number).SerializeToString())["priority"] == name


@pytest.mark.parametrize(
    "text", ["\x00\x1b[2J\r\n", "\u202e\ufeff", '"},{"rule":"other"', "</script>${jndi:ldap://x}", "🐚" * 9]
)
def test_hostile_text_stays_text(text: str) -> None:
    fields = {text: text, "proc.cmdline": text}
    said = alert(1, rule=text, output=text, output_fields=fields, hostname=text, tags=[text])
    record = to_record(said.SerializeToString())
    assert b"\n" not in record
    document = decoded(said.SerializeToString())
    assert {document[key] for key in ("rule", "output", "hostname", "proc.cmdline")} == {text}
    assert (document["tags"], document["output_fields"][text]) == ([text], text)


def test_a_field_named_like_a_key_of_the_alert_does_not_replace_it() -> None:
    said = alert(1, output_fields={"rule": "Nothing to see", "priority": "Debug"})
    assert decoded(said.SerializeToString())["rule"] == "Terminal shell in container"


def test_an_old_falco_names_no_source_and_its_health_is_known_all_the_same() -> None:
    said = alert(1, source="", rule="Falco internal: syscall event drop", output_fields={"n_drops": "12"})
    document = decoded(said.SerializeToString())
    assert "source" not in document
    assert FALCO.nature(document) is Nature.HEALTH
    assert FALCO.losses(document) == (Loss("falco_drops", 12),)


@pytest.mark.parametrize(
    "payload",
    [b"", b"\xff", b"{", alert(1).SerializeToString()[:-3], b"\x22\x02\xc3\x28", b"\xff" * 200_000],
    ids=["empty", "no tag", "half a tag", "cut off", "no UTF-8", "long"],
)
def test_what_is_no_response_goes_to_the_dead_letters(payload: bytes) -> None:
    record = to_record(payload)
    assert len(record) <= DEAD_LETTER_BYTES_MAX
    with pytest.raises(DecodeError):
        FALCO.decode(record, "")


def test_an_alert_that_is_too_long_as_json_goes_there_shortened() -> None:
    said = alert(1, output="\x01" * (ITEM_BYTES_MAX // 6 + 1))
    record = to_record(said.SerializeToString())
    assert len(record) == DEAD_LETTER_BYTES_MAX
    assert record.endswith(SHORTENED)
    with pytest.raises(DecodeError):
        FALCO.decode(record, "")


def test_equal_alerts_have_equal_records() -> None:
    """A map has no order on the wire."""
    fields = {f"f{number}": "" for number in range(20)}
    backwards = dict(reversed(fields.items()))
    one, other = (to_record(alert(1, output_fields=each).SerializeToString()) for each in (fields, backwards))
    assert one == other
    assert list(json.loads(one)) == sorted(json.loads(one))
