"""The recording and alerting rules: promtool judges them, each alert is tried both ways, and the runbook knows it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.servers.prometheus import promtool
from tests.vedette.app.metrics.budget import described

ROOT: Final = Path(__file__).parents[2]
RULES: Final = ROOT / "deploy" / "prometheus"
TESTS: Final = Path(__file__).parent / "prometheus"
RUNBOOK: Final = (ROOT / "docs" / "runbook.md").read_text("utf-8")
PARTS: Final = re.compile(r"_(bucket|sum|count)$")


def rules(kind: str) -> list[dict[str, Any]]:
    document = yaml.safe_load((RULES / f"{kind}.rules.yml").read_text("utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


ALERTS: Final = {rule["alert"]: rule for rule in rules("alerting")}
RECORDS: Final = {rule["record"] for rule in rules("recording")}


def alert_tests() -> list[dict[str, Any]]:
    document = yaml.safe_load((TESTS / "alerting.test.yml").read_text("utf-8"))
    return [row for test in document["tests"] for row in test["alert_rule_test"]]


@pytest.mark.server
@pytest.mark.parametrize("kind", ["recording", "alerting"])
def test_promtool_takes_the_rules_and_their_tests(kind: str) -> None:
    for arguments in (("check", "rules", RULES / f"{kind}.rules.yml"), ("test", "rules", TESTS / f"{kind}.test.yml")):
        done = promtool(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.server
@pytest.mark.parametrize("alert", ALERTS)
@pytest.mark.parametrize(
    ("expression", "told"),
    [pytest.param("vector(1)", "is silent", id="always"), pytest.param("vector(1) > 1", "fires", id="never")],
)
def test_an_alert_that_always_or_never_fires_fails_its_tests(
    alert: str, expression: str, told: str, tmp_path: Path
) -> None:
    """The tests of each alert can fail, both that which fires it and that which keeps it silent."""
    broken = {"groups": [{"name": "broken", "rules": [{**ALERTS[alert], "expr": expression, "for": "0s"}]}]}
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(broken), "utf-8")
    document = yaml.safe_load((TESTS / "alerting.test.yml").read_text("utf-8"))
    tests = [test for test in document["tests"] if test["name"] == f"{alert} {told}"]
    assert len(tests) == 1
    (tmp_path / "test.yml").write_text(
        yaml.safe_dump({**document, "rule_files": ["rules.yml"], "tests": tests}), "utf-8"
    )
    assert promtool("test", "rules", tmp_path / "test.yml").returncode == 1


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_is_tried_both_ways(alert: str) -> None:
    expected = [bool(row["exp_alerts"]) for row in alert_tests() if row["alertname"] == alert]
    assert sorted(expected) == [False, True]


@pytest.mark.parametrize("alert", ALERTS)
def test_the_runbook_says_what_to_do(alert: str) -> None:
    rule = ALERTS[alert]
    assert rule["annotations"]["runbook"] == f"docs/runbook.md#{alert.lower()}"
    assert rule["labels"]["severity"] in ("critical", "warning")
    text = RUNBOOK.partition(f"\n## {alert}\n")[2].partition("\n## ")[0]
    assert len(text.split()) > 20, "what it means, and what to do"


def test_the_runbook_knows_no_alert_that_is_gone() -> None:
    assert set(re.findall(r"^## (Vedette\w+)$", RUNBOOK, re.MULTILINE)) == set(ALERTS)


def test_rules_use_metrics_that_the_docs_describe() -> None:
    expressions = " ".join(rule["expr"] for rule in (*rules("recording"), *ALERTS.values()))
    used = set(re.findall(r"(?<![:\w])vedette_\w+|\w+:vedette_\w+:\w+", expressions))
    known = {*described(), *RECORDS}
    assert {name for name in used if name not in known and PARTS.sub("", name) not in known} == set()
