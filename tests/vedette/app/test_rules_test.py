"""`vedette rules test`: what passes, what fails and why, where it stands, and what it is worth."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Outcome

Call = Callable[..., Outcome]
RULE = """\
title: Exec
id: 6d0e8f1a-0000-4000-8000-0000000000e1
logsource: {product: kubernetes, service: audit}
detection:
  selection: {verb: create, objectRef.subresource: exec}
  robot: {user.username|startswith: 'system:'}
  condition: selection and not robot
vedette:
  tests:
    - {name: by a person, match: true, event: {verb: create, objectRef: {subresource: exec}, user: {username: eve}}}
    - name: by a robot
      match: false
      event: {verb: create, objectRef: {subresource: exec}, user: {username: 'system:x'}}
"""
COURSE = """\
title: Many execs
id: 6d0e8f1a-0000-4000-8000-0000000000e2
correlation:
  type: event_count
  rules: [6d0e8f1a-0000-4000-8000-0000000000e1]
  group-by: [user.username]
  timespan: 5m
  condition: {gte: 3}
vedette:
  tests:
    - name: three
      match: true
      events: [{event: {verb: create, objectRef: {subresource: exec}, user: {username: eve}}, repeat: 3, every: 1m}]
    - name: two
      match: false
      events: [{event: {verb: create, objectRef: {subresource: exec}, user: {username: eve}}, repeat: 2}]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "exec.yml").write_text(RULE)
    (tmp_path / "many.yml").write_text(COURSE)
    return tmp_path


def test_rules_and_correlations_pass(vedette: Call, folder: Path) -> None:
    done = vedette("rules", "test", "--strict", folder)
    assert (done.status, done.err) == (0, "0 failures in 4 tests of 2 rules\n")
    assert [line.split() for line in done.out.splitlines()] == [
        ["RESULT", "RULE", "TESTS", "PLACE"],
        ["passed", "Exec", "2", f"{folder}/exec.yml:1"],
        ["passed", "Many", "execs", "2", f"{folder}/many.yml:1"],
    ]


def test_a_failed_positive_names_what_kept_it_from_matching(vedette: Call, folder: Path) -> None:
    (folder / "exec.yml").write_text(RULE.replace("selection: {verb: create", "selection: {verb: [get, list]"))
    done = vedette("rules", "test", folder / "exec.yml")
    assert done.status == 1
    assert done.out.splitlines()[-2:] == [
        f"{folder}/exec.yml:10: Exec: by a person: should match, and does not",
        '    selection.verb: equals "get" or "list"; is "create" (verb)',
    ]


def test_a_failed_negative_names_what_matched(vedette: Call, folder: Path) -> None:
    (folder / "exec.yml").write_text(RULE.replace("startswith: 'system:'", "startswith: 'robot:'"))
    done = vedette("rules", "test", "--format", "json", folder / "exec.yml")
    (report,) = done.lines
    assert (done.status, report["passed"], report["line"]) == (1, False, 1)
    _, failed = report["tests"]
    assert (failed["problem"], failed["line"], failed["event"]) == ("should not match, and does", 11, 1)
    assert [(clause["where"], clause["state"], clause["value"]) for clause in failed["clauses"]] == [
        ("selection.verb", "held", "create"),
        ("selection.objectRef.subresource", "held", "exec"),
        ("robot.user.username", "failed", "system:x"),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (COURSE.replace("gte: 3", "gte: 4"), "three: should fire, and does not: `Exec` matched 3 of 3 events"),
        (COURSE.replace("[user.username]", "[user.uid]"), "`Exec` matched 3 of 3 events; 3 left out (no_group)"),
        (
            COURSE.replace("gte: 3", "gte: 2"),
            "two: should not fire, and does: event_count is at least 2 within 5m, measured 2, of user.username: eve",
        ),
    ],
    ids=["positive", "left_out", "negative"],
)
def test_a_failed_course_says_what_was_counted(vedette: Call, folder: Path, text: str, expected: str) -> None:
    (folder / "many.yml").write_text(text)
    done = vedette("rules", "test", folder)
    assert done.status == 1
    assert expected in done.out


