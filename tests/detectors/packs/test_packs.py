"""The shipped packs: every rule loads, says what it is, passes its own tests, and stays quiet on a recorded cluster."""

import gzip
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

import detectors.packs
from collector.decoders import DECODERS
from detectors.behaviour.definition import Definition
from detectors.engine import Engine
from detectors.library import Library
from detectors.packs import coverage_table, shipped_pack_texts
from detectors.rule import AnyRule, Rule
from detectors.sigma.separate_tests import read_separate_tests
from detectors.testing.checking import Checker
from detectors.testing.coverage import detections_of, hold_against, read_table
from detectors.testing.mutants import NEGATED
from vedette.schema.event import Event
from vedette.schema.level import Level
from vedette.schema.record import Record, Run

SET_A: Final = Path(__file__).parents[4] / "shared/kube-audit/A"
"""A labelled recording of a cluster's audit log; it is no part of this repository."""
SET_UP_USER: Final = "kubernetes-super-admin"
"""Set the recorded cluster up; what it did is neither attack nor noise."""

ROLLED_UP_PER_10K_MAX: Final = 2.0
PAIRS_PER_10K_MAX: Final = 10.0
FOUND: Final = 63
"""Attacks of set A that each selection of packs finds: all of them."""
LOOKALIKES_MISTAKEN: Final = 0
SELECTIONS: Final = (("starter",), ("starter", "audit"))
"""Packs that are measured together on set A."""
NAMES_OF_KUBERNETES: Final = {"system:anonymous", "kubernetes-admin"}
"""Users of set A that every cluster may have."""

ARRIVAL_NS: Final = 1_800_000_000_000_000_000

TEXTS: Final = shipped_pack_texts()
LIBRARY: Final = Library(TEXTS)
CHECKER: Final = Checker(LIBRARY, DECODERS, read_separate_tests(shipped_pack_texts(tests=True))[0])
RULES: Final = tuple(LIBRARY.rules.values())
by_rule: Final = pytest.mark.parametrize("rule", RULES, ids=[f"{rule.info.pack}: {rule.info.title}" for rule in RULES])


def test_every_file_is_a_rule_that_loads() -> None:
    assert [str(error) for error in LIBRARY.loaded.errors] == []
    assert {rule.info.pack for rule in RULES} == {text.pack for text in TEXTS} >= {"starter", "audit", "behaviour"}


