"""Detectors of behaviour in the workbench: they are listed, shown, tested and counted as rules are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import RULE, Outcome

Call = Callable[..., Outcome]
NEWS = "6d0e8f1a-0000-4000-8000-0000000000b1"
DETECTOR = """\
title: Something new
id: 6d0e8f1a-0000-4000-8000-0000000000b1
level: medium
tags: [attack.t1078.001]
logsource: {product: vedette, category: call}
detection:
  own: {actor|startswith: 'system:serviceaccount:', outcome: allow}
  robot: {actor|endswith: ':robot'}
  condition: own and not robot
behaviour: {type: first_seen, by: [actor], value: [verb, resource], learn_for: 36h}
vedette:
  covers: [C12]
  tests:
    - name: it reads, and then deletes
      match: true
      events:
        - event: {kind: call, actor: 'system:serviceaccount:shop:cart', verb: get, resource: pods, outcome: allow}
          repeat: 200
          every: 1h
        - event:
            {kind: call, actor: 'system:serviceaccount:shop:cart', verb: delete, resource: pods, outcome: allow,
             after: 200h}
    - name: a robot does
      match: false
      events:
        - event: {kind: call, actor: 'system:serviceaccount:shop:robot', verb: get, resource: pods, outcome: allow}
          repeat: 200
          every: 1h
        - event:
            {kind: call, actor: 'system:serviceaccount:shop:robot', verb: delete, resource: pods, outcome: allow,
             after: 200h}
"""
TWICE = """\
- rule: Something new
  name: it goes on reading
  match: false
  event: {kind: call, actor: 'system:serviceaccount:shop:cart', verb: get, resource: pods, outcome: allow}
