"""Globs against Python's own regular expressions, and RE2 where it may refuse."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.pattern import GlobPart, Wild, compile_glob, compile_regex, parse_glob, render_glob

LITERALS = st.text("ab*?\\\n.é", min_size=1, max_size=3)
PARTS = st.lists(LITERALS | st.sampled_from(Wild), max_size=6).map(tuple)


def _canonical(parts: tuple[GlobPart, ...]) -> tuple[GlobPart, ...]:
    return parse_glob(render_glob(parts))


@given(PARTS)
def test_rendered_globs_parse_to_themselves(parts: tuple[GlobPart, ...]) -> None:
    assert _canonical(_canonical(parts)) == _canonical(parts)
    assert render_glob(_canonical(parts)) == render_glob(parts)


@given(PARTS, st.text("ab*?\\\n.é", max_size=8))
def test_globs_match_what_the_regular_expression_matches(parts: tuple[GlobPart, ...], text: str) -> None:
    signs = {Wild.ANY: ".*", Wild.ONE: "."}
    regex = "".join(signs[part] if isinstance(part, Wild) else re.escape(part) for part in parts)
    assert compile_glob(render_glob(parts))(text) == bool(re.fullmatch(regex, text, re.DOTALL))


@pytest.mark.parametrize(
    ("glob", "parts"),
    [
        ("a*b?", ("a", Wild.ANY, "b", Wild.ONE)),
        (r"\*\?\\", ("*?\\",)),
        (r"C:\Win", ("C:\\Win",)),
        ("end\\", ("end\\",)),
        ("", ()),
    ],
)
def test_parse(glob: str, parts: tuple[GlobPart, ...]) -> None:
    assert parse_glob(glob) == parts


@pytest.mark.parametrize("pattern", ["(?=a)", "(a)\\1", "(", "a{5000}", "\ud800"])
def test_what_re2_does_not_take_is_a_value_error(pattern: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        compile_regex(pattern)
    assert capfd.readouterr().err == ""


def test_lone_surrogates_do_no_harm() -> None:
    assert compile_regex("a.b")("a\ud800b")
    assert not compile_glob("a?c")("a\ud800b")


@pytest.mark.parametrize("glob", ["*a" * 30 + "*b", "?*" * 30 + "b"])
def test_hostile_texts_take_linear_time(glob: str) -> None:
    started = time.thread_time()
    assert not compile_glob(glob)("a" * 100_000)
    assert time.thread_time() - started < 5