def test_exceptions_among_the_files_apply(vedette: Call, folder: Path) -> None:
    (folder / "exception.yml").write_text(
        "title: Eve may\nlogsource: {product: kubernetes, service: audit}\n"
        "filter: {rules: any, eve: {user.username: eve}, condition: not eve}\n"
    )
    done = vedette("rules", "test", folder / "exec.yml", folder / "exception.yml")
    assert done.status == 1
    assert 'Eve may: eve.user.username: equals "eve"; is "eve" (user.username)\n' in done.out


def test_rules_without_both_kinds_of_test_are_told(vedette: Call, folder: Path) -> None:
    text = RULE[: RULE.index("    - name: by a robot")]
    (folder / "exec.yml").write_text(text)
    told = f"{folder}/exec.yml:1: Exec: has no negative test"
    for options, status in ((), 0), (("--strict",), 1):
        done = vedette("rules", "test", *options, folder / "exec.yml")
        assert (done.status, told in done.out.splitlines()) == (status, True)
        assert done.err == "0 failures in 1 test of 1 rule; 1 rule without both kinds of test\n"


def test_mutants_show_clauses_that_no_test_depends_on(vedette: Call, folder: Path) -> None:
    assert vedette("rules", "test", "--mutate", folder).status == 0
    (folder / "exec.yml").write_text(RULE.replace("condition: s", "other: {verb: patch}\n  condition: other or s"))
    done = vedette("rules", "test", "--mutate", folder / "exec.yml")
    assert done.status == 0, "the negative test notices"
    done = vedette("rules", "test", "--thorough", "--format", "json", folder / "exec.yml")
    (report,) = done.lines
    assert (done.status, report["mutants"]) == (1, 10)
    place = {"path": str(folder / "exec.yml"), "line": 7}
    assert {"how": "left out", "where": "other.verb", "what": 'verb equals "patch"', **place} in report["survivors"]


def test_thorough_mutants_of_a_correlation(vedette: Call, folder: Path) -> None:
    done = vedette("rules", "test", "--thorough", "--format", "json", folder)
    survivors = {report["title"]: [one["what"] for one in report["survivors"]] for report in done.lines}
    assert survivors["Many execs"] == ["user.username"], "no test has two users"


def test_tests_in_a_file_of_their_own(vedette: Call, folder: Path) -> None:
    event = {"verb": "list", "objectRef": {"subresource": "exec"}, "user": {"username": "eve"}}
    tests = [{"rule": "Exec", "name": "read", "match": True, "event": event}]
    (folder / "exec.tests.yml").write_text(json.dumps(tests))
    for path in (folder, folder / "exec.yml"):
        done = vedette("rules", "test", path)
        assert done.status == 1
        assert f"{folder}/exec.tests.yml:1: Exec: read: should match, and does not" in done.out


def test_a_file_of_tests_alone_is_about_configured_rules(vedette: Call, folder: Path) -> None:
    config = folder / "vedette.yaml"
    config.write_text(f"rules: {{packs: [], paths: [{folder}/exec.yml, {folder}/many.yml]}}\n")
    tests = folder / "other.tests.yml"
    tests.write_text(json.dumps([{"rule": "Exec", "name": "read", "match": False, "event": {"verb": "get"}}]))
    done = vedette("rules", "test", "--config", config, tests)
    assert (done.status, done.err) == (0, "0 failures in 3 tests of 1 rule\n")


def test_an_event_of_a_format_that_the_rule_does_not_look_at(vedette: Call, folder: Path) -> None:
    tests = [{"rule": "Exec", "name": "alert", "match": True, "events": [{"format": "falco", "event": {"rule": "x"}}]}]
    (folder / "exec.tests.yml").write_text(json.dumps(tests))
    done = vedette("rules", "test", folder / "exec.yml")
    assert done.status == 1
    assert "Exec: alert: should match, and is not asked: the rule looks at kube_audit\n" in done.out


