"""The pages about behaviour: their examples load, and pass their own tests; each type of detector has a page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from detectors.behaviour.testing import passes
from detectors.behaviour.types import SETTINGS
from detectors.loading import load_rules
from detectors.rule import RuleText

DOCS = Path(__file__).parents[3] / "docs" / "rules"
PAGES = sorted([*DOCS.glob("behaviour/*.md"), DOCS / "behaviour.md"])
BLOCK = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_examples_load_and_pass(page: Path) -> None:
    for number, block in enumerate(BLOCK.findall(page.read_text())):
        if "behaviour:" not in block:
            continue
        loaded = load_rules([RuleText(f"{page.name}#{number}", block, page.name)])
        assert not loaded.errors
        assert loaded.definitions
        for definition in loaded.definitions:
            for test in definition.tests:
                assert passes(definition, test), test.name


@pytest.mark.parametrize("name", SETTINGS)
def test_each_type_has_a_page_that_names_its_settings(name: str) -> None:
    page = (DOCS / "behaviour" / f"{name}.md").read_text()
    for setting in SETTINGS[name].__struct_fields__:
        assert f"`{setting.removesuffix('_ns')}`" in page
