"""An archive as the agent leaves it, made without one: a data folder with a log in many segments."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from detectors.rule import RuleText
from vedette.journal.sqlite import DataFolder, Retention, SqliteIntakeLog
from vedette.pipeline.control_record import OP_RULES, OP_START, OP_VERDICT, ControlRecord, encode_control
from vedette.pipeline.rulesets import encode_rules, hash_of
from vedette.runtime.parcel import Parcel
from vedette.schema.record import Run
from vedette.schema.settings import DetectionSettings, RollUpSettings, encode_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vedette.schema.verdict import Judgement

SECOND = 1_000_000_000
BEGIN_NS = 1_772_323_200 * SECOND
"""2026-03-01T00:00:00Z"""
DELETED = """
title: Secret deleted
id: 6d0e8f1a-0000-4000-8000-000000000001
logsource: {product: kubernetes, service: audit}
detection: {selection: {verb: delete, objectRef.resource: secrets}, condition: selection}
level: high
vedette: {dedup_by: [user.username]}
"""
READ = """
title: Secret read
id: 6d0e8f1a-0000-4000-8000-000000000002
logsource: {product: kubernetes, service: audit}
detection: {selection: {verb: get, objectRef.resource: secrets}, condition: selection}
level: low
vedette: {dedup_by: [user.username]}
"""
NOT_BY_BOB = DELETED.replace(
    "{selection: {verb: delete, objectRef.resource: secrets}, condition: selection}",
    "{selection: {verb: delete, objectRef.resource: secrets}, bob: {user.username: bob},"
    " condition: selection and not bob}",
)
SETTINGS = encode_settings(DetectionSettings(cluster="prod", rollup=RollUpSettings(window_ns=600 * SECOND)))


def event(number: int, *, user: str = "ann", verb: str = "delete") -> bytes:
    return json.dumps(
        {
            "kind": "Event",
            "level": "Metadata",
            "auditID": f"audit-{number}",
            "stage": "ResponseComplete",
            "verb": verb,
            "user": {"username": user},
            "objectRef": {"resource": "secrets", "namespace": "shop", "name": "token"},
            "responseStatus": {"code": 200},
            "stageTimestamp": f"2026-03-01T00:{number // 60 % 60:02d}:{number % 60:02d}.000000Z",
        }
    ).encode()


@dataclass
class Archive:
    """Writes a log; each call is a second, or what it is told, after the one before."""

    folder: Path
    now_ns: int = BEGIN_NS
    retention: Retention = field(default_factory=Retention)

    def __post_init__(self) -> None:
        self.data = DataFolder(self.folder)
        self.data.create()
        self.log = SqliteIntakeLog(self.data.intake, None, self.retention)

    def control(self, op: str, kind: str = "", content: bytes = b"") -> None:
        record = ControlRecord(op, hash=hash_of(content) if kind else "")
        self.log.append_control(encode_control(record), now_ns=self.now_ns, blobs={kind: content} if kind else None)

    def start(self, rules: str) -> None:
        """Put rules and settings in force, in one record as the agent does."""
        self.control(OP_START)
        content = encode_rules([RuleText("rules.yml", rules, "rules.yml")])
        record = ControlRecord(OP_RULES, hash=hash_of(content), settings=hash_of(SETTINGS))
        blobs = {"rules": content, "settings": SETTINGS}
        self.log.append_control(encode_control(record), now_ns=self.now_ns, blobs=blobs)

    def rules(self, rules: str) -> None:
        self.control(OP_RULES, "rules", encode_rules([RuleText("rules.yml", rules, "rules.yml")]))

    def verdict(self, alert_id: str, judgement: Judgement, **facts: Any) -> None:
        """Close an alert, as the agent writes it down; `facts` are those of its document that a comparison reads."""
        document = {
            "rule": {"id": "", "dedup_as": ""},
            "cluster": "",
            "dedup_values": [],
            "opened_ns": 0,
            "closes_ns": 0,
        }
        content = json.dumps({"unmapped": {**document, **facts}})
        record = ControlRecord(OP_VERDICT, alert=alert_id, judgement=judgement, document=content)
        self.log.append_control(encode_control(record), now_ns=self.now_ns)

    def add(self, *items: bytes, source: str = "audit", after_s: float = 1) -> None:
        self.now_ns += round(after_s * SECOND)
        runs = [Run(source, "kube_audit", len(items))]
        size_bytes = sum(map(len, items))
        self.log.append([Parcel(source, runs, list(items), lambda _: None, size_bytes)], now_ns=self.now_ns)


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    made = Archive(tmp_path / "data")
    yield made
    made.log.close()


@pytest.fixture
def rule_at(tmp_path: Path) -> Callable[[str, str], Path]:
    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


@pytest.fixture
def backtest(archive: Archive, vedette: Callable[..., Any]) -> Callable[..., Any]:
    """Call `vedette rules backtest` on the archive."""
    return lambda *arguments: vedette("rules", "backtest", "--data-dir", archive.folder, *arguments)
