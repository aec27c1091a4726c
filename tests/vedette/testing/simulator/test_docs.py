"""docs/developer/simulator.md: its example runs, and its table names every scenario."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vedette.testing.simulator import SCENARIOS

PAGE = (Path(__file__).parents[4] / "docs" / "developer" / "simulator.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_run(example: str) -> None:
    names: dict[str, object] = {}
    exec(example, names)
    assert names["labelled"]


def test_every_scenario_is_in_the_table() -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == set(SCENARIOS)