FALCO = """\
- rule: Deleted
  desc: d
  condition: ka.verb=delete and not ka.user.name startswith "system:"
  output: o
  priority: NOTICE
  source: k8s_audit
- rule: Shell
  desc: d
  condition: evt.type=execve
  output: o
  priority: NOTICE
"""
DELETED = {"kind": "Event", "auditID": "a", "stage": "ResponseComplete", "verb": "delete", "user": {"username": "eve"}}


def test_rules_in_falco_s_language_have_tests_in_files_of_their_own(vedette: Call, tmp_path: Path) -> None:
    (tmp_path / "falco.yaml").write_text(FALCO)
    system = DELETED | {"user": {"username": "system:x"}}
    tests = [
        {"rule": "Deleted", "name": "by eve", "match": True, "event": DELETED},
        {"rule": "falco:Deleted", "name": "by the system", "match": True, "event": system},
        {"rule": "Shell", "name": "a shell", "match": True, "event": DELETED},
    ]
    (tmp_path / "falco.tests.yaml").write_text(json.dumps(tests))
    done = vedette("rules", "test", "--mutate", tmp_path)
    assert done.status == 1
    told = done.out.splitlines()
    assert told[1].split()[:3] == ["FAILED", "Deleted", "2"]
    assert '    condition: ka.user.name startswith system:; is "system:x" (user.username)' in told
    (idle,) = [line for line in told if "a shell" in line]
    assert "nothing can be an event of the rule: " in idle
    assert "seen by Falco alone" in idle


@pytest.mark.parametrize(
    ("tests", "message"),
    [
        (
            [{"rule": "Exek", "name": "t", "match": True, "event": {}}],
            "1:2: there is no rule `Exek`; did you mean `Exec`?",
        ),
        ([{"name": "t", "match": True, "event": {}}], "1:2: a test in a file of its own names its rule"),
        ([{"rule": "Exec", "name": "t", "event": {}}], "1:2: a test's match must be true or false"),
        ({"rule": "Exec"}, "1:1: a file of tests is a list"),
    ],
    ids=["unknown_rule", "no_rule", "no_match", "no_list"],
)
def test_a_wrong_file_of_tests_is_refused(vedette: Call, folder: Path, tests: object, message: str) -> None:
    (folder / "exec.tests.yml").write_text(json.dumps(tests))
    done = vedette("rules", "test", folder)
    assert (done.status, done.out) == (2, "")
    assert f"exec.tests.yml:{message}".replace(":1:2: there", ":1: there") in done.err


def test_an_event_that_can_be_none_is_a_failure(vedette: Call, folder: Path) -> None:
    (folder / "exec.yml").write_text(
        RULE.replace("{verb: create, objectRef: {subresource: exec}, user: {username: eve}}", "{kind: Pod}")
    )
    done = vedette("rules", "test", folder / "exec.yml")
    assert done.status == 1
    assert "Exec: by a person: event 1 is none of the format kube_audit" in done.out


def test_rules_that_cannot_be_used_are_told(vedette: Call, folder: Path) -> None:
    (folder / "exec.yml").write_text(RULE.replace("condition: s", "condition: t"))
    done = vedette("rules", "test", folder / "exec.yml")
    assert (done.status, done.out) == (2, "")
    assert f"{folder}/exec.yml:7:" in done.err


def test_without_any_test_nothing_was_done(vedette: Call, folder: Path) -> None:
    (folder / "exec.yml").write_text(RULE[: RULE.index("vedette:")])
    done = vedette("rules", "test", folder / "exec.yml")
    assert done.status == 2
    assert done.out.splitlines()[1].split()[:2] == ["UNTESTED", "Exec"]


def test_hostile_values_do_not_reach_the_terminal(vedette: Call, folder: Path) -> None:
    (folder / "exec.yml").write_text(RULE.replace("verb: create, objectRef: {sub", 'verb: "\\e[2J", objectRef: {sub'))
    done = vedette("rules", "test", folder / "exec.yml")
    assert done.status == 1
    assert "\x1b" not in done.out
    assert "\\u001b" in done.out


def test_the_configured_rules_are_tested_without_paths(vedette: Call) -> None:
    done = vedette("rules", "test", "--strict", "--format", "json")
    assert done.status == 0
    assert all(report["passed"] and report["tests"] for report in done.lines)
