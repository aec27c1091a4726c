"""Prints `passed/total` for each set of vectors at the end of a run."""

import pytest

from .report import verdicts


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Write a line for each set."""
    reports = [report for found in terminalreporter.stats.values() for report in found if hasattr(report, "when")]
    lines = verdicts(report for report in reports if report.when == "call")
    if lines:
        terminalreporter.section("conformance")
        for line in lines:
            terminalreporter.write_line(str(line))
