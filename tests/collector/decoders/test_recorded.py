"""Recorded data: every line of a real audit log, every body that its API server POSTed, samples of all formats."""

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import orjson
import pytest

from collector.decoders import DECODERS
from vedette.schema.errors import DecodeError
from vedette.schema.event import Decoder, Document, Nature

KUBE, FALCO, VPC = DECODERS["kube_audit"], DECODERS["falco"], DECODERS["vpc_flow"]


def unzipped(path: Path) -> bytes:
    with gzip.open(path) as stream:
        return stream.read()


def records(decoder: Decoder, body: bytes) -> list[tuple[bytes, Document]]:
    return [(item, decoder.decode_all(item, piece.context)) for piece in decoder.split(body) for item in piece.items]


def test_every_line_of_an_audit_log(shared: Path) -> None:
    body = unzipped(shared / "kube-audit/A/audit.jsonl.gz")
    lines = body.splitlines()
    [piece] = KUBE.split(body)
    assert piece.items == lines
    assert piece.record == 1
    nameless: set[str] = set()
    for line in lines:
        head, doc = KUBE.decode(line, ""), KUBE.decode_all(line, "")
        assert doc == orjson.loads(line)
        assert head == {key: value for key, value in doc.items() if key not in ("requestObject", "responseObject")}
        assert KUBE.nature(head) is Nature.EVENT
        assert KUBE.time_ns(head) // 10**9 // 86_400 == 20_778
        assert KUBE.event_ids(head) == (doc["auditID"],)
        facts = KUBE.facts(doc)
        assert facts.action == doc["verb"]
        assert facts.sources[-1] == doc["sourceIPs"][-1]
        assert facts.actor == (doc.get("impersonatedUser") or doc["user"]).get("username", "")
        assert (facts.outcome == "unknown") == (doc["stage"] == "RequestReceived")
        if doc.get("objectRef", {}).get("subresource") == "exec":
            assert facts.command
        if doc["verb"] == "create" and doc.get("requestObject") and not facts.name:
            nameless.add(facts.resource.removeprefix("self").removeprefix("subject"))
    assert nameless == {"accessreviews", "rulesreviews", "reviews"}, "only questions to the API server have no name"


def test_what_attackers_did_is_in_the_facts(shared: Path) -> None:
    wanted = {"sh -c id; cat /var/run/secrets/kubernetes.io/serviceaccount/token"}
    facts = [KUBE.facts(doc) for _, doc in records(KUBE, unzipped(shared / "kube-audit/A/audit.jsonl.gz"))]
    assert wanted <= {fact.command for fact in facts}
    assert any(fact.actor_real for fact in facts)
    assert any(fact.credential.startswith("JTI=") for fact in facts)
    assert any(fact.node for fact in facts)
    assert any(fact.images and fact.workload_kind == "ReplicaSet" and fact.resource == "pods" for fact in facts)


def test_every_posted_event_list_holds_events_of_the_log(shared: Path) -> None:
    logged = {
        KUBE.uid(b"", orjson.loads(line)) for line in unzipped(shared / "kube-audit/A/audit.jsonl.gz").splitlines()
    }
    bodies = sorted((shared / "kube-audit/A/webhook").glob("*.json.gz"))
    assert bodies
    for path in bodies:
        body = unzipped(path)
        found = records(KUBE, body)
        assert [orjson.loads(item) for item, _ in found] == orjson.loads(body)["items"]
        assert {KUBE.uid(item, doc) for item, doc in found} <= logged


def test_a_posted_event_list_cut_anywhere_gives_what_came_before(shared: Path) -> None:
    body = unzipped(min((shared / "kube-audit/A/webhook").glob("*.json.gz"), key=lambda path: path.stat().st_size))
    [piece] = KUBE.split(body)
    ends = [body.index(item) + len(item) for item in piece.items]
    for cut in range(1, len(body), max(1, len(body) // 50)):
        found = [item for part in KUBE.split(body[:cut]) for item in part.items]
        complete = sum(end <= cut for end in ends)
        assert found[:complete] == piece.items[:complete]
        assert len(found) <= complete + 1


def test_the_k8saudit_plugins_own_events(shared: Path) -> None:
    accepted = refused = 0
    for path in sorted((shared / "conformance/falco/k8s_audit/events").glob("*.json")):
        for piece in KUBE.split(path.read_bytes()):
            for item in piece.items:
                try:
                    assert KUBE.facts(KUBE.decode_all(item, "")).action
                    accepted += 1
                except DecodeError:
                    assert b"audit.k8s.io" not in item
                    refused += 1
    assert accepted > 25
    assert refused <= 5


@pytest.mark.parametrize(
    ("name", "action"), [("eks_audit_node_create.json", "create"), ("example_Amazon_EKS_Audit.json", None)]
)
def test_audit_samples(shared: Path, name: str, action: str | None) -> None:
    for _, doc in records(KUBE, (shared / "reference/samples" / name).read_bytes()):
        assert KUBE.time_ns(doc) > 0
        assert action in (None, KUBE.facts(doc).action)


def alerts(shared: Path) -> list[dict[str, Any]]:
    folder = shared / "conformance/falco/alerts"
    documented = [json.loads(line)["event"] for line in (folder / "docs_samples.jsonl").read_text("utf-8").splitlines()]
    expected = (folder / "single_rule_with_cat_write.json").read_text("utf-8").splitlines()
    samples = (shared / "reference/samples/falco_events.jsonl").read_text("utf-8").splitlines()
    return documented + [json.loads(line) for line in expected + samples]


def test_falco_alerts(shared: Path) -> None:
    every = alerts(shared)
    assert len(every) > 20
    for found, (item, doc) in zip(every, records(FALCO, b"\n".join(map(orjson.dumps, every))), strict=True):
        assert doc.items() >= found.items()
        assert FALCO.time_ns(doc) > 0
        assert FALCO.uid(item, doc)
        internal = FALCO.nature(doc) is Nature.HEALTH
        assert internal == found["rule"].startswith("Falco internal")
        assert (FALCO.finding(doc) is None) == internal


def test_falco_text_output_is_refused_with_a_remedy(shared: Path) -> None:
    text = (shared / "conformance/falco/alerts/single_rule_with_cat_write.txt").read_bytes()
    [piece] = FALCO.split(text)
    assert piece.items == text.splitlines()
    for item in piece.items:
        with pytest.raises(DecodeError, match="json_output: true"):
            FALCO.decode(item, "")


def test_vpc_lines(shared: Path) -> None:
    for line in (shared / "conformance/flows/vpcflow/aws.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        [piece] = VPC.split(f"{row['format']}\n{row['line']}\n".encode())
        doc = VPC.decode(piece.items[0], piece.context)
        assert doc == {name: value for name, value in row["expected"].items() if value is not None}
        assert (VPC.nature(doc) is Nature.EVENT) == row["is_flow"]


def test_vpc_custom_csv(shared: Path) -> None:
    path = shared / "reference/samples/vpcflow_v5_custom.csv"
    [piece] = VPC.split(path.read_bytes())
    rows = list(csv.DictReader(path.read_text("utf-8").splitlines()))
    for item, row in zip(piece.items, rows, strict=True):
        doc = VPC.decode(item, piece.context)
        assert {key: str(value) for key, value in doc.items()} == {
            key.replace("_", "-"): value for key, value in row.items() if value != "-"
        }
