"""The verdict on a set: new failures and pinned vectors that pass both fail; the line says what passed."""

import pytest

from .report import PROPERTY, judge


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
    lines: list[object] = []

    def run() -> None:
        judge("set", results, pinned, lambda name, value: lines.append((name, value)), "two left out")

    if fails:
        with pytest.raises(AssertionError):
            run()
    else:
        run()
    passed = sum(not wrong for wrong in results.values())
    assert lines == [(PROPERTY, f"set: {passed}/{len(results)} (two left out)")]
