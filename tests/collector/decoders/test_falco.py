"""Falco alerts: shapes, levels, health, losses and facts."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.decoders import DECODERS
from collector.decoders._common import falco_facts
from vedette.schema.errors import DecodeError
from vedette.schema.event import Facts, LogSource, Loss, Nature
from vedette.schema.level import Level
from vedette.schema.limits import TEXT_CHARS_MAX
from vedette.schema.rule import RuleInfo

FALCO = DECODERS["falco"]

FIELDS: dict[str, Any] = {
    "container.id": "3f2b1c4d5e6f",
    "container.image.repository": "docker.io/library/nginx",
    "container.image.tag": "1.25",
    "container.name": "web",
    "evt.time": 1739178940698757123,
    "evt.type": "execve",
    "k8s.ns.name": "shop",
    "k8s.pod.name": "web-0",
    "proc.cmdline": "bash -i",
    "proc.name": "bash",
    "user.name": "root",
}
ALERT: dict[str, Any] = {
    "hostname": "node-1",
    "output": "09:15:40.698757123: Notice A shell",
    "output_fields": FIELDS,
    "priority": "Notice",
    "rule": "Terminal shell in container",
    "source": "syscall",
    "tags": ["T1059", "container", "mitre_execution"],
    "time": "2025-02-10T09:15:40.698757123Z",
}
TIME_NS = 1739178940698757123


def alert(**changes: Any) -> dict[str, Any]:
    """The alert with some keys replaced; None removes one."""
    return {key: value for key, value in (ALERT | changes).items() if value is not None}


def decoded(**changes: Any) -> dict[str, Any]:
    return FALCO.decode(json.dumps(alert(**changes)).encode(), "")


def facts(source: str = "syscall", **fields: Any) -> Facts:
    return FALCO.facts(decoded(source=source, output_fields=fields))


def test_fields_stand_beside_the_alerts_own_keys() -> None:
    doc = decoded()
    assert doc == ALERT | FIELDS
    assert FALCO.head_fields is None


def test_space_around_an_alert_is_nothing() -> None:
    assert FALCO.decode(b' \t{"rule":"x"}\r\n', "") == {"rule": "x"}


def test_the_alerts_own_keys_win() -> None:
    doc = decoded(output_fields={"rule": "forged", "priority": "Debug", "x": 1})
    assert (doc["rule"], doc["priority"], doc["x"]) == (ALERT["rule"], "Notice", 1)


def test_log_sources() -> None:
    assert FALCO.logsources[0] == LogSource("falco")
    assert {source.service for source in FALCO.logsources} == {None, "syscall", "k8s_audit"}


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        pytest.param(b"16:17:57.881781397: Warning An open was seen", 'set "json_output: true"', id="text output"),
        pytest.param(b'{"output":"x"}', "^no Falco rule", id="no rule"),
        pytest.param(b'{"rule":""}', "^no Falco rule", id="empty rule"),
        pytest.param(b'{"rule":7}', "^no Falco rule", id="rule of another type"),
        pytest.param(b'{"rule":"x"', "^invalid JSON", id="cut off"),
        pytest.param(b'["rule"]', "^not a JSON object", id="array"),
        pytest.param(b'{"rule":"\xff"}', "^invalid UTF-8", id="not UTF-8"),
    ],
)
def test_refusals(payload: bytes, message: str) -> None:
    with pytest.raises(DecodeError, match=message):
        FALCO.decode(payload, "")


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"output_fields": None}, id="no fields"),
        pytest.param({"output_fields": [1]}, id="fields are a list"),
        pytest.param({"priority": {"a": 1}}, id="priority is an object"),
        pytest.param({"priority": 4}, id="priority is a number"),
        pytest.param({"tags": "T1059"}, id="tags are a string"),
        pytest.param({"tags": [{"a": 1}, None, "T1059"]}, id="inside tags"),
        pytest.param({"source": 7}, id="source"),
        pytest.param({"time": 7, "hostname": []}, id="time and hostname"),
    ],
)
def test_ill_typed_keys_are_tolerated(changes: dict[str, Any]) -> None:
    doc = decoded(**changes)
    finding = FALCO.finding(doc)
    assert finding is not None
    assert finding.level is (Level.MEDIUM if "priority" in changes else Level.LOW)
    assert FALCO.nature(doc) is Nature.EVENT
    assert isinstance(FALCO.facts(doc), Facts)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, TIME_NS, id="time"),
        pytest.param({"time": None}, TIME_NS, id="evt.time"),
        pytest.param({"time": "x", "output_fields": {"evt.time": str(TIME_NS)}}, TIME_NS, id="evt.time as a string"),
        pytest.param({"time": None, "output_fields": {"evt.time.iso8601": TIME_NS}}, TIME_NS, id="evt.time.iso8601"),
        pytest.param(
            {"time": None, "output_fields": {"evt.time.iso8601": "2025-02-10T09:15:40.698757123+0000"}},
            TIME_NS,
            id="evt.time.iso8601 as a timestamp",
        ),
        pytest.param({"time": None, "output_fields": {"evt.time": "09:15:40.698757123"}}, 0, id="a clock time is none"),
        pytest.param({"time": None, "output_fields": {"evt.time": -1}}, 0, id="negative"),
        pytest.param({"time": None, "output_fields": {"evt.time": 1e300}}, 0, id="float"),
    ],
)
def test_time(changes: dict[str, Any], expected: int) -> None:
    assert FALCO.time_ns(decoded(**changes)) == expected


@pytest.mark.parametrize(
    ("priority", "level"),
    [
        ("Emergency", Level.CRITICAL),
        ("Alert", Level.CRITICAL),
        ("CRITICAL", Level.CRITICAL),
        ("error", Level.HIGH),
        ("Warning", Level.MEDIUM),
        ("Notice", Level.LOW),
        ("Informational", Level.INFORMATIONAL),
        ("Debug", Level.INFORMATIONAL),
        ("unheard of", Level.MEDIUM),
    ],
)
def test_levels(priority: str, level: Level) -> None:
    finding = FALCO.finding(decoded(priority=priority))
    assert finding is not None
    assert finding.level is level


def test_finding() -> None:
    assert FALCO.finding(decoded(tags=["container", "t1059.004", "T1611", "TA0002", "mitre_execution"])) == RuleInfo(
        rule_id="falco:Terminal shell in container",
        title="Terminal shell in container",
        level=Level.LOW,
        attack=("T1059.004", "T1611"),
        tags=("container", "t1059.004", "T1611", "TA0002", "mitre_execution"),
    )


def test_a_finding_is_made_once_and_a_hostile_one_bounded() -> None:
    assert FALCO.finding(decoded()) is FALCO.finding(decoded())
    hostile = FALCO.finding(decoded(rule="r" * 10**6, tags=["t" * 10**4] * 100))
    assert hostile is not None
    assert len(hostile.title) == TEXT_CHARS_MAX
    assert len(hostile.tags) <= 32


@pytest.mark.parametrize(
    ("changes", "nature"),
    [
        pytest.param({"source": "internal"}, Nature.HEALTH, id="internal"),
        pytest.param({"source": None, "rule": "Falco internal: syscall event drop"}, Nature.HEALTH, id="old version"),
        pytest.param({"source": None}, Nature.EVENT, id="old version, an alert"),
        pytest.param(
            {"source": "syscall", "rule": "Falco internal: x"}, Nature.EVENT, id="a rule that borrows the name"
        ),
    ],
)
def test_nature(changes: dict[str, Any], nature: Nature) -> None:
    doc = decoded(**changes)
    assert FALCO.nature(doc) is nature
    assert (FALCO.finding(doc) is None) is (nature is Nature.HEALTH)


@pytest.mark.parametrize(
    ("dropped", "lost"),
    [
        pytest.param("815508", 815508, id="string"),
        pytest.param(815508, 815508, id="number"),
        pytest.param(0, 0, id="none"),
        pytest.param("0", 0, id="none as a string"),
        pytest.param(None, 1, id="not said"),
        pytest.param("many", 1, id="no number"),
        pytest.param(-5, 1, id="negative"),
        pytest.param(2**63, 1, id="no count"),
        pytest.param([7], 1, id="list"),
    ],
)
def test_losses(dropped: Any, lost: int) -> None:
    drop = {"source": "internal", "rule": "Falco internal: syscall event drop"}
    expected = (Loss("falco_drops", lost),) if lost else ()
    assert FALCO.losses(decoded(**drop, output_fields={"n_drops": dropped, "n_evts": "9"})) == expected


def test_a_snapshot_of_metrics_is_no_loss() -> None:
    snapshot = decoded(source="internal", rule="Falco internal: metrics snapshot", output_fields={"scap.n_drops": 7})
    assert FALCO.losses(snapshot) == FALCO.losses(decoded(output_fields={"n_drops": 7})) == ()


def test_ids() -> None:
    assert FALCO.event_ids(decoded()) == ()
    assert FALCO.event_ids(decoded(uuid="d1b2")) == ("d1b2",)


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        pytest.param({"uuid": "d1b2"}, True, id="falcosidekick's uuid"),
        pytest.param({"tags": [], "priority": "Debug"}, True, id="what a configuration changes"),
        pytest.param({"time": "2025-02-10T09:15:40.698757124Z"}, False, id="a nanosecond later"),
        pytest.param({"hostname": "node-2"}, False, id="another host"),
        pytest.param({"output_fields": FIELDS | {"proc.cmdline": "bash"}}, False, id="another command"),
    ],
)
def test_uid(changes: dict[str, Any], same: bool) -> None:
    assert (FALCO.uid(b"1", decoded()) == FALCO.uid(b"2", decoded(**changes))) is same


def test_facts_of_a_system_call() -> None:
    assert FALCO.facts(decoded()) == Facts(
        actor="root",
        action="execve",
        namespace="shop",
        pod="web-0",
        container="web",
        container_id="3f2b1c4d5e6f",
        images=("docker.io/library/nginx:1.25",),
        node="node-1",
        process="bash",
        command="bash -i",
    )


def test_facts_of_an_audit_alert() -> None:
    fields = {
        "ka.user.name": "alice",
        "ka.impuser.name": "system:admin",
        "ka.user.groups": "(dev,ops)",
        "ka.useragent": "kubectl",
        "ka.verb": "create",
        "ka.response.code": "201",
        "ka.target.resource": "pods",
        "ka.target.subresource": "exec",
        "ka.target.namespace": "shop",
        "ka.target.name": "web-0",
        "ka.uri.param[command]": "sh",
        "ka.sourceips": ["127.0.0.1", "10.0.0.1"],
        "ka.req.pod.containers.image": ["nginx", "redis"],
    }
    assert facts("k8s_audit", **fields) == Facts(
        actor="system:admin",
        actor_real="alice",
        groups=("dev", "ops"),
        user_agent="kubectl",
        action="create",
        outcome="allow",
        status_code=201,
        resource="pods/exec",
        namespace="shop",
        name="web-0",
        images=("nginx", "redis"),
        command="sh",
        sources=("127.0.0.1", "10.0.0.1"),
    )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param(
            {"container.id": "host", "container.name": "host"}, {"container_id": "", "container": ""}, id="host"
        ),
        pytest.param(
            {"container.id": "host", "k8s.pod.name": None},
            {"incomplete": (), "pod": ""},
            id="a host process has no pod",
        ),
        pytest.param({"container.id": "3f2b", "k8s.pod.name": None}, {"incomplete": ("unresolved",)}, id="null pod"),
        pytest.param({"container.id": "3f2b", "k8s.ns.name": "<NA>"}, {"incomplete": ("unresolved",)}, id="<NA>"),
        pytest.param({"container.id": "3f2b"}, {"incomplete": ()}, id="not printed is not unknown"),
        pytest.param({"user.name": "<NA>", "user.loginname": "bob"}, {"actor": "bob"}, id="<NA> is no name"),
        pytest.param(
            {"k8s.deployment.name": "web"}, {"workload_kind": "Deployment", "workload": "web"}, id="deployment"
        ),
        pytest.param({"k8smeta.rs.name": "web-7"}, {"workload_kind": "ReplicaSet", "workload": "web-7"}, id="k8smeta"),
        pytest.param(
            {"fd.name": "10.0.0.1:4444->203.0.113.9:443", "fd.l4proto": "tcp"},
            {
                "sources": ("10.0.0.1",),
                "source_port": 4444,
                "destinations": ("203.0.113.9",),
                "destination_port": 443,
                "protocol": "tcp",
            },
            id="connection",
        ),
        pytest.param(
            {"fd.name": "::1:4444->2001:db8::9:443"},
            {"sources": ("::1",), "source_port": 4444, "destinations": ("2001:db8::9",), "destination_port": 443},
            id="IPv6",
        ),
        pytest.param(
            {"fd.cip": "10.0.0.1", "fd.cport": 4444, "fd.sip": "10.0.0.2", "fd.sport": "80"},
            {"sources": ("10.0.0.1",), "source_port": 4444, "destinations": ("10.0.0.2",), "destination_port": 80},
            id="client and server",
        ),
        pytest.param({"fd.name": "/etc/shadow"}, {"sources": (), "destinations": ()}, id="a file"),
        pytest.param({"fd.name": "1.1.1.1:99999->1.1.1.2:1"}, {"source_port": 0, "destination_port": 1}, id="no port"),
        pytest.param({"evt.res": "SUCCESS"}, {"outcome": "success"}, id="success"),
        pytest.param({"evt.res": "ENOENT"}, {"outcome": "failure"}, id="error"),
        pytest.param({"evt.rawres": -13}, {"outcome": "failure"}, id="raw error"),
        pytest.param({"evt.rawres": 3}, {"outcome": "success"}, id="raw success"),
        pytest.param({"ka.response.code": 403}, {"outcome": "deny", "status_code": 403}, id="forbidden"),
        pytest.param({"ka.auth.decision": "forbid"}, {"outcome": "deny"}, id="decision"),
        pytest.param({"ka.response.code": 409}, {"outcome": "failure"}, id="conflict"),
        pytest.param({"container.image": "nginx@sha256:1"}, {"images": ("nginx@sha256:1",)}, id="whole image"),
        pytest.param(
            {"container.image.repository": "nginx", "container.image.digest": "sha256:1"},
            {"images": ("nginx@sha256:1",)},
            id="image with digest",
        ),
    ],
)
def test_facts(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    found = facts(**fields)
    assert {name: getattr(found, name) for name in expected} == expected


SAID: st.SearchStrategy[Any] = st.sampled_from(
    ["", "<NA>", "x", "host", "y" * 2000, None, 3, ["a", "<NA>"], {}, "1.1.1.1:1->1.1.1.2:2", 403]
)
NAMES = sorted(
    {*FIELDS, "hostname", "fd.name", "fd.sip", "ka.user.name", "ka.impuser.name", "ka.response.code", "k8smeta.rs.name"}
)


@given(names=st.lists(st.sampled_from(NAMES), unique=True), data=st.data())
def test_facts_do_not_depend_on_alerts_before(names: list[str], data: st.DataObject) -> None:
    before, doc = ({name: data.draw(SAID) for name in names} for _ in range(2))
    falco_facts._shapes.clear()
    alone = FALCO.facts(doc)
    falco_facts._shapes.clear()
    FALCO.facts(before)
    assert FALCO.facts(doc) == alone
    assert list(falco_facts._shapes) == [tuple(doc)]


def test_shapes_that_anybody_may_send_are_forgotten() -> None:
    falco_facts._shapes.clear()
    assert FALCO.facts({**ALERT, **FIELDS, **{f"x{number}": 1 for number in range(100)}}).process == "bash"
    assert FALCO.facts({"x" * 5000: 1, **FIELDS}).process == "bash"
    assert not falco_facts._shapes
    for number in range(2000):
        assert FALCO.facts({f"x{number}": 1, **FIELDS}).process == "bash"
    assert len(falco_facts._shapes) <= falco_facts._SHAPES_MAX


def test_the_host_of_a_plugin_is_no_node() -> None:
    assert facts("k8s_audit").node == facts("aws_cloudtrail").node == ""
    assert facts("syscall").node == facts("syscalls").node == "node-1"
