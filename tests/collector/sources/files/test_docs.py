"""The pages of the sources `files` and `stdin` say what is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from collector.sources.files import FilesSettings, events
from collector.sources.lines import LineTooLong
from collector.sources.stdin import StdinSettings
from vedette.runtime.telemetry import OperationalEvent

PAGES = Path(__file__).parents[4] / "docs" / "sources"


@pytest.mark.parametrize(("page", "settings"), [("files", FilesSettings), ("stdin", StdinSettings)])
def test_the_first_example_is_valid_and_every_key_is_in_the_table(page: str, settings: type[BaseModel]) -> None:
    text = (PAGES / f"{page}.md").read_text("utf-8")
    example = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)[0])
    for source in example["sources"].values():
        settings.model_validate(source[page])
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", text, re.MULTILINE)
    assert [key for key, _ in rows][: len(settings.model_fields)] == list(settings.model_fields)
    for key, default in rows[: len(settings.model_fields)]:
        field = settings.model_fields[key]
        stated = {"required": PydanticUndefined, "empty": ""}.get(default, yaml.safe_load(default.strip("`")))
        assert stated == field.default, key


def test_every_metric_is_named() -> None:
    text = (PAGES / "files.md").read_text("utf-8")
    classes = [
        value
        for value in [*vars(events).values(), LineTooLong]
        if isinstance(value, type) and issubclass(value, OperationalEvent) and value.metric
    ]
    assert len(classes) >= 7
    for kind in classes:
        assert kind.metric is not None
        assert f"`{kind.metric._name}_total" in text
