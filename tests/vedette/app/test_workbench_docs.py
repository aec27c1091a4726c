"""The page on the workbench: its files are written, its commands run in order, and print what it shows."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from detectors.testing.case import REPEAT_MAX

from .conftest import Outcome

PAGE: Final = (Path(__file__).parents[3] / "docs/rules/workbench.md").read_text()
BLOCKS: Final = re.findall(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
CUT: Final = "…\n"


def test_the_page_does_what_it_says(
    vedette: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = 0
    for language, name, text in BLOCKS:
        if name:
            Path(name).parent.mkdir(exist_ok=True)
            Path(name).write_text(text)
        elif language == "console":
            command, _, expected = text.removeprefix("$ vedette ").partition("\n")
            done = vedette(*shlex.split(command))
            parts = expected.split(CUT)
            printed = done.out + done.err
            assert printed.startswith(parts[0]), command
            assert printed.endswith(parts[-1]), command
            assert len(parts) > 1 or printed == expected, command
            run += 1
    assert run == PAGE.count("\n$ vedette ") == 8


def test_its_numbers_are_those_of_the_code() -> None:
    assert f"up to {REPEAT_MAX:,} times" in PAGE


def test_the_commands_of_the_last_part_are_understood(vedette: Callable[..., Outcome], tmp_path: Path) -> None:
    (block,) = [text for language, name, text in BLOCKS if language == "sh" and not name]
    for line in block.splitlines():
        done = vedette(*shlex.split(line)[1:], "--data-dir", tmp_path / "none")
        assert done.status == 2
        assert str(tmp_path / "none") in done.err
