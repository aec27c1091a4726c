"""What loads beyond pySigma's parser: any ids, older words, filters for everything."""

import pytest

from detectors.rule import RuleText
from detectors.sigma import load_rules
from detectors.sigma.matching import Matcher

RULE = "title: T\nid: {}\nlogsource: {{product: p}}\ndetection: {{s: {{a: b}}, condition: s}}\n"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("11111111-1111-4111-8111-11111111111A", "11111111-1111-4111-8111-11111111111a"),
        ("rule-001", "rule-001"),
        ("'Übung 5 <b>'", "Übung 5 <b>"),
        ("null", "sigma:T"),
    ],
)
def test_ids_are_texts(given: str, expected: str) -> None:
    loaded = load_rules([RuleText("r.yml", RULE.format(given), "")])
    assert loaded.errors == ()
    assert loaded.rules[0].info.rule_id == expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("id: 5", "r.yml:2:5: an id is a text"),
        ("id: ''", "r.yml:2:5: an id is a text"),
        (f"id: {'x' * 300}", "r.yml:2:5: an id is a text of at most 256 printable characters"),
        ('id: "a\\nb"', "r.yml:2:5: an id is a text"),
        ("id: a\nrelated: x", "r.yml:3:10: related must be a list"),
        ("id: a\nrelated: [{id: b}]", "r.yml:3:11: None is no relation; known are correlation, derived"),
        ("id: a\nrelated: [{id: b, type: cousin}]", "r.yml:3:25: 'cousin' is no relation"),
        ("id: a\nrelated: [5]", "r.yml:3:11: an entry of related is a mapping of id (a text) and type"),
    ],
)
def test_what_is_no_id_or_relation_is_refused(lines: str, expected: str) -> None:
    loaded = load_rules([RuleText("r.yml", RULE.replace("id: {}", lines).replace("{{", "{").replace("}}", "}"), "")])
    assert loaded.rules == ()
    assert str(loaded.errors[0]).startswith(expected)


@pytest.mark.parametrize("kind", ["obsoletes", "obsolete", "Derived", "similar"])
def test_related_rules_may_have_any_ids(kind: str) -> None:
    text = RULE.format("a") + f"related: [{{id: not-a-uuid, type: {kind}}}]\n"
    assert load_rules([RuleText("r.yml", text, "")]).errors == ()


def test_utf16le_is_wide() -> None:
    text = RULE.format("a").replace("a: b", "a|utf16le|base64: Test")
    matcher = Matcher([text])
    assert matcher.errors == ()
    assert matcher.match({"a": "VABlAHMAdAA="})


@pytest.mark.parametrize(("names", "hit"), [("[RULE-1]", False), ("named", False), ("any", False), ("[]", False)])
def test_a_filter_without_a_log_source_is_for_all(names: str, hit: bool) -> None:
    exception = f"title: F\nfilter: {{rules: {names}, x: {{u: robot}}, condition: not x}}\n"
    matcher = Matcher([RULE.format("rule-1") + "name: named\n---\n" + exception])
    assert matcher.errors == ()
    assert bool(matcher.match({"a": "b", "u": "robot"})) is hit
    assert matcher.match({"a": "b", "u": "person"})


def test_every_wrong_item_of_a_rule_is_told() -> None:
    text = RULE.format("a").replace("{a: b}", "{a|nope: b, c|gt: x, d|expand: '%p%', e: ok, f|re: '('}")
    errors = load_rules([RuleText("r.yml", text, "")]).errors
    assert [(error.line, error.column) for error in errors] == [(4, 17), (4, 28), (4, 61)]
