"""One JSON object: what is taken, what is refused, and why."""

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.decoders._common.json_decode import content_id, loads_object
from vedette.schema.errors import DecodeError
from vedette.schema.limits import ITEM_BYTES_MAX, JSON_DEPTH_MAX


def nested(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        pytest.param(b"", "invalid JSON", id="nothing"),
        pytest.param(b'{"a":1', "invalid JSON", id="cut off"),
        pytest.param(b'{"a":1}{', "invalid JSON", id="more after it"),
        pytest.param(b'{"a":1}\x00', "invalid JSON", id="NUL after it"),
        pytest.param(b'{"a":"\x00"}', "invalid JSON", id="NUL in a string"),
        pytest.param(b'{"a":NaN}', "invalid JSON", id="NaN"),
        pytest.param(b'{"a":1e999}', "invalid JSON", id="infinity"),
        pytest.param(b'{"a":"\\ud800"}', "invalid JSON", id="lone surrogate"),
        pytest.param(b"{'a':1}", "invalid JSON", id="single quotes"),
        pytest.param(b'{"a":"\xff"}', "invalid UTF-8", id="not UTF-8"),
        pytest.param(b'{"a":"\xed\xa0\x80"}', "invalid UTF-8", id="surrogate as bytes"),
        pytest.param(b"[1]", "not a JSON object", id="array"),
        pytest.param(b"null", "not a JSON object", id="null"),
        pytest.param(nested(JSON_DEPTH_MAX + 1), "nested too deep", id="one level too deep"),
        pytest.param(b'{"a":' + b"[" * 100_000, "nested too deep", id="brackets without end"),
        pytest.param(b'{"a":"' + b"x" * ITEM_BYTES_MAX + b'"}', "record too large", id="too large"),
    ],
)
def test_refusals(payload: bytes, reason: str) -> None:
    with pytest.raises(DecodeError) as refused:
        loads_object(payload)
    assert refused.value.reason == reason
    assert len(refused.value.detail) < 200


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        pytest.param(b'{"a":1,"a":2}', {"a": 2}, id="of repeated keys the last wins"),
        pytest.param(b'{"a":1683727764046826001}', {"a": 1683727764046826001}, id="above 2^53"),
        pytest.param(b'{"a":18446744073709551615}', {"a": 2**64 - 1}, id="64 bits"),
        pytest.param(b'{"a":18446744073709551616}', {"a": float(2**64)}, id="beyond: a float"),
        pytest.param(b'{"a":"\\u0000\\u0026"}', {"a": "\0&"}, id="escapes"),
        pytest.param('{"a":"\ufffd\u202e"}'.encode(), {"a": "\ufffd\u202e"}, id="replacement and bidi characters"),
        pytest.param(b' {"a" : 1 }\r', {"a": 1}, id="space"),
    ],
)
def test_taken(payload: bytes, expected: object) -> None:
    assert loads_object(payload) == expected


def test_the_deepest_document_can_be_written_again() -> None:
    """orjson writes 254 levels: room for the envelopes of alerts and evidence."""
    doc = loads_object(nested(JSON_DEPTH_MAX))
    assert orjson.dumps([[doc]])


def test_brackets_in_strings_are_not_depth() -> None:
    assert loads_object(b'{"a":"' + b"[{" * 500 + b'"}')


def test_width_is_not_depth() -> None:
    assert loads_object(b'{"a":[' + b",".join([b"[{}]"] * 500) + b"]}")


@given(st.dictionaries(st.text(), st.integers(-(2**63), 2**63) | st.text() | st.none(), max_size=5))
def test_content_id_knows_no_order_and_no_space(doc: dict[str, object]) -> None:
    backwards = dict(reversed(doc.items()))
    payloads = [json.dumps(doc).encode(), json.dumps(backwards, indent=3).encode()]
    assert len({content_id(payload, loads_object(payload)) for payload in payloads}) == 1


def test_content_id_of_a_foreign_document_is_that_of_its_bytes() -> None:
    assert content_id(b"x", {"a": 2**70}) == content_id(b"x", {"a": 2**71}) != content_id(b"y", {"a": 2**70})


@given(st.binary(max_size=60))
def test_bytes_are_refused_or_an_object(payload: bytes) -> None:
    try:
        assert isinstance(loads_object(payload), dict)
    except DecodeError as refused:
        assert refused.reason  # noqa: PT017 - anything else must escape
