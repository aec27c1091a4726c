"""What Kubernetes' own packages say to the files that an API server reads, and to our checks of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest

from vedette.app.workbench.rules_at_hand import open_shipped

from .audit_policy import level_of
from .go_tools import kube
from .rendered import GOLDEN, PLAIN, PORTS
from .senders import CONNECT, service_name
from .test_audit_policy import POLICY, is_audit

pytestmark = [pytest.mark.server, pytest.mark.timeout(1200)]  # the first run builds it

SETS: Final = (PLAIN.with_name("namespace.yaml"), PLAIN, GOLDEN / "default.yaml", GOLDEN / "full.yaml")
SERVERS: Final = CONNECT / "kube-apiserver"


@pytest.mark.parametrize("file", SETS, ids=lambda file: file.name)
def test_manifests_have_no_unknown_field_and_restricted_admits_them(file: Path) -> None:
    done = kube("manifests", file)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert len(done.stderr.split()) == file.read_text("utf-8").count("\nkind: ") - (
        "ServiceMonitor" in file.read_text()
    )


@pytest.mark.parametrize(
    ("good", "bad", "told"),
    [
        pytest.param("serviceName:", "servisName:", 'unknown field "servisName"', id="unknown field"),
        pytest.param("drop: [ALL]", "drop: [KILL]", "unrestricted capabilities", id="capabilities"),
        pytest.param("runAsNonRoot: true", "runAsNonRoot: false", "runAsNonRoot", id="root"),
    ],
)
def test_what_is_wrong_is_told(good: str, bad: str, told: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(PLAIN.read_text("utf-8").replace(good, bad))
    done = kube("manifests", file)
    assert told in done.stdout + done.stderr.splitlines()[-1]


def test_the_audit_policy_is_read_as_an_api_server_reads_it() -> None:
    checker, rules = open_shipped()
    tests = [test for rule in rules for test in checker.tests(rule)]
    events = [given.event for test in tests for given in test.events if is_audit(given)]
    assert len(events) > 1000
    done = kube("policy", SERVERS / "audit-policy.yaml", text="\n".join(map(json.dumps, events)))
    assert done.returncode == 0, done.stderr
    levels = done.stdout.split()
    assert [level_of(POLICY, event) for event in events] == levels
    assert set(levels) == {"None", "Metadata", "Request", "RequestResponse"}


def test_the_webhook_s_kubeconfig_is_read_as_an_api_server_reads_it(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("")
    (tmp_path / "token").write_text("t")
    text = (SERVERS / "audit-webhook.kubeconfig").read_text("utf-8").replace("/etc/kubernetes/vedette", str(tmp_path))
    (tmp_path / "webhook").write_text(text)
    done = kube("webhook", tmp_path / "webhook")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "host": f"https://10.96.97.65:{PORTS['audit']}/k8s-audit",
        "server_name": service_name("audit"),
        "ca": str(tmp_path / "ca.crt"),
        "token": str(tmp_path / "token"),
    }
