"""Vectors of other Sigma engines: rules, events, and what matches. Disputed and non-standard ones are left out."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import yaml

from detectors.sigma.matching import Matcher
from tests.conformance.report import Record, judge, rows

from .asking import ask

PINNED: dict[str, str] = {}
Row = dict[str, Any]


def placeholders(row: Row) -> list[str]:
    """Give placeholders their values as users do, by a pipeline."""
    if not row.get("placeholders"):
        return []
    steps = [{"type": "value_placeholders"}]
    return [yaml.safe_dump({"name": "values", "vars": row["placeholders"], "transformations": steps})]


def single(row: Row) -> str:
    """Run a vector of one event and a verdict."""
    matcher = Matcher([row["rules_yaml"], *placeholders(row)])
    message = {"message": row["message"]} if row.get("message") else {}
    found = ask(matcher, row["fields"] | message)
    if matcher.errors:
        return f"refused: {matcher.errors[0]}"
    return "" if bool(found) is row["expected"] else f"matches {found}"


def steps(row: Row) -> str:
    """Run a vector of several events, with assertions on what matches at a step."""
    matcher = Matcher([row["rules_yaml"]])
    if matcher.errors:
        return f"refused: {matcher.errors[0]}"
    found = [ask(matcher, step["event"]) for step in row["steps"]]
    wrong = [claim for claim in row["asserts"] if not holds(claim, found[claim["step"]])]
    return f"wrong: {wrong}, found {found}" if wrong else ""


def holds(claim: Row, titles: Sequence[str]) -> bool:
    """Say whether an assertion on a step holds."""
    if claim["what"] in ("matches", "detections"):
        return bool(len(titles) == claim["equals"])
    assert claim["what"] == "title", f"an unknown claim: {claim}"
    return bool(titles[claim["index"] : claim["index"] + 1] == [claim["equals"]])


@pytest.mark.parametrize(
    ("name", "run"),
    [
        ("go_sigma_rule_engine", single),
        ("sigma_rust", single),
        ("sigmalite", single),
        ("rsigma", steps),
    ],
)
def test_engine_vectors(name: str, run: Callable[[Row], str], record_property: Record) -> None:
    found = rows(f"sigma/engine_vectors/{name}.jsonl")
    correlations = [row["id"] for row in found if row.get("kind") == "correlation"]
    asked = [row for row in found if not row.get("disputed") and not row.get("nonstandard")]
    results = {row["id"]: run(row) for row in asked if row.get("kind") != "correlation"}
    others = len(found) - len(results) - len(correlations)
    left_out = {"disputed or non-standard": others, "correlations, which have a set of their own": len(correlations)}
    judge(f"sigma/engine_vectors/{name}", results, PINNED, record_property, left_out)
