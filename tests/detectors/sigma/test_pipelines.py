"""The pipelines that ship: what public rules find by them, on events as the sources write them."""

from typing import Any

import pytest

from detectors.predicate import atoms
from detectors.rule import RuleText
from detectors.sigma import load_rules
from detectors.sigma.matching import Matcher
from detectors.sigma.pipelines import falco
from vedette.schema.event import LogSource

AUDIT = "product: kubernetes, service: audit"
POD = {"verb": "create", "objectRef": {"resource": "pods"}}


def found(logsource: str, detection: str, event: dict[str, Any], condition: str = "sel") -> bool:
    text = f"title: T\nlogsource: {{{logsource}}}\ndetection:\n  sel: {detection}\n  condition: {condition}\n"
    matcher = Matcher([text], ours=True)
    assert matcher.errors == ()
    hits = matcher.match(event)
    assert hits == matcher.interpret(event)
    return bool(hits)


def pod(**container: Any) -> dict[str, Any]:
    return POD | {"requestObject": {"spec": {"containers": [{"name": "a"}, {"name": "b", **container}]}}}


def exec_(verb: str, subresource: str = "exec") -> dict[str, Any]:
    return {"verb": verb, "objectRef": {"resource": "pods", "subresource": subresource}}


CODE = "{responseStatus.code: ALLOW}"
DECISION = "authorization.k8s.io/decision"
ADDED = pod(securityContext={"capabilities": {"add": ["SYS_ADMIN"]}})
EXEC = "{verb: create, objectRef.resource: pods, objectRef.subresource: exec}"


@pytest.mark.parametrize(
    ("detection", "event", "expected"),
    [
        pytest.param("{apiGroup: apps}", {"objectRef": {"apiGroup": "apps"}}, True, id="group"),
        pytest.param("{apiGroup: apps}", {"objectRef": {"apiGroup": "batch"}}, False, id="other group"),
        pytest.param(
            "{hostPath: '*'}",
            POD | {"requestObject": {"spec": {"volumes": [{"hostPath": {"path": "/"}}]}}},
            True,
            id="hostPath",
        ),
        pytest.param(
            "{hostPath: '*'}",
            {"requestObject": {"spec": {"template": {"spec": {"volumes": [{"hostPath": {"path": "/"}}]}}}}},
            True,
            id="hostPath in a template",
        ),
        pytest.param(
            "{hostPath: '*'}",
            POD | {"requestObject": {"spec": {"volumes": [{"emptyDir": {}}]}}},
            False,
            id="no hostPath",
        ),
        pytest.param("{capabilities: '*'}", ADDED, True, id="capability"),
        pytest.param("{capabilities: '*'}", pod(securityContext={"privileged": True}), True, id="all of them"),
        pytest.param("{capabilities: '*'}", pod(securityContext={"privileged": False}), False, id="not privileged"),
        pytest.param("{capabilities: SYS_ADMIN}", pod(securityContext={"privileged": True}), False, id="one of them"),
        pytest.param(
            "{capabilities: '*'}", pod(securityContext={"capabilities": {"drop": ["ALL"]}}), False, id="dropped"
        ),
        pytest.param(CODE, {"annotations": {DECISION: "allow"}}, True, id="allowed"),
        pytest.param(CODE, {"annotations": {DECISION: "forbid"}}, False, id="forbidden"),
        pytest.param("{responseStatus.code: [403, FORBID]}", {"responseStatus": {"code": 403}}, True, id="code kept"),
        pytest.param(EXEC, exec_("create"), True, id="exec by POST"),
        pytest.param(EXEC, exec_("get"), True, id="exec by WebSocket"),
        pytest.param(EXEC, exec_("get", "log"), False, id="get of another subresource"),
        pytest.param(
            "{verb: create, objectRef.resource: pods}",
            {"verb": "get", "objectRef": {"resource": "pods"}},
            False,
            id="get",
        ),
        pytest.param(
            "[{verb: create, objectRef.subresource: exec}, {verb: create, objectRef.resource: secrets}]",
            {"verb": "get", "objectRef": {"resource": "secrets"}},
            False,
            id="get beside exec",
        ),
    ],
)
def test_public_rules_for_audit_events_are_repaired(detection: str, event: dict[str, Any], expected: bool) -> None:
    assert found(AUDIT, detection, event) is expected


def test_the_verb_may_stand_apart_from_the_subresource() -> None:
    verb, subresource = "{verb: create}", "{objectRef.subresource: exec}"
    text = f"title: T\nlogsource: {{{AUDIT}}}\ndetection: {{v: {verb}, s: {subresource}, condition: v and s}}\n"
    matcher = Matcher([text], ours=True)
    assert matcher.match(exec_("get"))
    assert not matcher.match(exec_("get", "log"))


