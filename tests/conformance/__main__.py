"""Runs the conformance suites over a folder of vectors, and says for each set what passed.

    python -m tests.conformance [--root DIR] [--set NAME] [--json OUT]

Exit status: 0 everything passed that is not pinned with a reason, 1 not so, 2 the call is wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
DEFAULT_ROOT = FOLDER.parents[2] / "shared" / "conformance"


class Collector:
    """A plugin that keeps the reports."""

    def __init__(self) -> None:
        self.reports: list[pytest.TestReport] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            self.reports.append(report)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("--root", type=Path, default=DEFAULT_ROOT, help="the folder of the sets")
    parser.add_argument("--set", default="", help="only sets whose name begins so: sigma/engine_vectors, falco, …")
    parser.add_argument("--json", type=Path, help="write the result to this file as well")
    called = parser.parse_args()
    if not called.root.is_dir():
        parser.error(f"{called.root} is no folder; name that of the vectors with --root")
    os.environ["VEDETTE_CONFORMANCE"] = str(called.root.absolute())  # before the suites are imported
    language = called.set.partition("/")[0]
    where = FOLDER / language if language and (FOLDER / language).is_dir() else FOLDER
    kept = Collector()
    # What other parts of the vectors lack is no failure of theirs: the verdicts tell, not pytest.
    pytest.main([str(where), "-q", "--no-header", "--tb=no", "--no-summary", "-p", "no:randomly"], plugins=[kept])

    from tests.conformance.report import verdicts  # noqa: PLC0415 - reads the environment

    found = [verdict for verdict in verdicts(kept.reports) if verdict.name.startswith(called.set)]
    sets = [
        {
            "name": each.name,
            "passed": each.passed,
            "total": each.total,
            "skipped": sum(each.left_out.values()),
            "skipped_reasons": each.left_out,
            "failed_ids": each.failed_ids,
        }
        for each in found
    ]
    if called.json:
        called.json.write_text(json.dumps({"sets": sets}, indent=1) + "\n", encoding="utf-8")
    for each in found:
        print(each, *(f"\n  failed: {vector}" for vector in each.failed_ids))  # noqa: T201 - a command
    failed = [report.nodeid for report in kept.reports if report.failed]
    for test in failed:
        print(f"not as expected: {test}")  # noqa: T201 - as above
    return 1 if failed or not found else 0


if __name__ == "__main__":
    sys.exit(main())
