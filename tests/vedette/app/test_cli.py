"""The command line as a whole: help that teaches, exit statuses, a fast start, and the small commands."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from vedette.app import agent_client, config_file
from vedette.app.cli import COMMANDS, build_app, main
from vedette.journal.sqlite import DataFolder
from vedette.schema.errors import PermanentError, RuleError, TransientError, VedetteError

from .conftest import Outcome

Call = Callable[..., Outcome]
DOCS = Path(__file__).parents[3] / "docs" / "cli.md"
GROUPS = {
    "alerts": ["list", "show", "close"],
    "rules": ["list", "check", "test", "explain", "show", "coverage", "stats", "shadow", "backtest"],
    "profiles": ["list", "show", "diff", "lock", "unlock", "forget", "export", "import", "role", "network-policy"],
    "exceptions": ["list", "add", "expire"],
    "dead-letters": ["list", "show", "replay"],
} | {"config": ["check", "show", "schema"]}
LEAVES = [[name] for name in COMMANDS if name not in GROUPS] + [
    [group, command] for group, commands in GROUPS.items() for command in commands
]
NOT_FOR_HELP = ("pydantic", "sigma", "orjson", "apsw", "msgspec", "prometheus_client", "uvloop", "yaml")


def title(words: list[str]) -> str:
    return " ".join(words)


# --- help ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", LEAVES, ids=title)
def test_help_teaches(vedette: Call, words: list[str]) -> None:
    shown = vedette(*words, "--help")
    assert shown.status == 0
    assert shown.out.startswith(f"Usage: vedette {title(words)}")
    assert re.search(rf"^Examples?:\n  (.* \| )?vedette {title(words)}", shown.out, re.MULTILINE)


@pytest.mark.parametrize("words", [[], ["--help"], *([name] for name in GROUPS)], ids=title)
def test_help_lists_the_commands(vedette: Call, words: list[str]) -> None:
    shown = vedette(*words)
    assert shown.status == 0
    listed = re.findall(r"^│ ([a-z][a-z-]*)  ", shown.out, re.MULTILINE)
    assert set(listed) == set(GROUPS.get(title(words), COMMANDS))


@pytest.mark.parametrize("words", LEAVES, ids=title)
def test_every_command_and_option_is_documented(words: list[str]) -> None:
    section = re.search(
        rf"^## `vedette {title(words)}.*?(?=^## )", DOCS.read_text() + "\n## ", re.DOTALL | re.MULTILINE
    )
    assert section, f"docs/cli.md has no section on `vedette {title(words)}`"
    app = build_app()
    for word in words:
        app = app[word]
    names = {name for argument in app.assemble_argument_collection() for name in argument.names if name[:2] == "--"}
    undocumented = {name for name in names if name not in section[0]} - {"--config", "--data-dir"}
    assert not undocumented


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], ["scan", "--help"], ["alerts", "list", "--help"]], ids=title
)
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    code = f"import sys; from vedette.app.cli import main; main({words!r}); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {name.partition(".")[0] for name in done.stderr.split()}.isdisjoint(NOT_FOR_HELP)


# --- exit statuses ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["scna"], 'Unknown command "scna". Did you mean "scan"?'),
        (["--nope"], 'Unknown command "--nope"'),
        (["ledger", "--recomptue"], "Unknown option: --recomptue. Did you mean --recompute?"),
        (["alerts", "show"], "ID requires an argument"),
        (["dead-letters", "list", "--limit", "x"], 'unable to convert "x" into int'),
        (["alerts", "list", "--min-level", "hihg"], 'Did you mean "high"?'),
    ],
    ids=lambda value: title(value) if isinstance(value, list) else "",
)
def test_a_wrong_call_is_explained(vedette: Call, words: list[str], message: str) -> None:
    done = vedette(*words)
    assert (done.status, done.out) == (2, "")
    assert message in done.err
    assert re.search(r"^Try `vedette.* --help`\.$", done.err, re.MULTILINE)


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (RuleError("no title", path="a.yml", line=3), 2, "vedette: a.yml:3: no title\n"),
        (TransientError("disk full"), 3, "vedette: disk full\n"),
        (PermanentError("damaged\x1b[2J"), 3, "vedette: damaged\\x1b[2J\n"),
        (ExceptionGroup("tasks", [ExceptionGroup("inner", [TransientError("late")])]), 3, "vedette: late\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
    ids=repr,
)
def test_expected_errors_are_one_message(
    vedette: Call, monkeypatch: pytest.MonkeyPatch, error: BaseException, status: int, message: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(config_file, "load_config", fail)
    assert vedette("config", "show") == (status, "", message)


@pytest.mark.parametrize(
    "error", [ZeroDivisionError("\x1b"), ExceptionGroup("two", [TransientError("a"), OSError("b")])]
)
def test_a_bug_is_shown_whole(vedette: Call, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(config_file, "load_config", fail)
    done = vedette("config", "show")
    assert done.status == 70
    assert "Traceback" in done.err
    assert done.err.endswith("vedette: this is a bug; please report it with the lines above\n")
    assert "\x1b" not in done.err


# --- small commands --------------------------------------------------------------------------------------------------


def test_versions(vedette: Call) -> None:
    (versions,) = vedette("version", "--format", "json").lines
    assert versions["vedette"] == vedette("--version").out.strip()
    assert "pysigma" in vedette("version").out


def test_a_good_configuration_is_counted(vedette: Call, tmp_path: Path, rule_file: Path) -> None:
    file = tmp_path / "vedette.yaml"
    file.write_text(f"rules: {{packs: [], paths: [{rule_file.name}]}}\n")
    done = vedette("config", "check", "--config", file)
    assert done == (0, "", f"{file} is fine: 2 sources, 1 rule, 1 sink\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rules: {packs: [startr]}", "startr"),
        ("rules: {paths: [absent]}", "absent: no such rule file or folder"),
        ("rules: {paths: [bad.yml]}", "bad.yml:"),
        ("sources: {a: {http: {routes: {/x: kube_audti}}}}", "kube_audti"),
        ("sources: {a: {stdin: {format: kube_audti}}}", "kube_audti"),
        ("clutser: x", "did you mean `cluster`?"),
        (
            "sinks: {raw: {stdout: , log: events}}",
            "sinks.raw.log: `stdout` takes alerts only; use one of kafka, opensearch, syslog, webhook, or remove `log`",
        ),
    ],
)
def test_a_bad_configuration_is_explained(vedette: Call, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "vedette.yaml").write_text(text)
    (tmp_path / "bad.yml").write_text("title: x\n")
    done = vedette("config", "check", "--config", tmp_path / "vedette.yaml")
    assert (done.status, done.out) == (2, "")
    assert message in done.err


def test_a_rule_that_can_never_match_is_named(vedette: Call, tmp_path: Path, rule_file: Path) -> None:
    rule_file.write_text(rule_file.read_text().replace("product: kubernetes", "product: windows"))
    (tmp_path / "vedette.yaml").write_text(f"rules: {{packs: [], paths: [{rule_file.name}]}}")
    done = vedette("config", "check", "--config", tmp_path / "vedette.yaml")
    assert done.status == 0
    assert "Secret deleted: this rule can never match: no source provides its log source" in done.err


def test_rules_are_listed(vedette: Call, tmp_path: Path, rule_file: Path) -> None:
    (tmp_path / "vedette.yaml").write_text(f"rules: {{packs: [], paths: [{rule_file.name}]}}")
    listed = vedette("rules", "list", "--format", "json", "--config", tmp_path / "vedette.yaml").lines
    assert [(rule["title"], rule["level"], rule["logsource"]) for rule in listed] == [
        ("Secret deleted", "high", {"product": "kubernetes", "service": "audit"})
    ]
    table = vedette("rules", "list", "--config", tmp_path / "vedette.yaml").out
    assert table.splitlines()[1].startswith("high   Secret deleted  kubernetes/audit")


def test_correlations_are_listed_and_counted(vedette: Call, tmp_path: Path, rule_file: Path) -> None:
    over = {"type": "event_count", "rules": ["Secret deleted"], "group-by": ["user.username"], "timespan": "5m"}
    correlation = {"title": "Secrets deleted", "level": "critical", "correlation": over | {"condition": {"gte": 3}}}
    rule = rule_file.read_text().replace("title: Secret deleted", "title: Secret deleted\nname: Secret deleted")
    rule_file.write_text(f"{rule}\n---\n{yaml.safe_dump(correlation)}")
    (tmp_path / "vedette.yaml").write_text(f"rules: {{packs: [], paths: [{rule_file.name}]}}")
    listed = vedette("rules", "list", "--format", "json", "--config", tmp_path / "vedette.yaml")
    assert [(rule["title"], rule.get("correlation")) for rule in listed.lines] == [
        ("Secrets deleted", "event_count"),
        ("Secret deleted", None),
    ], listed.err
    table = vedette("rules", "list", "--config", tmp_path / "vedette.yaml").out
    assert table.splitlines()[1].startswith("critical  Secrets deleted  event_count")
    assert "2 rules" in vedette("config", "check", "--config", tmp_path / "vedette.yaml").err


def test_shipped_rules_are_listed_by_urgency(vedette: Call) -> None:
    levels = [rule["level"] for rule in vedette("rules", "list", "--format", "json").lines]
    order = ["critical", "high", "medium", "low", "informational"]
    assert levels == sorted(levels, key=order.index)


def test_the_configuration_comes_from_the_environment_too(
    vedette: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "vedette.yaml").write_text("cluster: prod")
    monkeypatch.setenv("VEDETTE_CONFIG", str(tmp_path / "vedette.yaml"))
    monkeypatch.setenv("VEDETTE_DATA_DIR", str(tmp_path / "data"))
    (shown,) = vedette("config", "show", "--format", "json").lines
    assert (shown["cluster"], shown["data_dir"]) == ("prod", str(tmp_path / "data"))


def test_schema_as_json_and_markdown(vedette: Call) -> None:
    assert json.loads(vedette("config", "schema").out)["additionalProperties"] is False
    assert vedette("config", "schema", "--format", "markdown").out.startswith("### The whole file")


# --- the running agent -----------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    made = DataFolder(tmp_path / "data")
    made.create()
    return made


def answering(monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any]) -> list[Any]:
    asked: list[Any] = []

    def request(path: Path, message: dict[str, Any]) -> dict[str, Any]:
        asked.append((path.name, message["op"]))
        return answer

    monkeypatch.setattr(agent_client, "request", request)
    return asked


def test_status_is_shown(vedette: Call, folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answering(monkeypatch, {"ok": True, "open_alerts": 3, "urls": ["http://a/", "http://b/"]})
    assert vedette("status", "--data-dir", folder.path).out == "open alerts  3\nurls         http://a/, http://b/\n"
    assert vedette("status", "--format", "json", "--data-dir", folder.path).lines[0]["open_alerts"] == 3
    assert asked == [("control.sock", "status")] * 2


def test_an_agent_that_refuses_is_no_success(
    vedette: Call, folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch, {"ok": True, "intake_failure": "disk full"})
    assert vedette("status", "--data-dir", folder.path).status == 1


def test_no_agent_is_unreachable(vedette: Call, folder: DataFolder) -> None:
    for command in ("status", "reload", "stop"):
        done = vedette(command, "--data-dir", folder.path)
        assert (done.status, done.out) == (3, "")
        assert "no Vedette answers at" in done.err


@pytest.mark.parametrize(
    ("code", "status"), [("config", 2), ("rule", 2), ("transient", 3), ("permanent", 3), (None, 3)]
)
def test_a_refusal_keeps_its_meaning(
    vedette: Call, folder: DataFolder, monkeypatch: pytest.MonkeyPatch, code: str | None, status: int
) -> None:
    answering(monkeypatch, {"ok": False, "code": code, "error": "why"})
    assert vedette("reload", "--data-dir", folder.path) == (status, "", "vedette: why\n")


def test_a_reload_says_what_is_in_force(vedette: Call, folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, {"ok": True, "rules": 7, "changed": False, "changes": {}})
    assert vedette("reload", "--data-dir", folder.path).err == "7 rules in force; nothing had changed\n"
    trial = vedette("reload", "--dry-run", "--data-dir", folder.path)
    assert trial.err == "7 rules would be in force; nothing would change\n"


def test_a_reload_says_what_changed(vedette: Call, folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = {"rules_added": {"count": 3, "names": ["a", "b\x1b[2J"]}, "shadow_removed": {"count": 1, "names": ["c"]}}
    answering(monkeypatch, {"ok": True, "rules": 7, "changed": True, "changes": changes})
    assert vedette("reload", "--data-dir", folder.path).err == (
        "7 rules in force\n  3 rules added: a, b\\x1b[2J and 1 more\n  1 name out of shadow: c\n"
    )


def test_a_stop_waits_for_the_lock(vedette: Call, folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, {"ok": True})
    folder.lock()
    slow = vedette("stop", "--timeout-s", "0.01", "--data-dir", folder.path)
    assert (slow.status, slow.err) == (1, "still stopping after 0.01 s\n")
    folder.unlock()
    assert vedette("stop", "--data-dir", folder.path).err == "stopped\n"


def test_every_error_of_the_tree_has_a_status() -> None:
    assert {kind.__name__ for kind in VedetteError.__subclasses__()} == {
        "ConfigError",
        "RuleError",
        "DecodeError",
        "TransientError",
        "PermanentError",
    }


def test_main_reads_the_arguments_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["vedette", "--version"])
    assert main() == 0
