"""Audit events against audit rules: the rules of that time and the current ones, the first match and all."""

import json
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from collector.decoders.kube_audit import KubeAudit
from detectors.engine import Engine
from detectors.falco import FalcoRule, load_falco_rules
from detectors.falco.audit_event import Mode
from detectors.falco.evaluation import FalcoOptions, engine_rules
from detectors.falco.matching import JSON_SOURCES, Matcher, RuleMatching
from detectors.rule import RuleText
from tests.conformance.report import Record as Recorded
from tests.conformance.report import judge, rows, vectors
from vedette.schema.errors import DecodeError
from vedette.schema.event import Event
from vedette.schema.record import Record, Run

Row = dict[str, Any]

DECODER = KubeAudit()
RUN = Run("test", DECODER.name, 1)
STOCK = "falco_rules.1.0.1.yaml"
"""Upstream loads Falco's own rules first; some audit files append to their lists."""


def paths(row: Row, *, current: bool) -> tuple[Path, ...]:
    folder = vectors("falco/k8s_audit/rules")
    found = [folder / STOCK] if "falco_rules.yaml" in row["upstream_rules_files"] else []
    for name in row["rules_files"]:
        newer = folder / f"{name.removesuffix('.yaml')}.current.yaml"
        found.append(newer if current and newer.is_file() else folder / name)
    return tuple(found)


@cache
def rules_of(files: tuple[Path, ...]) -> tuple[FalcoRule, ...]:
    rules = load_falco_rules([RuleText(path.name, path.read_text(encoding="utf-8"), "test") for path in files])
    assert rules.errors == ()
    return tuple(rule for rule in rules.rules if rule.source.name in JSON_SOURCES)


@cache
def matcher_of(files: tuple[Path, ...], matching: RuleMatching) -> Matcher:
    return Matcher(rules_of(files), matching)


@cache
def engine_of(files: tuple[Path, ...], mode: Mode, matching: RuleMatching) -> Engine:
    rules = engine_rules(rules_of(files), FalcoOptions(mode, matching))
    return Engine(rules, {DECODER.name: DECODER})


def found_in(engine: Engine, document: dict[str, Any]) -> list[str]:
    """Return the names of the rules that match, after going the way of a record in the agent: screened first."""
    payload = json.dumps(document).encode()
    head = DECODER.decode(payload, "")
    matches = engine.match(Event(Record(1, 1, payload, RUN, 1), DECODER, head))
    look = engine.screen(DECODER)
    going_on = engine.match(
        Event(Record(1, 1, payload, RUN, 1), DECODER, head), None if look is None else look.possible(payload)
    )
    assert [match.rule for match in going_on] == [match.rule for match in matches]
    assert all(match.explain() for match in matches)
    return [match.rule.title for match in matches]


def events(name: str) -> Iterator[dict[str, Any]]:
    """Yield the audit events of a file; a line may also be a list of them, or something else."""
    for line in (vectors("falco/k8s_audit/events") / name).read_text(encoding="utf-8").splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            continue
        for document in found.get("items", [found]) if isinstance(found, dict) else []:
            if isinstance(document, dict):
                yield document


def is_audit_event(document: dict[str, Any]) -> bool:
    """Say whether the agent takes it; what else upstream sends to its plugin has no values of fields."""
    try:
        DECODER.decode(json.dumps(document).encode(), "")
    except DecodeError:
        return False
    return "auditID" in document


def hits(row: Row, mode: Mode, matching: RuleMatching, *, current: bool) -> tuple[dict[str, int], set[str]]:
    matcher = matcher_of(paths(row, current=current), matching)
    found = [rule for event in events(row["event"]) for rule in matcher.match_document(event, mode)]
    return Counter(rule.name for rule in found), {rule.priority for rule in found}


def case(row: Row, mode: Mode) -> str:
    counts, priorities = hits(row, mode, RuleMatching.FIRST, current=False)
    wanted: list[tuple[Any, Any]] = [(counts, row["expect_rule_counts"])]
    if row["expect_priorities"]:
        names = {name.upper().replace("INFORMATIONAL", "INFO") for name in priorities}
        wanted.append((names, {name.upper().replace("INFORMATIONAL", "INFO") for name in row["expect_priorities"]}))
    if row["expect_detection"] is not None:
        wanted.append((bool(counts), row["expect_detection"]))
    suite = (row.get("go_suite") or {}).get("exact_counts")
    if suite is not None:
        wanted.append((hits(row, mode, RuleMatching.FIRST, current=True)[0], suite))
    full = row.get("curator_full_hits") or {}
    for current, key in ((False, "rules_0.5.0"), (True, "rules_current")):
        if key in full:
            wanted.append((hits(row, mode, RuleMatching.ALL, current=current)[0], full[key]))
    return " | ".join(
        f"{dict(found) if isinstance(found, Counter) else found} is not {want}"
        for found, want in wanted
        if found != want
    )


@pytest.mark.parametrize("mode", list(Mode))
def test_audit_cases(mode: Mode, record_property: Recorded) -> None:
    results = {row["id"]: case(row, mode) for row in rows("falco/k8s_audit/cases.jsonl")}
    judge(f"falco/k8s_audit (mode {mode})", results, {}, record_property)


@pytest.mark.parametrize("matching", list(RuleMatching))
@pytest.mark.parametrize("mode", list(Mode))
def test_the_engine_agrees(mode: Mode, matching: RuleMatching, record_property: Recorded) -> None:
    """Every event of the cases, against the rules of that time and the current ones: as `Matcher` finds it."""
    results: dict[str, str] = {}
    for row in rows("falco/k8s_audit/cases.jsonl"):
        wrong: list[str] = []
        for files in dict.fromkeys((paths(row, current=False), paths(row, current=True))):
            engine, matcher = engine_of(files, mode, matching), matcher_of(files, matching)
            for document in filter(is_audit_event, events(row["event"])):
                wanted = [rule.name for rule in matcher.match_document(document, mode)]
                found = found_in(engine, document)
                wrong += [f"{found} is not {wanted}"] * (found != wanted)
        results[row["id"]] = " | ".join(wrong)
    judge(f"falco/k8s_audit by the engine (mode {mode}, {matching})", results, {}, record_property)
