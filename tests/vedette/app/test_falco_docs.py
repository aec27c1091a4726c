"""The page on Falco's rules: its files load, its commands run, and its tables say what is so."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from detectors.falco.rules import LEVELS

from .conftest import Outcome, lines

Call = Callable[..., Outcome]

PAGE: Final = (Path(__file__).parents[3] / "docs/rules/falco.md").read_text(encoding="utf-8")
FILES: Final = dict(re.findall(r"^```yaml (\S+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))
COMMANDS: Final = dict(re.findall(r"^```sh (\S+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))
UPSTREAM: Final = """\
- required_engine_version: 15
- list: allowed_k8s_users
  items: [kubelet]
- macro: user_known_exec_pod_activities
  condition: (jevt.rawtime = 0)
- rule: Disallowed K8s User
  desc: Somebody else
  condition: not ka.user.name in (allowed_k8s_users)
  output: user=%ka.user.name
  priority: WARNING
  source: k8s_audit
- rule: Attach/Exec Pod
  desc: Exec
  condition: ka.target.subresource in (exec, attach) and not user_known_exec_pod_activities
  output: user=%ka.user.name
  priority: NOTICE
  source: k8s_audit
- rule: Create HostIPC Pod
  desc: Host IPC
  condition: ka.verb = create and ka.req.pod.host_ipc intersects (true)
  output: user=%ka.user.name
  priority: WARNING
  source: k8s_audit
"""
"""What the page's changes are about, in as few words as do; the conformance suite loads them over Falco's own file."""
SHELL: Final = """\
- rule: Shell
  desc: A shell
  condition: evt.type = execve and proc.name = bash
  output: shell
  priority: NOTICE
