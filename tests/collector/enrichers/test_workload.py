"""Owners read from names, as Kubernetes' controllers generate them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.enrichers.workload import Workload, likely_owner, workload_of
from vedette.schema.event import Facts


@pytest.mark.parametrize(
    ("pod", "node", "expected"),
    [
        pytest.param("shop-web0-7c899995d5-rqhfk", "", ("Deployment", "shop-web0"), id="deployment"),
        pytest.param("web-77d4f8c5b-x2z9k", "", ("Deployment", "web"), id="shorter hash"),
        pytest.param("db-0", "", ("StatefulSet", "db"), id="stateful set"),
        pytest.param("my-db-12", "", ("StatefulSet", "my-db"), id="higher ordinal"),
        pytest.param("kube-proxy-x7k2p", "", ("", "kube-proxy"), id="daemon set, or one of others"),
        pytest.param("nightly-29384756-x7k2p", "", ("CronJob", "nightly"), id="cron job"),
        pytest.param("kube-apiserver-control-plane-1", "control-plane-1", ("Pod", "kube-apiserver"), id="static pod"),
        pytest.param(
            "kube-apiserver-control-plane-1", "", ("StatefulSet", "kube-apiserver-control-plane"), id="no node"
        ),
        pytest.param("alpine", "", None, id="bare pod"),
        pytest.param("web-hello", "", None, id="vowels are never generated"),
        pytest.param("db-01", "", None, id="ordinals have no leading zero"),
        pytest.param("-0", "", None, id="no name"),
        pytest.param("web-7c899995d5-rqhfk\n", "", None, id="line end"),
        pytest.param("", "", None, id="nothing"),
        pytest.param("a" * 5000 + "-0", "", None, id="too long"),
    ],
)
def test_likely_owner(pod: str, node: str, expected: tuple[str, str] | None) -> None:
    assert likely_owner(pod, node) == (Workload(*expected, inferred=True) if expected else None)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        pytest.param(Facts(workload_kind="DaemonSet", workload="proxy"), Workload("DaemonSet", "proxy"), id="known"),
        pytest.param(
            Facts(workload_kind="ReplicaSet", workload="web-7c899995d5", pod="x-0"),
            Workload("Deployment", "web", inferred=True),
            id="a replica set's deployment",
        ),
        pytest.param(
            Facts(workload_kind="ReplicaSet", workload="plain"),
            Workload("ReplicaSet", "plain"),
            id="a replica set of its own",
        ),
        pytest.param(
            Facts(workload_kind="Job", workload="nightly-29384756"),
            Workload("CronJob", "nightly", inferred=True),
            id="job",
        ),
        pytest.param(Facts(pod="db-0"), Workload("StatefulSet", "db", inferred=True), id="by the pod's name"),
        pytest.param(Facts(), None, id="nothing known"),
    ],
)
def test_workload_of(facts: Facts, expected: Workload | None) -> None:
    assert workload_of(facts) == expected


@given(st.text(max_size=80) | st.from_regex(r"[a-z0-9.-]{1,300}"))
def test_any_name_has_an_owner_or_none(pod: str) -> None:
    owner = likely_owner(pod)
    assert owner is None or (owner.inferred and pod.startswith(owner.name))
