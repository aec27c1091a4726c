"""`vedette rules show`: all that is known of one rule."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from detectors.predicate import And, Atom, Not, Op, Or, Predicate
from detectors.testing.portrait import sentence

from .conftest import Outcome

Call = Callable[..., Outcome]
RULES = """\
title: Secret deleted
id: 6d0e8f1a-0000-4000-8000-000000000001
status: test
description: "Somebody\\e[2J deletes."
logsource: {product: kubernetes, service: audit}
detection:
  selection: {verb: [delete, deletecollection], objectRef.resource: secrets}
  filter: {user.username|startswith: 'system:'}
  condition: selection   and not filter
level: high
vedette:
  covers: [C7]
  tests:
    - {name: by eve, match: true, event: {verb: delete, objectRef: {resource: secrets}, user: {username: eve}}}
    - {name: by ann, match: false, event: {verb: delete, objectRef: {resource: secrets}, user: {username: ann}}}
---
title: Many deleted
id: 6d0e8f1a-0000-4000-8000-000000000002
correlation:
  type: value_count
  rules: [6d0e8f1a-0000-4000-8000-000000000001]
  group-by: [user.username]
  timespan: 1m
  condition: {field: objectRef.name, gte: 2}
---
title: Bob may
logsource: {product: kubernetes, service: audit}
filter: {rules: [6d0e8f1a-0000-4000-8000-000000000001], bob: {user.username: bob}, condition: not bob}
vedette: {owner: platform, ticket: SEC-1, expires: 2027-01-31}
---
title: No verb
id: 6d0e8f1a-0000-4000-8000-000000000003
logsource: {product: kubernetes, service: audit}
detection: {s: {verb: get}, condition: not s}
"""
BOB = RULES[: RULES.index("title: Bob")].count("\n") + 1
FALCO = """\
- rule: Deleted
  desc: d
  condition: ka.verb=delete and (ka.target.resource=secrets or ka.target.resource=configmaps)
  output: o
  priority: ERROR
  source: k8s_audit
"""


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules/rules.yml").write_text(RULES)
    (tmp_path / "rules/falco.yaml").write_text(FALCO)
    return tmp_path / "rules"


def test_everything_about_a_rule(vedette: Call, rules: Path) -> None:
    done = vedette("rules", "show", "secret deleted", rules)
    assert (done.status, done.err) == (0, "")
    told = done.out.splitlines()
    for line in (
        f"place     {rules}/rules.yml:1",
        "covers    C7",
        "looks at  kube_audit",
        "  Somebody\\x1b[2J deletes.",
        "  (selection and not filter)",
        "  objectRef.resource",
        "  Many deleted; so it does not alert on its own",
        f"  Bob may: not bob ({rules}/rules.yml:{BOB}); owner platform; SEC-1; until 2027-01-31",
        "  match: by eve: passes",
        "  no match: by ann: FAILS: should not match, and does",
    ):
        assert line in told
    index = told.index("the index goes by:")
    assert told[index + 1] == (
        '  kube_audit: verb equals "delete" or "deletecollection" and objectRef.resource equals "secrets"'
    )
    assert "\x1b" not in done.out


def test_programs_get_it_as_one_object(vedette: Call, rules: Path) -> None:
    (told,) = vedette("rules", "show", "6D0E8F1A-0000-4000-8000-000000000001", rules, "--format", "json").lines
    assert told["fields"][:3] == ["verb", "objectRef.resource", "user.username"]
    assert told["exceptions"][0]["ticket"] == "SEC-1"
    assert [test["passed"] for test in told["tests"]] == [True, False]
    (asked,) = told["asks"]
    assert asked["logsource"] == "kubernetes/audit"
    assert 'and not user.username starts with "system:"' in asked["condition"]


def test_a_correlation_says_what_it_measures(vedette: Call, rules: Path) -> None:
    told = vedette("rules", "show", "Many deleted", rules).out.splitlines()
    assert "  value_count of objectRef.name gte 2 within 1m for each user.username" in told
    assert told[told.index("looks at the matches of:") + 1] == "  Secret deleted"
    assert "looks at  kube_audit" in told


def test_a_rule_that_is_looked_at_on_every_event_is_called_so(vedette: Call, rules: Path) -> None:
    told = vedette("rules", "show", "No verb", rules).out.splitlines()
    assert "  kube_audit: nothing; the rule is looked at on every event" in told


def test_a_rule_in_falco_s_language(vedette: Call, rules: Path) -> None:
    told = vedette("rules", "show", "falco:Deleted", rules).out.splitlines()
    assert f"place     {rules}/falco.yaml:1" in told
    assert "  (ka.verb = delete and (ka.target.resource = secrets or ka.target.resource = configmaps))" in told


def test_an_unknown_rule_is_an_error(vedette: Call, rules: Path) -> None:
    done = vedette("rules", "show", "Secrets deleted", rules)
    assert (done.status, done.out) == (2, "")
    assert "did you mean `Secret deleted`?" in done.err


A, B = Atom("a", Op.EQUALS, 1), Atom("b", Op.PREFIX, "x")


@pytest.mark.parametrize(
    ("predicate", "expected"),
    [
        (And((A, Not(B))), 'a equals 1 and not b starts with "x"'),
        (And((A, Or((B, Not(A))))), 'a equals 1 and (b starts with "x" or not a equals 1)'),
        (And((Or((A, A)), B)), 'a equals 1 or 1 and b starts with "x"'),
        (And((And((A, B)), B)), '(a equals 1 and b starts with "x") and b starts with "x"'),
        (Or((A,)), "a equals 1"),
        (And(()), "everything"),
        (Or(()), "nothing"),
        (Atom(None, Op.CONTAINS, "x"), 'any value contains "x"'),
    ],
)
def test_predicates_in_words(predicate: Predicate, expected: str) -> None:
    assert sentence(predicate) == expected
