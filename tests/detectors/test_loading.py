"""Texts of both rule languages: told apart, loaded together, checked together."""

from collections.abc import Sequence
from typing import Final

import msgspec
import pytest

from collector.decoders import DECODERS
from detectors.correlation.definition import Member
from detectors.engine import Engine
from detectors.loading import check_rules, is_falco, load_rules
from detectors.rule import LoadedRules, RuleText
from detectors.sigma.check import Severity
from vedette.schema.event import Event, LogSource
from vedette.schema.finding import Match
from vedette.schema.record import Record, Run

SIGMA: Final = """\
title: A pod was created
id: created
logsource: {product: kubernetes, service: audit}
detection: {selection: {verb: create}, condition: selection}
level: low
"""
FALCO: Final = """\
- macro: writes
  condition: ka.verb in (create, patch)
- rule: Pod Written
  desc: Somebody writes a pod
  condition: writes and ka.target.resource = pods
  output: written
  priority: WARNING
  source: k8s_audit
"""
MORE: Final = """\
- rule: Pod Written
  condition: and ka.user.name != admin
  override: {condition: append}
- rule: Shell Spawned
  desc: A shell
  condition: evt.type = execve and proc.name = bash
  output: shell
  priority: NOTICE
- rule: Nothing
  desc: Off
  condition: writes
  output: off
  priority: DEBUG
  source: k8s_audit
  enabled: false
- rule: Never
  desc: It can't
  condition: writes and jevt.rawtime = 0
  output: never
  priority: DEBUG
  source: k8s_audit
"""
CORRELATION: Final = """\
title: Writes and a shell
id: both
correlation:
  type: temporal
  rules: [{rules}]
  group-by: [user.username]
  timespan: 10m
level: high
"""


EXCEPTION: Final = """\
title: Our deployer writes pods
logsource: {product: kubernetes, service: audit}
filter:
  rules: [{rules}]
  deployer: {user.username: deployer}
  condition: not deployer
vedette: {owner: platform, reason: it deploys}
"""


AUDIT: Final = {"auditID": "1", "stage": "ResponseComplete", "verb": "create", "objectRef": {"resource": "pods"}}


def texts(*contents: str) -> list[RuleText]:
    return [RuleText(f"{at}.yaml", content, f"pack {at}") for at, content in enumerate(contents)]


def load(*contents: str) -> LoadedRules:
    return load_rules(texts(*contents))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (FALCO, True),
        (MORE, True),
        ("---\n~\n---\n- list: a\n  items: []\n", True),
        ("# a comment\n- required_engine_version: 15\n", True),
        ("- required_plugin_versions: [{name: json, version: 0.1.0}]\n", True),
        ("[{desc: first, rule: r}]\n", True),
        ("- ~\n- {nope: 1}\n- {macro: m, condition: a.b = c}\n", True),
        ("- rule: broken\n  condition: [\n", True),
        (SIGMA, False),
        (SIGMA.replace("title: A", "rule: A"), False),
        ("- title: a Sigma rule in a list\n  rules: no\n", False),
        ("- desc: rule\n", False),
        ("- [rule, x]\n", False),
        ("- {desc: {rule: x}, output: macro}\n", False),
        ("- {[rule]: x}\n", False),
        (f"{SIGMA}---\n{FALCO}", False),
        ("[]\n", False),
        ("rule\n", False),
        ("", False),
        ("~\n", False),
        ("a: [\n- rule: x", False),
        ("\x00- rule: x", False),
        ("\ud800", False),
        ("- " * 100_000 + "rule: x", False),
        ("[" * 100_000, False),
        ("- &a {desc: *a}\n- *b\n", False),
        (" " * (4 * 1024 * 1024) + "\n- rule: x\n", False),
    ],
)
def test_a_list_of_items_is_falco_all_else_is_sigma(text: str, expected: bool) -> None:
    assert is_falco(text) is expected


def test_both_languages_load_together_and_falco_files_build_on_each_other() -> None:
    loaded = load(FALCO, SIGMA, MORE)
    assert loaded.errors == ()
    assert [(rule.info.rule_id, rule.info.pack) for rule in loaded.rules] == [
        ("created", "pack 1"),
        ("falco:Pod Written", "pack 0"),
        ("falco:Shell Spawned", "pack 2"),
        ("falco:Nothing", "pack 2"),
        ("falco:Never", "pack 2"),
    ]


def test_the_order_of_falco_files_counts() -> None:
    (error,) = load(MORE, FALCO).errors
    assert (error.path, error.line) == ("0.yaml", 1)
    assert "no rule by that name" in error.message


def test_rules_that_are_never_asked_say_why() -> None:
    idle = {rule.info.title: rule.idle for rule in load(FALCO, MORE).rules}
    assert idle["Pod Written"] == ""
    assert "seen by Falco alone" in idle["Shell Spawned"]
    assert "disabled" in idle["Nothing"]
    assert "never true" in idle["Never"]


