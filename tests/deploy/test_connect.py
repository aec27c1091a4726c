"""Each file of deploy/connect is read, and what it makes its owner send is sent to an agent as the chart sets it up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import pytest

from collector.decoders import DECODERS
from tests.e2e.agent import audit_event, event_list, falco_alert
from vedette.app.ledger import read_ledger
from vedette.schema.limits import SECOND_NS

from .rendered import FULL_VALUES, PORTS, of_kind
from .senders import CONNECT, FULL, TOKEN, Cluster, Sections, fluent_bit, read, service_name

pytestmark = pytest.mark.timeout(120)

HOSTILE: Final = 'a\n{"kind":"Event"}\u202e"\\ \x1b[2J'
EXEC: Final = audit_event(
    "0f6f1a52-0000-4000-8000-000000000001",
    kind="Event",
    apiVersion="audit.k8s.io/v1",
    stage="ResponseStarted",
    verb="get",
    requestURI="/api/v1/namespaces/kube-system/pods/dns-0/exec?command=sh",
    userAgent=f"kubectl/v1.35.0 {HOSTILE}",
    objectRef={
        "resource": "pods",
        "subresource": "exec",
        "namespace": "kube-system",
        "name": "dns-0",
        "apiVersion": "v1",
    },
    responseStatus={"metadata": {}, "code": 101},
)
EXEC_ALERT: Final = "Exec Into A kube-system Pod"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One for all tests: what one sends, none of the others asks about."""
    made = Cluster(tmp_path_factory.mktemp("cluster"))
    asyncio.run(made.agent.start())
    yield made
    made.agent.kill()


def titles(alerts: list[dict[str, Any]]) -> set[str]:
    return {alert["finding_info"]["title"] for alert in alerts}


# --- Falco ------------------------------------------------------------------------------------------------------------
FALCO: Final = read("falco/falco.yaml")


def as_falco_sends(alert: dict[str, Any], settings: Sections) -> bytes:
    """An alert with the parts that falco.yaml leaves on; keys in Falco's order, which is the alphabet's."""
    optional = ("output", "message", "output_fields", "tags")
    off = {name for name in optional if not settings[f"json_include_{name}_property"]}
    return json.dumps({key: alert[key] for key in sorted(alert) if key not in off}, separators=(",", ":")).encode()


async def test_falco_alerts_arrive(cluster: Cluster) -> None:
    http = FALCO["http_output"]
    assert FALCO["json_output"] is True
    assert (http["enabled"], http["mtls"], http["insecure"]) == (True, True, False)
    url = urlsplit(http["url"])
    assert (url.hostname, url.port) == (service_name("falco"), PORTS["falco"])
    alert = falco_alert(HOSTILE, tags=["T1059", "container"], message="x", uuid="x")
    alert["output_fields"]["evt.time"] = 2**62 + 1
    body = as_falco_sends(alert, FALCO)
    fields = {"Content-Type": "application/json", "User-Agent": "falcosecurity/falco"}
    assert (await cluster.post(http["url"], body, fields, certificate=True)).json() == {"accepted": 1, "duplicates": 0}
    assert (await cluster.post(http["url"], body, fields, certificate=True)).json()["duplicates"] == 1, "a retry"
    assert "Terminal shell in container" in titles(await cluster.alerts())
    document = DECODERS["falco"].decode(body, "")
    assert (document["evt.time"], document["tags"]) == (2**62 + 1, ["T1059", "container"])
    assert "message" not in document


async def test_without_a_client_certificate_nobody_is_falco(cluster: Cluster) -> None:
    with pytest.raises(httpx.TransportError):
        await cluster.post(FALCO["http_output"]["url"], b"{}", {})


def test_falco_drops_rather_than_filling_the_node() -> None:
    assert 0 < FALCO["outputs_queue"]["capacity"] <= 100_000
    assert "alert" in FALCO["syscall_event_drops"]["actions"], "losses are counted from these alerts"


