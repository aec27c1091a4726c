"""Text made safe to show."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vedette.schema.text import clip_text, safe_text, whole_text

ANY_TEXT = st.text(st.characters(exclude_categories=()))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("", "", id="empty"),
        pytest.param("plain Ünï ✓", "plain Ünï ✓", id="plain"),
        pytest.param(r"C:\dir", r"C:\dir", id="backslash"),
        pytest.param("a\nb\r\tc\x00", r"a\x0ab\x0d\x09c\x00", id="controls"),
        pytest.param("\x1b]0;owned\x07", r"\x1b]0;owned\x07", id="terminal title"),
        pytest.param("\x9b31m", r"\x9b31m", id="C1"),
        pytest.param("exe\u202etxt.", r"exe\u202etxt.", id="bidi override"),
        pytest.param("a\u200bb\ufeff\u00ad", r"a\u200bb\ufeff\xad", id="invisible"),
        pytest.param("a\u2028b\u00a0c", r"a\u2028b\xa0c", id="separators"),
        pytest.param("\U000e0041", r"\U000e0041", id="tag characters"),
        pytest.param("\ud800", r"\ud800", id="lone surrogate"),
    ],
)
def test_safe_text_escapes_what_does_not_print(value: str, expected: str) -> None:
    assert safe_text(value) == expected


@pytest.mark.parametrize(
    ("value", "chars_max", "expected"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdefg", 6, "abcde…"),
        ("ab\x00", 6, r"ab\x00"),
        ("abc\x00", 6, "abc…"),
        ("abcdef\x00", 6, "abcde…"),
        ("\x00", 1, "…"),
        ("ab", 1, "…"),
    ],
)
def test_safe_text_is_bounded(value: str, chars_max: int, expected: str) -> None:
    assert safe_text(value, chars_max) == expected


@given(value=ANY_TEXT, chars_max=st.integers(1, 40))
def test_safe_text_is_printable_short_encodable_and_settled(value: str, chars_max: int) -> None:
    safe = safe_text(value, chars_max)
    assert safe.isprintable()
    assert len(safe) <= chars_max
    assert safe.encode().decode() == safe
    assert safe_text(safe, chars_max) == safe


@given(value=ANY_TEXT, chars_max=st.integers(1, 40))
def test_clip_text_keeps_the_beginning(value: str, chars_max: int) -> None:
    clipped = clip_text(value, chars_max)
    assert clipped == value or (len(clipped) == chars_max and value.startswith(clipped[:-1]))


@given(value=ANY_TEXT)
def test_whole_text_encodes_and_leaves_good_text_alone(value: str) -> None:
    whole = whole_text(value)
    assert whole.encode().decode() == whole
    assert whole_text(whole) == whole
    if not any("\ud800" <= char <= "\udfff" for char in value):
        assert whole == value
