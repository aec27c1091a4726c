"""Exceptions as text: what is written means what was said, whatever it is; ending one leaves all else alone."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from collector.decoders import DECODERS
from detectors.engine import Engine
from detectors.rule import RuleText
from detectors.sigma import load_rules
from detectors.sigma.metadata import ExceptionInfo
from vedette.app.tuning.exception_text import Field, parse_field, set_expiry, write_exception
from vedette.schema.errors import ConfigError
from vedette.schema.event import Event
from vedette.schema.record import Record, Run

RULE = """
title: Any
id: any
logsource: {product: kubernetes, service: audit}
detection: {selection: {verb: create}, condition: selection}
"""
SOURCE = {"product": "kubernetes", "service": "audit"}
HOSTILE = [
    "*",
    "a?b",
    "back\\slash\\",
    "\\*",
    "null",
    "true",
    "5",
    "'; } # --- x: [",
    "\n---\ntitle: x\n",
    "%expand%",
    "\x1b[2J",
    "\u202e\u2028",
    "",
    "- {}: |",
    "\U0001f600",
    "a: b",
]


def matched(text: str, user: str) -> bool:
    loaded = load_rules([RuleText("own.yml", RULE, "own"), RuleText("new.yml", text, "own")])
    assert not loaded.errors, loaded.errors
    payload = json.dumps({"kind": "Event", "verb": "create", "user": {"username": user}}).encode()
    decoder = DECODERS["kube_audit"]
    event = Event(Record(1, 1, payload, Run("audit", "kube_audit", 1), 1), decoder, decoder.decode(payload, ""))
    return bool(Engine(loaded.rules, DECODERS).match(event))


def exception(*fields: Field, **info: str) -> str:
    return write_exception("New", "new", "any", SOURCE, fields, ExceptionInfo(**info))


@pytest.mark.parametrize("value", [value for value in HOSTILE if value], ids=repr)
def test_a_value_means_itself_alone(value: str) -> None:
    text = exception(Field("user.username", value), owner=value, reason=value)
    assert not matched(text, value)
    for other in {"x", value + "x", "x" + value, value.replace("*", "zz").replace("?", "z"), value[:-1]} - {value}:
        if other.lower() != value.lower():
            assert matched(text, other), other


@given(value=st.text(st.characters(codec="utf-8"), min_size=1, max_size=30), other=st.text(max_size=5))
def test_any_value_means_itself_alone(value: str, other: str) -> None:
    text = exception(Field("user.username", value), reason=value)
    assert len(list(yaml.safe_load_all(text))) == 1
    assert not matched(text, value)
    if other.casefold() != value.casefold() and other.lower() != value.lower():
        assert matched(text, other)


@pytest.mark.parametrize(
    ("name", "value", "excepted", "kept"),
    [
        pytest.param("user.username|startswith", "a*", "a*b", "ab", id="startswith"),
        pytest.param("user.username|contains", "?", "a?b", "ab", id="contains"),
        pytest.param("user.username|re", "^a.b$", "axb", "a.bc", id="re"),
        pytest.param("user.username|cidr", "10.0.0.0/8", "10.1.2.3", "11.1.2.3", id="cidr"),
    ],
)
def test_modifiers(name: str, value: str, excepted: str, kept: str) -> None:
    text = exception(parse_field(f"{name}={value}"))
    assert not matched(text, excepted)
    assert matched(text, kept)


def test_fields_are_joined_by_and_and_values_of_one_by_or() -> None:
    text = exception(Field("user.username", "a"), Field("user.username", "b"), Field("verb", "create"))
    assert [matched(text, user) for user in "abc"] == [False, False, True]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("user.username", "no field with a value"),
        ("=x", "no field with a value"),
        ("user.username=", "no value"),
        ("user.username|shouts=x", "no modifier `shouts`"),
    ],
)
def test_what_is_no_field_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        parse_field(text)


def test_a_value_keeps_its_equals_signs() -> None:
    assert parse_field("user.username=a=b=") == Field("user.username", "a=b=")


# --- the end of an exception ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "text",
    [
        pytest.param("# why\ntitle: x   # the title\nvedette:\n    owner: me # mine\n", id="block"),
        pytest.param("title: x\nvedette: {owner: me, ticket: 'a, b'}\n", id="flow"),
        pytest.param("title: x\nvedette: {owner: me, expires: 2026-01-01}   # soon\n", id="a date"),
        pytest.param('title: x\nvedette:\n  expires: "2026-01-01"\n  owner: me\n', id="quoted"),
        pytest.param("# first\n\ntitle: x\n", id="no section"),
        pytest.param("{title: x}\n", id="all flow"),
        pytest.param("---\ntitle: x\nvedette:\n  reason: |\n    expires: never\n    --- not a document\n", id="a trap"),
    ],
)
@pytest.mark.parametrize(
    "before", ["", "title: other\nvedette: {expires: '2020-01-01'}\n---\n"], ids=["alone", "second"]
)
def test_an_expiry_is_set_and_nothing_else_changed(text: str, before: str) -> None:
    text = before + (text.removeprefix("---\n") if before else text)
    number = 1 if before else 0
    changed = set_expiry(text, number, "2026-11-21")
    expected = list(yaml.load_all(text, yaml.BaseLoader))
    expected[number].setdefault("vedette", {})["expires"] = "2026-11-21"
    assert list(yaml.load_all(changed, yaml.BaseLoader)) == expected
    kept = [line for line in text.splitlines() if line.startswith("#")]
    assert [line for line in changed.splitlines() if line.startswith("#")] == kept
    assert len(changed.splitlines()) - len(text.splitlines()) in (0, 1)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a: &v {owner: me}\ntitle: x\nvedette: *v\n", id="alias"),
        pytest.param("title: x\nvedette: me\n", id="no mapping"),
    ],
)
def test_what_can_not_be_changed_safely_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="write `expires: '2026-11-21'` yourself"):
        set_expiry(text, 0, "2026-11-21")


def test_texts_that_no_file_can_hold_are_refused() -> None:
    with pytest.raises(ConfigError, match="characters"):
        exception(Field("user.username", "\udc80"))
