"""`vedette rules explain`: how each clause stands, of events from files and from the intake log."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from vedette.journal.sqlite import DataFolder, SqliteIntakeLog
from vedette.runtime.parcel import Parcel
from vedette.schema.record import Run

from .conftest import Outcome, audit_event, lines

Call = Callable[..., Outcome]
RULES = """\
title: Secret deleted
id: 6d0e8f1a-0000-4000-8000-000000000001
logsource: {product: kubernetes, service: audit}
detection:
  selection: {verb: delete, objectRef.resource: secrets}
  filter: {user.username|startswith: 'system:'}
  condition: selection and not filter
---
title: Many deleted
id: 6d0e8f1a-0000-4000-8000-000000000002
correlation: {type: event_count, rules: [6d0e8f1a-0000-4000-8000-000000000001], timespan: 1m, condition: {gte: 2}}
---
title: Falco's shell
id: 6d0e8f1a-0000-4000-8000-000000000003
logsource: {product: falco}
detection: {s: {rule: Shell}, condition: s}
"""
FALCO = """\
- rule: Deleted
  desc: d
  condition: ka.verb=delete and not ka.user.name startswith "system:"
  output: o
  priority: NOTICE
  source: k8s_audit
- rule: Shell
  desc: d
  condition: evt.type=execve
  output: o
  priority: NOTICE
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "rules.yml").write_text(RULES)
    (tmp_path / "falco.yaml").write_text(FALCO)
    file = tmp_path / "vedette.yaml"
    paths = f"[{tmp_path}/rules.yml, {tmp_path}/falco.yaml]"
    file.write_text(f"data_dir: {tmp_path}/data\nrules: {{packs: [], paths: {paths}}}\n")
    return file


@pytest.fixture
def log(tmp_path: Path) -> Path:
    file = tmp_path / "audit.log"
    file.write_bytes(lines(audit_event(1, verb="get"), audit_event(2), audit_event(3, user="system:node:a")))
    return file


def test_a_match_as_a_tree(vedette: Call, config: Path, log: Path) -> None:
    done = vedette("rules", "explain", "secret deleted", log, "--record", 2, "--config", config)
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines() == [
        "Secret deleted (6d0e8f1a-0000-4000-8000-000000000001): matches",
        "  ✓ all of",
        '    ✓ selection.verb: equals "delete"; is "delete" (verb)',
        '    ✓ selection.objectRef.resource: equals "secrets"; is "secrets" (objectRef.resource)',
        "    ✓ not",
        '      ✗ filter.user.username: starts with "system:"; is "mallory" (user.username)',
    ]


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (1, ['    ✗ selection.verb: equals "delete"; is "get" (verb)']),
        (3, ["    ✗ not", '      ✓ filter.user.username: starts with "system:"; is "system:node:a" (user.username)']),
    ],
)
def test_what_keeps_a_rule_from_matching(
    vedette: Call, config: Path, log: Path, record: int, expected: list[str]
) -> None:
    done = vedette("rules", "explain", "Secret deleted", log, "--record", record, "--config", config)
    assert done.out.splitlines()[0].endswith(": does not match")
    assert set(expected) <= set(done.out.splitlines())


def test_programs_get_the_tree_with_values_and_paths(vedette: Call, config: Path, log: Path) -> None:
    (told,) = vedette("rules", "explain", "Secret deleted", log, "--format", "json", "--config", config).lines
    assert (told["matches"], told["asked"], told["event"]["event_ids"]) == (False, True, ["audit-1"])
    first, *_ = told["condition"]["parts"]
    assert first == {
        "kind": "clause",
        "state": "failed",
        "where": "selection.verb",
        "field": "verb",
        "test": 'equals "delete"',
        "path": "verb",
        "value": "get",
        "values": 1,
    }


def test_of_a_correlation_its_rules_are_shown(vedette: Call, config: Path, log: Path) -> None:
    done = vedette("rules", "explain", "Many deleted", log, "--record", 2, "--config", config)
    assert done.out.splitlines()[0] == "Secret deleted (6d0e8f1a-0000-4000-8000-000000000001): matches"


def test_of_a_file_all_rules_are_shown(vedette: Call, config: Path, log: Path) -> None:
    done = vedette("rules", "explain", config.parent / "rules.yml", log, "--record", 2)
    assert [line for line in done.out.splitlines() if not line.startswith("    ")] == [
        "Secret deleted (6d0e8f1a-0000-4000-8000-000000000001): matches",
        "  ✓ all of",
        "Falco's shell (6d0e8f1a-0000-4000-8000-000000000003): is not asked",
        "  it looks at falco, and the event is of kube_audit",
    ]


