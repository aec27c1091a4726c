"""Texts in, rules out: places of errors, collection actions, filters, and nothing that depends on chance."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.compiled import compile_predicate
from detectors.explain import explain
from detectors.fields import getter
from detectors.predicate import Op, atoms, matches
from detectors.rule import LoadedRules, RuleText
from detectors.sigma import load_rules
from detectors.testing.case import GivenEvent, RuleTest
from vedette.schema.event import LogSource
from vedette.schema.level import Level

RULE = """\
title: Exec
id: 11111111-1111-4111-8111-111111111111
status: test
description: |
  Somebody executes.
author: A
references:
  - https://example.org
tags:
  - attack.execution
  - attack.t1609
  - attack.ta0002
logsource:
  product: kubernetes
  service: audit
detection:
  selection:
    objectRef.subresource: exec
    verb|contains:
      - get
      - create
  condition: selection
falsepositives:
  - Operators
level: high
vedette:
  dedup_by: [user.username, '@event']
  controls: [AU-12, SP 800-190 4.3.2]
  tests:
    - name: hit
      match: true
      event: {objectRef: {subresource: exec}, verb: get, at: 2026-11-21T03:41:01Z}
"""


def load(*texts: str) -> LoadedRules:
    return load_rules(RuleText(f"{number}.yml", text, "pack") for number, text in enumerate(texts))


def errors(*texts: str) -> list[str]:
    return [str(error) for error in load(*texts).errors]


def test_a_rule_says_what_it_is() -> None:
    loaded = load(RULE)
    assert loaded.errors == ()
    (rule,) = loaded.rules
    assert rule.info.rule_id == "11111111-1111-4111-8111-111111111111"
    assert rule.info.title == "Exec"
    assert rule.info.level is Level.HIGH
    assert rule.info.description == "Somebody executes."
    assert rule.info.attack == ("T1609", "TA0002")
    assert rule.info.tags == ("attack.execution", "attack.t1609", "attack.ta0002")
    assert rule.info.controls == ("SP 800-53 AU-12", "SP 800-190 4.3.2")
    assert rule.info.dedup_by == ("user.username", "@event")
    assert rule.info.falsepositives == ("Operators",)
    assert rule.info.pack == "pack"
    assert rule.logsource == LogSource("kubernetes", "audit")
    event = {"objectRef": {"subresource": "exec"}, "verb": "get", "at": "2026-11-21T03:41:01Z"}
    (test,) = rule.tests
    line = 1 + RULE.count("\n", 0, RULE.index("name: hit"))
    assert test == RuleTest("hit", True, (GivenEvent(event),), "0.yml", line)
    places = [(atom.where, atom.op, atom.value) for atom in atoms(rule.predicate)]
    assert places == [
        ("selection.objectRef.subresource", Op.EQUALS, "exec"),
        ("selection.verb", Op.CONTAINS, "get"),
        ("selection.verb", Op.CONTAINS, "create"),
    ]


def test_a_rule_without_id_and_level_is_known_by_its_title_and_medium() -> None:
    text = "title: T\nlogsource: {product: p}\ndetection: {s: {a: b}, condition: s}\n"
    (rule,) = load(text).rules
    assert (rule.info.rule_id, rule.info.level) == ("sigma:T", Level.MEDIUM)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("title: Exec\n", "", "0.yml:1:1: Sigma rule must have a title"),
        ("level: high", "level: loud", "0.yml:25:8: 'loud' is not a valid Sigma rule level"),
        ("condition: selection", "condition: selection and nope", "0.yml:22:14: the condition names 'nope'"),
        ("condition: selection", "condition: selection and )", "0.yml:22:28: the condition can't be read from ')' on"),
        ("condition: selection", "condition: 1 of filter_*", "0.yml:22:14: '1 of filter_*' matches no detection"),
        ("condition: selection", "condition: selection | count() > 5", "0.yml:22:14: The pipe syntax"),
        ("condition: selection", "condition: 5", "0.yml:22:14: a condition is a text"),
        ("condition: selection", f"condition: {'not ' * 99}selection", "0.yml:22:14: the condition is nested deeper"),
        ("verb|contains", "verb|contians", "0.yml:19:5: Unknown modifier 'contians'"),
        (
            "verb|contains",
            "verb|gt",
            "0.yml:19:5: 'gt' does not take such a value, or not after these modifiers; it takes a",
        ),
        ("resource: exec", "resource|exists: 'yes'", "0.yml:18:5: 'exists' does not take such a value"),
        ("resource: exec", "resource|contains: null", "0.yml:18:5: 'contains' does not take such a value"),
        ("resource: exec", "resource|re|cased: x", "0.yml:18:5: 'cased' does not take such a value"),
        (
            "condition: selection",
            "condition: selection AND selection",
            "0.yml:22:24: the condition can't be read from 'AND selection' on; write operators in lower case",
        ),
        ("verb|contains", "verb|cidr", "0.yml:19:5: Invalid CIDR expression"),
        ("resource: exec", "resource|re: '(?=x)'", "0.yml:18:5: Regular expression '(?=x)' is invalid: invalid perl"),
        ("resource: exec", "resource|re: 5", "0.yml:18:5: a regular expression must be a text; quote it"),
        ("resource: exec", "resource|expand: '%x%'", "0.yml:18:5: the placeholder %x% has no values"),
        ("  product: kubernetes\n  service: audit", "  {}", "0.yml:14:3: Sigma log source can't be empty"),
        ("product: kubernetes", "product: {}", "0.yml:14:12: the product of a log source is a text; quote it"),
        ("service: audit", "service: 5", "0.yml:15:12: the service of a log source is a text; quote it"),
        ("attack.t1609", "attack.t16O9", "0.yml:11:5: 'attack.t16O9' is no ATT&CK id"),
        ("dedup_by: [u", "dedup_bye: [u", "0.yml:27:3: unknown key 'dedup_bye'; did you mean 'dedup_by'?"),
        ("'@event'", "'@evnt'", "0.yml:27:29: '@evnt' is no field; write a field's name or @event"),
        ("[AU-12", "[AU12", "0.yml:28:14: 'AU12' is no NIST control"),
        ("match: true", "match: maybe", "0.yml:31:14: a test's match must be true or false"),
        (
            "  tests:\n    - name: hit",
            "  tests:\n    - nome: hit",
            "0.yml:30:7: unknown key 'nome'; did you mean 'name'?",
        ),
        ("status: test", "title: Again", "0.yml:3:1: the key 'title' is given twice"),
        ("status: test", "on: test", "0.yml:3:1: a key must be a string; quote it"),
        ("title: Exec", "title: 'Exec", "0.yml:27:30: while scanning for the next token"),
        ("title: Exec", "title: !!python/name:os.system x", "0.yml:1:8: could not determine a constructor"),
        ("title: Exec", "title: !!bool Exec", "0.yml:1:8: 'Exec' is no bool"),
        ("title: Exec", "title: !!int ''", "0.yml:1:8: '' is no int"),
        ("title: Exec", "title: !!float Exec", "0.yml:1:8: 'Exec' is no float"),
        ("title: Exec", f"title: {'[' * 200}", "0.yml:1:107: nested deeper than 100 levels"),
        ("title: Exec", "action: twice", "0.yml:1:9: unknown action 'twice'"),
        ("detection:", "correlation:", "0.yml:17:3: unknown key 'selection'"),
    ],
)
def test_an_error_names_its_place(old: str, new: str, expected: str) -> None:
    assert old in RULE
    found = errors(RULE.replace(old, new, 1))
    assert found
    assert found[0].startswith(expected)


def test_an_error_does_not_hide_other_documents() -> None:
    other = RULE.replace("1111", "2222")
    loaded = load(f"a: b: c\n---\n{RULE}\n--- \n# nothing\n---\ncorrelation: {{}}\ntitle: C\n---\n- list\n---\n{other}")
    assert [rule.info.rule_id[:4] for rule in loaded.rules] == ["1111", "2222"]
    assert list(dict.fromkeys(error.line for error in loaded.errors)) == [1, 39, 42]


def test_all_errors_of_a_rule_are_reported() -> None:
    assert len(errors(RULE.replace("level: high", "level: loud").replace("status: test", "status: odd"))) == 2


def test_an_id_is_taken_once() -> None:
    loaded = load(RULE, f"title: x\n---\n{RULE}")
    assert len(loaded.rules) == 1
    taken = "1.yml:4:5: the rule id 11111111-1111-4111-8111-111111111111 is taken by 0.yml:1"
    assert str(loaded.errors[-1]) == taken


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [*a]\n",
        "a: &a [x]\n"
        + "".join(f"k{n}: &k{n} [{','.join(['*a' if n == 0 else f'*k{n - 1}'] * 10)}]\n" for n in range(9)),
        "a: &a {k: v}\n"
        + "".join(f"k{n}: &k{n} {{<<: [{','.join(['*a' if n == 0 else f'*k{n - 1}'] * 10)}]}}\n" for n in range(9)),
        "- " * 300_000,
        "x: " + "9" * 5000,
        "\0",
        "x" * (4 * 1024 * 1024 + 1),
    ],
    ids=["circle", "aliases", "merges", "depth", "digits", "control", "size"],
)
def test_hostile_texts_are_refused(text: str) -> None:
    loaded = load(text)
    assert (loaded.rules, len(loaded.errors)) == ((), 1)


JSON_LIKE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(["title", "id", "tags", "logsource", "detection", "level", "vedette", "references"]), JSON_LIKE)
def test_a_malformed_attribute_is_an_error_and_no_crash(key: str, value: object) -> None:
    kept: list[str] = []
    skipping = False
    for line in RULE.splitlines():
        skipping = line.startswith(f"{key}:") or (skipping and line.startswith(" "))
        if not skipping:
            kept.append(line)
    loaded = load("\n".join([*kept, f"{key}: {json.dumps(value)}"]))
    assert len(loaded.rules) + bool(loaded.errors) == 1


GLOBAL = """\
action: global
title: T
logsource: {product: p}
detection: {condition: s}
---
id: 11111111-1111-4111-8111-111111111111
detection: {s: {a: b}}
---
action: repeat
id: 22222222-2222-4222-8222-222222222222
detection: {s: {a: c}}
---
action: reset
---
title: U
logsource: {product: q}
detection: {s: {a: d}, condition: s}
"""


def test_collection_actions() -> None:
    loaded = load(GLOBAL)
    assert loaded.errors == ()
    found = [(rule.info.title, rule.logsource.product, next(atoms(rule.predicate)).value) for rule in loaded.rules]
    assert found == [("T", "p", "b"), ("T", "p", "c"), ("U", "q", "d")]


FILTER = """\
title: Robots
logsource: {product: kubernetes}
filter:
  rules: [11111111-1111-4111-8111-111111111111]
  robot:
    user.username: robot
  condition: not robot
