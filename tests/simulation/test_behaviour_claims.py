"""What detectors of behaviour promise, on simulated days: few false alerts, and attacks found in time.

The same claims as `bench/behaviour.py`, scaled to what fits here: 50 pods for two days after five of learning, ten
times; and each scenario once, but for the one that takes two days. Seeds for tuning: those for reporting belong to the
bench.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import pytest

from detectors.loading import load_rules
from detectors.packs import shipped_pack_texts
from vedette.schema.level import Level
from vedette.schema.limits import SECOND_NS
from vedette.testing.behaviour_score import play
from vedette.testing.simulator import REPORTING_SEEDS_FROM, SCENARIOS, SimulationConfig

if TYPE_CHECKING:
    from detectors.behaviour.definition import Definition
    from vedette.testing.behaviour_score import Score

SEEDS = range(5001, 5011)
PODS, LEARNING, JUDGED = 50, 5, 2
WHOLE = "slow_exfiltration"
"""Takes two days of its own; the bench plays it."""
SHORT = tuple(name for name in SCENARIOS if name != WHOLE)
A_RUN = 5
IN_TIME_S = {
    "secret_harvest": 31 * 60,
    "token_from_new_network": 1,
    "beacon": 3 * 3600,
    "burst_exfiltration": 15 * 60,
    "night_exec": 60,
    "drift": 10,
    "credential_files_read": 60,
    "persistent_cron_job": 1,
    "mass_delete": 5 * 60,
    "host_sweep": 3 * 60,
    "forbidden_enumeration": 5 * 60,
}
"""Seconds after which these must have been told, at the latest."""

pytestmark = [pytest.mark.simulation, pytest.mark.timeout(300)]


@cache
def definitions() -> tuple[Definition, ...]:
    loaded = load_rules(text for text in shipped_pack_texts() if text.pack == "behaviour")
    assert not loaded.errors
    return loaded.definitions


def run(seed: int, pods: int, days: int, learning: int, attacks: tuple[str, ...] = ()) -> Score:
    assert seed < REPORTING_SEEDS_FROM
    config = SimulationConfig(pods=pods, days=learning + days, seed=seed, learning_days=learning, attacks=attacks)
    return play(definitions(), config, judge_after_days=learning)


@pytest.mark.parametrize("seed", SEEDS)
def test_ordinary_days_are_silent(seed: int) -> None:
    """At most one false alert per 1,000 pods and day is one in all ten runs; in each of them it is none."""
    score = run(seed, PODS, JUDGED, LEARNING)
    assert score.records > PODS * (LEARNING + JUDGED) * 24 * 10, "at least ten events per pod and hour"
    assert [(alert.title, alert.group) for alert in score.false_alerts(Level.LOW)] == []


@pytest.mark.parametrize("number", range(len(SHORT) // A_RUN))
def test_attacks_are_found_in_time(number: int) -> None:
    scenarios = SHORT[number * A_RUN : (number + 1) * A_RUN]
    score = run(5101 + number, 20, 3, 6, scenarios)
    late = {}
    for attack in score.attacks:
        found = score.found(attack)
        told_s = (found[0].time_ns - attack.start_ns) / SECOND_NS if found else None
        if told_s is None or told_s > IN_TIME_S.get(attack.scenario, 2 * 3600):
            late[attack.scenario] = told_s
    assert late == {}
