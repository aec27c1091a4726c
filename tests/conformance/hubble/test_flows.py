"""Real flows of Hubble: every line decodes, and who spoke to whom, when and with what verdict is what the line says."""

import json
from typing import Any, Final

import pytest

from collector.decoders import DECODERS
from tests.conformance.report import ROOT, Record, judge
from vedette.schema.errors import DecodeError
from vedette.schema.event import Facts, Nature

HUBBLE: Final = DECODERS["hubble"]
FILES: Final = sorted(path.name for path in (ROOT / "hubble").glob("*.json*")) or ["absent"]
PINNED: dict[str, str] = {}
PROTOCOLS: Final = {"TCP": "tcp", "UDP": "udp", "SCTP": "sctp", "ICMPv4": "icmp", "ICMPv6": "icmp6"}


def said(flow: dict[str, Any]) -> dict[str, Any]:
    """What a line says of a flow, read without our code."""
    address, layers = flow.get("IP", {}), flow.get("l4", {})
    [(protocol, layer)] = layers.items() or [("", {})]
    answers = flow.get("is_reply", flow.get("reply", False))
    asking, asked = [flow.get(end, {}) for end in (("destination", "source") if answers else ("source", "destination"))]
    pod = asking if asking.get("pod_name") else asked if asked.get("pod_name") else asking
    return {
        "sources": (address["source"],) if "source" in address else (),
        "destinations": (*([address["destination"]] if address else []), *flow.get("destination_names", [])),
        "source_port": layer.get("source_port", 0),
        "destination_port": layer.get("destination_port", 0),
        "protocol": PROTOCOLS.get(protocol, protocol.lower()),
        "pod": pod.get("pod_name", ""),
        "namespace": pod.get("namespace", ""),
        "node": flow.get("node_name", "").split("/")[-1],
        "status_code": flow.get("l7", {}).get("http", {}).get("code", 0),
        "name": flow.get("l7", {}).get("dns", {}).get("query") or flow.get("l7", {}).get("http", {}).get("url", ""),
    }


def wrong(line: str) -> str:
    """Hold a line against what was made of it; "" if they agree."""
    record = json.loads(line)
    try:
        doc = HUBBLE.decode(line.encode(), "")
    except DecodeError as refused:
        return str(refused)
    if "flow" not in record and "verdict" not in record:
        return "" if HUBBLE.nature(doc) is Nature.HEALTH else "its own state taken for a flow"
    flow = record.get("flow", record)
    if {key: value for key, value in doc.items() if key != "connection"} != flow:
        return "the document is not the flow"
    facts: Facts = HUBBLE.facts(doc)
    differing = {key: getattr(facts, key) for key, value in said(flow).items() if getattr(facts, key) != value}
    if differing:
        return f"facts {differing}"
    outcome = {"FORWARDED": "allow", "REDIRECTED": "allow", "DROPPED": "deny"}.get(flow.get("verdict", ""))
    if outcome not in (None, facts.outcome):
        return f"outcome {facts.outcome}"
    return "" if HUBBLE.time_ns(doc) % 10**9 == nanoseconds(flow["time"]) else "another time"


def nanoseconds(time: str) -> int:
    return int(time.removesuffix("Z").partition(".")[2].ljust(9, "0"))


@pytest.mark.parametrize("name", FILES)
def test_every_line(name: str, record_property: Record) -> None:
    if not ROOT.is_dir():
        pytest.skip(f"no conformance vectors at {ROOT}")
    body = (ROOT / "hubble" / name).read_bytes()
    lines = [line for line in body.decode().split("\n") if line.strip()]
    assert [item.decode() for piece in HUBBLE.split(body) for item in piece.items] == lines
    results = {f"{name}#{number}": wrong(line) for number, line in enumerate(lines, 1)}
    judge(f"hubble/{name.partition('.')[0]}", results, PINNED, record_property)
