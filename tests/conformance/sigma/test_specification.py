"""The YAML blocks of the Sigma specification: whole rules load, fragments are refused with a place."""

from typing import Any

import yaml

from detectors.rule import RuleText
from detectors.sigma import load_rules
from tests.conformance.report import Record, judge, rows

PINNED: dict[str, str] = {}


def documents(text: str) -> list[Any]:
    """Read a block as YAML; none where it is no YAML."""
    try:
        return list(yaml.safe_load_all(text))
    except yaml.YAMLError:
        return []


def is_whole(document: Any) -> bool:
    """Say whether a document is a whole rule."""
    return isinstance(document, dict) and document.keys() >= {"title", "logsource", "detection"}


def run(block: str) -> str:
    """Load a block."""
    loaded = load_rules([RuleText("block.yml", block, "")])
    whole = sum(map(is_whole, documents(block)))
    if any(not error.line for error in loaded.errors):
        return f"an error without a place: {loaded.errors}"
    if len(loaded.rules) < whole:
        return f"a whole rule is refused: {list(map(str, loaded.errors))}"
    return "" if loaded.rules or loaded.errors or not block.strip() else "nothing came of it"


def test_blocks_of_the_specification(record_property: Record) -> None:
    found = rows("sigma/spec/spec_yaml_blocks.jsonl")
    judge("sigma/spec blocks", {row["id"]: run(row["yaml"]) for row in found}, PINNED, record_property)
