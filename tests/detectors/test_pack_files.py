"""Reading rule files: order, names, and what can't be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from detectors.packs import FILE_BYTES_MAX, read_rule_files, read_test_files, shipped_pack_texts
from vedette.schema.errors import ConfigError, RuleError


def test_files_are_read_in_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b.yml", "a.yaml", "notes.txt", "sub/c.yml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"title: {name}")
    texts = read_rule_files([tmp_path, tmp_path / "b.yml"])
    assert [text.text for text in texts] == ["title: a.yaml", "title: b.yml", "title: sub/c.yml", "title: b.yml"]
    assert texts[0].path == texts[0].pack == str(tmp_path / "a.yaml")


def test_the_versions_of_a_mounted_configmap_are_left_out(tmp_path: Path) -> None:
    version = tmp_path / "..2026_11_21_09_14_31.204518"
    version.mkdir()
    (version / "a.yml").write_text("title: a")
    (tmp_path / "..data").symlink_to(version.name)
    (tmp_path / "a.yml").symlink_to("..data/a.yml")
    assert [text.path for text in read_rule_files([tmp_path])] == [str(tmp_path / "a.yml")]


def test_files_of_tests_are_told_by_their_names(tmp_path: Path) -> None:
    for name in ("a.yml", "a.tests.yml", "b.yaml", "sub/b.tests.yaml", "tests.yml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert [text.text for text in read_rule_files([tmp_path])] == ["a.yml", "b.yaml", "tests.yml"]
    assert [text.text for text in read_test_files([tmp_path])] == ["a.tests.yml", "sub/b.tests.yaml"]
    beside = [tmp_path / "a.yml", tmp_path / "a.tests.yml", tmp_path / "b.yaml"]
    assert [text.text for text in read_test_files(beside)] == ["a.tests.yml"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [(None, ConfigError), (b"\xff", RuleError), (b"x" * (FILE_BYTES_MAX + 1), RuleError)],
    ids=["missing", "latin1", "huge"],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, content: bytes | None, expected: type[Exception]) -> None:
    path = tmp_path / "rule.yml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(expected, match=r"rule\.yml"):
        read_rule_files([path])


def test_shipped_packs_bear_no_machine_path() -> None:
    texts = shipped_pack_texts()
    assert [text.path for text in texts] == [
        text.path for text in sorted(texts, key=lambda text: (text.pack, text.path))
    ]
    assert all(text.path.startswith(f"{text.pack}/") for text in texts)
