"""The walk over a document leaves out only parts of which no field has a value."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.fields import getter
from detectors.presence import Walk
from tests.detectors.test_equivalence import DOCUMENTS, DOTTED_DOCUMENTS, FIELDS


@given(st.lists(st.lists(FIELDS, min_size=1, max_size=3), max_size=5), DOCUMENTS | DOTTED_DOCUMENTS)
def test_no_part_with_a_value_is_left_out(parts: list[list[str]], doc: dict[str, Any]) -> None:
    found = Walk().presence(parts)(doc)
    for number, names in enumerate(parts):
        if any(getter(name)(doc) for name in names):
            assert found >> number & 1


@pytest.mark.parametrize(
    ("doc", "found"),
    [
        ({}, 0b00),
        ({"a": {"b": {"c": 1}}}, 0b01),
        ({"a": {"b": [{"x": 1}, [{"d": None}]]}}, 0b10),
        ({"a": {"b": "text"}}, 0b00),
        ({"a.b": {}}, 0b11),
        ({"a": {"b.d": 0}}, 0b10),
        ({"a.b.c": 0}, 0b01),
    ],
    ids=["empty", "nested", "lists", "too-short", "dotted-middle", "dotted-end", "dotted-whole"],
)
def test_what_a_walk_finds(doc: dict[str, Any], found: int) -> None:
    assert Walk().presence([["a.b.c"], ["a.b.d"]])(doc) == found


def test_depth_and_length_of_a_document_are_no_harm() -> None:
    deep: Any = {"b": 1}
    for _ in range(100_000):
        deep = [deep]
    assert Walk().presence([["a.b"]])({"a": deep}) == 1
    assert Walk().presence([["a.b"]])({"a": [{}] * 100_000 + [1, None, {"b": 1}]}) == 1


@given(
    st.lists(st.lists(st.lists(FIELDS, min_size=1, max_size=3), max_size=3), max_size=4),
    st.lists(DOCUMENTS | DOTTED_DOCUMENTS, max_size=4),
)
def test_one_walk_serves_many(rules: list[list[list[str]]], docs: list[dict[str, Any]]) -> None:
    walk = Walk()
    shared = [walk.presence(parts) for parts in rules]
    for doc in docs:
        for parts, present in zip(rules, shared, strict=True):
            assert present(doc) | Walk().presence(parts)(doc) == present(doc)
            assert present(doc) < 1 << len(parts)
