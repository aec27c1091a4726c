"""Finding rules by texts: what a rule can't match without is always found, and nothing else is changed by it."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors import index as index_module
from detectors.covers import Literal, branches, cover, covers
from detectors.index import TEXT_RULES_MIN, Index
from detectors.joined import SHAPE_KEYS_MAX, SHAPES_MAX, Joined
from detectors.literal_scan import compile_literals
from detectors.pattern import compile_regex
from detectors.predicate import And, Atom, Not, Op, Or, Predicate, any_of, fields
from detectors.quick import quick_check
from detectors.regex_literals import required_texts
from detectors.text_index import TextIndex
from tests.detectors.test_equivalence import DOCUMENTS, DOTTED_DOCUMENTS, FIELDS, PREDICATES, interpreted
from tests.detectors.test_index import FLAT, NESTED, found, holding

LETTERS = "aAbB.-x\\\u017fKé\x01\x0b\x0c"
WORDS = st.text(LETTERS, min_size=1, max_size=5)
TEXT_ATOMS = st.builds(
    Atom, st.none() | FIELDS, st.sampled_from([Op.EQUALS, Op.PREFIX, Op.SUFFIX, Op.CONTAINS]), WORDS, st.booleans()
)
TEXT_RULES: st.SearchStrategy[Predicate] = st.recursive(
    TEXT_ATOMS,
    lambda inner: st.one_of(
        st.builds(And, st.lists(inner, min_size=1, max_size=4).map(tuple)),
        st.builds(Or, st.lists(inner, min_size=1, max_size=4).map(tuple)),
        st.builds(Not, inner),
    ),
    max_leaves=8,
)
VALUES = WORDS | st.lists(WORDS, max_size=3) | st.sampled_from([7, 7.0, True, None, 2**70, "\ud800"])
TEXT_DOCUMENTS = st.dictionaries(
    st.sampled_from(["a", "b", "e", "a.b", "b.c"]), VALUES | st.dictionaries(st.sampled_from("bc"), VALUES), max_size=5
)
ITEMS = st.sampled_from(
    [
        "a",
        "B",
        "é",
        ".",
        r"\d",
        r"\.",
        r"\\",
        r"\t",
        "[ab]",
        "[^a]",
        "[]a]",
        "[[:alpha:]b]",
        "^",
        "$",
        r"\b",
        "x-",
        "\u017f",
    ]
)
PATTERNS: st.SearchStrategy[str] = st.recursive(
    ITEMS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=4).map("".join),
        st.lists(inner, min_size=1, max_size=3).map(lambda choices: f"({'|'.join(choices)})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{0,2}", "{1,}", "+?"])).map(
            lambda item: f"(?:{item[0]}){item[1]}"
        ),
        inner.map(lambda item: f"(?i:{item})"),
    ),
    max_leaves=8,
)


def nested_docs() -> st.SearchStrategy[dict[str, Any]]:
    return NESTED | st.dictionaries(
        st.sampled_from("abe"), VALUES | st.dictionaries(st.sampled_from("bcd"), VALUES, max_size=3), max_size=3
    )


@given(
    st.lists(PREDICATES | TEXT_RULES, max_size=6),
    st.lists(DOCUMENTS | DOTTED_DOCUMENTS | TEXT_DOCUMENTS, min_size=1, max_size=4),
)
def test_both_ways_find_the_rules_that_hold(rules: list[Predicate], docs: list[dict[str, Any]]) -> None:
    by_text, by_field = Index(rules, scans=True), Index(rules, scans=False)
    for doc in [*docs, *docs]:
        assert found(by_text, doc) == found(by_field, doc) == holding(rules, doc)


@given(st.lists(PREDICATES | TEXT_RULES, max_size=6), st.lists(nested_docs(), min_size=1, max_size=4))
def test_both_ways_find_the_same_in_objects(rules: list[Predicate], docs: list[dict[str, Any]]) -> None:
    by_text, by_field = Index(rules, nested=True, scans=True), Index(rules, nested=True, scans=False)
    for doc in [*docs, *docs]:
        assert found(by_text, doc) == found(by_field, doc) == holding(rules, doc)


@given(PREDICATES | TEXT_RULES, DOCUMENTS | FLAT | TEXT_DOCUMENTS)
def test_what_holds_has_a_literal_of_each_cover(predicate: Predicate, doc: dict[str, Any]) -> None:
    asked = [field for field in fields(predicate) if field is not None]
    joined = Joined(dict.fromkeys(asked, 0), leaves=None in fields(predicate))
    shape, folded, _ = joined.read(doc)
    text = joined.text(shape, folded, doc)
    if interpreted(predicate, doc):
        for one in covers(predicate):
            assert any(written in text for literal in one.literals for written in joined.written(literal))


@given(PREDICATES | TEXT_RULES, DOCUMENTS | TEXT_DOCUMENTS)
def test_a_predicate_is_the_or_of_its_branches(predicate: Predicate, doc: dict[str, Any]) -> None:
    assert interpreted(any_of(branches(predicate)), doc) == interpreted(predicate, doc)


@settings(max_examples=500)
@given(PREDICATES | TEXT_RULES, DOCUMENTS | TEXT_DOCUMENTS)
def test_a_quick_check_refuses_nothing_that_holds(predicate: Predicate, doc: dict[str, Any]) -> None:
    joined = Joined({field: 0 for field in fields(predicate) if field is not None})
    quick = quick_check(predicate, joined.positions)
    shape, folded, plain = joined.read(doc)
    values = shape.spread(folded)
    if quick is None or not plain:
        return
    assert quick.holds(values) or not interpreted(predicate, doc)
    assert not quick.decides or quick.holds(values) == interpreted(predicate, doc)


@given(PATTERNS, st.lists(st.text("aAbBéx-.\t\\\u017fKn1", max_size=8), max_size=6))
def test_a_text_that_a_pattern_matches_has_a_required_one(pattern: str, texts: list[str]) -> None:
    required = required_texts(pattern)
    search = compile_regex(pattern)
    for text in texts:
        if required is not None and search(text):
            assert any(one in text.casefold() for one in required)


@pytest.mark.parametrize(
    ("pattern", "required"),
    [
        ("foo", {"foo"}),
        ("(?i)FOO", {"foo"}),
        ("^foo.*barbaz$", {"barbaz"}),
        ("a(b|c)d", {"abd", "acd"}),
        ("foo|bar", {"foo", "bar"}),
        ("foo|.", None),
        ("fo+bar", {"bar"}),
        ("foo?bar", {"bar"}),
        ("(?:ab){2}", {"ab"}),
        ("(?:ab){0,2}", None),
        (r"\Qa.b\E", None),
        ("a(?=b)", None),
        ("[abc", None),
        (r"\pL", None),
        ("(" * 100 + "a" + ")" * 100, None),
        ("", None),
    ],
    ids=lambda value: repr(value)[:20] if isinstance(value, str) else "",
)
def test_required_texts(pattern: str, required: set[str] | None) -> None:
    assert required_texts(pattern) == required


@pytest.mark.parametrize("patterns", [["x"], ["\x02", "\xff\x80", "aa", "a"], [".*", "a|b", "["]], ids=repr)
def test_literals_are_found_as_they_are(patterns: list[str]) -> None:
    literals = [pattern.encode("latin-1") for pattern in patterns]
    kept: dict[str, bytes] = {}
    find, again = compile_literals(literals, kept), compile_literals(literals, kept)
    assert len(kept) == 1
    for text in (b"", b"x \x02 .* [", b"aaa a|b \xff\x80", *literals):
        expected = {number for number, literal in enumerate(literals) if literal in text}
        assert set(find(text)) == set(again(text)) == expected


@pytest.mark.parametrize("damage", [b"", b"\0" * 100, b"cut", b"flipped"], ids=["empty", "zeros", "cut", "flipped"])
def test_a_damaged_database_is_made_again(damage: bytes) -> None:
    literals = [b"needle", b"thread"]
    kept: dict[str, bytes] = {}
    compile_literals(literals, kept)
    ((key, stored),) = kept.items()
    middle = len(stored) // 2
    flipped = stored[:middle] + bytes([stored[middle] ^ 1]) + stored[middle + 1 :]
    kept[key] = {b"cut": stored[:-10], b"flipped": flipped}.get(damage, damage)
    assert set(compile_literals(literals, kept)(b"thread and needle")) == {0, 1}
    assert kept == {key: stored}


def test_few_rules_are_not_scanned_for(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[int] = []

    class Spy(TextIndex):
        def __init__(self, predicates: Any, found_by: Any, databases: Any) -> None:
            built.append(len(predicates))
            super().__init__(predicates, found_by, databases)

    monkeypatch.setattr(index_module, "TextIndex", Spy)
    rules: list[Predicate] = [Atom("a", Op.CONTAINS, f"needle {number}") for number in range(TEXT_RULES_MIN)]
    doc = {"a": "a needle 7 here"}
    assert found(Index(rules[:-1]), doc) == {7}
    assert built == []
    assert found(Index(rules), doc) == {7}
    assert built == [TEXT_RULES_MIN]
    monkeypatch.setattr(index_module, "is_available", lambda: False)
    assert found(Index(rules), doc) == {7}
    assert built == [TEXT_RULES_MIN]


@pytest.mark.parametrize("op", [Op.WILDCARD, Op.CONTAINS, Op.EQUALS], ids=str)
def test_what_any_value_passes_needs_one(op: Op) -> None:
    anything = Atom("b", op, "*" if op is Op.WILDCARD else "")
    rules: list[Predicate] = [And((Atom("a", Op.CONTAINS, "needle"), anything))]
    for doc in ({"a": "needle"}, {"a": "needle", "b": ""}, {"a": "needle", "b": "x"}, {"a": "needle", "b": None}):
        assert found(Index(rules, scans=True), doc) == holding(rules, doc)


def test_what_stands_in_usual_events_is_no_good_handle() -> None:
    rule = And((Atom("a", Op.SUFFIX, "/bin/bash"), Atom("b", Op.CONTAINS, "zq")))
    assert [one.literals for one in covers(rule)] == [
        frozenset({Literal("a", "/bin/bash", at_end=True)}),
        frozenset({Literal(None, "zq")}),
    ]
    assert cover(Not(rule)) is None


def test_a_flood_of_shapes_is_not_remembered() -> None:
    joined = Joined({"a": 1, "b.c": 2})
    for number in range(3 * SHAPES_MAX):
        shape, folded, _ = joined.read({"a": "X", f"other {number}": "y"})
        assert (list(shape.spread(folded))[:2], shape.lacking) == (["x", ""], 2)
        joined.read(dict.fromkeys(map(str, range(number, number + SHAPE_KEYS_MAX + 1))))
    assert len(joined._shapes) <= SHAPES_MAX


@pytest.mark.parametrize(
    "text", ['say "hi"', "c:\\temp", "two\nlines", "\x1f", "\u017ftraße", "a/b", "<tag>", "\ud800"], ids=ascii
)
@pytest.mark.parametrize("doc", [{}, {"o": {"n": 1, "f": 1e300}}, {"l": [2**70]}], ids=["flat", "nested", "unwritable"])
def test_keywords_are_found_however_leaves_are_written(text: str, doc: dict[str, Any]) -> None:
    rules: list[Predicate] = [Atom(None, Op.CONTAINS, text), Atom(None, Op.CONTAINS, text * 2)]
    assert found(Index(rules, scans=True), {**doc, "x": f"({text.upper()})"}) == {0}


@pytest.mark.parametrize(
    ("keyword", "value"), [("1e+22x", "1E+22X"), ("00000", 1e22), ("1e-05", 0.00001), ("7", 7.0)], ids=str
)
def test_numbers_are_found_as_keywords(keyword: str, value: Any) -> None:
    rules: list[Predicate] = [Atom(None, Op.CONTAINS, keyword)]
    for doc in ({"a": value}, {"a": {"b": [value]}}):
        assert found(Index(rules, scans=True), doc) == holding(rules, doc) == {0}


def test_marks_in_values_hide_nothing() -> None:
    """An attacker who writes the marks of fields into a value makes the scan find more, never less."""
    rules: list[Predicate] = [Atom("a", Op.EQUALS, "evil"), Atom("b", Op.CONTAINS, "evil"), Atom("b", Op.SUFFIX, "x")]
    marks = [chr(code) for code in range(32)]
    for mark in marks:
        doc = {"a": "evil", "b": f"{mark}evil{mark}x{mark}"}
        assert found(Index(rules, scans=True), doc) == holding(rules, doc)
    assert found(Index(rules, scans=True), {"a": "".join(marks) + "evil"}) == set()


def test_it_works_without_the_library() -> None:
    """On a platform that has no build of it, every rule is found by field."""
    code = """
import sys
sys.modules["hyperscan"] = None
from detectors.index import Index
from detectors.predicate import Atom, Op
index = Index([Atom("a", Op.CONTAINS, f"needle {n}!") for n in range(200)], scans=True)
bits = index.candidates({"a": "a needle 7! here"})
print([index.owners[bit] for bit in range(len(index.owners)) if bits >> bit & 1])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert re.sub(r"\s", "", done.stdout) == "[7]"