"""
TABLE = "- {id: C12, title: Something new, tactic: Discovery, attack: T1078.001, inputs: A}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules/news.yml").write_text(DETECTOR)
    (tmp_path / "vedette.yaml").write_text(f"rules: {{packs: [], paths: [{tmp_path}/rules]}}\n")
    return tmp_path


def changed(folder: Path, old: str, new: str) -> Path:
    assert old in DETECTOR
    (folder / "rules/news.yml").write_text(DETECTOR.replace(old, new))
    return folder / "rules"


# --- list and show ----------------------------------------------------------------------------------------------------
def test_they_are_listed_with_the_rules(vedette: Call, folder: Path) -> None:
    (folder / "rules/rule.yml").write_text(RULE)
    done = vedette("rules", "list", "--config", folder / "vedette.yaml")
    assert (done.status, done.err) == (0, "")
    _, rule, detector = done.out.splitlines()
    assert rule.startswith("high")
    assert " behaviour first_seen/call " in detector
    (_, told) = vedette("rules", "list", "--format", "json", "--config", folder / "vedette.yaml").lines
    assert (told["rule_id"], "logsource" in told) == (NEWS, False)
    behaviour = told["behaviour"]
    assert (behaviour["type"], behaviour["kind"]) == ("first_seen", "call")
    assert (behaviour["by"], behaviour["value"]) == (["actor"], ["verb", "resource"])
    assert (behaviour["settings"]["learn_for"], behaviour["settings"]["forget_after"]) == ("36h", "30d")


def test_everything_about_one_is_shown(vedette: Call, folder: Path) -> None:
    done = vedette("rules", "show", "something new", folder / "rules")
    assert (done.status, done.err) == (0, "")
    told = done.out.splitlines()
    for line in (
        f"place     {folder}/rules/news.yml:1",
        "ATT&CK    T1078.001",
        "covers    C12",
        "looks at  observations of the kind call",
        "  type: first_seen",
        "  by: actor",
        "  value: verb, resource",
        "  learn_for: 36h",
        "  (own and not robot)",
        '  actor starts with "system:serviceaccount:" and outcome equals "allow" and not actor ends with ":robot"',
        "  outcome",
        "  match: it reads, and then deletes: passes",
        "  no match: a robot does: passes",
    ):
        assert line in told, line
    assert not any("exists_by" in line for line in told), "what is empty is left out"
    assert not any(line.startswith("the index") for line in told)


def test_programs_are_shown_the_same(vedette: Call, folder: Path) -> None:
    (told,) = vedette("rules", "show", NEWS, folder / "rules", "--format", "json").lines
    assert told["behaviour"]["settings"]["learn_for"] == "36h"
    assert (told["covers"], told["line"], told["fields"]) == (["C12"], 1, ["actor", "outcome"])
    assert [test["passed"] for test in told["tests"]] == [True, True]


# --- test -------------------------------------------------------------------------------------------------------------
def test_their_tests_run_with_those_beside_them(vedette: Call, folder: Path) -> None:
    (folder / "rules/news.tests.yml").write_text(TWICE)
    done = vedette("rules", "test", "--strict", folder / "rules")
    assert (done.status, done.err) == (0, "0 failures in 3 tests of 1 rule\n")
    assert done.out.splitlines()[1].split() == ["passed", "Something", "new", "3", f"{folder}/rules/news.yml:1"]


def test_one_that_looks_at_nothing_says_what_kept_it(vedette: Call, folder: Path) -> None:
    done = vedette("rules", "test", changed(folder, "outcome: allow}\n  robot", "outcome: deny}\n  robot"))
    assert done.status == 1
    problem, clause = done.out.splitlines()[2:]
    assert problem.endswith("should deviate, and does not: it looked at 0 of 201 such observations (event 1)")
    assert clause == '    own.outcome: equals "deny"; is "allow" (outcome)'


def test_one_that_deviates_says_what_was_seen(vedette: Call, folder: Path) -> None:
    done = vedette("rules", "test", changed(folder, "own and not robot", "own"))
    assert done.status == 1
    assert "a robot does: should not deviate, and does: " in done.out
    assert "delete" in done.out
    assert "(event 201)" in done.out


def test_an_event_that_is_none_is_told(vedette: Call, folder: Path) -> None:
    done = vedette("rules", "test", changed(folder, "verb: delete", "verbs: delete"))
    assert done.status == 1
    assert "event 2: observations have no field 'verbs'" in done.out


def test_lacking_tests_are_told(vedette: Call, folder: Path) -> None:
    rules = changed(folder, "match: false", "match: true")
    done = vedette("rules", "test", "--strict", rules)
    assert done.status == 1
    assert f"{rules}/news.yml:1: Something new: has no negative test" in done.out


def test_mutants_of_their_detection(vedette: Call, folder: Path) -> None:
    assert vedette("rules", "test", "--mutate", folder / "rules").status == 0
    rules = changed(folder, "  condition: own and", "  other: {verb: never}\n  condition: (own or other) and")
    done = vedette("rules", "test", "--mutate", rules)
    assert (done.status, done.err) == (1, "0 failures in 2 tests of 1 rule; 1 of 6 mutants survived\n")
    survivor = 'the tests pass with this negated: other.verb: verb equals "never"'
    assert done.out.splitlines()[-1] == f"{rules}/news.yml:9: Something new: {survivor}"


# --- what else there is -----------------------------------------------------------------------------------------------
def test_they_cover_rows(vedette: Call, folder: Path) -> None:
    (folder / "table.yml").write_text(TABLE)
    done = vedette("rules", "coverage", folder / "rules", "--table", folder / "table.yml")
    assert done.out.splitlines()[1].endswith("1  Something new")
    assert done.err == "1 of 1 concepts and 0 of 0 ideas are covered by 1 rule with passing tests\n"


@pytest.mark.parametrize("by", ["file", "title"])
def test_one_event_explains_nothing(vedette: Call, folder: Path, by: str) -> None:
    name = folder / "rules/news.yml" if by == "file" else "Something new"
    (folder / "event.json").write_text('{"kind": "Event", "auditID": "a", "verb": "get"}')
    done = vedette("rules", "explain", name, folder / "event.json", "--config", folder / "vedette.yaml")
    assert (done.status, done.out) == (2, "")
    assert "`Something new` is a detector of behaviour" in done.err
    assert "`vedette rules test`" in done.err
    assert "`vedette profiles`" in done.err


@pytest.mark.parametrize("other", [RULE, DETECTOR], ids=["rule", "detector"])
def test_an_id_that_is_taken_is_an_error(vedette: Call, folder: Path, other: str) -> None:
    (folder / "rules/a.yml").write_text(other.replace("6d0e8f1a-0000-4000-8000-000000000001", NEWS))
    done = vedette("rules", "check", folder / "rules")
    assert done.status == 2
    owner = "the rule 'Secret deleted' of" if other == RULE else f"{folder}/rules/a.yml:1"
    assert f"{folder}/rules/news.yml:2:5: error: the id {NEWS} is taken by {owner}" in done.out
    assert vedette("rules", "list", "--config", folder / "vedette.yaml").status == 2
