"""Blanking members: like decoding, replacing and encoding again, without decoding."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.decoders._common.json_blank import blank_members

OPENING = re.compile(rb'"(?:in|out)"\s*+:\s*+')
KEYS = st.sampled_from(["in", "out", "other", '"in":', "\\", '\\"in":[']) | st.text(max_size=3)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(['"in":[', "}", "]", '{"out":']),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)
SEPARATORS = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t:\r\n")])


@given(doc=st.dictionaries(KEYS, VALUES), separators=SEPARATORS, ascii_only=st.booleans())
def test_members_are_blanked_at_the_top_and_nowhere_else(
    doc: dict[str, Any], separators: tuple[str, str], ascii_only: bool
) -> None:
    text = json.dumps(doc, separators=separators, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    expected = {key: None if _opens(key) and isinstance(value, dict | list) else value for key, value in doc.items()}
    assert json.loads(blank_members(text, OPENING)) == expected


def _opens(key: str) -> bool:
    """Whether the written key ends like one of those that are blanked."""
    return OPENING.search(json.dumps(key).encode() + b":") is not None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(b'{"in":' + b"[" * 99_999 + b"]" * 99_999 + b"}", b'{"in":null}', id="deep"),
        pytest.param(b'{"in":[1,"out":{}', b'{"in":[1,"out":{}', id="without an end"),
        pytest.param(b'{"in":{]],"a":1}', b'{"in":null],"a":1}', id="closed by anything"),
        pytest.param(b'[{"in":[]}]', b'[{"in":[]}]', id="in a list"),
        pytest.param(b'}}{"in":[]}', b'}}{"in":[]}', id="after too many brackets"),
        pytest.param(b'"in":[]', b'"in":[]', id="outside"),
        pytest.param(b"", b"", id="nothing"),
    ],
)
def test_what_is_no_whole_object_is_left_to_the_decoder(text: bytes, expected: bytes) -> None:
    assert blank_members(text, OPENING) == expected
