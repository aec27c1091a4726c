"""Requests keep their bounds, and of each document the answer alone says what became of it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinks.opensearch.bulk import REQUEST_DOCUMENTS_MAX, Line, line, outcomes, requests
from vedette.schema.errors import PermanentError, TransientError
from vedette.testing.sinks import HOSTILE

SENT = [Line("i", f"id-{number}", b"") for number in range(3)]


def result(status: int, kind: str = "", reason: str | None = "because", document_id: str = "id-0") -> dict[str, Any]:
    error = {"error": {"type": kind, "reason": reason}} if kind else {}
    return {"index": {"_id": document_id, "status": status, **error}}


def of_one(item: dict[str, Any]) -> Any:
    (outcome,) = outcomes(SENT[:1], orjson.dumps({"errors": True, "items": [item]}))
    return outcome


@pytest.mark.parametrize("status", [200, 201, 202, 409])
def test_delivered(status: int) -> None:
    assert of_one(result(status, "version_conflict_engine_exception" if status == 409 else "")) is None


@pytest.mark.parametrize(
    ("status", "kind", "expected", "text"),
    [
        (400, "mapper_parsing_exception", PermanentError, "mapping"),
        (400, "strict_dynamic_mapping_exception", PermanentError, "mapping"),
        (400, "illegal_argument_exception", PermanentError, "immense"),
        (413, "request_too_large", PermanentError, "413"),
        (429, "es_rejected_execution_exception", TransientError, "429"),
        (429, "cluster_block_exception", TransientError, "disk"),
        (403, "cluster_block_exception", TransientError, "disk"),
        (400, "index_closed_exception", TransientError, "Open the index"),
        (404, "index_not_found_exception", TransientError, "auto_create_index"),
        (400, "validation_exception", TransientError, "max_shards_per_node"),
        (401, "security_exception", TransientError, "role"),
        (403, "security_exception", TransientError, "role"),
        (403, "", TransientError, "403"),
        (500, "null_pointer_exception", TransientError, "500"),
        (502, "", TransientError, "502"),
        (503, "unavailable_shards_exception", TransientError, "503"),
        (503, "cluster_block_exception", TransientError, "503"),
        (408, "process_cluster_event_timeout_exception", TransientError, "408"),
        (0, "", TransientError, "0"),
        (302, "", TransientError, "302"),
    ],
)
def test_refused(status: int, kind: str, expected: type[Exception], text: str) -> None:
    outcome = of_one(result(status, kind, "immense term"))
    assert type(outcome) is expected
    assert text in str(outcome)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_servers_words_are_clipped_and_escaped(text: str) -> None:
    for error in ({"type": text, "reason": text}, text, {"type": "x", "caused_by": {"reason": text}}):
        message = str(of_one({"index": {"_id": "id-0", "status": 400, "error": error}}))
        assert message.isprintable()
        assert len(message) < 700


@pytest.mark.parametrize(
    "item",
    [
        {},
        {"index": None},
        {"delete": {"_id": "id-0", "status": 200}},
        {"index": {"status": 200}},
        {"index": {"_id": "id-1", "status": 200}},
        {"index": {"_id": "id-0"}},
    ],
    ids=str,
)
def test_what_is_not_said_of_a_document_does_not_count(item: dict[str, Any]) -> None:
    assert type(of_one(item)) is TransientError


def test_fewer_more_and_swapped_items() -> None:
    items = [result(201, document_id=entry.document_id) for entry in SENT]
    for shown, expected in (
        (items, [True, True, True]),
        (items[:2], [True, True, False]),
        ([], [False, False, False]),
        (items + items, [True, True, True]),
        (items[::-1], [False, True, False]),
        (items[1:], [False, False, False]),
    ):
        found = outcomes(SENT, orjson.dumps({"errors": False, "items": shown}))
        assert [outcome is None for outcome in found] == expected
        assert all(isinstance(outcome, TransientError | None) for outcome in found)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"{}",
        b"[]",
        b"null",
        b'{"errors":false}',
        b'{"items":null}',
        b'{"items":[1]}',
        b"<html>",
        b"{" * 9999,
    ],
    ids=lambda body: repr(body[:20]),
)
def test_what_is_no_answer_delivers_nothing(body: bytes) -> None:
    with pytest.raises(TransientError, match="answer to a bulk request is none"):
        outcomes(SENT, body)


@given(st.binary())
def test_any_bytes_deliver_nothing(body: bytes) -> None:
    try:
        found = outcomes(SENT, body)
    except TransientError:
        return
    assert None not in found


@given(
    st.lists(st.integers(0, 300), max_size=60).map(
        lambda sizes: [Line("i", str(at), b"x" * n) for at, n in enumerate(sizes)]
    ),
    st.integers(1, 400),
)
def test_requests_are_bounded_whole_and_in_order(lines: list[Line], bytes_max: int) -> None:
    parts = list(requests(lines, bytes_max))
    assert [entry for part in parts for entry in part] == lines
    assert all(parts)
    assert all(len(part) == 1 or sum(len(entry.content) for entry in part) <= bytes_max for part in parts)
    joined = [[*one, other[0]] for one, other in pairwise(parts)]
    assert all(sum(len(entry.content) for entry in part) > bytes_max for part in joined)


def test_requests_hold_so_many_documents() -> None:
    lines = [Line("", "", b"")] * (2 * REQUEST_DOCUMENTS_MAX + 1)
    assert [len(part) for part in requests(lines, 1)] == [REQUEST_DOCUMENTS_MAX, REQUEST_DOCUMENTS_MAX, 1]


def test_a_line_break_in_a_document_does_not_end_it() -> None:
    content = line("index", "i", "d", b'{\n"a": "\\n",\r\n"b":\n1}\n', ',"version":7').content
    head, document, rest = content.split(b"\n")
    assert orjson.loads(head) == {"index": {"_index": "i", "_id": "d", "version": 7}}
    assert orjson.loads(document) == {"a": "\n", "b": 1}
    assert rest == b""