def test_files_are_named_after_their_rules() -> None:
    for text in TEXTS:
        titles = re.findall(r"^title: (.+)$", text.text, re.MULTILINE)
        snakes = [re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_") for title in titles]
        assert len(titles) != 1 or text.path.endswith(f"/{snakes[0]}.yml"), text.path


def test_ids_and_titles_are_unique() -> None:
    assert len({rule.info.rule_id for rule in RULES}) == len({rule.info.title for rule in RULES}) == len(RULES)


@by_rule
def test_a_rule_says_what_an_analyst_needs(rule: AnyRule) -> None:
    info = rule.info
    assert len(info.description) > 80
    assert info.falsepositives
    assert any(tag.startswith("attack.t") for tag in info.tags)
    assert info.attack
    assert info.controls
    assert info.author == "The Vedette authors"


@by_rule
def test_a_rule_says_how_proven_it_is_and_whose_idea(rule: AnyRule) -> None:
    if isinstance(rule, Definition):  # our own, and yet to be proven on clusters
        assert rule.info.status == "experimental"
    else:
        assert rule.info.status in {"test", "stable"}
        assert rule.info.references


def test_every_rule_names_its_level() -> None:
    of_sigma = [text.text for text in TEXTS if re.search(r"^detection:$", text.text, re.MULTILINE)]
    assert [text for text in of_sigma if not re.search(r"^level: \w+$", text, re.MULTILINE)] == []


@by_rule
def test_a_rule_names_rows_of_the_coverage_table(rule: AnyRule) -> None:
    assert not isinstance(rule, Rule) or rule.covers


@by_rule
def test_a_rule_passes_its_own_tests(rule: AnyRule) -> None:
    report = CHECKER.check(rule)
    assert [(result.test.name, result.problem) for result in report.results if not result.passed] == []
    assert report.lacks == ()


@by_rule
def test_the_tests_of_a_rule_need_each_of_its_clauses(rule: AnyRule) -> None:
    report = CHECKER.mutate(CHECKER.check(rule), [NEGATED])
    assert report.survivors == ()


@by_rule
def test_a_match_can_be_explained_and_rolled_up(rule: AnyRule) -> None:
    if not isinstance(rule, Rule):
        return
    engine = Engine([rule], DECODERS)
    tests = [result.test for result in CHECKER.check(rule).results if result.test.match]
    for found in (match for test in tests for one in CHECKER.bench.events(rule, test) for match in engine.match(one)):
        assert found.explain()
        assert any(found.dedup_values())


def test_no_rule_is_dead_or_looks_at_every_event() -> None:
    engine = Engine(LIBRARY.loaded.rules, DECODERS)
    assert engine.dead == []
    assert [rule.info.title for rule in engine.unanchored] == []


def test_the_readme_of_behaviour_lists_every_detector() -> None:
    page = (Path(detectors.packs.__file__).parent / "behaviour/README.md").read_text()
    rows = re.findall(r"^\| ([^|]+) \| (\w+) \| (\w+) \| \[`(\w+)`\]", page, re.MULTILINE)
    found = [(one.info.title, one.info.level, one.kind, one.type) for one in LIBRARY.loaded.definitions]
    assert sorted(rows) == sorted(found)
    assert f"\n{len(found)} detectors of behaviour" in page


# --- what they cover --------------------------------------------------------------------------------------------------


def test_the_coverage_table_is_whole() -> None:
    table, errors = read_table(coverage_table())
    assert errors == []
    assert [row.id for row in table] == [*(f"C{at}" for at in range(1, 169)), *(f"U{at}" for at in range(1, 28))]
    assert [row.id for row in table if not (row.tactic and row.inputs in {"A", "S", "F", "D", "C"})] == []


def test_what_the_audit_log_shows_has_a_rule_or_a_reason() -> None:
    held = hold_against(read_table(coverage_table())[0], detections_of(RULES, {}))
    assert [one.row.id for one in held if one.row.inputs == "A" and bool(one.rules) is bool(one.row.not_covered)] == []
    assert [one.row.id for one in held if one.rules and one.row.not_covered] == []


# --- set A ------------------------------------------------------------------------------------------------------------


class Findings(NamedTuple):
    """What packs say of set A. `pairs` are (rule, auditID), `requests` (rule, auditID, URI), one for each match."""

    pairs: dict[tuple[str, str], Level]
    requests: list[tuple[str, str, str]]
    users: dict[str, str]
    events: int


def labels() -> list[dict[str, Any]]:
    return [json.loads(line) for line in (SET_A / "labels.jsonl").read_text().splitlines()]


def audit_log() -> Iterator[Event]:
    decoder = DECODERS["kube_audit"]
    run = Run("test", decoder.name, 1)
    with gzip.open(SET_A / "audit.jsonl.gz") as file:
        for line in file:
            record = Record(1, ARRIVAL_NS, line.rstrip(b"\n"), run, 1)
            yield Event(record, decoder, decoder.decode(record.payload, ""))


@pytest.fixture(scope="module", params=SELECTIONS, ids=" and ".join)
def findings(request: pytest.FixtureRequest) -> Findings:
    if not SET_A.is_dir():
        pytest.skip(f"{SET_A} is not there: the labelled recording is kept outside the repository")
    engine = Engine([rule for rule in LIBRARY.loaded.rules if rule.info.pack in request.param], DECODERS)
    pairs: dict[tuple[str, str], Level] = {}
    requests: list[tuple[str, str, str]] = []
    users: dict[str, str] = {}
    count = 0
    for count, one in enumerate(audit_log(), 1):  # noqa: B007
        audit_id = one.head["auditID"]
        users[audit_id] = one.head["user"].get("username", "")
        for match in engine.match(one):
            pairs[match.rule.title, audit_id] = match.rule.level
            requests.append((match.rule.title, audit_id, one.head["requestURI"]))
    return Findings(pairs, requests, users, count)


def loud(findings: Findings) -> list[tuple[str, str]]:
    return [pair for pair, level in findings.pairs.items() if level.rank >= Level.MEDIUM.rank]


def found(findings: Findings, kind: str) -> set[str]:
    owners = defaultdict(set)
    for label in labels():
        if label["label"] == kind:
            for audit_id in label["audit_ids"]:
                owners[audit_id].add(label["id"])
    return {label for _, audit_id in loud(findings) for label in owners.get(audit_id, ())}


def test_noise_on_set_a_stays_within_limits(findings: Findings) -> None:
    explained = {
        audit_id
        for label in labels()
        for key in ("audit_ids", "controller_audit_ids")
        for audit_id in label.get(key) or ()
    }
    noise = [
        (rule, audit_id)
        for rule, audit_id in loud(findings)
        if audit_id not in explained and findings.users[audit_id] != SET_UP_USER
    ]
    rolled_up = {(rule, findings.users[audit_id]) for rule, audit_id in noise}
    scale = 10_000 / findings.events
    assert len(rolled_up) * scale <= ROLLED_UP_PER_10K_MAX, sorted(rolled_up)
    assert len(noise) * scale <= PAIRS_PER_10K_MAX, sorted(noise)


def test_attacks_of_set_a_are_found(findings: Findings) -> None:
    missed = {label["id"] for label in labels() if label["label"] == "attack"} - found(findings, "attack")
    assert len(found(findings, "attack")) >= FOUND, sorted(missed)


def test_lookalikes_of_set_a_are_told_apart(findings: Findings) -> None:
    mistaken = found(findings, "lookalike")
    assert len(mistaken) <= LOOKALIKES_MISTAKEN, sorted(mistaken)


def test_one_request_is_found_once_by_a_rule(findings: Findings) -> None:
    # The URI tells requests apart for which the client chose the same audit id.
    assert len(findings.requests) == len(set(findings.requests))


def test_rules_know_nothing_of_the_recording() -> None:
    if not SET_A.is_dir():
        pytest.skip(f"{SET_A} is not there: the labelled recording is kept outside the repository")
    names = {label[key] for label in labels() for key in ("user", "source_ip")} - NAMES_OF_KUBERNETES
    assert [
        (text.path, name)
        for text in TEXTS
        for name in names
        if re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", text.text.partition("\n  tests:")[0])
    ] == []