"""


@pytest.mark.parametrize("texts", [(RULE, FILTER), (FILTER, RULE)], ids=["after", "before"])
def test_a_filter_joins_the_rules_that_it_names(texts: tuple[str, ...]) -> None:
    loaded = load(*texts)
    assert loaded.errors == ()
    assert [atom.where for atom in atoms(loaded.rules[0].predicate)][-1] == "Robots: robot.user.username"
    assert loaded.rules[0].content_hash != load(RULE).rules[0].content_hash


@pytest.mark.parametrize(
    ("old", "new", "applies", "expected"),
    [
        ("[11111111-1111-4111-8111-111111111111]", "any", True, []),
        ("[11111111-1111-4111-8111-111111111111]", "[]", True, []),
        (
            "[11111111",
            "[22222222",
            False,
            ["names the rule '22222222-1111-4111-8111-111111111111', which is not loaded"],
        ),
        ("product: kubernetes", "product: linux", False, ["which is of another log source"]),
        ("  condition: not robot\n", "", False, ["must contain exactly one condition"]),
        ("  rules: [11111111-1111-4111-8111-111111111111]\n", "", False, ["must have a 'rules' field"]),
    ],
)
def test_filters_and_what_they_name(old: str, new: str, applies: bool, expected: list[str]) -> None:
    loaded = load(RULE, FILTER.replace(old, new))
    assert ("Robots" in str(loaded.rules[0].predicate)) is applies
    assert len(loaded.errors) == len(expected)
    for error, words in zip(loaded.errors, expected, strict=True):
        assert words in str(error)
        assert str(error).startswith("1.yml:")


@pytest.mark.parametrize(
    ("time", "excepted"),
    [
        ("2026-11-21T23:59:59.999999Z", True),
        ("2026-11-22T00:00:00Z", False),
        ("2026-11-22T01:00:00+02:00", True),
        ("?", True),
    ],
)
def test_an_exception_holds_until_it_expires(time: str, excepted: bool) -> None:
    loaded = load(RULE, FILTER + "vedette: {owner: me, expires: 2026-11-21}\n")
    assert loaded.errors == ()
    event = {"objectRef": {"subresource": "exec"}, "verb": "get", "user": {"username": "robot"}, "stageTimestamp": time}
    predicate = loaded.rules[0].predicate
    assert compile_predicate(predicate)(event) is not excepted
    assert matches(predicate, lambda field: getter(field)(event)) is not excepted
    if not excepted:
        assert explain(predicate, event)[-1].where == "Robots: vedette.expires"


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("Operators", "Operators # who else", True),
        ("name: hit", "name: miss", True),
        ("  - Operators", "  -   'Operators'", True),
        ("level: high", "level: low", False),
        ("- get", "- list", False),
        ("dedup_by: [user.username, '@event']", "dedup_by: [user.username]", False),
    ],
)
def test_the_content_hash_follows_the_content(old: str, new: str, same: bool) -> None:
    assert (load(RULE.replace(old, new)).rules[0].content_hash == load(RULE).rules[0].content_hash) is same


SCRIPT = """
import sys, msgspec
from detectors.rule import RuleText
from detectors.sigma import load_rules
loaded = load_rules([RuleText(str(n), text, "p") for n, text in enumerate(sys.stdin.read().split("=====\\n"))])
sys.stdout.buffer.write(msgspec.json.encode([loaded.rules, [str(error) for error in loaded.errors]]))
"""


def test_loading_depends_on_nothing_but_the_texts() -> None:
    broken = RULE.replace("level: high", "level: loud")
    texts = "=====\n".join([RULE, GLOBAL.replace("1111", "3333"), FILTER, FILTER.replace("[1111", "[4444"), broken])
    outputs = {
        subprocess.run(
            [sys.executable, "-c", dedent(SCRIPT)],
            input=texts.encode(),
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "4242")
    }
    assert len(outputs) == 1
    assert b"Robots: robot" in outputs.pop()
