"""What Falco's audit rules see, the rules that ship with us see by themselves, at any level."""

import json
from functools import cache
from typing import Any, Final

from collector.decoders import DECODERS
from detectors.engine import Engine
from detectors.packs import shipped_pack_texts
from detectors.sigma import load_rules
from tests.conformance.falco.test_k8s_audit import events
from tests.conformance.report import Record as RecordProperty
from tests.conformance.report import judge, rows
from vedette.schema.event import Event
from vedette.schema.record import Record, Run

PACKS: Final = ("starter", "audit")


@cache
def engine() -> Engine:
    loaded = load_rules(text for text in shipped_pack_texts() if text.pack in PACKS)
    assert loaded.errors == ()
    return Engine(loaded.rules, DECODERS)


def is_found(document: dict[str, Any]) -> bool:
    decoder = DECODERS["kube_audit"]
    record = Record(1, 1, json.dumps(document).encode(), Run("test", decoder.name, 1), 1)
    return bool(engine().match(Event(record, decoder, decoder.decode(record.payload, ""))))


def upstream(row: dict[str, Any]) -> set[str]:
    """Return the rules of Falco that fire in a case."""
    full = row.get("curator_full_hits") or {}
    return {*row["expect_rule_counts"], *full.get("rules_current", ())}


def test_attacks_that_upstream_sees_are_found(record_property: RecordProperty) -> None:
    results = {
        row["id"]: "" if any(map(is_found, events(row["event"]))) else f"missed: {', '.join(sorted(upstream(row)))}"
        for row in rows("falco/k8s_audit/cases.jsonl")
        if upstream(row)
    }
    judge("falco/k8s_audit (our rules alone)", results, {}, record_property)
