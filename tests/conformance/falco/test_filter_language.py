"""Conditions and output templates: what is accepted, what types go together, and what comes out."""

import json
from typing import Any

from detectors.falco.checking import doubts
from detectors.falco.conditions import compile_condition, matches
from detectors.falco.field_types import FieldType, table
from detectors.falco.lexer import ConditionError
from detectors.falco.output import OutputError, parse_output
from detectors.falco.parser import parse
from detectors.falco.resolving import GetValue
from detectors.falco.sources import SOURCES
from detectors.falco.syntax import checks, render
from tests.conformance.report import Record, judge, rows

Row = dict[str, Any]

SYSCALL = SOURCES["syscall"]
MOCK_VALUES = {"c.true": 1, "c.false": 0, "c.singlequote": "hello 'quoted'", "c.doublequote": 'hello "quoted"'}
"""Upstream's mock fields, which take every operator."""
MOCK = SYSCALL._replace(fields=SYSCALL.fields | table({FieldType.DYN: " ".join((*MOCK_VALUES, "c.buffer"))}))

SCENE = {"evt.arg[path]": "/test/dir", "proc.aname[0]": "init", "proc.apid[0]": 1}
"""The event that upstream formats, as far as single rows leave it out."""
_ANCESTORS = "the row does not say which ancestors the process has"
PINNED_OUTPUTS = {
    "format/ancestor_aname_no_arg": _ANCESTORS,
    "format/ancestor_aname_no_arg_middle_of_output": _ANCESTORS,
    "format/ancestor_apid_no_arg_defaults_to_self": _ANCESTORS,
}


def grammar(row: Row) -> str:
    try:
        expr = parse(row["filter"])
    except ConditionError as error:
        if row["accept"]:
            return f"refused: {error}"
        return "" if (row["message_contains"] or "") in error.message else f"says {error}"
    if not row["accept"]:
        return "accepted"
    return "" if parse(render(expr)) == expr else f"not read back: {render(expr)}"


def test_grammar(record_property: Record) -> None:
    results = {row["id"]: grammar(row) for row in rows("falco/filter_language/grammar.jsonl")}
    judge("falco/grammar", results, {}, record_property)


def type_compat(row: Row) -> str:
    try:
        expr = parse(row["filter"])
        compile_condition(expr, MOCK)
    except ConditionError as error:
        return f"refused: {error}" if row["compiles"] else ""
    found = [doubt for check in checks(expr) for doubt in doubts(check, MOCK)]
    return "" if row["compiles"] and len(found) == row["warnings"] else f"compiles, with warnings {found}"


def test_operator_type_compat(record_property: Record) -> None:
    results = {row["id"]: type_compat(row) for row in rows("falco/filter_language/operator_type_compat.jsonl")}
    judge("falco/operator_type_compat", results, {}, record_property)


def getter(values: dict[str, Any]) -> GetValue:
    """Read values that are given under the names that rules use: `name`, `name[arg]`, `name.arg`."""

    def get(name: str, arg: str | None) -> Any:
        names = [name] if arg is None else [f"{name}[{arg}]", f"{name}.{arg}"]
        return next((values[name] for name in names if name in values), None)

    return get


def evaluated(row: Row, values: dict[str, Any]) -> str:
    get = getter(values)
    try:
        expr = parse(row["filter"])
        found = compile_condition(expr, MOCK)(get)
    except ConditionError as error:
        return f"refused: {error}"
    if found is not matches(expr, MOCK, get):
        return "compiled and interpreted differ"
    return "" if found is row["result"] else f"is {found}"


def test_boolean_eval(record_property: Record) -> None:
    results = {row["id"]: evaluated(row, MOCK_VALUES) for row in rows("falco/filter_language/boolean_eval.jsonl")}
    judge("falco/boolean_eval", results, {}, record_property)


def test_field_eval(record_property: Record) -> None:
    results = {row["id"]: evaluated(row, row["fields"]) for row in rows("falco/filter_language/field_eval.jsonl")}
    judge("falco/field_eval", results, {}, record_property)


def formatted(row: Row) -> str:
    given = SCENE | row["fields"] | row["field_values"]
    get = getter({name: value for name, value in given.items() if value != "<NA>"})
    try:
        output = parse_output(row["format"], SYSCALL)
    except OutputError as error:
        return "" if row["throws"] else f"refused: {error}"
    wants_json = row["json_output"] or (row["expected"] or "").startswith("{")
    fields = json.dumps(output.fields(get) or None, separators=(",", ":"))
    found = fields if wants_json else output.message(get)
    return "" if not row["throws"] and found == row["expected"] else f"is {found!r}"


def test_output_format(record_property: Record) -> None:
    results = {row["id"]: formatted(row) for row in rows("falco/filter_language/output_format.jsonl")}
    judge("falco/output_format", results, PINNED_OUTPUTS, record_property)
