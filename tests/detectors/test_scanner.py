"""The scan for many tests at once never misses one that a text passes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.pattern import compile_regex
from detectors.predicate import Atom, Op, holds
from detectors.scanner import pattern_of, scanner

LETTERS = "aAkK\u212asS\u017fßẞiIİ\u0131\u03c3\u03c2\u03a3éÉﬁ/.* \n\0?"
STRINGS = st.text(st.sampled_from(LETTERS), max_size=6)
TEXTS = st.text(st.sampled_from(LETTERS + "\ud800"), max_size=6)
OPS = st.sampled_from([Op.EQUALS, Op.PREFIX, Op.SUFFIX, Op.CONTAINS, Op.WILDCARD])
REGEXES = st.sampled_from(
    ["", "^$", "a", "(?i)k", "(?i)ss", "(?i)ß", "(?i)\\bkas\\b.*\\bs", "[kK]|a{2}", "\\x{212a}", "(?-s).$", "s*"]
)
ATOMS = st.builds(Atom, st.just("f"), OPS, STRINGS, st.booleans()) | st.builds(
    Atom, st.just("f"), st.just(Op.REGEX), REGEXES
)


@given(st.lists(ATOMS, min_size=1, max_size=12), st.lists(TEXTS, min_size=1, max_size=6))
def test_a_scan_misses_no_test_and_is_exact_in_ascii(atoms: list[Atom], texts: list[str]) -> None:
    patterns: dict[str, int] = {}
    for number, atom in enumerate(atoms):
        if (pattern := pattern_of(atom)) is not None:
            patterns[pattern] = patterns.get(pattern, 0) | 1 << number
    scan = scanner(patterns)
    for text in texts:
        found = scan(text)
        for number, atom in enumerate(atoms):
            passes = holds(atom, lambda _, text=text: (text,))  # type: ignore[misc]
            named = bool(found >> number & 1)
            assert named or not passes or pattern_of(atom) is None
            if text.isascii():
                assert named is (passes and pattern_of(atom) is not None)


@pytest.mark.parametrize(
    "atom",
    [Atom("f", Op.CONTAINS, "\ud800"), Atom("f", Op.EXISTS), Atom("f", Op.CIDR, "10.0.0.0/8"), Atom("f", Op.GT, 4)],
    ids=["surrogate", "exists", "network", "number"],
)
def test_what_no_pattern_says_has_none(atom: Atom) -> None:
    assert pattern_of(atom) is None


def test_what_is_too_large_for_one_filter_is_halved() -> None:
    words = [f"{number:06x}" * 30 for number in range(6_000)]
    scan = scanner({f"(?i){word}": 1 << number for number, word in enumerate(words)})
    for number in (0, 2_999, 5_999):
        assert scan(f"x{words[number]}x") == 1 << number


def test_hostile_text_does_not_multiply_states() -> None:
    """The patterns' `.*` would keep an automaton of all of them in ever new states; the filter runs them one by one."""
    patterns = [rf"(?i)\b{chr(97 + number)}a\b.*\b{chr(97 + number)}b\b.*{chr(97 + number)}c" for number in range(16)]
    scan = scanner({pattern: 1 << number for number, pattern in enumerate(patterns)})
    text = " ".join(chr(97 + number * 7 % 16) + "abc"[number * 5 % 3] for number in range(2_000))
    expected = sum(1 << number for number, pattern in enumerate(patterns) if compile_regex(pattern)(text))
    assert scan(text) == expected
