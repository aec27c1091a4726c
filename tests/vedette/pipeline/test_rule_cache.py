"""The folder of compiled rules: it saves time, and its loss or damage costs nothing else."""

from __future__ import annotations

import os
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest

from detectors.rule import LoadedRules, RuleText
from detectors.rule_cache import pack_parts
from detectors.sigma import load_rules
from vedette.pipeline import rule_cache
from vedette.pipeline.rule_cache import BLOBS_MAX, CachedRules, RuleCache

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

RULE = """\
title: Something
id: something
logsource: {product: kubernetes, service: audit}
level: high
detection: {one: {verb: get}, condition: one}
"""
TEXTS = [RuleText("r.yml", RULE, "mine")]
BAD_TEXTS = [*TEXTS, RuleText("bad.yml", "title: [", "mine")]
REFUSED = "compiled rules can't be used; compiling them anew"
UNWRITABLE = "compiled rules can't be kept; the next start compiles them again"


class Loader:
    """Loads, and counts how often it had to."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, texts: Sequence[RuleText]) -> LoadedRules:
        self.calls += 1
        return load_rules(texts)


def load_cached(texts: Sequence[RuleText], folder: Path, load: Loader, *, variant: str = "") -> LoadedRules:
    cached = CachedRules(texts, folder, variant=variant)
    loaded = cached.load(load)
    cached.keep()
    return loaded


@pytest.fixture
def load() -> Loader:
    return Loader()


def key_of(number: int) -> str:
    return f"{number:064x}"


def logged(caplog: pytest.LogCaptureFixture, message: str) -> list[dict[str, Any]]:
    return [record.__dict__["fields"] for record in caplog.records if record.getMessage() == message]


def only_blob(folder: Path) -> Path:
    (blob,) = folder.iterdir()
    return blob


def test_rules_are_compiled_once(tmp_path: Path, load: Loader, caplog: pytest.LogCaptureFixture) -> None:
    first = load_cached(TEXTS, tmp_path / "cache" / "rules", load)
    assert first == load_rules(TEXTS)
    assert load_cached(TEXTS, tmp_path / "cache" / "rules", load) == first
    assert load.calls == 1
    assert not caplog.records


@pytest.mark.parametrize(
    ("texts", "variant"),
    [([RuleText("r.yml", RULE + "\n", "mine")], ""), (TEXTS, "other")],
    ids=["text", "variant"],
)
def test_other_rules_are_compiled_anew(tmp_path: Path, load: Loader, texts: list[RuleText], variant: str) -> None:
    load_cached(TEXTS, tmp_path, load)
    load_cached(texts, tmp_path, load, variant=variant)
    assert load.calls == 2
    assert len(list(tmp_path.iterdir())) == 2


def test_the_code_that_compiles_is_part_of_the_key(tmp_path: Path) -> None:
    module = tmp_path / "code" / "lower.py"
    module.parent.mkdir()
    module.write_bytes(b"1")
    before = dict(rule_cache._sources(tmp_path / "code", "detectors"))
    module.write_bytes(b"2")
    assert dict(rule_cache._sources(tmp_path / "code", "detectors")) != before
    names = {name for package in rule_cache._CODE for name, _ in rule_cache._sources(files(package), package)}
    assert {"detectors/sigma/lower.py", "detectors/predicate.py", "vedette.schema/rule.py"} <= names
    assert not any("__pycache__" in name or "/packs/" in name for name in names)


def test_a_set_with_errors_is_loaded_each_time(tmp_path: Path, load: Loader) -> None:
    for _ in range(2):
        assert load_cached(BAD_TEXTS, tmp_path / "rules", load).errors
    assert load.calls == 2
    assert not (tmp_path / "rules").exists()


@pytest.mark.parametrize(
    "harm",
    [
        lambda blob: b"",
        lambda blob: blob[:-1],
        lambda blob: blob[:40],
        lambda blob: blob[:-1] + bytes([blob[-1] ^ 1]),
        lambda blob: b"something else",
        lambda blob: pack_parts(key_of(1), {}),
    ],
    ids=["empty", "cut off", "cut off early", "rotten", "foreign", "of other rules"],
)
def test_a_damaged_blob_is_reported_and_replaced(
    tmp_path: Path, load: Loader, caplog: pytest.LogCaptureFixture, harm: Any
) -> None:
    rules = load_cached(TEXTS, tmp_path, load)
    blob = only_blob(tmp_path)
    good = blob.read_bytes()
    blob.write_bytes(harm(good))
    assert load_cached(TEXTS, tmp_path, load) == rules
    assert [fields["path"] for fields in logged(caplog, REFUSED)] == [str(blob)]
    assert only_blob(tmp_path).read_bytes() == good
    assert load_cached(TEXTS, tmp_path, load) == rules
    assert load.calls == 2


def test_a_blob_whose_rules_are_none_is_reported_and_replaced(
    tmp_path: Path, load: Loader, caplog: pytest.LogCaptureFixture
) -> None:
    rules = load_cached(TEXTS, tmp_path, load)
    key = only_blob(tmp_path).name
    RuleCache(tmp_path).write(key, {"rules": b"\x00", "database scan": b"kept"})
    assert load_cached(TEXTS, tmp_path, load) == rules
    assert len(logged(caplog, REFUSED)) == 1
    assert RuleCache(tmp_path).read(key) == {**(RuleCache(tmp_path).read(key) or {}), "database scan": b"kept"}
    assert load.calls == 2


def test_a_blob_that_is_too_large_is_neither_written_nor_read(
    tmp_path: Path, load: Loader, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_cached(TEXTS, tmp_path, load)
    monkeypatch.setattr(rule_cache, "BLOB_BYTES_MAX", only_blob(tmp_path).stat().st_size - 1)
    load_cached(TEXTS, tmp_path, load)
    assert load.calls == 2
    assert len(logged(caplog, REFUSED)) == 1
    RuleCache(tmp_path).write(key_of(1), {"": bytes(10_000)})
    assert not (tmp_path / key_of(1)).exists()


def test_the_blobs_used_last_are_kept(tmp_path: Path) -> None:
    cache = RuleCache(tmp_path)
    for number in range(BLOBS_MAX):
        cache.write(key_of(number), {"rules": b"%d" % number})
        os.utime(tmp_path / key_of(number), (number + 1, number + 1))
    (tmp_path / "tmp_left_by_a_crash").write_bytes(b"half")
    os.utime(tmp_path / "tmp_left_by_a_crash", (1, 1))
    assert cache.read(key_of(0)) == {"rules": b"0"}
    cache.write(key_of(9), {})
    assert {path.name for path in tmp_path.iterdir()} == {key_of(0), *map(key_of, range(2, BLOBS_MAX)), key_of(9)}


def test_what_is_kept_is_its_owners_alone(tmp_path: Path, load: Loader) -> None:
    mask = os.umask(0)
    try:
        load_cached(TEXTS, tmp_path / "cache" / "rules", load)
    finally:
        os.umask(mask)
    for folder in (tmp_path / "cache", tmp_path / "cache" / "rules"):
        assert folder.stat().st_mode & 0o777 == 0o700
    assert only_blob(tmp_path / "cache" / "rules").stat().st_mode & 0o777 == 0o600


def test_a_folder_that_can_not_be_made_is_reported(
    tmp_path: Path, load: Loader, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert load_cached(TEXTS, tmp_path / "file" / "rules", load).rules
    assert len(logged(caplog, UNWRITABLE)) == 1


def test_a_full_disk_leaves_nothing_half_written(
    tmp_path: Path, load: Loader, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert load_cached(TEXTS, tmp_path, load).rules
    assert list(tmp_path.iterdir()) == []
    assert "No space left" in logged(caplog, UNWRITABLE)[0]["error"]
