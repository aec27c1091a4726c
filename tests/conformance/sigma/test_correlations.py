"""Correlation vectors of rsigma: sequences of events with their times, and what fires at a step."""

from collections.abc import Mapping
from typing import Any

from detectors.rule import RuleText
from detectors.sigma import load_rules
from tests.conformance.report import Record, judge, rows
from tests.detectors.correlation.bench import Correlating

PINNED: Mapping[str, str] = {
    "rsigma/tests_corr/test_event_count_range_condition": (
        "a range has an end that more events can leave, so it is judged when its window is over, and fires once"
    ),
    "rsigma/tests_corr/test_generate_true_keeps_detections": (
        "`timeframe` is no key of correlations (specification 2.1: timespan), and is refused"
    ),
}
"""What is meant to differ, with the reason."""


def run(row: dict[str, Any]) -> str:
    """Run one vector."""
    refused = load_rules([RuleText("vector.yml", row["rules_yaml"], "")], ours=False).errors
    if refused:
        return f"refused: {refused[0]}"
    correlating = Correlating(row["rules_yaml"])
    found: list[dict[str, int]] = []
    for step in row["steps"]:
        firings = correlating.feed(step["event"], step["ts"])
        found.append({"correlations": len(firings), "detections": correlating.matched})
    wrong = [claim for claim in row["asserts"] if found[claim["step"]][claim["what"]] != claim["equals"]]
    return f"wrong: {wrong}, found {found}" if wrong else ""


def test_correlation_vectors(record_property: Record) -> None:
    found = [row for row in rows("sigma/engine_vectors/rsigma.jsonl") if row["kind"] == "correlation"]
    asked = [row for row in found if not row.get("disputed") and not row["nonstandard"]]
    results = {row["id"]: run(row) for row in asked}
    left_out = {"disputed or non-standard": len(found) - len(asked)}
    judge("sigma/engine_vectors/rsigma, correlations", results, PINNED, record_property, left_out)


def test_whole_correlations_of_the_specification_run(record_property: Record) -> None:
    found = rows("sigma/spec/spec_yaml_blocks.jsonl")
    whole = {row["id"]: row["yaml"] for row in found if "correlation:" in row["yaml"] and "detection:" in row["yaml"]}
    results: dict[str, str] = {}
    for block, text in whole.items():
        loaded = load_rules([RuleText("block.yml", text, "")])
        results[block] = (
            "" if loaded.correlations and not loaded.errors else f"refused: {list(map(str, loaded.errors))}"
        )
    judge("sigma/spec blocks, correlations", results, {}, record_property)
