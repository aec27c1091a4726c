"""Loaded rules as bytes: they come back as they were, or not at all."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.behaviour.loading import is_behaviour
from detectors.correlation.definition import (
    Both,
    Bound,
    Comparison,
    Correlation,
    Either,
    Expression,
    Kind,
    Member,
    Seen,
    Without,
)
from detectors.loading import load_rules
from detectors.packs import shipped_pack_texts
from detectors.rule import LoadedRules, Rule, RuleText
from detectors.rule_cache import cache_key, decode_loaded, encode_loaded, pack_parts, unpack_parts
from detectors.testing.case import GivenEvent, RuleTest
from vedette.schema.errors import DecodeError
from vedette.schema.event import Event, LogSource
from vedette.schema.finding import Clause
from vedette.schema.level import Level
from vedette.schema.rule import RuleInfo

from .test_equivalence import PREDICATES

TEXTS = st.text(max_size=8)
NAMES = st.lists(TEXTS, max_size=3).map(tuple)
INFOS = st.builds(RuleInfo, TEXTS, TEXTS, st.sampled_from(Level), attack=NAMES, dedup_by=NAMES, pack=TEXTS)
LOGSOURCES = st.builds(LogSource, st.none() | TEXTS, st.none() | TEXTS, st.none() | TEXTS)
_INT64 = st.integers(-(2**63), 2**63 - 1)
JSON_EVENTS = st.dictionaries(TEXTS, TEXTS | _INT64 | st.booleans() | st.none(), max_size=3)
EVENTS = st.builds(GivenEvent, JSON_EVENTS, TEXTS, st.integers(1, 9), _INT64)
TESTS = st.builds(RuleTest, TEXTS, st.booleans(), st.lists(EVENTS, max_size=2).map(tuple), TEXTS, st.integers(0, 9))
RULES = st.builds(Rule, INFOS, LOGSOURCES, PREDICATES, TEXTS, st.lists(TESTS, max_size=2).map(tuple), NAMES)
EXPRESSIONS: st.SearchStrategy[Expression] = st.recursive(
    st.builds(Seen, st.integers(0, 9)),
    lambda inner: st.one_of(
        st.builds(Both, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Either, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Without, inner),
    ),
    max_leaves=6,
)
NUMBERS = _INT64 | st.floats(allow_nan=False)
FIELDS = st.lists(NAMES, max_size=2).map(tuple)
CORRELATIONS = st.builds(
    Correlation,
    INFOS,
    st.sampled_from(Kind),
    st.lists(st.builds(Member, TEXTS, TEXTS, FIELDS, FIELDS), max_size=2).map(tuple),
    NAMES,
    _INT64,
    TEXTS,
    st.lists(st.builds(Bound, st.sampled_from(Comparison), NUMBERS), max_size=2).map(tuple),
    st.none() | EXPRESSIONS,
    NAMES,
    st.integers(0, 100),
    st.booleans(),
    TEXTS,
)
KEY, OTHER_KEY = "0a" * 32, "0b" * 32
PARTS = {"rules": b"\x00\xff" * 20, "": b"", "scanner": b"x"}
TEXT = RuleText("a/b.yml", "title: x", "mine")


@given(st.lists(RULES, max_size=4).map(tuple), st.lists(CORRELATIONS, max_size=3).map(tuple))
def test_generated_rules_come_back_as_they_were(rules: tuple[Rule, ...], correlations: tuple[Correlation, ...]) -> None:
    loaded = LoadedRules(rules, (), correlations)
    content = encode_loaded(loaded)
    assert content is not None
    assert decode_loaded(content) == loaded
    assert repr(decode_loaded(content)) == repr(loaded), "1 and true are equal, but not the same"


def test_all_packs_that_ship_come_back_as_they_were() -> None:
    loaded = load_rules(text for text in shipped_pack_texts() if not is_behaviour(text.text))
    assert loaded.rules
    content = encode_loaded(loaded)
    assert content is not None
    assert repr(decode_loaded(content)) == repr(loaded)


def with_event(event: dict[str, Any]) -> LoadedRules:
    (rule,) = load_rules([RULE]).rules
    tests = (RuleTest("t", match=False, events=(GivenEvent(event),)),)
    return LoadedRules((msgspec.structs.replace(rule, tests=tests),), ())


RULE = RuleText(
    "r.yml",
    """\
