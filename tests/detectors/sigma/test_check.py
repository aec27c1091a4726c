"""Problems of rule files: errors and warnings with their places."""

import pytest

from collector.decoders import DECODERS
from collector.decoders.vpc_flow import FIELDS
from detectors import loading
from detectors.packs import shipped_pack_texts
from detectors.rule import RuleText
from detectors.sigma import load_rules
from detectors.sigma.check import Problem, Severity
from detectors.sigma.dead import why_dead
from detectors.sigma.taxonomy import TAXONOMIES

PROVIDED = [source for decoder in DECODERS.values() for source in decoder.logsources]
RULE = """\
title: T
id: t
logsource: {product: kubernetes, service: audit}
detection:
  selection:
    verb: create
    user.username: x
  condition: selection
"""


def problems(text: str) -> list[Problem]:
    return loading.check_rules([RuleText("r.yml", text, "")], PROVIDED, "2026-11-21")


def test_a_good_rule_has_none() -> None:
    assert problems(RULE) == []


def test_the_shipped_packs_have_none() -> None:
    assert loading.check_rules(shipped_pack_texts(), PROVIDED) == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("title: T", "title: 5", ["r.yml:1:8: error: Sigma rule title must be a string"]),
        ("id: t\n", "", ["r.yml:1:1: warning: the rule has no id; its title takes that place, and may not change"]),
        (
            "product: kubernetes, service: audit",
            "product: windows",
            ["r.yml:3:1: warning: no source provides events of this log source"],
        ),
        (
            "user.username",
            "user.name",
            [
                "r.yml:7:5: warning: Kubernetes audit events have no field 'user.name'",
                "r.yml:8:3: warning: the rule can't match: its condition is never true",
            ],
        ),
        (
            "verb: create",
            "verb: [create, replace]",
            ["r.yml:6:5: warning: verb is never 'replace': in Kubernetes audit events it is one of connect, create,"],
        ),
        ("verb: create", "verb|re: ^cre", []),
        ("verb: create", "verb|startswith: del", []),
        (
            "verb: create",
            "responseStatus.code: DENY",
            [
                "r.yml:6:5: warning: responseStatus.code is never 'DENY': in Kubernetes audit events it is an integer",
                "r.yml:8",
            ],
        ),
        ("verb: create", "responseStatus.code|startswith: 4", []),
        ("verb: create", "requestObject.spec.anything: x", []),
        (
            "condition: selection",
            "condition: not selection",
            [],
        ),
        (
            "user.username: x\n  condition: selection",
            "nope: x\n  condition: not selection",
            [
                "r.yml:7:5: warning: Kubernetes audit events have no field 'nope'",
                "r.yml:8:3: warning: the rule matches every event",
            ],
        ),
    ],
)
def test_problems_have_places(old: str, new: str, expected: list[str]) -> None:
    assert old in RULE
    found = [str(problem) for problem in problems(RULE.replace(old, new))]
    assert len(found) == len(expected)
    for problem, words in zip(found, expected, strict=True):
        assert problem.startswith(words)


def test_all_errors_are_told_in_order() -> None:
    broken = RULE.replace("title: T", "title: 5").replace("verb:", "verb|nope:").replace("id: t", "id: 5")
    found = problems(f"{broken}---\n{RULE}---\n{RULE}---\n[")
    assert [problem.severity for problem in found] == [Severity.ERROR] * 5
    assert [problem.line for problem in found] == [1, 2, 6, 20, 29]


def test_a_dead_rule_says_why() -> None:
    (rule,) = load_rules([RuleText("r", RULE.replace("user.username", "containers"), "")]).rules
    assert why_dead(rule) == "Kubernetes audit events have no field 'containers'"
    (alive,) = load_rules([RuleText("r", RULE, "")]).rules
    assert why_dead(alive) == ""


