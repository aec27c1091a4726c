"""Roles and policies out of what was learned: what they say, what they allow, what they would have blocked."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import yaml

from vedette.app.least_privilege.dry_run import BLOCKED_MAX, dry_run
from vedette.app.least_privilege.learned import Basis, Call, Peer, comment, object_name
from vedette.app.least_privilege.network_policy import NetworkPolicy, Workload
from vedette.app.least_privilege.rbac import Account, Rbac, account_of
from vedette.schema.errors import ConfigError
from vedette.schema.limits import SECOND_NS
from vedette.schema.observation import Observation

DAY_NS = 86_400 * SECOND_NS
START_NS = 1_767_225_600 * SECOND_NS
BASIS = Basis("the service account shop/cart", "proposed", START_NS, START_NS + 7 * DAY_NS, 4, full=True)
CALLS = (
    Call("get", "", "configmaps", "shop"),
    Call("list", "", "configmaps", "shop"),
    Call("get", "", "secrets", "shop"),
    Call("list", "", "secrets", "shop"),
    Call("create", "", "pods/exec", "shop"),
    Call("update", "coordination.k8s.io", "leases", "shop"),
    Call("watch", "", "nodes", ""),
    Call("get", "", "/healthz", ""),
)
ROLE = Rbac(Account("shop", "cart"), CALLS)
PEERS = (
    Peer("egress", "tcp", "data/postgres", 5432),
    Peer("egress", "tcp", "198.51.100.0/24", 443),
    Peer("ingress", "tcp", "shop/web", 8080),
    Peer("ingress", "tcp", "shop/web", 9090),
)
POLICY = NetworkPolicy(Workload("shop", "cart"), PEERS)


def call(**values: Any) -> Observation:
    told = {"kind": "call", "time_ns": START_NS, "actor": "system:serviceaccount:shop:cart", "outcome": "allow"}
    return msgspec.convert(told | values, Observation)


def connection(**values: Any) -> Observation:
    told = {"kind": "connection", "time_ns": START_NS, "namespace": "shop", "workload": "cart", "protocol": "tcp"}
    return msgspec.convert(told | values, Observation)


def test_a_role_says_what_was_seen_and_no_more() -> None:
    role, binding, cluster_role, cluster_binding = yaml.safe_load_all(ROLE.text(BASIS))
    assert (role["kind"], role["metadata"]["namespace"]) == ("Role", "shop")
    assert role["rules"] == [
        {"apiGroups": [""], "resources": ["configmaps", "secrets"], "verbs": ["get", "list"]},
        {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create"]},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["update"]},
    ]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "cart", "namespace": "shop"}]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert cluster_role["kind"] == "ClusterRole"
    assert cluster_role["rules"] == [
        {"nonResourceURLs": ["/healthz"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["nodes"], "verbs": ["watch"]},
    ]
    assert cluster_binding["roleRef"] == {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "ClusterRole",
        "name": cluster_role["metadata"]["name"],
    }


def test_a_role_tells_what_it_was_learned_from() -> None:
    head = ROLE.text(BASIS, ["Dry run"]).splitlines()[:3]
    assert head == [
        "# Made by Vedette of the profile of the service account shop/cart, which is proposed:",
        "# 4 values, seen from 2026-01-01 00:00Z to 2026-01-08 00:00Z (168 hours).",
        "# Dry run",
    ]
    partial = BASIS._replace(full=False, state="learning")
    assert "partial" in ROLE.text(partial)
    assert "still learning" in ROLE.text(partial)


@pytest.mark.parametrize(
    "seen", [call(**one._asdict()) for one in CALLS], ids=lambda seen: f"{seen.verb} {seen.resource}"
)
def test_what_was_learned_is_allowed(seen: Observation) -> None:
    assert ROLE.concerns(seen)
    assert ROLE.allows(seen)


def test_a_dry_run_tells_what_would_have_been_blocked() -> None:
    log = [
        *(call(**one._asdict()) for one in CALLS),
        *[call(verb="delete", resource="pods", namespace="shop", time_ns=START_NS + DAY_NS)] * 3,
        call(verb="list", resource="secrets", namespace="pay", api_group="x"),
        call(verb="list", resource="pods", namespace="shop", outcome="deny"),
        call(verb="list", resource="pods", namespace="shop", actor="system:serviceaccount:shop:other"),
    ]
    found = dry_run(ROLE, log)
    assert found.looked_at == len(CALLS) + 4
    assert [(one.what, one.times) for one in found.blocked] == [
        ("delete pods in shop", 3),
        ("list secrets (x) in pay", 1),
    ]
    assert found.sentences() == [
        "Dry run over the archive from 2026-01-01 00:00Z to 2026-01-02 00:00Z: 4 of 12 would have been blocked.",
        "  3 times delete pods in shop, last 2026-01-02 00:00Z",
        "  1 times list secrets (x) in pay, last 2026-01-01 00:00Z",
    ]


def test_a_dry_run_is_bounded_and_counts_the_rest() -> None:
    log = [call(verb="get", resource=f"r{number}", namespace="shop") for number in range(BLOCKED_MAX + 5)]
    found = dry_run(ROLE, log)
    assert (len(found.blocked), found.others) == (BLOCKED_MAX, 5)
    assert f"{BLOCKED_MAX + 5} of {BLOCKED_MAX + 5}" in found.sentences()[0]


def test_nothing_in_the_archive_is_said() -> None:
    assert dry_run(POLICY, []).sentences() == ["Dry run: nothing of it is in the archive."]


def test_a_policy_says_what_was_seen_and_no_more() -> None:
    policy = yaml.safe_load(POLICY.text(BASIS))
    assert policy["metadata"] == {"name": "cart-observed", "namespace": "shop"}
    spec = policy["spec"]
    assert spec["podSelector"] == {"matchLabels": {"app": "cart"}}
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    web = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "shop"}},
        "podSelector": {"matchLabels": {"app": "web"}},
    }
    assert spec["ingress"] == [
        {"from": [web], "ports": [{"protocol": "TCP", "port": 8080}, {"protocol": "TCP", "port": 9090}]}
    ]
    dns, outside, postgres = spec["egress"]
    assert dns == {"ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]}
    assert outside == {"to": [{"ipBlock": {"cidr": "198.51.100.0/24"}}], "ports": [{"protocol": "TCP", "port": 443}]}
    assert postgres["to"][0]["podSelector"] == {"matchLabels": {"app": "postgres"}}


WEB = {"namespace": "shop", "workload": "web", "peer_namespace": "shop", "peer_workload": "cart"}


@pytest.mark.parametrize(
    ("seen", "concerned", "allowed"),
    [
        pytest.param(
            {"peer_namespace": "data", "peer_workload": "postgres", "port": 5432}, True, True, id="its database"
        ),
        pytest.param(
            {"peer_namespace": "data", "peer_workload": "postgres", "port": 22}, True, False, id="another port"
        ),
        pytest.param({"peer_namespace": "data", "peer_workload": "mysql", "port": 5432}, True, False, id="another one"),
        pytest.param({"peer": "198.51.100.77", "port": 443}, True, True, id="its vendor"),
        pytest.param({"peer": "203.0.113.7", "port": 443}, True, False, id="somebody outside"),
        pytest.param({"peer": "10.0.0.9", "port": 443}, False, False, id="nobody knows who that is"),
        pytest.param({"peer": "8.8.8.8", "port": 53, "protocol": "udp"}, True, True, id="name resolution"),
        pytest.param(WEB | {"port": 8080}, True, True, id="its client"),
        pytest.param(WEB | {"port": 22}, True, False, id="its client on another port"),
        pytest.param(WEB | {"workload": "other", "port": 8080}, True, False, id="another client"),
        pytest.param({"peer": "203.0.113.7", "port": 443, "outcome": "deny"}, False, False, id="turned away already"),
        pytest.param({"workload": "web", "peer": "203.0.113.7", "port": 443}, False, False, id="another workload"),
    ],
)
def test_what_a_policy_lets_through(seen: dict[str, Any], *, concerned: bool, allowed: bool) -> None:
    one = connection(**seen)
    assert POLICY.concerns(one) is concerned
    if concerned:
        assert POLICY.allows(one) is allowed


@pytest.mark.parametrize(
    ("text", "account"),
    [
        ("system:serviceaccount:shop:cart", Account("shop", "cart")),
        ("shop/cart", Account("shop", "cart")),
        ("ann", None),
        ("system:serviceaccount:shop", None),
        ("shop/", None),
        ("Shop/cart", None),
        ("shop/x\n- verbs: ['*']", None),
    ],
)
def test_accounts(text: str, account: Account | None) -> None:
    if account is not None:
        assert account_of(text) == account
        return
    with pytest.raises(ConfigError):
        account_of(text)


def test_names_that_kubernetes_has_not_are_refused() -> None:
    hostile = Peer("egress", "tcp", "data/evil\n  - x: y", 1)
    with pytest.raises(ConfigError, match="can't be the name of a workload"):
        NetworkPolicy(Workload("shop", "cart"), [hostile]).object()
    with pytest.raises(ConfigError, match="can't be the name of a namespace"):
        Rbac(Account("shop", "cart"), [Call("get", "", "pods", "a b")]).objects()


def test_comments_stay_comments_and_yaml_stays_data() -> None:
    assert comment(["a\nkind: Pod\x1b[31m"]).count("\n") == 1
    role = Rbac(Account("shop", "cart"), [Call("get", "", "x: [y]\n- z", "shop")])
    assert next(yaml.safe_load_all(role.text(BASIS)))["rules"][0]["resources"] == ["x: [y]\n- z"]


def test_names_of_objects_are_names() -> None:
    assert object_name("cart", "shop", "observed") == "cart-shop-observed"
    assert object_name("CART_x" * 100, "observed")[:6] == "cart-x"
    assert len(object_name("x" * 300, "observed")) <= 253
