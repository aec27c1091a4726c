"""SigmaHQ's rule files: each loads, or is refused with a reason that is true of it."""

import re
from typing import Final

import pytest
import yaml

from detectors.rule import RuleText
from detectors.sigma import load_rules
from tests.conformance.report import Record, judge, vectors

PINNED: dict[str, str] = {}
REASONS: Final = {
    r"the placeholder (%.+?%) has no values": r"{0}",
    r"The pipe syntax in Sigma conditions": r"\|",
    r"the condition can't be read from ['\"]([^\\'\"]{1,12})": r"{0}",
    r"(?:the filter names )?the rule '(.+?)', which .*is not loaded": r"{0}",
    r"name the percentile": r"field:|condition:",
}
"""Reasons to refuse, and what must then stand at the named line or under it."""


def texts(folder: str) -> dict[str, str]:
    """Return the rule files under a folder by their paths."""
    root = vectors(folder)
    return {str(path.relative_to(root)): path.read_text(encoding="utf-8") for path in sorted(root.rglob("*.yml"))}


def wrong_with(path: str, text: str, *others: RuleText) -> str:
    """Say what is wrong: neither a rule nor an error, or an error whose reason can't be seen in the file."""
    loaded = load_rules([RuleText(path, text, ""), *others])
    if not loaded.errors:
        return (
            "" if loaded.rules or re.search(r"^(?:filter|correlation):", text, re.MULTILINE) else "nothing came of it"
        )
    for error in loaded.errors:
        lines = "\n".join(text.splitlines()[error.line - 1 : error.line + 8])
        if error.path != path or not error.line or not error.column or not is_true(error.message, lines):
            return f"refused: {error}"
    return ""


def is_true(message: str, lines: str) -> bool:
    """Say whether the reason can be seen in the lines that it names."""
    for reason, evidence in REASONS.items():
        match = re.match(reason, message)
        if match:
            wanted = evidence.format(*map(re.escape, match.groups()))
            return re.search(wanted, lines) is not None
    return False


@pytest.mark.parametrize("folder", ["sigma/rules", "sigma/regression/rules", "sigma/spec/examples"])
def test_files_load_or_are_refused_for_a_true_reason(folder: str, record_property: Record) -> None:
    found = texts(folder)
    results = {path: wrong_with(path, text) for path, text in found.items()}
    judge(folder, results, PINNED, record_property)


def test_placeholders_take_their_values_from_a_pipeline(record_property: Record) -> None:
    steps = {"name": "values", "transformations": [{"type": "wildcard_placeholders"}]}
    pipeline = RuleText("pipeline.yml", yaml.safe_dump(steps), "")
    results: dict[str, str] = {}
    for path, text in texts("sigma/rules/placeholder").items():
        loaded = load_rules([RuleText(path, text, ""), pipeline])
        results[path] = "" if len(loaded.rules) == 1 else f"refused: {loaded.errors}"
    judge("sigma/rules/placeholder, with values", results, PINNED, record_property)


def test_everything_loads_together() -> None:
    """Ids are unique over all files, and every file is heard of: by its rules or its errors."""
    found = [RuleText(path, text, path) for path, text in texts("sigma/rules").items()]
    loaded = load_rules(found)
    heard = {error.path for error in loaded.errors} | {rule.info.pack for rule in loaded.rules}
    assert len({rule.info.rule_id for rule in loaded.rules}) == len(loaded.rules)
    assert [text.path for text in found if text.path not in heard] == []
