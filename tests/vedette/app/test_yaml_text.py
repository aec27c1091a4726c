"""YAML as configuration needs it: what scalars mean, where things stand, what is refused, and that nothing leaks."""

import contextlib
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from vedette.app.yaml_text import NODES_MAX, TEXT_BYTES_MAX, Place, parse_yaml
from vedette.schema.errors import ConfigError

DATA = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_characters="\x85\u2028\u2029")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc-_ #:'\"", max_size=5), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("12:30", "12:30"),
        ("0x1f", 31),
        ("0o17", 15),
        ("017", 17),
        ("1_000", "1_000"),
        ("1e3", 1000.0),
        ("2026-01-01", "2026-01-01"),
        ("'1'", "1"),
        ("!!str 1", "1"),
        ("{a: &x [1, 2], b: *x}", {"a": [1, 2], "b": [1, 2]}),
        ("{1: a, true: b}", {"1": "a", "true": "b"}),
    ],
)
def test_plain_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    assert parse_yaml(text, "f").value == value


@given(DATA)
def test_what_is_written_is_read(value: Any) -> None:
    # Quoted, because PyYAML writes plain scalars as YAML 1.1 has them; what is no string gets a tag instead.
    assert parse_yaml(yaml.safe_dump(value, allow_unicode=True, default_style='"'), "f").value == value


@given(st.text())
def test_any_text_is_parsed_or_refused(text: str) -> None:
    with contextlib.suppress(ConfigError):
        parse_yaml(text, "f")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "f:3:1: `a` stands here twice, first in line 1; keep one of them"),
        ("a:\n  b: 1\n  b: 2\n", "f:3:3: `b` stands here twice, first in line 2"),
        ("a: [1, 2\n", "f:2:1: while parsing a flow sequence expected ',' or ']', but got"),
        ("a: b: c\n", "f:1:5: mapping values are not allowed here"),
        ("a: *hunter2\n", "f:1:4: an alias (*) that names nothing; a value that begins with * must be quoted"),
        ("a: !hunter2 x\n", "f:1:4: tags (!…) have no meaning here; a value that begins with ! must be quoted"),
        ("a: !!python/object:os.system x\n", "f:1:4: tags (!…) have no meaning here"),
        ("a: !!int hunter2\n", "f:1:4: this value does not fit its tag; leave the tag out"),
        ("a: !!map hunter2\n", "f:1:4: tags (!…) have no meaning here"),
        ("a: !foo!hunter2 x\n", "f:1:4: while parsing a node found undefined tag handle '…'"),
        ("<<: {a: 1}\n", "f:1:1: merge keys (<<) are not part of YAML 1.2"),
        ("[a]: 1\n", "f:1:1: a key must be a word, not a list or a mapping"),
        ("a: 1\n---\nb: 2\n", "f:2:1: expected a single document in the stream but found another document"),
        ("a: \x07\n", "f: holds a character that YAML does not allow"),
        ("a: @hunter2\n", "f:1:4: while scanning for the next token found character '@' that cannot start any token"),
        ("[" * 5000, "f: nested too deeply"),
        ("[" * 60 + "]" * 60, "f:1:52: too much"),
        ("a" * (TEXT_BYTES_MAX + 1), "f: larger than"),
    ],
)
def test_refusals_name_the_place_and_the_remedy_and_no_value(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, "f")
    assert str(caught.value).startswith(message)
    assert "hunter2" not in str(caught.value)


def test_aliases_of_aliases_are_bounded() -> None:
    levels = [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 9)]
    with pytest.raises(ConfigError, match="aliases multiply"):
        parse_yaml("\n".join(["a0: &a0 [1]", *levels]), "f")


def test_an_alias_of_itself_is_refused() -> None:
    with pytest.raises(ConfigError, match="nesting is too deep"):
        parse_yaml("&a [*a]", "f")


def test_many_values_are_allowed() -> None:
    count = NODES_MAX - 10
    assert len(parse_yaml("[" + "1," * count + "]", "f").value) == count


def test_places_are_those_of_keys_and_values() -> None:
    document = parse_yaml("a:\n  b: [x,\n      y]\n", "f")
    assert document.keys[("a", "b")] == Place(2, 3)
    assert document.values[("a", "b", 1)] == Place(3, 7)
