"""The commands of docs/rules/backtest.md print what the page says; its numbers and words are those of the code."""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.vedette.app.conftest import Outcome
from vedette.app.backtest.rule_sets import CONFIGURED, RUNNING
from vedette.app.backtest.run import ALERTS_MAX
from vedette.app.exit_status import ExitStatus
from vedette.pipeline.backtest.compare import Status

from .conftest import SECOND, Archive

PAGE = (Path(__file__).parents[4] / "docs/rules/backtest.md").read_text(encoding="utf-8")
SNIPPETS = {
    (language, name): text
    for language, name, text in re.findall(r"^```(\w+) (\S+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
}
RULE = SNIPPETS["yaml", "rules/payment-exec.yml"]
BEFORE = RULE.replace(" and not operators", "")


def into_payment(user: str, agent: str) -> bytes:
    return json.dumps(
        {
            "kind": "Event",
            "auditID": user,
            "stage": "ResponseComplete",
            "verb": "create",
            "user": {"username": user},
            "userAgent": agent,
            "objectRef": {"resource": "pods", "subresource": "exec", "namespace": "payment", "name": "cart-0"},
            "stageTimestamp": "2026-03-01T00:00:00.000000Z",
        }
    ).encode()


@pytest.fixture
def type_(
    tmp_path: Path, vedette: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], list[Outcome]]:
    """Type a snippet, as a reader of the page would, where the agent had the rule as it was before."""
    archive = Archive(tmp_path / "data", now_ns=time.time_ns() - 60 * SECOND)
    archive.rules(BEFORE)
    archive.add(into_payment("mallory", "curl/8"), into_payment("ops", "kubectl-debugger/1.2"))
    archive.log.close()
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "payment-exec.yml").write_text(RULE)
    config = tmp_path / "vedette.yaml"
    config.write_text(json.dumps({"data_dir": str(tmp_path / "data"), "rules": {"packs": [], "paths": ["rules"]}}))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VEDETTE_CONFIG", str(config))
    return lambda name: [vedette(*shlex.split(line)[1:]) for line in SNIPPETS["sh", name].splitlines()]


def test_a_comparison_prints_what_the_page_shows(type_: Callable[[str], list[Outcome]]) -> None:
    (done,) = type_("diff")
    assert (done.status, done.out) == (0, SNIPPETS["text", "diff"])


def test_the_other_commands_do_what_the_page_says(type_: Callable[[str], list[Outcome]]) -> None:
    alone, compared = type_("more")
    assert (alone.status, compared.status) == (0, 0)
    assert "1 alert in 3 records" in alone.err
    assert {line["entity"][0]: line["status"] for line in compared.lines} == {"mallory": "same", "ops": "lost"}
    for name in compared.lines[0]:
        assert f"`{name}`" in PAGE
    for name in compared.lines[0]["before"]:
        assert f"`{name}`" in PAGE


def test_its_words_and_numbers_are_those_of_the_code() -> None:
    for word in (RUNNING, CONFIGURED, *Status):
        assert f"`{word}`" in PAGE
    assert f"more than {ALERTS_MAX:,} alerts" in PAGE
    statuses = {int(number) for number in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)}
    assert statuses == {
        ExitStatus.OK,
        ExitStatus.FOUND,
        ExitStatus.USAGE,
        ExitStatus.UNREACHABLE,
        ExitStatus.INTERRUPTED,
    }
