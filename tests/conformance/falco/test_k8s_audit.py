"""Audit events against audit rules: the rules of that time and the current ones, the first match and all."""

import json
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from detectors.falco import FalcoRule, load_falco_rules
from detectors.falco.audit_event import Mode
from detectors.falco.matching import JSON_SOURCES, Matcher, RuleMatching
from detectors.rule import RuleText
from tests.conformance.report import Record, judge, rows, vectors

Row = dict[str, Any]

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
def test_audit_cases(mode: Mode, record_property: Record) -> None:
    results = {row["id"]: case(row, mode) for row in rows("falco/k8s_audit/cases.jsonl")}
    judge(f"falco/k8s_audit (mode {mode})", results, {}, record_property)
