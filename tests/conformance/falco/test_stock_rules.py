"""Falco's own rule files load, and are what its end-to-end suite expects of them."""

import re
from pathlib import Path

import yaml

from detectors.falco import load_falco_rules
from detectors.falco.diagnostics import LoadCode
from detectors.falco.output import OutputError, parse_output
from detectors.rule import RuleText
from tests.conformance.report import Record, judge, vectors

PAGE = Path(__file__).parents[3] / "docs/rules/falco.md"
DEFINED = "- rule:"
TEMPLATE = re.compile(r"%\{.*?\}|\{\{.*?\}\}")


def rule_file(text: str) -> str:
    """Load a file: every rule, or a warning for each that is skipped."""
    found = load_falco_rules([RuleText("rules.yaml", text, "test")])
    if found.errors:
        return str(found.errors[0])
    skipped = sum(warning.code is LoadCode.UNKNOWN_SOURCE for warning in found.warnings)
    defined = sum(line.startswith(DEFINED) for line in text.splitlines())
    return "" if len(found.rules) + skipped == defined else f"{len(found.rules)} + {skipped} of {defined} rules"


def test_rule_files(record_property: Record) -> None:
    files = sorted(vectors("falco/rules").rglob("*.yaml"))
    results = {path.name: rule_file(path.read_text(encoding="utf-8")) for path in files}
    judge("falco/rules", results, {}, record_property)


def test_the_changes_in_the_documentation_load_over_the_audit_rules(record_property: Record) -> None:
    (local,) = re.findall(
        r"^```yaml local.yaml\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    results: dict[str, str] = {}
    for path in sorted(vectors("falco/rules").rglob("*k8s_audit_rules.yaml")):
        texts = [RuleText("rules.yaml", path.read_text(encoding="utf-8"), ""), RuleText("local.yaml", local, "")]
        results[path.name] = " | ".join(map(str, load_falco_rules(texts).errors))
    judge("falco/rules with changes", results, {}, record_property)


def test_end_to_end_suite(record_property: Record) -> None:
    stock = [path for path in sorted(vectors("falco/rules").rglob("*.yaml")) if "falco" in path.name]
    texts = [RuleText(path.name, path.read_text(encoding="utf-8"), "test") for path in stock]
    rules = {rule.name: rule for rule in load_falco_rules(texts).rules}
    results: dict[str, str] = {}
    for path in sorted(vectors("falco/evtgen_suite").glob("*.yaml")):
        text = TEMPLATE.sub("…", path.read_text(encoding="utf-8"))
        for test in yaml.safe_load(text)["tests"]:
            rule, wanted = rules.get(test["rule"]), test["expectedOutcome"]
            if rule is None:
                results[test["name"]] = f"no rule {test['rule']!r}"
                continue
            wrong = [] if rule.priority.lower() == wanted["priority"].lower() else [f"priority {rule.priority}"]
            wrong += [] if rule.source.name == wanted["source"] else [f"source {rule.source.name}"]
            for field in wanted.get("outputFields", {}):
                try:
                    parse_output(f"%{field}", rule.source)
                except OutputError as error:
                    wrong.append(str(error))
            results[test["name"]] = " | ".join(wrong)
    judge("falco/evtgen_suite (rule, priority, source, fields)", results, {}, record_property)
