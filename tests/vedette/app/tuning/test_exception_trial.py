"""What a new exception would have hidden, told by the samples that alerts carry."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from detectors.rule import RuleText
from detectors.sigma import load_rules
from sinks.store import AlertFilter, AlertRow, StoreReader
from vedette.app.tuning.exception_trial import try_exception
from vedette.schema.level import Level

RULES = """
title: Exec
id: exec
logsource: {product: kubernetes, service: audit}
detection: {selection: {objectRef.subresource: exec}, condition: selection}
---
title: Older
filter: {rules: [exec], old: {user.username: old}, condition: not old}
---
title: New
filter: {rules: [exec], new: {user.username: new}, condition: not new}
"""


def sample(user: str, *, subresource: str = "exec", raw: str = "", cut: bool = False) -> dict[str, Any]:
    event = {"kind": "Event", "user": {"username": user}, "objectRef": {"subresource": subresource}}
    content = {"raw": raw or json.dumps(event), "cut": cut, "seq": 1, "arrival_ns": 1, "source": "audit"}
    return {"data": {**content, "format": "kube_audit"}}


class Store:
    """One alert with some samples."""

    def __init__(self, *samples: dict[str, Any]) -> None:
        self.samples = samples
        self.asked: AlertFilter | None = None

    def list(self, wanted: AlertFilter, limit: int) -> list[AlertRow]:
        self.asked = wanted
        row = ("a", 1, 1, 1, 1, Level.LOW, "exec", "Exec", "", "audit", "", "", "", 1, "", "m", "")
        return [AlertRow(*row)][:limit]

    def get(self, _: str) -> dict[str, Any]:
        return {"evidences": list(self.samples)}


@pytest.mark.parametrize(
    ("samples", "told", "excepted", "verdict"),
    [
        pytest.param([sample("new")], 1, 1, "hidden", id="excepted"),
        pytest.param([sample("ann")], 1, 0, "stays", id="not excepted"),
        pytest.param([sample("new"), sample("ann")], 2, 1, "in part", id="some"),
        pytest.param([sample("old")], 1, 0, "stays", id="by another exception"),
        pytest.param([sample("new"), sample("new", subresource="log")], 1, 1, "hidden", id="a sample of another rule"),
        pytest.param([sample("new", cut=True)], 0, 0, "cannot be told", id="cut off"),
        pytest.param([sample("new", raw="{")], 0, 0, "cannot be told", id="broken"),
        pytest.param([sample("new", raw="\ud800")], 0, 0, "cannot be told", id="half a character"),
        pytest.param([], 0, 0, "cannot be told", id="none"),
    ],
)
def test_alerts_are_judged_by_their_samples(
    samples: list[dict[str, Any]], told: int, excepted: int, verdict: str
) -> None:
    store = Store(*samples)
    rules = load_rules([RuleText("rules.yml", RULES, "own")]).rules
    (trial,) = try_exception(cast("StoreReader", store), rules, "New", since_ns=7)
    assert (trial.told, trial.excepted, trial.verdict) == (told, excepted, verdict)
    assert store.asked == AlertFilter(since_ns=7, rule="exec")
