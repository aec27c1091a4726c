"""A reading of a journal, as fixed as a photograph, and a journal to read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from vedette.app.metrics.families import Live
from vedette.app.metrics.reading import DeliveryReading, Reading, SourceReading
from vedette.journal.protocol import Cursor, DetectCommit, DetectCount, Tallies
from vedette.journal.sqlite import DataFolder, Retention, SqliteCoreLog, SqliteIntakeLog
from vedette.pipeline.detector import InForce
from vedette.schema.alert import AlertRevision
from vedette.schema.level import Level
from vedette.schema.record import Position, Run
from vedette.schema.rule import RuleInfo

SECOND_NS = 1_000_000_000
NOON_NS = 1_774_612_800 * SECOND_NS
EXEC = "6bba3550-0274-46d4-a3ff-c067e80c40d3"
HOSTILE_TITLE = 'Quoted "title" \\ with\nbreak, \x1b[2J and \ud800'


def rule(rule_id: str, title: str, level: Level = Level.HIGH) -> RuleInfo:
    return RuleInfo(rule_id=rule_id, title=title, level=level, pack="starter")


LIVE = Live(
    version="1.2.3",
    sources=("audit", "falco", "silent"),
    rules=(rule(EXEC, "Exec Into A kube-system Pod"), rule("hostile", HOSTILE_TITLE, Level.LOW)),
    rule_set=InForce("4f1c", "9a02"),
    open_alerts=3,
    watermark_lags_ns={"audit": 4 * SECOND_NS, "falco": -SECOND_NS},
    intake_works=True,
    in_flight_bytes=1_024,
    sinks_failing={"search": True, "store": False},
)
TALLIES: Tallies = {
    ("alerts", "audit", "high", EXEC): 4,
    ("alerts", "falco", "critical", "other"): 2,
    ("alerts", "falco", "low", "unloaded since"): 9,
    ("findings", "audit", EXEC): 40,
    ("findings", "falco", "other"): 7,
    ("findings", "falco", "unloaded since"): 9,
    ("correlation_left_out", "late", EXEC): 3,
    ("behaviour_left_out", "evicted", EXEC): 2,
    ("shadow_findings", "audit", EXEC): 6,
    ("shadow_alerts", "audit", "high", EXEC): 2,
    ("exception_hits", "a\x1b\n", EXEC): 5,
    ("verdicts", "benign"): 3,
    ("alerts_trimmed", "bytes"): 250,
    ("verdicts", "of a newer version"): 1,
    ("detection_latency_bucket", "audit", "0.025"): 80,
    ("detection_latency_ms_sum", "audit"): 1_600,
    ("delivery_latency_bucket", "store", "0.05"): 5,
    ("delivery_latency_bucket", "store", "1"): 2,
    ("delivery_latency_bucket", "store", "+Inf"): 1,
    ("delivery_latency_ms_sum", "store"): 7_250,
    ("a metric of a newer version", "x"): 1,
}
READING = Reading(
    now_ns=NOON_NS,
    sources={
        "audit": SourceReading(100, 5, 80, 4, 1, 2, 10, NOON_NS - 90 * SECOND_NS, 0),
        "falco": SourceReading(20, 0, 20, 0, 0, 0, 0, 0, 0),
    },
    losses={("falco", "falco_drops"): 12},
    deliveries={
        "search": DeliveryReading(9, 3, 1, 1, 1, 4, 3, NOON_NS - 30 * SECOND_NS, 0),
        "store": DeliveryReading(8, 8, 0, 0, 0, 0, 0, 0, None),
    },
    tallies=TALLIES,
    cursor=Cursor(105, NOON_NS, b"", 2),
    checkpoint_seq=90,
    last_seq=116,
    waiting=11,
    waiting_since_ns=NOON_NS - 90 * SECOND_NS,
    folder_bytes=1_048_576,
    free_bytes=9_000_000_000,
)


@dataclass
class Parcel:
    source: str
    items: list[bytes]
    runs: list[Run] = field(default_factory=list)
    position: Position | None = None

    def __post_init__(self) -> None:
        self.runs = [Run(self.source, "falco", len(self.items), hashed=True)]


@dataclass
class Journal:
    """A data folder with both logs open."""

    folder: DataFolder
    intake: SqliteIntakeLog
    core: SqliteCoreLog
    now_ns: int = SECOND_NS

    def receive(self, source: str, *items: str) -> None:
        """One chunk, a second after the one before."""
        self.now_ns += SECOND_NS
        self.intake.append([Parcel(source, [item.encode() for item in items])], now_ns=self.now_ns)

    def detect(self, seq: int, alerts: int = 0, tallies: Tallies | None = None, **processed: int) -> None:
        self.core.commit_detect(
            DetectCommit(
                seq=seq,
                arrival_ns=self.now_ns,
                digest=b"d",
                alerts=[AlertRevision(f"a{seq}-{n}", 1, 1, 1, "high", "r", b"{}") for n in range(alerts)],
                counts={source: DetectCount(count) for source, count in processed.items()},
                tallies=tallies or {},
            )
        )


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    folder = DataFolder(tmp_path / "data")
    folder.create()
    made = Journal(folder, SqliteIntakeLog(folder.intake, retention=Retention()), SqliteCoreLog(folder.core))
    yield made
    made.intake.close()
    made.core.close()