title: Something
id: something
logsource: {product: kubernetes, service: audit}
level: high
detection: {one: {verb: get}, condition: one}
""",
    "",
)


@pytest.mark.parametrize(
    "value",
    [2**64, {"a", "b"}, (1, 2), float("nan"), "\ud800"],
    ids=["65 bits", "a set", "a tuple", "not a number", "half a character"],
)
def test_what_bytes_would_not_say_exactly_is_not_kept(value: object) -> None:
    assert encode_loaded(with_event({"a": "b"})) is not None
    assert encode_loaded(with_event({"a": value})) is None


class Exact:
    """A test that is code."""

    def holds(self, event: Event) -> bool:
        return True

    def explain(self, event: Event) -> tuple[Clause, ...]:
        return ()


def test_a_rule_with_a_test_that_is_code_is_not_kept() -> None:
    (rule,) = load_rules([RULE]).rules
    assert encode_loaded(LoadedRules((rule,), ())) is not None
    assert encode_loaded(LoadedRules((msgspec.structs.replace(rule, exact=Exact()),), ())) is None


def test_a_set_with_errors_is_not_kept() -> None:
    loaded = load_rules([RULE, RuleText("bad.yml", "title: [", "")])
    assert loaded.rules
    assert loaded.errors
    assert encode_loaded(loaded) is None


@pytest.mark.parametrize("content", [b"", b"\xc1", b"\x90", b"\x92\x90\x91\x01", b"\x92\x90\x90\x00", b"\x92\x91\xd9"])
def test_bytes_that_are_no_rules_are_refused(content: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_loaded(content)


@given(st.dictionaries(TEXTS, st.binary(max_size=20), max_size=3))
def test_parts_come_back(parts: dict[str, bytes]) -> None:
    assert unpack_parts(KEY, pack_parts(KEY, parts)) == parts


def test_no_beginning_of_a_blob_is_taken_for_it() -> None:
    blob = pack_parts(KEY, PARTS)
    for length in range(len(blob)):
        with pytest.raises(DecodeError):
            unpack_parts(KEY, blob[:length])
    with pytest.raises(DecodeError):
        unpack_parts(KEY, blob + b"\x00")


def test_no_flipped_bit_goes_unnoticed() -> None:
    blob = pack_parts(KEY, PARTS)
    for bit in range(len(blob) * 8):
        flipped = bytearray(blob)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DecodeError):
            unpack_parts(KEY, bytes(flipped))


def test_a_blob_of_other_rules_is_refused() -> None:
    with pytest.raises(DecodeError, match="other rules"):
        unpack_parts(OTHER_KEY, pack_parts(KEY, PARTS))


@pytest.mark.parametrize(
    ("texts", "made_by"),
    [
        ([TEXT, TEXT], "us 1"),
        ([RuleText("a/c.yml", "title: x", "mine")], "us 1"),
        ([RuleText("a/b.yml", "title: y", "mine")], "us 1"),
        ([RuleText("a/b.yml", "title: x", "theirs")], "us 1"),
        ([RuleText("a/b.ymltitle: x", "", "mine")], "us 1"),
        ([TEXT], "us 2"),
        ([], "us 1"),
    ],
    ids=["once more", "path", "text", "pack", "other borders", "program", "nothing"],
)
def test_a_key_names_all_that_the_outcome_hangs_on(texts: list[RuleText], made_by: str) -> None:
    assert cache_key([TEXT], "us 1") == cache_key([RuleText("a/b.yml", "title: x", "mine")], "us 1")
    assert cache_key(texts, made_by) != cache_key([TEXT], "us 1")


def test_a_key_goes_by_the_order_of_texts() -> None:
    other = RuleText("z.yml", "", "")
    assert cache_key([TEXT, other], "") != cache_key([other, TEXT], "")
