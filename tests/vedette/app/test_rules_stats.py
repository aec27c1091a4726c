"""`vedette rules stats`: what rules found, as the journal and the store know it, and what they cost."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from sinks.store import StoreSettings, StoreSink
from vedette.journal.protocol import DetectCommit
from vedette.journal.sqlite import DataFolder, SqliteCoreLog, SqliteIntakeLog
from vedette.runtime.parcel import Parcel
from vedette.runtime.sink_context import SinkContext
from vedette.schema.event import Facts
from vedette.schema.level import Level
from vedette.schema.record import Run
from vedette.schema.rule import RuleInfo
from vedette.testing.sinks import StandingClock, sample_revision

from .conftest import RULE, Outcome, audit_event

Call = Callable[..., Outcome]
SECRET = "6d0e8f1a-0000-4000-8000-000000000001"
QUIET = "6d0e8f1a-0000-4000-8000-000000000002"
OTHER = RULE.replace(SECRET, QUIET).replace("Secret deleted", "Quiet").replace("verb: delete", "verb: nothing")

NEWS = """
title: News
id: news
level: low
logsource: {product: vedette, category: call}
detection: {own: {outcome: allow}, condition: own}
behaviour: {type: first_seen, by: [actor], value: [verb]}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "rules.yml").write_text(f"{RULE}---\n{OTHER}")
    folder = DataFolder(tmp_path / "data")
    folder.create()
    with closing(SqliteIntakeLog(folder.intake)) as intake:
        items = [audit_event(number, verb="delete" if number % 4 == 0 else "get") for number in range(1, 41)]
        broken = [b"{", b'{"kind": "Pod"}']
        for payloads in (items, broken):
            run = Run("api", "kube_audit", len(payloads))
            intake.append([Parcel("api", [run], payloads, lambda _: None, 100)], now_ns=1)
    with closing(SqliteCoreLog(folder.core)) as core:
        tallies = {
            ("findings", "api", SECRET): 10,
            ("findings", "audit", SECRET): 2,
            ("alerts", "api", "high", SECRET): 3,
            ("findings", "falco", "other"): 7,
            ("alerts", "falco", "low", "other"): 5,
            ("exception_hits", "An exception", SECRET): 9,
        }
        core.commit_detect(DetectCommit(1, 1, b"", [], [], {}, {}, tallies))
    file = tmp_path / "vedette.yaml"
    file.write_text(f"data_dir: {folder.path}\nrules: {{packs: [], paths: [{tmp_path}/rules.yml]}}\n")
    return file


def test_counters_and_costs_without_a_store(vedette: Call, config: Path) -> None:
    told = vedette("rules", "stats", "--format", "json", "--config", config).lines
    assert [(one["title"], one["alerts"], one["findings"], one["entities"]) for one in told] == [
        ("rules that sources report, and former ones", 5, 7, None),
        ("Secret deleted", 3, 12, None),
        ("Quiet", 0, 0, None),
    ]
    cost, quiet = told[1]["cost"], told[2]["cost"]
    assert (cost["events"], cost["matches"]) == (40, 10)
    assert (quiet["events"], quiet["matches"]) == (40, 0)
    assert cost["us_per_event"] > 0
    assert told[0]["cost"] is None


def test_detectors_of_behaviour_have_counts_and_no_cost(vedette: Call, config: Path) -> None:
    with (config.parent / "rules.yml").open("a") as file:
        file.write(f"---\n{NEWS}")
    with closing(SqliteCoreLog(DataFolder(config.parent / "data").core)) as core:
        tallies = {("findings", "api", "news"): 4, ("alerts", "api", "low", "news"): 4}
        core.commit_detect(DetectCommit(2, 2, b"", [], [], {}, {}, tallies))
    (told,) = (
        one
        for one in vedette("rules", "stats", "--format", "json", "--config", config).lines
        if one["rule_id"] == "news"
    )
    assert (told["title"], told["level"], told["alerts"], told["findings"]) == ("News", "low", 4, 4)
    assert told["cost"] is None, "what it looks at is no event of a decoder"


def test_people_get_a_table(vedette: Call, config: Path) -> None:
    done = vedette("rules", "stats", "--config", config)
    assert (done.status, done.err) == (0, "")
    titles, _, secret, _ = done.out.splitlines()
    assert titles.split() == ["ALERTS", "FINDINGS", "ENTITIES", "MATCHES", "%", "US/EVENT", "LEVEL", "TITLE"]
    assert secret.split()[:3] == ["3", "12", "25.00"]


def test_the_dearest_come_first_if_asked_for(vedette: Call, config: Path) -> None:
    told = vedette("rules", "stats", "--sort", "cost", "--format", "json", "--config", config).lines
    costs = [one["cost"]["us_per_event"] if one["cost"] else -1 for one in told]
    assert costs == sorted(costs, reverse=True)
    (first,) = vedette("rules", "stats", "--sort", "cost", "--limit", 1, "--format", "json", "--config", config).lines
    assert first["cost"]


def test_since_asks_the_store(vedette: Call, config: Path) -> None:
    done = vedette("rules", "stats", "--since", "7d", "--config", config)
    assert (done.status, done.out) == (2, "")
    assert "there is no store" in done.err


async def _fill(folder: Path) -> None:
    noisy, reported = RuleInfo(SECRET, "Secret deleted", Level.HIGH), RuleInfo("falco:Shell", "Sh\x1b[2Jell", Level.LOW)
    sink = StoreSink("store", StoreSettings(), SinkContext(folder, StandingClock()))
    await sink.start()
    await sink.deliver([sample_revision(number, rule=noisy, facts=Facts(actor="eve")) for number in (1, 2)])
    await sink.deliver([sample_revision(number, rule=noisy, revision=4, facts=Facts(actor="ann")) for number in (3,)])
    await sink.deliver([sample_revision(number, rule=reported) for number in (4, 5)])
    await sink.stop()


@pytest.mark.parametrize(
    ("since", "expected"),
    [
        ((), [("Secret deleted", 3, 12, 2), ("Sh\x1b[2Jell", 2, 2, 2), ("Quiet", 0, 0, 0)]),
        (("--since", "2026-03-27"), [("Secret deleted", 3, 6, 2), ("Sh\x1b[2Jell", 2, 2, 2), ("Quiet", 0, 0, 0)]),
        (
            ("--since", "2026-03-27T12:00:03Z"),
            [("Sh\x1b[2Jell", 2, 2, 2), ("Secret deleted", 1, 4, 1), ("Quiet", 0, 0, 0)],
        ),
        (("--since", "2026-03-28"), [("Quiet", 0, 0, 0), ("Secret deleted", 0, 0, 0)]),
    ],
    ids=["ever", "all", "some", "none"],
)
def test_the_store_knows_entities_times_and_other_rules(
    vedette: Call, config: Path, tmp_path: Path, since: tuple[str, ...], expected: list[tuple[str, int, int, int]]
) -> None:
    asyncio.run(_fill(tmp_path / "data"))
    told = vedette("rules", "stats", *since, "--format", "json", "--config", config).lines
    assert [(one["title"], one["alerts"], one["findings"], one["entities"]) for one in told] == expected
    assert "\x1b" not in vedette("rules", "stats", *since, "--config", config).out


def test_without_a_data_folder_nothing_is_said(vedette: Call, config: Path, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "data")
    assert vedette("rules", "stats", "--config", config).status == 2
