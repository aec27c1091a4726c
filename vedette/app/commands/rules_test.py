"""`vedette rules test`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from vedette.app.exit_status import ExitStatus
from vedette.app.terminal import (
    MESSAGE_CHARS_MAX,
    ConfigFile,
    Flag,
    Format,
    count_text,
    put,
    put_json,
    put_table,
    say,
)
from vedette.schema.text import safe_text

if TYPE_CHECKING:
    from detectors.library import Library
    from detectors.testing.checking import Report, Result
    from detectors.testing.mutants import Change

app = App(
    name="test",
    help_epilogue="""Examples:
  vedette rules test
  vedette rules test --strict rules/ exceptions.yml
  vedette rules test --mutate --format json rules/ | jq -r 'select(.survivors != []) | .title'

Exit status: 0 all tests pass; 1 one fails, or with --strict a rule lacks tests, or with --mutate a mutant survives; \
2 rules or tests can't be used, or there is no test.""",
)


@app.default
def run_tests(
    *paths: Annotated[Path, Parameter(help="Files and folders of rules and tests. Default: the configured rules.")],
    strict: Annotated[
        Flag, Parameter(help="A rule without a test that matches and one that does not is a failure, too.")
    ] = False,
    mutate: Annotated[
        Flag, Parameter(help="Also tell which parts of conditions the tests would not miss: negate each one.")
    ] = False,
    thorough: Annotated[
        Flag, Parameter(help="Also tell which parts could be left out, and which thresholds moved. Implies --mutate.")
    ] = False,
    format: Format = "table",  # noqa: A002 - the name of the option
    config: ConfigFile = None,
) -> int:
    """Run the tests of rules: of files and folders, or of the configured ones.

    Tests stand in rules (`vedette: tests:`), and in files beside them (`exec.tests.yml` beside `exec.yml`). Where \
only files of tests are named, they are those of configured rules. Exceptions and pipelines among the files apply.
    """
    from detectors.testing.mutants import LEFT_OUT, MOVED, NEGATED  # noqa: PLC0415 - keeps the start fast
    from vedette.app.workbench.rules_at_hand import open_checker  # noqa: PLC0415

    checker, rules = open_checker(paths, config)
    reports = [checker.check(rule) for rule in rules]
    if mutate or thorough:
        hows = [NEGATED, LEFT_OUT, MOVED] if thorough else [NEGATED]
        reports = [checker.mutate(report, hows) for report in reports]
    if format == "json":
        for report in reports:
            put_json(_document(report, checker.library))
    else:
        _put_reports(reports, checker.library, strict=strict)
    return _verdict(reports, strict=strict)


def _verdict(reports: list[Report], *, strict: bool) -> ExitStatus:
    results = [result for report in reports for result in report.results]
    failed = sum(not result.passed for result in results)
    lacking = sum(bool(report.lacks) for report in reports)
    survivors = sum(len(report.survivors) for report in reports)
    said = [
        f"{count_text(failed, 'failure')} in {count_text(len(results), 'test')} of {count_text(len(reports), 'rule')}"
    ]
    if lacking:
        said.append(f"{count_text(lacking, 'rule')} without both kinds of test")
    if any(report.mutants for report in reports):
        said.append(f"{survivors} of {count_text(sum(report.mutants for report in reports), 'mutant')} survived")
    say("; ".join(said))
    if not results:
        return ExitStatus.USAGE
    return ExitStatus.FOUND if failed or survivors or (strict and lacking) else ExitStatus.OK


def _put_reports(reports: list[Report], library: Library, *, strict: bool) -> None:
    rows = [
        (_word(report, strict=strict), report.rule.info.title, len(report.results), _place(report, library))
        for report in reports
    ]
    put_table(("RESULT", "RULE", "TESTS", "PLACE"), rows)
    for report in reports:
        for result in report.results:
            if not result.passed:
                _put_failure(report, result)
        if report.lacks:
            _put(f"{_place(report, library)}: {report.rule.info.title}: has no {' and no '.join(report.lacks)} test")
        for change in report.survivors:
            path, line = library.clause_place(report.rule.info.rule_id, change.where)
            what = f"{change.where}: {change.what}"
            _put(f"{path}:{line}: {report.rule.info.title}: the tests pass with this {change.how}: {what}")


def _put_failure(report: Report, result: Result) -> None:
    from vedette.app.workbench.texts import clause_text  # noqa: PLC0415 - keeps the start fast

    test = result.test
    _put(f"{test.path}:{test.line}: {report.rule.info.title}: {test.name}: {result.problem}{_event(result)}")
    for clause in result.clauses:
        put(f"    {clause_text(clause)}")


def _event(result: Result) -> str:
    return f" (event {result.event})" if len(result.test.events) > 1 and result.event else ""


def _put(line: str) -> None:
    put(safe_text(line, MESSAGE_CHARS_MAX))


def _word(report: Report, *, strict: bool) -> str:
    if not report.passed:
        return "FAILED"
    if not report.results:
        return "UNTESTED"
    return "LACKING" if strict and report.lacks else "passed"


def _place(report: Report, library: Library) -> str:
    path, line = library.place(report.rule.info.rule_id)
    return f"{path}:{line}"


def _document(report: Report, library: Library) -> dict[str, Any]:
    path, line = library.place(report.rule.info.rule_id)
    return {
        "rule_id": report.rule.info.rule_id,
        "title": report.rule.info.title,
        "path": path,
        "line": line,
        "passed": report.passed,
        "lacks": list(report.lacks),
        "tests": [_result(result) for result in report.results],
        "mutants": report.mutants,
        "survivors": [_survivor(report, change, library) for change in report.survivors],
    }


def _survivor(report: Report, change: Change, library: Library) -> dict[str, Any]:
    path, line = library.clause_place(report.rule.info.rule_id, change.where)
    return {**change._asdict(), "path": path, "line": line}


def _result(result: Result) -> dict[str, Any]:
    from vedette.app.workbench.texts import part_document  # noqa: PLC0415 - keeps the start fast

    test = result.test
    document: dict[str, Any] = {
        "name": test.name,
        "match": test.match,
        "path": test.path,
        "line": test.line,
        "passed": result.passed,
    }
    if result.passed:
        return document
    clauses = [part_document(clause) for clause in result.clauses]
    return {**document, "problem": result.problem, "event": result.event, "clauses": clauses}