# --- API server -------------------------------------------------------------------------------------------------------
def webhook() -> tuple[Sections, Sections]:
    """Cluster and user of the context that is current, as client-go finds them."""
    config = read("kube-apiserver/audit-webhook.kubeconfig")
    named = {
        kind: {one["name"]: one[kind.removesuffix("s")] for one in config[kind]}
        for kind in ("clusters", "users", "contexts")
    }
    context = named["contexts"][config["current-context"]]
    return named["clusters"][context["cluster"]], named["users"][context["user"]]


async def test_the_webhook_delivers(cluster: Cluster) -> None:
    to, who = webhook()
    assert set(who) == {"tokenFile"}
    assert to["tls-server-name"] == service_name("audit")
    item = {key: value for key, value in EXEC.items() if key not in {"kind", "apiVersion"}}
    body = event_list([json.dumps(item, ensure_ascii=False).encode()])
    fields = {
        "Authorization": f"Bearer {TOKEN}",
        "Content-Type": "application/json",
        "Accept": "application/json, */*",
        "User-Agent": "Go-http-client/1.1",
    }
    url = f"{to['server']}?timeout=30s"
    reply = await cluster.post(url, body, fields, name=to["tls-server-name"])
    assert (reply.status_code, reply.json()) == (200, {"accepted": 1, "duplicates": 0})
    stranger = await cluster.post(url, body, fields | {"Authorization": "Bearer x"}, name=to["tls-server-name"])
    assert stranger.status_code == 401
    assert EXEC_ALERT in titles(await cluster.alerts())


def test_the_webhook_s_address_is_the_one_that_values_fix() -> None:
    (service,) = [one for one in of_kind(FULL, "Service") if one["metadata"]["name"].endswith("-audit")]
    url = urlsplit(webhook()[0]["server"])
    assert (url.scheme, url.hostname, url.port) == ("https", service["spec"]["clusterIP"], PORTS["audit"])
    assert str(url.hostname) in FULL_VALUES.read_text("utf-8")


# --- Fluent Bit -------------------------------------------------------------------------------------------------------
AUDIT_LOG: Final = read("fluent-bit/audit-log.yaml")
LONG: Final = audit_event("long", kind="Event", apiVersion="audit.k8s.io/v1", requestObject={"data": "x" * 1_500_000})


async def test_fluent_bit_brings_the_audit_log(cluster: Cluster) -> None:
    lines = [json.dumps(event, ensure_ascii=False) for event in (EXEC | {"auditID": "of the log"}, LONG)]
    url, body, fields = fluent_bit(AUDIT_LOG, lines)
    assert urlsplit(url)[1:3] == (f"{service_name('audit')}:{PORTS['audit']}", "/k8s-audit")
    assert (await cluster.post(url, body, fields)).json() == {"accepted": 2, "duplicates": 0}
    assert (await cluster.post(url, body, fields)).json() == {"accepted": 2, "duplicates": 2}, "a retry"
    assert EXEC_ALERT in titles(await cluster.alerts())
    assert not cluster.agent.run("dead-letters", "list", "--format", "json").lines


@pytest.mark.parametrize("name", ["fluent-bit/audit-log.yaml", "hubble/fluent-bit.yaml"])
def test_fluent_bit_forgets_nothing(name: str) -> None:
    settings = read(name)
    (tail,), (http,) = settings["pipeline"]["inputs"], settings["pipeline"]["outputs"]
    assert http["retry_limit"] == "no_limits"
    assert tail["storage.type"] == "filesystem"
    assert settings["service"]["storage.path"]
    assert tail["db"]
    units = {"K": 2**10, "M": 2**20}
    longest = int(tail["buffer_max_size"][:-1]) * units[tail["buffer_max_size"][-1]]
    assert longest > (len(json.dumps(LONG)) if "audit" in name else 65_536)
    assert settings["service"]["scheduler.cap"] <= 60, "after an outage it comes back soon"


