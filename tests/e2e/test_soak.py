"""A short soak: what `bench/soak.py` does in twenty minutes, in two, and its claims, which have to be able to fail.

The rate is a fifth of what the same run measured, not half, since other work may come to the machine in between; and
claims are wide, since thirds are short.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from .agent import environment

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT: Final = Path(__file__).parents[2]
sys.path.append(str(ROOT))  # at the end: what is installed comes first

from bench.soak_claims import WIDE, Claim, Limits, Sample, claims, slope  # noqa: E402
from bench.soak_graph import Panel, graph  # noqa: E402

STEADY: Final = {
    "memory_bytes": 2e8,
    "files": 100,
    "threads": 12,
    "log_bytes": 5e7,
    "store_bytes": 1e7,
    "core_bytes": 1e8,
    "stored_alerts": 1200,
    "revisions": 5000,
    "p50_ms": 8.0,
    "p99_ms": 20.0,
    "waiting": 100,
}
RUN: Final = {
    "rate": 4000.0,
    "seconds": 120.0,
    "sent": 480_000.0,
    "log_bytes_max": 6e7,
    "stored_alerts_max": 1500.0,
    "segments_retired": 3.0,
    "store_pruned": 200.0,
    **dict.fromkeys(("refused", "duplicate", "dead_lettered", "waiting", "imbalance"), 0.0),
}


@pytest.mark.simulation
@pytest.mark.timeout(400)
def test_two_minutes_are_flat(tmp_path: Path) -> None:
    results, picture = tmp_path / "soak.json", tmp_path / "soak.svg"
    command = [sys.executable, ROOT / "bench" / "soak.py", "--minutes", "2", "--share", "0.2"]
    command += ["--measure-seconds", "10", "--wide", "--results", results, "--graph", picture]
    with (tmp_path / "said").open("wb") as said:
        process = subprocess.Popen(
            [*map(str, command)], env=environment(), stdout=said, stderr=said, start_new_session=True
        )
        try:
            status = process.wait()
        finally:  # the agent and the load are its children
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    assert status == 0, (tmp_path / "said").read_text()[-5000:]
    found = json.loads(results.read_text())
    assert [claim["name"] for claim in found["claims"] if not claim["holds"]] == []
    assert found["sent"] > 0.9 * 120 * found["rate"]
    assert len(ET.parse(picture).getroot().findall("{*}polyline")) == 10, "a line for each series"


# --- the claims can fail ----------------------------------------------------------------------------------------------
def steady(change: Callable[[int], dict[str, Any]] = lambda _: {}) -> list[Sample]:
    """Two minutes, a sample a second, in which every figure wobbles a little; `change` is laid over them."""
    return [
        {
            "t": float(second),
            **{name: value * (1 + (second * 37 % 11 - 5) / 1000) for name, value in STEADY.items()},
            "files": 100 + second % 3,
            "threads": 12,
            "core_bytes": 1e8 + second * 1e6,
            "revisions": 5000 + second * 50,
            **change(second),
        }
        for second in range(120)
    ]


def broken(samples: list[Sample], limits: Limits = WIDE, run: dict[str, float] | None = None) -> set[str]:
    return {claim.name for claim in claims(samples, {**RUN, **(run or {})}, limits) if not claim.holds}


@pytest.mark.parametrize("limits", [pytest.param(Limits(), id="strict"), pytest.param(WIDE, id="wide")])
def test_a_steady_run_holds_all_claims(limits: Limits) -> None:
    assert broken(steady(), limits) == set()


@pytest.mark.parametrize(
    ("change", "name"),
    [
        pytest.param(lambda t: {"memory_bytes": 2e8 + t * 1e6}, "memory: growth", id="memory leaks"),
        pytest.param(lambda t: {"files": 100 + t // 4}, "open files: range", id="files leak"),
        pytest.param(lambda t: {"threads": 12 + t // 12}, "threads: range", id="threads leak"),
        pytest.param(lambda t: {"log_bytes": 1e6 * t}, "intake log: most", id="the log is not retired"),
        pytest.param(lambda t: {"stored_alerts": 20 * t}, "store: most", id="the store is not pruned"),
        pytest.param(lambda t: {"store_bytes": 1e7 * 1.02**t}, "store: growth", id="the store's file grows"),
        pytest.param(
            lambda t: {"core_bytes": 1e8 + t**2 * 1e4}, "core log: growth a revision", id="the core log swells"
        ),
        pytest.param(lambda t: {"p99_ms": 20.0 if t < 80 else 9000.0}, "latency: p99", id="the slowest get slower"),
        pytest.param(lambda t: {"p50_ms": 8.0 if t < 80 else 9000.0}, "latency: p50", id="all get slower"),
        pytest.param(lambda t: {"waiting": 5000 * t}, "records waiting", id="detection falls behind"),
    ],
)
def test_what_grows_is_seen(change: Callable[[int], dict[str, Any]], name: str) -> None:
    assert broken(steady(change)) == {name}


@pytest.mark.parametrize("moment", [1, 60, 119])
def test_a_bad_moment_of_the_machine_decides_nothing(moment: int) -> None:
    bad = {"memory_bytes": 4e8, "p50_ms": 3000.0, "p99_ms": 9000.0, "waiting": 1e5}
    assert broken(steady(lambda t: bad if t == moment else {})) == set()


@pytest.mark.parametrize("name", ["refused", "duplicate", "dead_lettered", "waiting", "imbalance"])
def test_what_should_be_nought_is(name: str) -> None:
    assert broken(steady(), run={name: 1.0}) == {name}


@pytest.mark.parametrize(
    ("name", "value", "claim"),
    [
        ("segments_retired", 0.0, "intake log: limits that did not act"),
        ("store_pruned", 0.0, "store: limits that did not act"),
        ("sent", 4_000.0, "not answered in time"),
    ],
)
def test_limits_that_did_not_act_and_a_rate_that_was_not_reached_are_told(name: str, value: float, claim: str) -> None:
    assert broken(steady(), run={name: value}) == {claim}


def test_the_slope_is_that_of_most_points() -> None:
    assert slope(range(100), [3.0 * t + (1e6 if t % 7 == 0 else 0) for t in range(100)]) == pytest.approx(3.0)
    assert Claim("x", 1.0, 1.0, "").holds


# --- the graph --------------------------------------------------------------------------------------------------------
def test_a_graph_stays_in_its_frame_and_names_what_it_shows() -> None:
    panels = (Panel("files <&>", {"files": "open"}), Panel("latency, ms", {"p50_ms": "p50", "p99_ms": "p99"}))
    drawn = ET.fromstring(graph(steady(), panels, "title <&>"))
    _, _, width, height = map(float, drawn.attrib["viewBox"].split())
    lines = [line.attrib["points"].split() for line in drawn.findall("{*}polyline")]
    assert [len(points) for points in lines] == [120, 120, 120]
    places = [tuple(map(float, point.split(","))) for points in lines for point in points]
    assert all(0 <= x <= width and 0 <= y <= height for x, y in places)
    said = {element.text for element in drawn.findall("{*}text")}
    assert {"files <&>", "open", "latency, ms", "p50", "p99", "minutes", "title <&>"} <= said


@pytest.mark.parametrize(("most", "last"), [(7.3, 8), (100, 100), (0.04, 0.04), (0, 1), (301, 400)])
def test_the_scale_reaches_what_is_there_in_round_steps(most: float, last: float) -> None:
    samples = [{"t": 60.0 * minute, "it": most} for minute in (1, 2)]
    drawn = ET.fromstring(graph(samples, (Panel("it", {"it": "it"}),), ""))
    shown = [float(text.text or "") for text in drawn.findall("{*}text[@text-anchor='end']")]
    assert len(shown) <= 6
    assert shown[0] == 0
    assert shown[-1] == pytest.approx(last, abs=1e-6)
