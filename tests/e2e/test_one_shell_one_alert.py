"""One shell in a pod is one alert, whoever saw it: the API server the exec, Falco the shell and what came out of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .agent import Agent, audit_event, event_list, falco_alert, post

PACKS = ["starter", "audit", "falco"]
SHARED = "shell-in-a-pod"
LEADING = "Application Server Started A Shell"
OTHER_PERSONS_POD = 'cart-0","shop\u202e'
"""A pod's name as nobody may give one, which looks like the other pod's to a careless key."""

pytestmark = [pytest.mark.simulation, pytest.mark.timeout(120)]


def exec_event(pod: str, user: str) -> dict[str, Any]:
    """An exec of a shell, as the API server logs its beginning."""
    return audit_event(
        f"exec-{pod}-{user}",
        stage="ResponseStarted",
        verb="get",
        requestURI=f"/api/v1/namespaces/shop/pods/{pod}/exec?command=sh&stdin=true&tty=true",
        user={"username": user, "groups": ["system:authenticated"]},
        userAgent="kubectl/v1.34.1 (linux/amd64) kubernetes/93248f9",
        objectRef={"resource": "pods", "subresource": "exec", "namespace": "shop", "name": pod},
        responseStatus={"metadata": {}, "code": 101},
    )


def shell(pod: str, rule: str, **fields: str) -> bytes:
    known = {"container.id": "aaaaaaaaaaaa", "k8s.ns.name": "shop", "k8s.pod.name": pod}
    return json.dumps(falco_alert(f"{rule} in {pod}", rule=rule, output_fields={**known, **fields})).encode()


async def see(agent: Agent, pod: str) -> None:
    """Two people open a session; Falco sees a terminal, and a server that started a shell."""
    events = [json.dumps(exec_event(pod, user)).encode() for user in ("eve", "mallory")]
    assert (await post(agent.audit, "/k8s-audit", event_list(events))).accepted
    for body in (
        shell(pod, "Terminal shell in container", **{"proc.name": "bash", "proc.pname": "runc"}),
        shell(pod, "A rule of our own", **{"proc.name": "sh", "proc.pname": "nginx"}),
    ):
        assert (await post(agent.falco, "/", body)).accepted


async def test_exec_and_shell_of_one_pod_are_one_alert_and_of_another_pod_another(tmp_path: Path) -> None:
    agent = Agent(tmp_path)
    agent.settings |= {"rules": {"packs": PACKS, "paths": []}}
    agent.configure()
    await agent.start()
    for pod in ("cart-0", OTHER_PERSONS_POD):
        await see(agent, pod)
    await agent.settled()
    assert agent.end() == 0

    alerts = [alert["unmapped"] for alert in agent.alerts() if alert["unmapped"]["rule"]["dedup_as"] == SHARED]
    assert sorted(alert["dedup_values"][1] for alert in alerts) == sorted(["cart-0", OTHER_PERSONS_POD])
    assert {alert["finding_info"]["title"] for alert in agent.alerts()} == {LEADING, "A rule of our own"}
    for alert in alerts:
        assert {(rule["title"], rule["source"], rule["count"]) for rule in alert["rules"]} == {
            ("Shell Started In A Pod", "audit", 2),
            ("Command Run In A Pod", "audit", 2),
            ("Terminal shell in container", "falco", 1),
            (LEADING, "falco", 1),
        }
        assert (alert["rule"]["title"], alert["rule"]["level"]) == (LEADING, "high")
    (one,) = (alert for alert in agent.alerts() if alert["unmapped"]["dedup_values"] == ["shop", "cart-0"])
    assert (one["count"], sorted(one["finding_info"]["data_sources"])) == (6, ["falco", "kube_audit"])
