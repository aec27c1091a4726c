"""The shipped table of Falco's alerts: it reads, says what an analyst needs, and knows the rules that Falco ships."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

import detectors.packs
from detectors.alert_info import AlertInfo
from detectors.alert_table import load_alert_tables
from detectors.rule import RuleText
from vedette.testing.simulator import falco as simulated

FALCO_RULES: Final = Path(__file__).parents[4] / "shared/conformance/falco/rules"
"""Rule files of the Falco project; they are no part of this repository."""
ALERTS_MIN: Final = 140
ROWS_MIN: Final = 60
"""Rows of the coverage table that the alerts are about."""

TABLE: Final = load_alert_tables(
    RuleText(file.name, file.read_text(encoding="utf-8"), "falco")
    for file in sorted(Path(detectors.packs.__file__).parent.glob("falco/alerts.*"))
)
by_name: Final = pytest.mark.parametrize("name", list(TABLE.alerts))


def test_the_table_reads() -> None:
    assert [str(error) for error in TABLE.errors] == []
    assert len(TABLE.alerts) >= ALERTS_MIN


@by_name
def test_an_alert_says_what_an_analyst_needs(name: str) -> None:
    alert = TABLE.alerts[name]
    assert alert.level is not None
    assert alert.description is not None
    assert len(alert.description) > 60
    if not alert.shadow:
        assert alert.attack
        assert alert.controls
        assert alert.covers


def test_telemetry_alone_is_in_shadow() -> None:
    silent = {name for name, alert in TABLE.alerts.items() if alert.shadow}
    assert silent == {simulated.PROGRAM_RULE, simulated.FILE_RULE, simulated.READ_RULE, simulated.CONNECTION_RULE}
    assert all(TABLE.alerts[name].covers is None for name in silent), "what alerts nobody covers nothing"


def shared() -> dict[str, AlertInfo]:
    return {name: alert for name, alert in TABLE.alerts.items() if alert.dedup_as}


def test_alerts_that_share_a_name_are_told_apart_by_namespace_and_pod() -> None:
    assert {alert.dedup_as for alert in shared().values()} == {"shell-in-a-pod"}
    pairs = {alert.dedup_by for alert in shared().values()}
    assert pairs == {("k8s.ns.name", "k8s.pod.name"), ("ka.target.namespace", "ka.target.name")}


def test_rows_of_the_coverage_table_are_about_system_calls_too() -> None:
    assert len({row for alert in TABLE.alerts.values() for row in alert.covers or ()}) >= ROWS_MIN


def test_the_rules_that_falco_ships_are_known() -> None:
    if not FALCO_RULES.is_dir():
        pytest.skip(f"{FALCO_RULES} is not there: Falco's rules are kept outside the repository")
    files = (FALCO_RULES / "rules/falco_rules.yaml", FALCO_RULES / "plugins/k8saudit__k8s_audit_rules.yaml")
    names = {
        name for file in files for name in re.findall(r"^- rule: (.+?)\s*$", file.read_text("utf-8"), re.MULTILINE)
    }
    assert sorted(names - set(TABLE.alerts)) == []
