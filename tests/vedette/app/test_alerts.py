"""`vedette alerts` on a store that detection filled, and moments as people write them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sinks.store import StoreSettings, StoreSink
from vedette.app.moments import parse_moment
from vedette.app.scan import Scan, make_scanner
from vedette.journal.sqlite import DataFolder
from vedette.pipeline.document import encode_document
from vedette.runtime.sink_context import SinkContext
from vedette.schema.alert import AlertRevision
from vedette.schema.errors import ConfigError

from .conftest import Outcome, audit_event, lines

Call = Callable[..., Outcome]
NOW = 1_772_323_200_000_000_000  # 2026-03-01T00:00:00Z
SECOND = 1_000_000_000


@pytest.fixture
async def folder(tmp_path: Path, rule_file: Path) -> Path:
    """A data folder whose store holds two alerts, of mallory and of somebody hostile."""
    folder = DataFolder(tmp_path / "data")
    folder.create()
    file = tmp_path / "audit.log"
    events = [audit_event(number, user="mallory" if number < 3 else "\x1b[2Jeve") for number in range(4)]
    file.write_bytes(lines(*events))
    scanner = make_scanner([rule_file], default_rules=False)
    documents = [alert for hit in Scan(scanner, print).hits([str(file)], None) for alert in scanner.add(hit.matches)]
    sink = StoreSink("store", StoreSettings(), SinkContext(folder.path))
    await sink.start()
    revisions = [
        AlertRevision(
            alert_id=document["unmapped"]["alert_id"],
            generation=1,
            revision=1,
            opened_ns=document["unmapped"]["opened_ns"],
            level="high",
            rule_id=document["unmapped"]["rule"]["id"],
            document=encode_document(document),
        )
        for document in [*documents, *scanner.finish()]
    ]
    assert await sink.deliver(revisions) == [None, None]
    await sink.stop()
    return folder.path


def test_alerts_are_listed_the_latest_first(vedette: Call, folder: Path) -> None:
    listed = vedette("alerts", "list", "--format", "json", "--data-dir", folder).lines
    assert [(alert["actor"], alert["count"], alert["opened"]) for alert in listed] == [
        ("\x1b[2Jeve", 1, "2026-03-01T00:00:03.123456Z"),
        ("mallory", 3, "2026-03-01T00:00:00.123456Z"),
    ]
    table = vedette("alerts", "list", "--data-dir", folder)
    assert [line.split()[0] for line in table.out.splitlines()] == ["ID", *(alert["alert_id"][:12] for alert in listed)]
    assert "\x1b" not in table.out


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (["--actor", "mallory"], 1),
        (["--actor", "nobody"], 0),
        (["--min-level", "critical"], 0),
        (["--namespace", "shop", "--rule", "Secret deleted"], 2),
        (["--text", "mallor"], 1),
        (["--since", "2026-03-01T00:00:02Z"], 1),
        (["--until", "2026-03-01T00:00:02"], 1),
        (["--since", "1h", "--until", "2026-03-01"], 0),
        (["--limit", "1"], 1),
        (["--limit", "0"], 0),
        (["--cluster", "prod"], 0),
        (["--status", "new"], 2),
        (["--status", "resolved"], 0),
    ],
)
def test_a_list_is_filtered(vedette: Call, folder: Path, options: list[str], count: int) -> None:
    assert len(vedette("alerts", "list", *options, "--format", "json", "--data-dir", folder).lines) == count


def test_pages_follow_each_other(vedette: Call, folder: Path) -> None:
    (first,) = vedette("alerts", "list", "--limit", "1", "--format", "json", "--data-dir", folder).lines
    rest = vedette("alerts", "list", "--after", first["cursor"], "--format", "json", "--data-dir", folder).lines
    assert [alert["actor"] for alert in rest] == ["mallory"]


def test_an_alert_is_shown_with_its_reasons_and_without_its_poison(vedette: Call, folder: Path) -> None:
    newest, oldest = vedette("alerts", "list", "--format", "json", "--data-dir", folder).lines
    (document,) = vedette("alerts", "show", oldest["alert_id"], "--format", "json", "--data-dir", folder).lines
    assert document["unmapped"]["alert_id"] == oldest["alert_id"]
    shown = vedette("alerts", "show", newest["alert_id"][:8], "--data-dir", folder).out
    assert "\x1b" not in shown
    assert "selection.verb: verb equals \"delete\"  (it is 'delete')" in shown
    assert "actor" in shown
    assert "audit-3" in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["show", "nope"], "no alert has an id that begins with"),
        (["list", "--since", "yesterday"], "`yesterday` is no time; write 30m, 2h, 7d (ago)"),
        (["list", "--sink", "other"], "the configuration has no store named `other`; there are store"),
    ],
)
def test_a_wrong_call_is_explained(vedette: Call, folder: Path, words: list[str], message: str) -> None:
    done = vedette("alerts", *words, "--data-dir", folder)
    assert (done.status, done.out) == (2, "")
    assert message in done.err


def test_without_a_store_there_is_nothing_to_list(vedette: Call, tmp_path: Path) -> None:
    (tmp_path / "vedette.yaml").write_text("sinks: {lines: {stdout: {}}}")
    done = vedette("alerts", "list", "--config", tmp_path / "vedette.yaml")
    assert (done.status, done.out) == (2, "")
    assert "add `store: {store: {}}` under `sinks`" in done.err


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("0s", NOW),
        ("30m", NOW - 1800 * SECOND),
        ("2h", NOW - 7200 * SECOND),
        ("1d", NOW - 86_400 * SECOND),
        ("2026-03-01", NOW),
        ("2026-03-01T01:00:00.000001", NOW + 3600 * SECOND + 1000),
        ("2026-03-01T01:00:00+01:00", NOW),
        ("999999999d", 0),
    ],
)
def test_moments(text: str, moment: int) -> None:
    assert parse_moment(text, now_ns=NOW) == moment


@pytest.mark.parametrize("text", ["", "x", "1w", "-1h", "2026-13-01"])
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(ConfigError, match="is no time"):
        parse_moment(text, now_ns=NOW)
