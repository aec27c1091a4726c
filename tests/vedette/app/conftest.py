"""What the tests of the application share: audit events, a rule, a way to call the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from vedette.app.cli import main

RULE = """
title: Secret deleted
id: 6d0e8f1a-0000-4000-8000-000000000001
status: test
logsource: {product: kubernetes, service: audit}
detection:
  selection: {verb: delete, objectRef.resource: secrets}
  filter: {user.username|startswith: 'system:'}
  condition: selection and not filter
level: high
"""


class Outcome(NamedTuple):
    """What a command did."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def vedette(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """Call the command line in this process."""
    monkeypatch.delenv("VEDETTE_CONFIG", raising=False)
    monkeypatch.delenv("VEDETTE_DATA_DIR", raising=False)

    def call(*arguments: object) -> Outcome:
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(status, captured.out, captured.err)

    return call


@pytest.fixture
def rule_file(tmp_path: Path) -> Path:
    file = tmp_path / "secret_deleted.yml"
    file.write_text(RULE)
    return file


def audit_event(number: int, *, user: str = "mallory", second: int | None = None, verb: str = "delete") -> bytes:
    """An audit event; `second` of the first of March is its time."""
    return json.dumps(
        {
            "kind": "Event",
            "apiVersion": "audit.k8s.io/v1",
            "level": "Metadata",
            "auditID": f"audit-{number}",
            "stage": "ResponseComplete",
            "verb": verb,
            "requestURI": "/api/v1/namespaces/shop/secrets/key",
            "user": {"username": user},
            "sourceIPs": ["192.0.2.7"],
            "objectRef": {"resource": "secrets", "namespace": "shop", "name": "key", "apiVersion": "v1"},
            "responseStatus": {"code": 200},
            "stageTimestamp": f"2026-03-01T00:00:{number if second is None else second:02d}.123456Z",
        }
    ).encode()


def lines(*records: bytes) -> bytes:
    return b"".join(record + b"\n" for record in records)