def test_rules_in_falco_s_language(vedette: Call, config: Path, log: Path) -> None:
    done = vedette("rules", "explain", "Deleted", log, "--record", 3, "--config", config)
    assert done.out.splitlines() == [
        "Deleted (falco:Deleted): does not match",
        "  ✗ all of",
        '    ✓ condition: ka.verb = delete; is "delete" (verb)',
        "    ✗ not",
        '      ✓ condition: ka.user.name startswith system:; is "system:node:a" (user.username)',
    ]
    told = vedette("rules", "explain", "falco:Shell", log, "--format", "json", "--config", config).lines[0]
    assert (told["asked"], told["condition"]) == (False, None)
    assert "seen by Falco alone" in told["reason"]


MALLORY_MAY = """\
title: Mallory may
logsource: {product: kubernetes, service: audit}
filter: {rules: [falco:Deleted], mallory: {user.username: mallory}, condition: not mallory}
"""


def test_exceptions_of_rules_in_falco_s_language_are_told(vedette: Call, config: Path, log: Path) -> None:
    (config.parent / "exception.yml").write_text(MALLORY_MAY)
    config.write_text(config.read_text().replace("falco.yaml]", f"falco.yaml, {config.parent}/exception.yml]"))
    done = vedette("rules", "explain", "Deleted", log, "--record", 2, "--config", config)
    told = done.out.splitlines()
    assert told[:3] == ["Deleted (falco:Deleted): does not match", "  ✗ all of", "    ✓ all of"]
    assert told[-2:] == [
        "    ✗ not",
        '      ✓ Mallory may: mallory.user.username: equals "mallory"; is "mallory" (user.username)',
    ]
    shown = vedette("rules", "show", "Deleted", "--config", config).out.splitlines()
    assert shown[shown.index("exceptions:") + 1].startswith("  Mallory may: not mallory (")


def test_a_stored_event_goes_by_its_sequence_number(vedette: Call, config: Path, tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    folder.create()
    with closing(SqliteIntakeLog(folder.intake)) as intake:
        items = [audit_event(1), audit_event(2, verb="get")]
        intake.append([Parcel("api", [Run("api", "kube_audit", 2)], items, lambda _: None, 100)], now_ns=1)
    for seq, expected in ((1, "matches"), (2, "does not match")):
        done = vedette("rules", "explain", "Secret deleted", seq, "--config", config)
        assert done.out.splitlines()[0].endswith(f": {expected}")
    done = vedette("rules", "explain", "Secret deleted", 99, "--config", config)
    assert (done.status, "record 99 is not in the intake log" in done.err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("Secret delete", "audit.log"), "there is no rule `Secret delete`; did you mean `Secret deleted`?"),
        (("Secret deleted", "missing.json"), "cannot read missing.json"),
        (("Secret deleted", "audit.log", "--record", "4"), "there is no record 4; the last one is 3"),
        (("Secret deleted", "audit.log", "--source", "kube"), "--source: "),
        (("Secret deleted", "noise.txt"), "its beginning does not tell the format"),
        (("Secret deleted", "noise.txt", "--source", "kube_audit"), "noise.txt:1: invalid JSON"),
        (("Secret deleted", "health.json"), "rules do not look at it"),
        (("Secret deleted", "9" * 30), "cannot read 9"),
        (("x" * 5000, "audit.log"), "there is no rule `xxx"),
    ],
    ids=["rule", "file", "record", "format", "unknown", "broken", "health", "huge_number", "huge_name"],
)
def test_what_is_not_there_is_said(
    vedette: Call, config: Path, log: Path, arguments: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(log.parent)
    Path("noise.txt").write_text("what is this\n")
    Path("health.json").write_text(
        json.dumps({"rule": "Falco internal: x", "source": "internal", "priority": "Debug", "output_fields": {}})
    )
    done = vedette("rules", "explain", *arguments, "--config", config)
    assert (done.status, done.out) == (2, "")
    assert message in done.err


def test_hostile_values_do_not_reach_the_terminal(vedette: Call, config: Path, tmp_path: Path) -> None:
    event: dict[str, Any] = json.loads(audit_event(1))
    event["verb"] = "\x1b[2Jdelete\n\u202e"
    (tmp_path / "event.json").write_text(json.dumps(event))
    done = vedette("rules", "explain", "Secret deleted", tmp_path / "event.json", "--config", config)
    assert done.status == 0
    assert not set(done.out) & {"\x1b", "\u202e"}
    assert "\\u001b[2Jdelete" in done.out
