"""Events of many products: only the decoder of an event's log source takes it, so rules are asked about no other."""

import json
from typing import Any, Final

from collector.decoders import DECODERS
from tests.conformance.report import Record, judge, rows
from vedette.schema.errors import DecodeError

SET: Final = "sigma/engine_vectors/event_schema_classification"
OURS: Final = {"k8s_audit": "kube_audit", "aws_vpcflow": "vpc_flow", "falco": "falco"}
"""Names of schemas that we have a decoder for."""
PINNED: dict[str, str] = {}


def takes(name: str, payload: bytes) -> bool:
    try:
        DECODERS[name].decode(payload, "")
    except DecodeError:
        return False
    return True


def run(row: dict[str, Any]) -> str:
    """Ask every decoder."""
    payload = json.dumps(row["event"]).encode()
    taken = [name for name in DECODERS if takes(name, payload)]
    wanted = [OURS[row["expected"]["schema"]]] if row["expected"]["schema"] in OURS else []
    return "" if taken == wanted else f"taken by {taken}"


def test_events_are_taken_by_the_decoder_of_their_log_source(record_property: Record) -> None:
    judge(SET, {row["id"]: run(row) for row in rows(f"{SET}.jsonl")}, PINNED, record_property)