"""


def event(number: int, user: str, **keys: Any) -> bytes:
    document = {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "auditID": f"audit-{number}",
        "stage": "ResponseComplete",
        "verb": "create",
        "user": {"username": user},
        "stageTimestamp": f"2026-03-01T00:00:{number:02d}.000000Z",
        **keys,
    }
    return json.dumps(document).encode()


TOKEN: Final = {"objectRef": {"resource": "serviceaccounts", "subresource": "token", "namespace": "shop"}}
EXEC: Final = {"objectRef": {"resource": "pods", "subresource": "exec", "namespace": "shop"}}
LOG: Final = lines(
    event(1, "ann", **TOKEN),
    event(2, "terraform", **TOKEN),
    event(3, "debugger", **EXEC),
    event(4, "kubelet", **EXEC),
    event(5, "bob", objectRef={"resource": "pods", "namespace": "playground"}),
    event(6, "kubelet", requestObject={"spec": {"hostIPC": True}}),
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, content in FILES.items():
        (tmp_path / name).write_text(content)
    (tmp_path / "k8s_audit_rules.yaml").write_text(UPSTREAM)
    (tmp_path / "audit.log").write_bytes(LOG)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(vedette: Call, name: str) -> list[Outcome]:
    """Run the commands of a block."""
    return [vedette(*shlex.split(line.removeprefix("vedette "))) for line in COMMANDS[name].splitlines()]


def findings(vedette: Call, *options: object) -> set[tuple[str, str]]:
    """Return which rules match which events."""
    done = vedette("scan", "--no-default-rules", *options, "--format", "json", "audit.log")
    assert done.status == 0, done.err
    return {(event_id, finding["rule"]) for finding in done.lines for event_id in finding["event_ids"]}


def test_the_commands_do_what_they_are_for(vedette: Call) -> None:
    checked, config, listed, scanned = run(vedette, "check")
    assert (checked.status, checked.out) == (0, "")
    assert config.status == 0
    assert "Create HostIPC Pod: this rule can never match: it is disabled" in config.err
    assert "Token Requested By A Person" in listed.out
    assert scanned.status == 0
    assert "Disallowed K8s User" in scanned.out
    (compared,) = run(vedette, "compare")
    assert (compared.status, "Disallowed K8s User" in compared.out) == (0, True)


def test_the_changes_change_what_they_say(vedette: Call) -> None:
    rules = ("--rules", "k8s_audit_rules.yaml", "--rules", "local.yaml")
    assert findings(vedette, *rules) == {
        ("audit-1", "Disallowed K8s User"),
        ("audit-1", "Token Requested By A Person"),
        ("audit-2", "Token Requested By A Person"),
        ("audit-3", "Disallowed K8s User"),
        ("audit-4", "Attach/Exec Pod"),
    }
    assert findings(vedette, *rules, "--rule-matching", "first") == {
        ("audit-1", "Disallowed K8s User"),
        ("audit-2", "Token Requested By A Person"),
        ("audit-3", "Disallowed K8s User"),
        ("audit-4", "Attach/Exec Pod"),
    }


def test_the_other_order_is_refused(vedette: Call) -> None:
    done = vedette("rules", "check", "local.yaml", "k8s_audit_rules.yaml")
    assert done.status == 2
    assert done.out.startswith("local.yaml:")


def test_the_settings_are_settings(vedette: Call) -> None:
    shown = vedette("config", "show", "--config", "falco.yaml", "--format", "json").lines
    assert shown[0]["rules"]["falco"] == {"compat": "falco", "rule_matching": "first"}


def test_fixed_sees_what_falco_does_not(vedette: Call, folder: Path) -> None:
    template = {"spec": {"template": {"spec": {"hostIPC": True}}}}
    (folder / "audit.log").write_bytes(lines(event(1, "kubelet", requestObject=template)))
    rules = ("--rules", "k8s_audit_rules.yaml")
    assert findings(vedette, *rules) == {("audit-1", "Create HostIPC Pod")}
    assert findings(vedette, *rules, "--falco-compat", "falco") == set()


def test_the_exception_lets_one_user_pass(vedette: Call, folder: Path) -> None:
    (folder / "audit.log").write_bytes(lines(event(1, "installer", **TOKEN), event(2, "ann", **TOKEN)))
    options = ("--rules", "k8s_audit_rules.yaml", "--rules", "local.yaml", "--rules", "exception.yaml")
    found = findings(vedette, *options)
    assert {event_id for event_id, rule in found if rule == "Token Requested By A Person"} == {"audit-2"}
    of_first = FILES["exception.yaml"].replace("Token Requested By A Person", "Disallowed K8s User")
    (folder / "exception.yaml").write_text(of_first)
    assert findings(vedette, *options, "--rule-matching", "first") == {("audit-2", "Disallowed K8s User")}


def test_the_correlation_fires(vedette: Call, folder: Path) -> None:
    (folder / "audit.log").write_bytes(lines(*(event(number, "ann", **TOKEN) for number in (1, 2, 3))))
    rules = ("--rules", "k8s_audit_rules.yaml", "--rules", "local.yaml", "--rules", "correlation.yaml")
    assert {rule for _, rule in findings(vedette, *rules)} == {"Disallowed K8s User", "Token requests by one person"}


def test_a_correlation_counts_what_falco_reports_of_a_rule_that_is_loaded(vedette: Call, folder: Path) -> None:
    (folder / "shell.yaml").write_text(SHELL)
    over = FILES["correlation.yaml"].replace("Token Requested By A Person", "'falco:Shell'")
    (folder / "over.yaml").write_text(over.replace("user.username", "k8s.pod.name"))
    alert = {"rule": "Shell", "priority": "Notice", "output": "x", "output_fields": {"k8s.pod.name": "cart-0"}}
    times = [f"2026-03-01T00:00:0{at}.000000000Z" for at in range(3)]
    (folder / "falco.log").write_bytes(lines(*(json.dumps(alert | {"time": time}).encode() for time in times)))
    done = vedette(
        *(
            "scan",
            "--no-default-rules",
            "--rules",
            "shell.yaml",
            "--rules",
            "over.yaml",
            "--format",
            "json",
            "falco.log",
        )
    )
    assert [finding["rule"] for finding in done.lines] == ["Token requests by one person"]


def test_what_falco_alone_can_see_is_named_with_the_reason(vedette: Call, folder: Path) -> None:
    (folder / "shell.yaml").write_text(SHELL)
    (folder / "shell.config.yaml").write_text("rules: {packs: [], paths: [shell.yaml]}\n")
    config = vedette("config", "check", "--config", "shell.config.yaml")
    assert (config.status, "shell.yaml: Shell: this rule can never match: events of Falco's source" in config.err) == (
        0,
        True,
    )
    (listed,) = vedette("rules", "list", "--config", "shell.config.yaml", "--format", "json").lines
    assert (listed["rule_id"], "seen by Falco alone" in listed["idle"]) == ("falco:Shell", True)
    checked = vedette("rules", "check", "shell.yaml")
    assert checked.status == 0
    assert checked.out.startswith("shell.yaml:1:3: warning: rule 'Shell': ")


def test_every_priority_has_its_level() -> None:
    row = re.search(r"^\| `priority` \| (.*), the others `(\w+)` \|$", PAGE, re.MULTILINE)
    assert row is not None
    groups = re.findall(r"((?:[A-Z]\w+(?:, | and | are | ))+)`(\w+)`", row[1])
    told = {name: level for names, level in groups for name in re.findall(r"[A-Z]\w+", names)}
    assert {name: told.get(name, row[2]) for name in LEVELS} == {name: level.value for name, level in LEVELS.items()}