@pytest.mark.parametrize("reference", ["Shell Spawned", "falco:Shell Spawned"])
def test_a_correlation_refers_to_falco_rules_by_name_and_by_id(reference: str) -> None:
    loaded = load(CORRELATION.replace("{rules}", f"created, '{reference}'"), SIGMA, FALCO, MORE)
    assert loaded.errors == ()
    (correlation,) = loaded.correlations
    keys = (("user.username",),)
    assert correlation.members == (
        Member("created", "A pod was created", keys),
        Member("falco:Shell Spawned", "Shell Spawned", keys),
    )


def test_a_correlation_changes_with_the_falco_rule_that_it_refers_to() -> None:
    over = CORRELATION.replace("{rules}", "created, Pod Written")
    hashes = {
        load(over, SIGMA, *falco).correlations[0].content_hash for falco in ([FALCO], [FALCO, MORE], [FALCO, MORE])
    }
    assert len(hashes) == 2


def test_a_correlation_over_a_falco_rule_that_is_not_loaded_is_refused() -> None:
    (error,) = load(CORRELATION.replace("{rules}", "created, 'falco:Shell Spawned'"), SIGMA, FALCO).errors
    assert error.message == "the rule 'falco:Shell Spawned', which it refers to, is not loaded"


@pytest.mark.parametrize(
    "other", [SIGMA, CORRELATION.replace("{rules}", "created, Pod Written")], ids=["rule", "correlation"]
)
def test_an_id_that_a_falco_rule_has_is_taken(other: str) -> None:
    twice = other.replace("id: created", "id: 'falco:Pod Written'").replace("id: both", "id: 'falco:Pod Written'")
    errors = load(SIGMA.replace("title: A", "title: The"), FALCO, twice).errors
    taken = "the rule id falco:Pod Written is taken by the rule 'Pod Written' of pack 1"
    assert [(error.path, error.line, error.message) for error in errors] == [("2.yaml", 2, taken)]


@pytest.mark.parametrize("reference", ["Pod Written", "'falco:Pod Written'", "created, Pod Written"])
def test_an_exception_lets_events_pass_a_falco_rule(reference: str) -> None:
    loaded = load(SIGMA, FALCO, EXCEPTION.replace("{rules}", reference))
    assert loaded.errors == ()
    engine, decoder = Engine(loaded.rules, DECODERS), DECODERS["kube_audit"]
    matches: list[list[Match]] = []
    for user in ("ann", "deployer"):
        event = AUDIT | {"user": {"username": user}}
        given = Event(Record(1, 1, msgspec.json.encode(event), Run("s", "kube_audit", 1), 1), decoder, event)
        matches.append(engine.match(given))
    found = [[match.rule.rule_id for match in of_event] for of_event in matches]
    assert found == [["created", "falco:Pod Written"], [] if "created" in reference else ["created"]]
    assert [(clause.where, clause.field, clause.negated) for clause in matches[0][1].explain()] == [
        ("condition", "ka.verb", False),
        ("condition", "ka.target.resource", False),
        ("Our deployer writes pods: deployer.user.username", "user.username", True),
    ]


def test_an_exception_changes_a_falco_rule() -> None:
    hashes = {load(FALCO, *more).rules[0].content_hash for more in ((), (EXCEPTION.replace("{rules}", "Pod Written"),))}
    assert len(hashes) == 2


@pytest.mark.parametrize(
    ("reference", "reason"),
    [("Shell Spawned", "is never asked"), ("Pod Wrtten", "is not loaded")],
    ids=["idle", "typo"],
)
def test_an_exception_that_does_nothing_is_refused(reference: str, reason: str) -> None:
    (error,) = load(FALCO, MORE, EXCEPTION.replace("{rules}", reference)).errors
    assert (error.line, error.message) == (4, f"the filter names the rule {reference!r}, which {reason}")


def problems(*contents: str) -> Sequence[tuple[str, int, Severity, str]]:
    found = check_rules(texts(*contents), [LogSource("kubernetes", "audit", "application")])
    return [(problem.path, problem.line, problem.severity, problem.code) for problem in found]


def test_everything_is_told_of_both_languages() -> None:
    found = problems(SIGMA.replace("verb:", "nope:"), FALCO + "- list: unused\n  items: [a]\n", MORE)
    assert found == [
        ("0.yaml", 4, Severity.WARNING, "dead-test"),
        ("0.yaml", 4, Severity.WARNING, "dead-rule"),
        ("1.yaml", 9, Severity.WARNING, "LOAD_UNUSED_LIST"),
        ("2.yaml", 4, Severity.WARNING, "dead-rule"),
        ("2.yaml", 16, Severity.WARNING, "dead-rule"),
    ]


def test_what_falco_refuses_is_an_error_at_its_place() -> None:
    (problem,) = check_rules(texts(FALCO.replace("= pods", "= pods and ka.nope = 1")), [])
    assert str(problem) == (
        "0.yaml:5:55: error: rule 'Pod Written': filter_check called with nonexistent field ka.nope"
    )
    assert problem.code == "LOAD_ERR_COMPILE_CONDITION"
