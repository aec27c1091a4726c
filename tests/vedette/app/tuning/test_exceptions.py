"""Exceptions by command: all or nothing, and never in a place that nobody reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from vedette.app.config import Rules
from vedette.app.tuning.exceptions import Standing, end, parse_expiry, standings, utc_today, write_file
from vedette.app.tuning.unheard import Counted
from vedette.pipeline.unheard import Tally
from vedette.schema.errors import ConfigError

Call = Callable[..., Any]
RULES = """
title: Exec
id: exec
logsource: {product: kubernetes, service: audit, definition: any}
detection: {selection: {objectRef.subresource: exec}, condition: selection}
---
title: Many execs
id: many
correlation: {type: event_count, rules: [exec], group-by: [user.username], timespan: 1m, condition: {gte: 9}}
"""
FALCO = """
- rule: Shell
  desc: a shell
  condition: ka.target.subresource = exec
  output: x
  priority: NOTICE
  source: k8s_audit
"""
OLD = """
title: Old
id: 11111111-2222-4333-8444-555555555555
filter: {rules: [exec], old: {user.username: old}, condition: not old}
vedette: {owner: me, expires: '2020-01-01'}
---
title: 'Two: words'
filter: {rules: any, two: {user.username: two}, condition: not two}
"""
WHY = ("--owner", "me", "--reason", "why", "--expires", "9d")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "exec.yml").write_text(RULES)
    (tmp_path / "falco.yml").write_text(FALCO)
    file = tmp_path / "vedette.yaml"
    settings = {"data_dir": "data", "rules": {"packs": [], "paths": ["falco.yml", "rules"]}}
    file.write_text(json.dumps(settings))
    return file


@pytest.fixture
def rules(config: Path) -> Rules:
    folder = config.parent
    return Rules(packs=[], paths=[str(folder / "falco.yml"), str(folder / "rules")])


def files(config: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in config.parent.rglob("*.yml")}


# --- add --------------------------------------------------------------------------------------------------------------
def test_a_file_of_its_own_with_a_harmless_name(vedette: Call, config: Path) -> None:
    hostile = "../../etc/\x1b[2J*"
    before = files(config)
    shown = vedette("exceptions", "add", "Exec", "--field", f"user.username={hostile}", *WHY, "--config", config)
    assert shown.status == 0
    assert files(config) == before, "without --yes nothing is written"
    assert "\x1b" not in shown.out + shown.err
    added = vedette("exceptions", "add", "EXEC", "--field", f"user.username={hostile}", *WHY, "--yes", "-c", config)
    assert added.status == 0, added.err
    (name,) = files(config).keys() - before.keys()
    assert name.startswith("exception-exec-etc-2j-")
    written = yaml.safe_load((config.parent / "rules" / name).read_text())
    assert written["logsource"] == {"product": "kubernetes", "service": "audit"}
    assert written["filter"]["rules"] == ["exec"]
    assert written["vedette"]["expires"] == (utc_today() + timedelta(days=9)).isoformat()


def test_titles_tell_exceptions_apart(vedette: Call, config: Path) -> None:
    for _ in range(3):
        vedette("exceptions", "add", "Exec", "--field", "user.username=x", *WHY, "--yes", "--config", config)
    listed = vedette("exceptions", "list", "--format", "json", "--config", config).lines
    assert sorted(one["title"] for one in listed) == ["Exec: x", "Exec: x 2", "Exec: x 3"]


def test_rules_in_falcos_language(vedette: Call, config: Path) -> None:
    done = vedette("exceptions", "add", "Shell", "--field", "user.username=x", *WHY, "--yes", "--config", config)
    assert done.status == 0, done.err
    (exception,) = vedette("exceptions", "list", "--format", "json", "--config", config).lines
    assert exception["rules"] == [{"id": "falco:Shell", "title": "Shell", "hits": 0}]


@pytest.mark.parametrize("file", ["rules/exec.yml", "rules/more/new.yaml"])
def test_a_file_that_is_named_keeps_what_it_has(vedette: Call, config: Path, file: str) -> None:
    path = config.parent / file
    before = path.read_text() if path.exists() else ""
    options = ("--field", "user.username=x", *WHY, "--file", path, "--yes", "--config", config)
    assert vedette("exceptions", "add", "Exec", *options).status == 0
    assert path.read_text().startswith(before.rstrip())
    assert [one["title"] for one in vedette("exceptions", "list", "--format", "json", "-c", config).lines] == [
        "Exec: x"
    ]
    assert vedette("rules", "check", "--config", config).status == 0


@pytest.mark.parametrize(
    ("rule", "options", "complaint"),
    [
        pytest.param("Exek", (), "did you mean `Exec`", id="no such rule"),
        pytest.param("Many execs", (), "is a correlation", id="correlation"),
        pytest.param("Exec", ("--file", "elsewhere.yml"), "no entry of `rules.paths` reads it", id="elsewhere"),
        pytest.param("Exec", ("--field", "user.username|re=("), "rules/", id="a broken pattern"),
        pytest.param("Exec", ("--expires", "2020-01-01"), "is over", id="in the past"),
        pytest.param("Exec", ("--expires", "soon"), "is no date", id="no date"),
    ],
)
def test_what_can_not_be_is_refused(
    vedette: Call, config: Path, rule: str, options: tuple[str, ...], complaint: str
) -> None:
    before = files(config)
    given = {"--field": "user.username=x", "--owner": "me", "--reason": "r", "--expires": "9d"}
    given |= dict(zip(options[::2], options[1::2], strict=True))
    words = [word for pair in given.items() for word in pair]
    done = vedette("exceptions", "add", rule, *words, "--yes", "--config", config)
    assert done.status == 2
    assert complaint in done.err
    assert files(config) == before


def test_a_set_that_is_broken_takes_no_exception(vedette: Call, config: Path) -> None:
    (config.parent / "rules" / "broken.yml").write_text("title: [")
    before = files(config)
    done = vedette("exceptions", "add", "Exec", "--field", "verb=x", *WHY, "--yes", "--config", config)
    assert done.status == 2
    assert "broken.yml:" in done.err
    assert files(config) == before


# --- list -------------------------------------------------------------------------------------------------------------
def test_standings(rules: Rules) -> None:
    (Path(rules.paths[1]) / "old.yml").write_text(OLD)
    counted = Counted({}, {("Two: words", "exec"): Tally(1, findings=3, last_ns=7), ("gone", "exec"): Tally(1, 9)})
    found = standings(rules, counted, date(2026, 11, 21))
    assert [shown(one) for one in found] == [
        ("Old", {"exec": "Exec"}, {}, 0, "expired"),
        ("Two: words", {"exec": "Exec", "falco:Shell": "Shell"}, {"exec": 3}, 7, "active"),
    ]
    before = standings(rules, None, date(2020, 1, 1))
    assert [one.state for one in before] == ["never hit", "never hit"]


def shown(one: Standing) -> tuple[str, dict[str, str], dict[str, int], int, str]:
    return one.written.title, one.rules, one.hits, one.last_ns, one.state


# --- the end ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["Old", "11111111-2222-4333-8444-555555555555", "Two: words"])
def test_an_exception_ends(vedette: Call, config: Path, rules: Rules, name: str) -> None:
    path = Path(rules.paths[1]) / "old.yml"
    path.write_text(OLD)
    done = vedette("exceptions", "expire", name, "--now", "--config", config)
    assert done.status == 0, done.err
    yesterday = (utc_today() - timedelta(days=1)).isoformat()
    days = [one.written.info.expires for one in standings(rules, None, utc_today())]
    assert days == ([("2020-01-01"), yesterday] if name == "Two: words" else [yesterday, ""])


def test_what_is_no_exception_can_not_end(rules: Rules) -> None:
    with pytest.raises(ConfigError, match="there is no exception `Exec`"):
        end(rules, "Exec", date(2026, 1, 1))
    (Path(rules.paths[1]) / "two.yml").write_text(OLD + "---" + OLD.replace("11111111", "21111111"))
    with pytest.raises(ConfigError, match="2 exceptions are called `Old`"):
        end(rules, "Old", date(2026, 1, 1))


# --- parts ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("text", "day"), [("2026-12-31", "2026-12-31"), ("0d", "2026-11-21"), ("40d", "2026-12-31")])
def test_expiry(text: str, day: str) -> None:
    assert parse_expiry(text, date(2026, 11, 21)) == day


def test_a_file_is_written_whole_and_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.yml"
    write_file(path, "one\n")
    path.chmod(0o600)
    write_file(path, "two\n")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("two\n", 0o600)
    assert [file.name for file in path.parent.iterdir()] == ["file.yml"]


def test_a_place_that_can_not_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"can't be written: .*; nothing was changed"):
        write_file(tmp_path / "file" / "below.yml", "x")
