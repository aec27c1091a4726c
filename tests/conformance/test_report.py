"""The verdict on a set: new failures and pinned vectors that pass both fail; the line says what passed."""

from typing import Any

import pytest

from .report import PROPERTY, Verdict, judge


@pytest.mark.parametrize(
    ("results", "pinned", "fails"),
    [
        pytest.param({"a": "", "b": ""}, {}, False, id="all pass"),
        pytest.param({"a": "", "b": "wrong"}, {"b": "why"}, False, id="pinned"),
        pytest.param({"a": "", "b": "wrong"}, {}, True, id="new failure"),
        pytest.param({"a": "", "b": ""}, {"b": "why"}, True, id="pinned passes"),
        pytest.param({"a": ""}, {"c": "why"}, False, id="pinned of another part"),
        pytest.param({}, {}, True, id="nothing to run"),
    ],
)
def test_a_set_is_judged(results: dict[str, str], pinned: dict[str, str], fails: bool) -> None:
    lines: list[tuple[str, Any]] = []

    def run() -> None:
        judge("set", results, pinned, lambda name, value: lines.append((name, value)), {"disputed": 2, "odd": 0})

    if fails:
        with pytest.raises(AssertionError):
            run()
    else:
        run()
    passed = sum(not wrong for wrong in results.values())
    ((key, recorded),) = lines
    verdict = Verdict(**recorded)
    assert key == PROPERTY
    assert str(verdict) == f"set: {passed}/{len(results)} (2 disputed left out)"
    assert verdict.failed_ids == [vector for vector, wrong in results.items() if wrong]