def test_other_creations_of_a_rule_about_streams_stay() -> None:
    other = "{verb: create, objectRef.resource|exists: true}"
    text = f"title: T\nlogsource: {{{AUDIT}}}\ndetection: {{o: {other}, s: {EXEC}, condition: o or s}}\n"
    (rule,) = Matcher([text], ours=True).rules
    verbs = [atom.value for atom in atoms(rule.predicate) if atom.field == "verb"]
    assert verbs == ["create", "create", "get"]


def test_a_repair_holds_under_not() -> None:
    assert not found(AUDIT, EXEC, exec_("get"), "not sel")
    assert found(AUDIT, EXEC, exec_("get", "log"), "not sel")


def test_rules_of_other_log_sources_are_left_alone() -> None:
    assert found("product: gcp, service: gcp.audit", "{apiGroup: apps}", {"apiGroup": "apps"})


SHELL = {"rule": "r", "proc.exepath": "/usr/bin/bash", "proc.cmdline": "bash -i", "evt.type": "execve"}
CURL = {"rule": "r", "fd.sip": "203.0.113.9", "fd.sport": 4444, "evt.type": "connect", "proc.exepath": "/usr/bin/curl"}
WRITE = {"rule": "r", "fd.name": "/etc/cron.d/x", "evt.type": "openat", "evt.is_open_write": True}


@pytest.mark.parametrize(
    ("category", "detection", "event", "expected"),
    [
        ("process_creation", "{Image|endswith: /bash, CommandLine|contains: -i}", SHELL, True),
        ("process_creation", "{Image|endswith: /bash}", SHELL | {"evt.type": "openat"}, False),
        ("process_creation", "{Image|endswith: /bash}", {"rule": "r", "proc.exepath": "/bin/bash"}, True),
        ("process_creation", "{ParentImage|endswith: /nginx}", SHELL | {"proc.pexepath": "/usr/sbin/nginx"}, True),
        ("process_creation", "{User: root}", SHELL | {"user.name": "root"}, True),
        ("network_connection", "{DestinationIp|cidr: 203.0.113.0/24, DestinationPort: 4444}", CURL, True),
        ("network_connection", "{Initiated: 'true', Image|endswith: /curl}", CURL, True),
        ("network_connection", "{Initiated: true, Image|endswith: /curl}", CURL | {"evt.type": "accept"}, False),
        ("network_connection", "{DestinationHostname|endswith: .example}", CURL | {"fd.sip.name": "c2.example"}, True),
        ("file_event", "{TargetFilename|startswith: /etc/cron.d/}", WRITE, True),
        ("file_event", "{TargetFilename|startswith: /etc/cron.d/}", WRITE | {"evt.is_open_write": False}, False),
        ("file_event", "{TargetFilename|startswith: /etc/}", {"evt.type": "rename", "fs.path.target": "/etc/x"}, True),
        ("dns_query", "{QueryName|endswith: .example}", {"evt.type": "sendto", "fd.sip.name": "a.example"}, True),
    ],
)
def test_rules_about_linux_run_on_falco_alerts(
    category: str, detection: str, event: dict[str, Any], expected: bool
) -> None:
    assert found(f"product: linux, category: {category}", detection, event) is expected


@pytest.mark.parametrize("category", sorted(falco.CATEGORIES))
@pytest.mark.parametrize("product", ["product: linux, ", ""])
def test_their_log_source_is_falcos(category: str, product: str) -> None:
    text = f"title: T\nlogsource: {{{product}category: {category}}}\ndetection: {{s: {{Image: x}}, condition: s}}\n"
    assert [rule.logsource for rule in load_rules([RuleText("r", text, "")]).rules] == [LogSource("falco", "syscall")]


@pytest.mark.parametrize(
    "logsource", ["product: windows, category: process_creation", "product: linux, service: auditd", "product: linux"]
)
def test_other_rules_keep_theirs(logsource: str) -> None:
    text = f"title: T\nlogsource: {{{logsource}}}\ndetection: {{s: {{Image: x}}, condition: s}}\n"
    (rule,) = load_rules([RuleText("r", text, "")]).rules
    assert rule.logsource.product != "falco"


@pytest.mark.parametrize("field", ["Image: /bin/x", "proc.exepath: /bin/x"], ids=["Sigma's name", "Falco's name"])
def test_filters_of_either_log_source_apply(field: str) -> None:
    source = "logsource: {product: linux, category: process_creation}"
    rule = f"title: T\nid: t\n{source}\ndetection: {{s: {{User: root}}, condition: s}}\n"
    product = "linux" if field.startswith("Image") else "falco"
    exception = (
        f"title: F\nlogsource: {{product: {product}}}\nfilter: {{rules: [t], x: {{{field}}}, condition: not x}}\n"
    )
    matcher = Matcher([rule, exception], ours=True)
    assert matcher.errors == ()
    assert matcher.match({"user.name": "root", "proc.exepath": "/bin/y"})
    assert not matcher.match({"user.name": "root", "proc.exepath": "/bin/x"})
