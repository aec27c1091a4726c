"""Prints `passed/total` for each set of vectors at the end of a run."""

import pytest

from .report import PROPERTY


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Write the lines that the suites recorded."""
    reports = [report for found in terminalreporter.stats.values() for report in found if hasattr(report, "when")]
    lines = [
        value for report in reports if report.when == "call" for key, value in report.user_properties if key == PROPERTY
    ]
    if lines:
        terminalreporter.section("conformance")
        for line in sorted(map(str, lines)):
            terminalreporter.write_line(line)
