"""The law, on detection as a whole and so on each of its operators: a restart changes nothing that is emitted."""

from __future__ import annotations

import importlib.util
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vedette.schema.operator import KeyedState
from vedette.testing.law import assert_law

if TYPE_CHECKING:
    from types import ModuleType

PROGRAM = Path(__file__).with_name("law_bench.py")


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    spec = importlib.util.spec_from_file_location("law_bench", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["law_bench"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("seed", range(8))
def test_restored_at_random_positions_detection_emits_the_same_bytes(bench: ModuleType, seed: int) -> None:
    log = bench.random_log(seed, chunks=80)
    assert_law(bench.DetectorBench, log, random.Random(seed), rounds=12)


def test_the_law_sees_alerts_of_every_kind(bench: ModuleType) -> None:
    """The log is worth testing on: alerts open, roll up, close, are evicted, and records are refused."""
    detector_bench = bench.DetectorBench()
    log = bench.random_log(1, chunks=200)
    pieces = [piece for chunk in log for piece in detector_bench.feed(chunk)]
    text = b"\n".join(pieces)
    assert detector_bench.detector.rollup.evicted > 0
    for activity in (b'"activity_id":1', b'"activity_id":2', b'"activity_id":3', b"DeadLetter("):
        assert activity in text
    for rule_id in bench.CORRELATIONS:
        assert b'"rule":{"id":"%s"' % rule_id.encode() in text
    for count in (
        b"'shadow_findings', 'audit', 'pod-touched'",
        b"'shadow_alerts', 'audit', 'low', 'pod-touched'",
        b"'shadow_findings', 'audit', 'execs-secrets'",
        b"'exception_hits', 'Ann may exec', 'pod-touched'",
    ):
        assert count in text
    assert any(piece.count(b'"what":') == 2 for piece in pieces), "an alert that two rules share"
    for reason in (b"late", b"evicted"):
        assert b"'correlation_left_out', '%s'" % reason in text


def test_the_law_can_fail(bench: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator that forgets to announce a change is caught."""
    monkeypatch.setattr(KeyedState, "touch", lambda self, key: self._dirty.setdefault(key) if key not in self else None)
    with pytest.raises(AssertionError, match="cut at"):
        assert_law(bench.DetectorBench, bench.random_log(3, chunks=80), random.Random(3), rounds=12)


def test_hash_seeds_do_not_matter() -> None:
    digests = {
        subprocess.run(
            [sys.executable, str(PROGRAM), "5"],
            env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for hash_seed in (0, 1, 4242)
    }
    assert len(digests) == 1