# --- Hubble -----------------------------------------------------------------------------------------------------------
FLOW: Final[dict[str, Any]] = {
    "time": "2026-11-21T10:21:12.123456789Z",
    "uuid": "60e8fedd-6d98-49d8-b7f6-cb84455757ab",
    "emitter": {"name": "Hubble", "version": "1.19.1"},
    "verdict": "DROPPED",
    "drop_reason": 133,
    "drop_reason_desc": "POLICY_DENIED",
    "ethernet": {"source": "9a:4b:92:54:a9:62", "destination": "72:59:04:fd:68:13"},
    "IP": {"source": "10.0.1.13", "destination": "203.0.113.9", "ipVersion": "IPv4"},
    "l4": {"TCP": {"source_port": 40000, "destination_port": 3333, "flags": {"SYN": True}}},
    "source": {
        "ID": 7,
        "identity": 39459,
        "namespace": "shop",
        "labels": ["k8s:app=api", "k8s:io.cilium.k8s.policy.serviceaccount=api"],
        "pod_name": HOSTILE,
        "workloads": [{"name": "api", "kind": "StatefulSet"}],
    },
    "destination": {"identity": 2, "labels": ["reserved:world"]},
    "destination_names": ["pool.example"],
    "Type": "L3_L4",
    "node_name": "prod/node-1",
    "node_labels": ["kubernetes.io/os=linux"],
    "event_type": {"type": 5},
    "traffic_direction": "EGRESS",
    "is_reply": False,
    "interface": {"index": 12},
    "Summary": "TCP Flags: SYN",
}


def masked(flow: dict[str, Any], paths: list[str]) -> dict[str, Any]:
    """What is left of a flow under a field mask: each path, and all below it."""
    kept: dict[str, Any] = {}
    for path in paths:
        key, _, rest = path.partition(".")
        if key in flow:
            part = masked(flow[key], [rest]) if rest else flow[key]
            kept[key] = {**kept.get(key, {}), **part} if rest else part
    return kept


def exporter() -> Sections:
    (only,) = read("hubble/cilium-values.yaml")["hubble"]["export"]["dynamic"]["config"]["content"]
    assert isinstance(only, dict)
    return only


def exported() -> str:
    record = {"flow": masked(FLOW, exporter()["fieldMask"]), "node_name": "prod/node-1", "time": FLOW["time"]}
    return json.dumps(record, ensure_ascii=False)


def test_the_field_mask_leaves_all_that_vedette_reads() -> None:
    hubble = DECODERS["hubble"]
    whole = hubble.decode(json.dumps({"flow": FLOW}).encode(), "")
    found = hubble.decode(exported().encode(), "")
    assert hubble.facts(found) == hubble.facts(whole)
    assert hubble.event_ids(found) == hubble.event_ids(whole)
    assert hubble.time_ns(found) == hubble.time_ns(whole) > SECOND_NS
    assert found["connection"] == whole["connection"]
    assert len(exported()) < len(json.dumps(FLOW, ensure_ascii=False))


async def test_fluent_bit_brings_hubble_s_flows(cluster: Cluster) -> None:
    settings = read("hubble/fluent-bit.yaml")
    assert settings["pipeline"]["inputs"][0]["path"] == exporter()["filePath"]
    url, body, fields = fluent_bit(settings, [exported()])
    assert urlsplit(url)[1:3] == (f"{service_name('falco')}:{PORTS['falco']}", "/intake/hubble")
    assert {"tls.crt_file", "tls.key_file"} <= set(settings["pipeline"]["outputs"][0])
    before = processed(cluster)
    reply = await cluster.post(url, body, fields, certificate=True)
    assert reply.json() == {"accepted": 1, "duplicates": 0}
    await cluster.agent.settled()
    assert processed(cluster) == before + 1
    assert not cluster.agent.run("dead-letters", "list", "--format", "json").lines


def processed(cluster: Cluster) -> int:
    return sum(source.processed for source in read_ledger(cluster.agent.data).sources)


def test_no_file_of_the_folder_is_left_out() -> None:
    source = Path(__file__).read_text("utf-8") + Path(__file__).with_name("test_audit_policy.py").read_text("utf-8")
    assert not [file.name for file in CONNECT.rglob("*.*") if file.is_file() and file.name not in source]
