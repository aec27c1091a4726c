"""Rule files: which load, with which errors and warnings, and what their conditions become."""

from collections.abc import Iterable, Sequence
from typing import Any

from detectors.falco import FalcoRules, load_falco_rules
from detectors.falco.diagnostics import Diagnostic, LoadCode
from detectors.falco.syntax import render
from detectors.rule import RuleText
from tests.conformance.report import Record, judge, rows

Row = dict[str, Any]

_SETTINGS = "upstream's test appends to outputs by a setting, which the row does not have"
PINNED_CPP = {
    "cpp/test_extra_output/extra_format_by_rule": _SETTINGS,
    "cpp/test_extra_output/extra_format_by_tag_rule": _SETTINGS,
}
_OPTION = "the rules are right: upstream's test fails at an option of the command line"
PINNED_GO = {
    "go/TestFalco_Legacy_MonitorSyscallDropsThresholdNeg": _OPTION,
    "go/TestFalco_Legacy_MonitorSyscallDropsExit": _OPTION,
    "go/TestFlaco_Rule_Info": _OPTION,
}


def loaded(contents: Iterable[str]) -> FalcoRules:
    return load_falco_rules([RuleText(f"{at}.yaml", text, "test") for at, text in enumerate(contents)])


def messages(found: Iterable[Diagnostic]) -> str:
    return " | ".join(diagnostic.message for diagnostic in found)


def unit(row: Row) -> str:
    contents: list[str] = []
    rules = loaded([])
    for step in row["steps"]:
        contents.append(step["content"])
        rules = loaded(contents)
        if bool(rules.failures) is step["load_ok"]:
            return f"step {len(contents)}: {messages(rules.failures) or 'loads'}"
    return " | ".join(filter(None, (*_texts(rules, row["expect"]), *_values(rules, row["expect"]))))


def _texts(rules: FalcoRules, expect: Row) -> list[str]:
    errors, warnings = messages(rules.failures), messages(rules.warnings)
    return [
        *(f"no error {text!r} in {errors}" for text in expect.get("error_contains", []) if text not in errors),
        *(f"no warning {text!r} in {warnings}" for text in expect.get("warning_contains", []) if text not in warnings),
        *(f"a warning {text!r}" for text in expect.get("warning_absent", []) if text in warnings),
    ]


def _values(rules: FalcoRules, expect: Row) -> list[str]:
    conditions = {rule.name: render(rule.condition) for rule in rules.rules}
    outputs = {rule.name: rule.output_text for rule in rules.rules}
    pairs: list[tuple[Any, Any]] = [(conditions.get(name), text) for name, text in expect.get("compiled_condition", [])]
    pairs += [(outputs.get(name), text) for name, text in expect.get("compiled_output", [])]
    pairs += [(_described(rules, claim), claim["value"]) for claim in expect.get("described", [])]
    if "has_warnings" in expect:
        pairs.append((bool(rules.warnings), expect["has_warnings"]))
    if "enabled_rules" in expect:
        pairs.append(([sum(rule.enabled for rule in rules.rules)], expect["enabled_rules"]))
    return [f"{found!r} is not {wanted!r}" for found, wanted in pairs if found != wanted]


def _described(rules: FalcoRules, claim: Row) -> str:
    rule = rules.rules[claim["rule_index"]]
    described = {
        "output": rule.output_text,
        "description": rule.info.description,
        "priority": rule.priority,
        "condition": rule.condition_text,
        "name": rule.name,
        "source": rule.source.name,
    }
    return described[claim["key"]]


def test_unit_tests(record_property: Record) -> None:
    results = {row["id"]: unit(row) for row in rows("falco/rule_loading/cpp_loader_cases.jsonl")}
    judge("falco/rule_loading (unit tests)", results, PINNED_CPP, record_property)


def suite(row: Row) -> str:
    rules = loaded(text["content"] for text in row["rules"])
    if row["expect_load_ok"] is not None and bool(rules.failures) is row["expect_load_ok"]:
        return messages(rules.failures) or "loads"
    claims = [(rules.failures, claim) for claim in row["expect_errors"]]
    claims += [(rules.warnings, claim) for claim in row["expect_warnings"]]
    return " | ".join(f"no {claim} in {found}" for found, claim in claims if not _has(found, claim))


def _has(found: Sequence[Diagnostic], claim: Row) -> bool:
    """Codes and items have to agree, and messages, but those of the YAML library."""
    return any(
        diagnostic.code == claim["Code"]
        and diagnostic.item_type == claim.get("ItemType", diagnostic.item_type)
        and diagnostic.item_name == claim.get("ItemName", diagnostic.item_name)
        and (diagnostic.code is LoadCode.ERR_YAML_PARSE or claim.get("Message", "") in diagnostic.message)
        for diagnostic in found
    )


def test_regression_suite(record_property: Record) -> None:
    results = {row["id"]: suite(row) for row in rows("falco/rule_loading/go_validation_cases.jsonl")}
    judge("falco/rule_loading (regression suite)", results, PINNED_GO, record_property)
