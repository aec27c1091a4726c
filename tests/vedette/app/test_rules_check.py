"""`vedette rules check`: everything wrong with rules at once, for people and for programs."""

from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Outcome

Call = Callable[..., Outcome]
RULE = """\
title: T
id: t
logsource: {product: kubernetes, service: audit}
detection: {s: {verb: create, nope: x}, condition: s}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.yml").write_text(RULE)
    (tmp_path / "b.yml").write_text(
        RULE.replace("id: t", "id: u").replace("verb", "verb|nope").replace("title: T", "title: 5")
    )
    return tmp_path


def test_everything_is_told_with_its_place(vedette: Call, folder: Path) -> None:
    done = vedette("rules", "check", folder)
    assert done.status == 2
    assert [line.removeprefix(f"{folder}/").partition(": ")[0] for line in done.out.splitlines()] == [
        "a.yml:4:31",
        "a.yml:4:41",
        "b.yml:1:8",
        "b.yml:4:17",
    ]
    assert done.err == "2 files: 2 errors, 2 warnings\n"


def test_programs_get_one_object_a_line(vedette: Call, folder: Path) -> None:
    first = vedette("rules", "check", "--format", "json", folder).lines[0]
    assert first == {
        "path": str(folder / "a.yml"),
        "line": 4,
        "column": 31,
        "severity": "warning",
        "code": "dead-test",
        "message": "Kubernetes audit events have no field 'nope'",
    }


def test_warnings_are_no_failure(vedette: Call, folder: Path) -> None:
    assert vedette("rules", "check", folder / "a.yml").status == 0


def test_without_paths_the_configured_rules_are_checked(vedette: Call) -> None:
    done = vedette("rules", "check")
    assert (done.status, done.out) == (0, "")


def test_hostile_names_do_not_reach_the_terminal(vedette: Call, folder: Path) -> None:
    (folder / "c.yml").write_text(RULE.replace("nope", '"\\e[2Jx"').replace("id: t", "id: c"))
    assert "\x1b" not in vedette("rules", "check", folder / "c.yml").out
