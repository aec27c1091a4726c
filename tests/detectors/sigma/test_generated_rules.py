"""Laws over generated rules and events: compiled means interpreted, and values mean what was written."""

from collections.abc import Iterable
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.pattern import GlobPart, Wild, parse_glob, render_glob
from detectors.predicate import Atom, Op, atoms
from detectors.rule import RuleText
from detectors.sigma import load_rules
from detectors.sigma.matching import Matcher

TEXTS = st.sampled_from(
    ["x", "X", "xy", "", "*", "x*", "*y*", "?", "\\*", "a\\b", "ß", "403", "true", "10.0.0.1", "é x -k"]
)
SCALARS = st.one_of(TEXTS, st.sampled_from([403, 0.5, 0, True, False, None]))
NUMBERS = st.sampled_from([0, 5, 403, 0.5, -1])
MODIFIERS = st.sampled_from(
    ["", "|contains", "|startswith", "|endswith", "|cased", "|contains|cased", "|neq", "|contains|neq", "|windash"]
)
FIELDS = st.sampled_from(["a", "b", "a.b", "a.b.c", "c.d"])
PATTERNS = st.sampled_from(["x", "^X$", "\\d+", "", "x|y"])
NETWORKS = st.sampled_from(["10.0.0.0/8", "0.0.0.0/0", "::/0"])


def items(modifiers: st.SearchStrategy[str], values: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[str, Any]]:
    """Generate a field with modifiers, and its value or values."""
    return st.tuples(st.builds(str.__add__, FIELDS, modifiers), values | st.lists(values, min_size=1, max_size=3))


ITEMS = st.one_of(
    items(st.sampled_from(["", "|neq"]), SCALARS),
    items(MODIFIERS, TEXTS),
    items(st.just("|contains|all"), TEXTS),
    items(st.sampled_from(["|re", "|re|i", "|re|m|s"]), PATTERNS),
    items(st.just("|cidr"), NETWORKS),
    items(st.sampled_from(["|gt", "|gte", "|lt", "|lte"]), NUMBERS),
    items(st.sampled_from(["|hour", "|minute|lt", "|day|gte", "|week", "|month", "|year"]), st.integers(0, 60)),
    items(
        st.sampled_from(["|year|lt", "|year|lte", "|year|gt", "|year|gte"]),
        st.sampled_from([0, 1, 2025, 2026, 9999, 10**6]),
    ),
    items(st.sampled_from(["|fieldref", "|fieldref|startswith", "|fieldref|contains"]), FIELDS),
    items(st.just("|base64offset|contains"), st.sampled_from(["x", "whoami"])),
    st.tuples(st.builds(str.__add__, FIELDS, st.just("|exists")), st.booleans()),
)
MAPS = st.lists(ITEMS, min_size=1, max_size=3).map(dict)
KEYWORDS = st.lists(TEXTS.filter(bool), min_size=1, max_size=3)
DETECTIONS = st.one_of(MAPS, st.lists(MAPS, min_size=1, max_size=3), KEYWORDS)
CONDITIONS = st.recursive(
    st.sampled_from(["one", "two", "1 of them", "all of them", "1 of o*", "not two"]),
    lambda inner: st.one_of(
        st.builds("({} and {})".format, inner, inner),
        st.builds("({} or {})".format, inner, inner),
        st.builds("not {}".format, inner),
    ),
    max_leaves=5,
)
VALUES = st.recursive(
    st.one_of(SCALARS, st.sampled_from(["2026-11-21T03:41:01Z", "xWhoamix", "eHdob2FtaXg=", 1_795_260_829])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=6,
)
EVENTS = st.dictionaries(st.sampled_from(["a", "b", "c", "d", "a.b"]), VALUES, max_size=4)


def rule(detection: dict[str, Any]) -> str:
    return yaml.safe_dump({"title": "t", "logsource": {"product": "p"}, "detection": detection}, sort_keys=False)


@settings(max_examples=300)
@given(DETECTIONS, DETECTIONS, CONDITIONS, st.lists(EVENTS, min_size=1, max_size=4))
def test_the_engine_finds_what_a_rule_means(one: Any, two: Any, condition: str, events: list[dict[str, Any]]) -> None:
    matcher = Matcher([rule({"one": one, "two": two, "condition": condition})])
    assert matcher.errors == ()
    for event in events:
        assert matcher.match(event) == matcher.interpret(event)


PARTS = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1) | st.sampled_from(Wild))


def written(parts: Iterable[GlobPart]) -> str:
    """Write a value as Sigma has it, every special character of a literal escaped."""
    return "".join(
        part.value if isinstance(part, Wild) else "".join(f"\\{c}" if c in "*?\\" else c for c in part)
        for part in parts
    )


@given(PARTS)
def test_a_value_means_what_was_written(parts: list[GlobPart]) -> None:
    loaded = load_rules([RuleText("r.yml", rule({"s": {"f": written(parts)}, "condition": "s"}), "")])
    assert loaded.errors == ()
    (atom,) = atoms(loaded.rules[0].predicate)
    assert parse_glob(glob_of(atom)) == parse_glob(render_glob(parts))


def glob_of(atom: Atom) -> str:
    """Return the glob that an atom of text tests."""
    if atom.op is Op.WILDCARD:
        return str(atom.value)
    literal = render_glob([str(atom.value)])
    before = "*" if atom.op in (Op.SUFFIX, Op.CONTAINS) else ""
    after = "*" if atom.op in (Op.PREFIX, Op.CONTAINS) else ""
    return before + literal + after
