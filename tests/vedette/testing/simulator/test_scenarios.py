"""The scenarios as data: ranges without a common value, labels that mean something."""

from __future__ import annotations

import re
from random import Random

import pytest

from vedette.testing.simulator import REPORTING_SEEDS_FROM, SCENARIOS, Phase, phase_of
from vedette.testing.simulator.attacks import PLAYS
from vedette.testing.simulator.scenarios import Detector, Parameter, Range, Scenario

PARAMETERS = [
    pytest.param(parameter, id=f"{scenario.name}-{name}")
    for scenario in SCENARIOS.values()
    for name, parameter in scenario.parameters.items()
]
PROMISES = [
    ("port_scan", "ports", 20),
    ("secret_harvest", "secrets", 15),
    ("slow_exfiltration", "hours", 48),
    ("beacon", "period_s", 60),
    ("beacon", "jitter", 0.2),
]


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_tuning_and_reporting_have_no_value_in_common(parameter: Parameter) -> None:
    first, second = sorted((parameter.tuning, parameter.reporting))
    assert first.low <= first.high < second.low <= second.high


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS.keys())
@pytest.mark.parametrize("phase", Phase)
def test_parameters_are_drawn_from_the_range_of_the_phase(scenario: Scenario, phase: Phase) -> None:
    for seed in range(20):
        drawn = scenario.draw(phase, Random(seed))
        for name, value in drawn.items():
            assert scenario.parameters[name].of(phase).low <= value <= scenario.parameters[name].of(phase).high
        again = scenario.draw(phase, Random(seed))
        assert again == drawn


@pytest.mark.parametrize(("scenario", "parameter", "value"), PROMISES)
def test_what_is_promised_is_reported_on(scenario: str, parameter: str, value: float) -> None:
    reporting = SCENARIOS[scenario].parameters[parameter].reporting
    assert (reporting.low, reporting.high) == (value, value)


def test_a_promised_window_is_not_exceeded() -> None:
    assert SCENARIOS["secret_harvest"].parameters["window_min"].reporting.high < 30


@pytest.mark.parametrize("detector", Detector)
def test_each_detector_has_a_scenario(detector: Detector) -> None:
    assert [scenario.name for scenario in SCENARIOS.values() if detector in scenario.detectors]


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS.keys())
def test_techniques_are_written_as_attack_writes_them(scenario: Scenario) -> None:
    assert scenario.techniques
    assert all(re.fullmatch(r"T\d{4}(\.\d{3})?", technique) for technique in scenario.techniques)


def test_each_scenario_is_played() -> None:
    assert set(PLAYS) == set(SCENARIOS)


@pytest.mark.parametrize(
    ("seed", "phase"),
    [(0, Phase.TUNING), (REPORTING_SEEDS_FROM - 1, Phase.TUNING), (REPORTING_SEEDS_FROM, Phase.REPORTING)],
)
def test_the_seed_says_the_phase(seed: int, phase: Phase) -> None:
    assert phase_of(seed) is phase


def test_whole_parameters_are_whole() -> None:
    assert {Range(1, 3, whole=True).draw(Random(seed)) for seed in range(50)} == {1, 2, 3}
