"""Correlations on their way through detection and through `scan`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from collector.decoders import DECODERS
from detectors.rule import RuleText
from vedette.app.scan import Scan, make_scanner
from vedette.app.scan_output import finding
from vedette.journal.protocol import Chunk
from vedette.pipeline.control_record import OP_RULES, ControlRecord, encode_control
from vedette.pipeline.detector import Detector, records_of
from vedette.pipeline.effects import Effects
from vedette.pipeline.rulesets import encode_rules, hash_of
from vedette.schema.record import CONTROL_FORMAT, CONTROL_SOURCE, Run

if TYPE_CHECKING:
    from pathlib import Path

    from vedette.journal.protocol import DetectCommit

RULES = """
title: Exec into a pod
id: exec
logsource: {product: kubernetes, service: audit}
detection: {selection: {objectRef.subresource: exec}, condition: selection}
---
title: Many execs
id: many
level: high
correlation:
  {type: event_count, rules: [exec], group-by: [user.username], timespan: 5m, condition: {gte: 3}}
"""
FEW = RULES.replace("gte: 3", "lt: 3")
NOW_NS = 1_790_000_000 * 10**9


def event(number: int, user: str, minute: int = 0) -> bytes:
    return orjson.dumps(
        {
            "kind": "Event",
            "auditID": f"audit-{number}",
            "stage": "ResponseComplete",
            "verb": "create",
            "user": {"username": user},
            "objectRef": {"resource": "pods", "subresource": "exec", "namespace": "n", "name": f"p{number}"},
            "stageTimestamp": f"2026-09-21T14:{minute:02d}:{number:02d}.000000Z",
        }
    )


def detect(rules: str, *payloads: bytes) -> DetectCommit:
    """Detect on a log that begins with the rules."""
    content = encode_rules([RuleText("rules.yml", rules, "mine")])
    detector, effects = Detector(DECODERS, {hash_of(content): content}.get), Effects(b"", 1)
    control = encode_control(ControlRecord(OP_RULES, hash=hash_of(content)))
    runs = [Run(CONTROL_SOURCE, CONTROL_FORMAT, 1), Run("audit", "kube_audit", len(payloads))]
    chunk = Chunk(1, NOW_NS, runs, [control, *payloads], 0)
    detector.begin(chunk, effects)
    detector.feed(records_of(chunk), effects)
    return effects.take(chunk.last_seq, NOW_NS)


def test_a_firing_becomes_an_alert_with_its_events() -> None:
    done = detect(RULES, *(event(number, "ann") for number in range(3)), event(4, "bob"))
    (revision,) = done.alerts
    document: dict[str, Any] = orjson.loads(revision.document)
    assert (revision.rule_id, revision.level, document["count"]) == ("many", "high", 1)
    assert document["unmapped"]["dedup_values"] == ["ann"]
    assert document["unmapped"]["facts"]["name"] == "p2", "the facts are those of the last event"
    assert [found["data"]["event_ids"] for found in document["evidences"]] == [["audit-2"], ["audit-1"], ["audit-0"]]
    assert document["evidences"][0]["api"]["request"]["uid"] == "audit-2"
    clauses = [(clause["where"], clause["field"], clause["value"]) for clause in document["unmapped"]["explanation"]]
    assert clauses == [
        ("condition", "", "3"),
        ("group-by", "user.username", "ann"),
        ("rules", "Exec into a pod", '["audit-0","audit-1","audit-2"]'),
    ]


def test_referenced_rules_are_silent_unless_generated() -> None:
    events = [event(number, "ann") for number in range(3)]
    assert detect(RULES, *events).tallies == {
        ("findings", "audit", "many"): 1,
        ("alerts", "audit", "high", "many"): 1,
    }
    loud = detect(RULES.replace("group-by", "generate: true, group-by"), *events)
    assert loud.tallies["findings", "audit", "exec"] == 3
    assert {revision.rule_id for revision in loud.alerts} == {"exec", "many"}


@pytest.mark.parametrize("user", ["", "\x00", "é" * 5000, "'; drop table", "\u202e", "a\nb"])
def test_hostile_names_make_alerts_of_their_own(user: str) -> None:
    done = detect(RULES, *(event(number, user) for number in range(3)))
    assert len(done.dead_letters) == 0
    assert len(done.alerts) == bool(user)


def test_scan_merges_by_time_and_names_all_events(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(RULES)
    for name, numbers in (("one.log", (1, 3)), ("two.log", (2, 4))):
        (tmp_path / name).write_bytes(b"\n".join(event(number, "ann") for number in numbers) + b"\n")
    scanner = make_scanner([tmp_path / "rules.yml"], default_rules=False)
    files = [str(tmp_path / "one.log"), str(tmp_path / "two.log")]
    found = [
        one for hit in Scan(scanner, pytest.fail).hits(files, "kube_audit") for one in scanner.correlate(hit.matches)
    ]
    (plain,) = map(finding, [*found, *scanner.close()])
    assert json.loads(json.dumps(plain)) == plain
    assert (plain["rule_id"], plain["time"]) == ("many", "2026-09-21T14:00:03.000000Z")
    assert plain["event_ids"] == ["audit-1", "audit-2", "audit-3"]
    assert len(set(plain["event_uids"])) == 3
    assert plain["records"] == [
        {"file": files[0], "record": 1},
        {"file": files[1], "record": 1},
        {"file": files[0], "record": 2},
    ]


def test_scan_closes_windows_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(FEW)
    (tmp_path / "one.log").write_bytes(b"\n".join([event(1, "ann"), event(2, "bob"), event(3, "ann", 20)]) + b"\n")
    scanner = make_scanner([tmp_path / "rules.yml"], default_rules=False)
    hits = Scan(scanner, pytest.fail).hits([str(tmp_path / "one.log")], None)
    found = [finding(one) for hit in hits for one in scanner.correlate(hit.matches)]
    ends = [finding(one) for one in scanner.close()]
    assert sorted(one["event_ids"] for one in found) == [["audit-1"], ["audit-2"]]
    assert [one["event_ids"] for one in ends] == [["audit-3"]]
    assert ends[0]["time"] == "2026-09-21T14:25:03.000000Z"


def test_scan_says_what_correlations_left_out(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(RULES)
    events = [event(1, "ann", 20), event(2, "ann", 25), event(3, "ann", 0), event(4, "")]
    (tmp_path / "one.log").write_bytes(b"\n".join(events) + b"\n")
    scanner = make_scanner([tmp_path / "rules.yml"], default_rules=False)
    for hit in Scan(scanner, pytest.fail).hits([str(tmp_path / "one.log")], None):
        assert scanner.correlate(hit.matches) == []
    assert scanner.left_out == {"late": 1, "no_group": 1}