def test_a_field_is_asked_by_the_name_that_events_have() -> None:
    text = RULE.replace("product: kubernetes, service: audit", "product: linux, category: process_creation")
    found = [str(problem) for problem in problems(text.replace("user.username", "Hashes").replace("verb", "Image"))]
    assert found[0] == "r.yml:7:5: warning: Falco alerts have no field 'Hashes'"


def test_taxonomies_are_those_of_the_decoders() -> None:
    """Every log source has one, and it knows every field that a decoder can tell of."""
    assert {source for taxonomy in TAXONOMIES for source in taxonomy.logsources} == set(PROVIDED)
    audit, _, flow, _ = TAXONOMIES
    assert all(map(flow.carries, FIELDS))
    assert all(audit.carries(field) for field in DECODERS["kube_audit"].head_fields or ())


HUBBLE_RULE = """\
title: T
id: t
logsource: {product: cilium, service: hubble}
detection: {selection: {verdict: DROPPED}, condition: selection}
level: low
"""


@pytest.mark.parametrize(
    "asked",
    [
        "{source.pod_name|startswith: api-, destination.labels: 'reserved:world', is_reply: false}",
        "{l4.TCP.destination_port: 22, l4.TCP.flags.SYN: true, l4.ICMPv6.type: 1, IP.source|cidr: 10.0.0.0/8}",
        "{l7.dns.query|endswith: .example., l7.http.headers.key: Host, destination_names|contains: x}",
        "{source.workloads.kind: Deployment, connection|startswith: 'udp ', event_type.sub_type|gte: 130}",
        "{trace_observation_point: TO_OVERLAY, drop_reason_desc: POLICY_DENIED, traffic_direction: EGRESS}",
        "{egress_denied_by.name: p, destination_service.namespace: n, cgroup_id|exists: true, node_labels: a=b}",
    ],
)
def test_fields_of_flows_are_known(asked: str) -> None:
    assert problems(HUBBLE_RULE.replace("{verdict: DROPPED}", asked)) == []


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("{flow.verdict: DROPPED}", "warning: Hubble flows have no field 'flow.verdict'"),
        ("{source.pod: x}", "warning: Hubble flows have no field 'source.pod'"),
        ("{l4.tcp.destination_port: 22}", "warning: Hubble flows have no field 'l4.tcp.destination_port'"),
        ("{verdict: denied}", "warning: verdict is never 'denied': in Hubble flows it is one of AUDIT, DROPPED"),
        (
            "{l4.TCP.destination_port: ssh}",
            "warning: l4.TCP.destination_port is never 'ssh': in Hubble flows it is an integer",
        ),
    ],
)
def test_what_flows_do_not_have_is_told(asked: str, expected: str) -> None:
    found = [str(problem) for problem in problems(HUBBLE_RULE.replace("{verdict: DROPPED}", asked))]
    assert found
    assert expected in found[0]


EXCEPTION = (
    "---\ntitle: F\nfilter: {rules: any, x: {verb: get}, condition: not x}\nvedette: {owner: me, expires: 2026-11-20}\n"
)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("2026-11-20", "2026-11-21", []),
        ("2026-11-20", "2026-11-20", ["r.yml:12:22: warning: the exception expired on 2026-11-20"]),
        ("2026-11-20", "soon", ["r.yml:12:31: error: 'soon' is no date; write 2026-12-31"]),
        ("2026-11-20", "2026-02-30", ["r.yml:12:31: error: '2026-02-30' is no date"]),
        ("owner: me", "owner: [me]", ["r.yml:12:18: error: owner must be a text"]),
        ("owner", "woner", ["r.yml:12:11: error: unknown key 'woner'; did you mean 'owner'?"]),
    ],
)
def test_exceptions_say_who_answers_and_until_when(old: str, new: str, expected: list[str]) -> None:
    found = [str(problem) for problem in problems(RULE + EXCEPTION.replace(old, new))]
    assert len(found) == len(expected)
    assert all(problem.startswith(words) for problem, words in zip(found, expected, strict=True))
