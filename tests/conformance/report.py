"""What conformance suites share: where the vectors are, the verdict on a set, and its line in the report.

The vectors are third parties' data and no part of this repository. Where they are absent, the suites say so and skip.
"""

import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

ROOT: Final = Path(os.environ.get("VEDETTE_CONFORMANCE") or Path(__file__).parents[3] / "shared/conformance")
"""The sets, one folder each; another part of them can be named by the environment."""
PROPERTY: Final = "conformance"
Record = Callable[[str, object], None]
"""pytest's `record_property`."""


def vectors(path: str) -> Path:
    """Return a file or folder of vectors; skip where the vectors are absent."""
    if not ROOT.is_dir():
        pytest.skip(f"no conformance vectors at {ROOT}")
    return ROOT / path


def rows(path: str) -> list[dict[str, Any]]:
    """Read a file of JSON lines."""
    return [json.loads(line) for line in vectors(path).read_text(encoding="utf-8").split("\n") if line.strip()]


class Verdict(NamedTuple):
    """What became of a set. `left_out`: how many vectors were not run, by reason."""

    name: str
    passed: int
    total: int
    failed_ids: list[str]
    left_out: dict[str, int]

    def __str__(self) -> str:
        others = "; ".join(f"{count} {reason}" for reason, count in self.left_out.items())
        return f"{self.name}: {self.passed}/{self.total}" + (f" ({others} left out)" if others else "")


def judge(
    name: str,
    results: Mapping[str, str],
    pinned: Mapping[str, str],
    record: Record,
    left_out: Mapping[str, int] | None = None,
) -> None:
    """Record how many vectors of a set passed, and hold the failures against those that are pinned with a reason.

    `results`: what is wrong with each vector, by id, "" where it passed. A new failure fails, and so does a pinned one
    that passes now. `left_out`: how many were not run, by reason.
    """
    failed = {vector: wrong for vector, wrong in results.items() if wrong}
    others = {reason: count for reason, count in (left_out or {}).items() if count}
    record(PROPERTY, Verdict(name, len(results) - len(failed), len(results), sorted(failed), others)._asdict())
    assert results, "the set has vectors"
    assert {vector: wrong for vector, wrong in failed.items() if vector not in pinned} == {}, "new failures"
    assert [vector for vector in pinned if vector in results and vector not in failed] == [], "pinned, but they pass"


def verdicts(reports: Iterable[pytest.TestReport]) -> list[Verdict]:
    """Return what was recorded, by name."""
    found = [value for report in reports for key, value in report.user_properties if key == PROPERTY]
    return sorted(Verdict(**value) for value in found)  # type: ignore[arg-type]
