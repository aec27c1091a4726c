"""The events log: which records go to a sink, in which batches, and what becomes of those that retention removes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from collector.decoders import DECODERS
from vedette.app.ledger import read_ledger
from vedette.journal.protocol import DeliveryCount
from vedette.journal.sqlite import DataFolder, Retention, SqliteEventReader, SqliteIntakeLog
from vedette.journal.sqlite.intake_reader import segment_paths
from vedette.pipeline import event_feed
from vedette.pipeline.delivery import Delivery, DeliveryPolicy
from vedette.pipeline.event_feed import EventFeed
from vedette.pipeline.routing import Filter, Selection
from vedette.runtime.parcel import Parcel
from vedette.runtime.sink import ForwardedEvent, Outcome
from vedette.schema.errors import PermanentError, TransientError
from vedette.schema.record import Run
from vedette.schema.settings import DetectionSettings, SourceLabels

from .conftest import SECOND, Bench, ScriptedSink

pytestmark = pytest.mark.timeout(60)

SETTINGS = DetectionSettings(cluster="prod", sources={"edge": SourceLabels("edge-1", {"team": "blue"})})


def falco(number: int, **fields: str) -> bytes:
    alert = {"rule": f"rule {number}", "priority": "Warning", "output": "x", "source": "syscall", **fields}
    return json.dumps({**alert, "time": "2026-03-01T00:00:00.000000000Z", "output_fields": {}}).encode()


class Events(Bench):
    """An intake log beside the core log, and deliveries of it."""

    def __init__(self, folder: Path) -> None:
        self.data = DataFolder(folder)
        self.data.create()
        super().__init__(folder)
        self.intake = SqliteIntakeLog(self.data.intake, retention=Retention(segment_age_ns_max=10 * SECOND))
        self.feeds: list[EventFeed] = []

    end_seq = 0
    """Where deliveries are told that the log ended."""

    def receive(self, *items: bytes, source: str = "falco", format_name: str = "falco", origin: str = "") -> None:
        runs = [Run(source, format_name, len(items), origin=origin)]
        parcel = Parcel(source, runs, list(items), lambda _: None, sum(map(len, items)))
        self.intake.append([parcel], now_ns=self.clock.time_ns)

    def delivery(self, sink: ScriptedSink, policy: DeliveryPolicy | None = None) -> Delivery:
        policy = policy or DeliveryPolicy()
        reader = SqliteEventReader(self.data.intake)
        self.feeds.append(
            EventFeed(
                sink,
                policy.filter,
                self.thread,
                reader,
                decoders=DECODERS,
                settings=SETTINGS,
            )
        )
        made = Delivery(self.feeds[-1], policy, self.thread, self.clock)
        made._backoff.first_s = 0.001
        self.feeds[-1]._end_seq = self.end_seq
        return made

    def balance(self) -> DeliveryCount:
        """Everything up to the end of intake is accounted for."""
        count = self.core.delivery_counts(last_seq=self.intake.last_seq())["siem"]
        settled = count.delivered + count.superseded + count.dead_lettered + count.expired
        assert count.routed == settled + self.intake.last_seq() - count.position
        (account,) = read_ledger(self.data).deliveries
        assert (account.missing, account.log, account.waiting) == (0, "events", self.intake.last_seq() - count.position)
        return count


@pytest.fixture
async def events(tmp_path: Path) -> AsyncIterator[Events]:
    made = Events(tmp_path / "data")
    yield made
    for task in made.running:
        task.cancel()
    await asyncio.gather(*made.running, return_exceptions=True)
    for feed in made.feeds:
        await feed.close()
        await feed.close()
    await made.thread.close()
    made.core.close()
    made.intake.close()


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_feed, "IDLE_S", 0.002)
    monkeypatch.setattr(event_feed, "READ_RETRY_S", 0.002)


def seqs(sink: ScriptedSink) -> list[int]:
    return [each.event.record.seq for each in sink.taken if isinstance(each, ForwardedEvent)]


# --- which records ----------------------------------------------------------------------------------------------------
async def test_only_events_go_with_what_is_said_about_their_source(events: Events) -> None:
    events.receive(falco(1), b"{", b'{"rule": 5}')
    events.intake.append_control(b'{"op":"start"}', now_ns=events.clock.time_ns)
    events.receive(falco(5, source="internal"))
    events.receive(falco(6), falco(7), source="edge", origin="/var/log/falco")
    events.receive(b"never heard of", format_name="nope")
    sink = ScriptedSink()
    await events.drained(sink)
    first, sixth, seventh = (each for each in sink.taken if isinstance(each, ForwardedEvent))
    assert (first.event.doc["rule"], first.cluster, first.labels) == ("rule 1", "prod", {})
    assert (sixth.cluster, sixth.labels, sixth.event.record.record) == ("edge-1", {"team": "blue"}, 1)
    assert (seventh.event.record.record, seventh.event.record.payload) == (2, falco(7))
    assert first.event.record.arrival_ns == events.clock.time_ns
    assert seqs(sink) == [1, 6, 7]
    assert (events.balance().delivered, events.balance().suppressed) == (3, 5)


async def test_a_record_that_breaks_its_decoder_holds_up_nothing(
    events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode = type(DECODERS["falco"]).decode

    def poisoned(self: object, payload: bytes, context: str) -> object:
        if b"poison" in payload:
            raise KeyError("poison")
        return decode(DECODERS["falco"], payload, context)

    monkeypatch.setattr(type(DECODERS["falco"]), "decode", poisoned)
    events.receive(falco(1), falco(2, output="poison"), falco(3))
    sink = ScriptedSink()
    await events.drained(sink)
    assert seqs(sink) == [1, 3]


@pytest.mark.parametrize(
    ("passing", "wanted"),
    [
        pytest.param(Filter(), [1, 2, 3], id="all"),
        pytest.param(Filter(only=Selection(sources=("edge",))), [2], id="source"),
        pytest.param(Filter(only=Selection(clusters=("prod",))), [1, 3], id="cluster"),
        pytest.param(Filter(only=Selection(formats=("vpc*",))), [], id="format"),
        pytest.param(Filter(exclude=Selection(clusters=("edge-*",))), [1, 3], id="excluded"),
    ],
)
async def test_records_pass_the_filter_of_their_time(events: Events, passing: Filter, wanted: list[int]) -> None:
    events.receive(falco(1))
    events.receive(falco(2), source="edge")
    events.receive(falco(3))
    sink = ScriptedSink()
    await events.drained(sink, DeliveryPolicy(passing))
    assert seqs(sink) == wanted
    assert events.balance().suppressed == 3 - len(wanted)


class PreparingScript(ScriptedSink):
    """A sink that makes events ready as soon as they are decoded."""

    def prepare_event(self, forwarded: ForwardedEvent) -> tuple[str, ForwardedEvent]:
        return f"ready {forwarded.event.record.seq}", forwarded

    async def deliver_prepared(self, prepared: Sequence[tuple[str, ForwardedEvent]]) -> Sequence[Outcome]:
        assert [ready for ready, _ in prepared] == [f"ready {each.event.record.seq}" for _, each in prepared]
        return await self.deliver_events([forwarded for _, forwarded in prepared])


async def test_a_sink_gets_what_it_made_ready(events: Events) -> None:
    events.receive(falco(1), b"{", falco(3), falco(4))
    refusal = PermanentError("no")
    sink = PreparingScript(script=[TransientError("away"), lambda _: [None, refusal, TransientError("full")]])
    await events.drained(sink)
    assert seqs(sink) == [1, 4]
    ((_, letter),) = events.core.dead_deliveries()
    assert (letter.position, letter.revision.document) == (3, falco(3))
    await events.queue()
    await events.drained(sink)
    assert seqs(sink) == [1, 4, 3]
    assert (events.balance().delivered, events.balance().suppressed) == (3, 1)


async def test_others_get_their_turn_between_events(events: Events, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_feed, "TURN_BYTES", 10 * 700)
    events.receive(*map(falco, range(400)))
    sink, turns = PreparingScript(), 0
    running = events.run(events.delivery(sink))
    while not sink.taken:
        await asyncio.sleep(0)
        turns += 1
    assert not running.done()
    assert turns >= 400 // 10


async def test_a_new_delivery_begins_at_the_end(events: Events) -> None:
    events.receive(falco(1), falco(2))
    events.end_seq = events.intake.last_seq()
    sink = ScriptedSink()
    await events.drained(sink)
    events.receive(falco(3))
    events.end_seq = 3
    await events.drained(sink)
    assert seqs(sink) == [3]
    assert events.balance().routed == 1


# --- batches ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("items_max", "bytes_max", "chunk"),
    [(3, 1 << 30, 7), (100, 1, 4), (5, 300, 1), (1, 1, 50)],
    ids=["chunks are cut", "by bytes", "small chunks", "one by one"],
)
async def test_batches_are_bounded_and_miss_nothing(
    events: Events, monkeypatch: pytest.MonkeyPatch, items_max: int, bytes_max: int, chunk: int
) -> None:
    monkeypatch.setattr(event_feed, "BATCH_REVISIONS_MAX", items_max)
    monkeypatch.setattr(event_feed, "FORWARD_BYTES_MAX", bytes_max)
    for first in range(0, 50, chunk):
        events.receive(*map(falco, range(first, min(50, first + chunk))))
        events.clock.time_ns += 4 * SECOND
    sink = ScriptedSink()
    await events.drained(sink)
    assert len(segment_paths(events.data.intake)) > (chunk < 20)
    assert seqs(sink) == list(range(1, 51))
    assert sink.calls >= 50 / max(items_max, chunk if bytes_max == 1 else 0)


async def test_a_filter_that_drops_nearly_all_commits_rarely(events: Events, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_feed, "BATCH_REVISIONS_MAX", 10)
    monkeypatch.setattr(event_feed, "FORWARD_ITEMS_MAX", 200)
    for _ in range(50):
        events.receive(*[b"{"] * 10)
    events.receive(falco(1))
    commits = 0

    def counted(commit: object) -> None:
        nonlocal commits
        commits += 1
        original(commit)  # type: ignore[arg-type]

    original = events.thread.core.commit_delivery
    monkeypatch.setattr(events.thread.core, "commit_delivery", counted)
    sink = ScriptedSink()
    await events.drained(sink)
    assert (seqs(sink), commits) == ([501], 3)


async def test_what_arrives_while_it_runs_is_delivered(events: Events) -> None:
    sink = ScriptedSink()
    running = events.run(events.delivery(sink))
    for number in range(1, 4):
        events.receive(falco(number))
        await events.until(lambda number=number: seqs(sink)[-1:] == [number])  # type: ignore[misc]
    assert not running.done()


# --- what is gone -----------------------------------------------------------------------------------------------------
async def test_what_retention_removed_is_expired(events: Events, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(1, 6):
        events.receive(falco(number), falco(number))
        events.clock.time_ns += 20 * SECOND
    for path in segment_paths(events.data.intake)[:3]:
        path.unlink()
    sink = ScriptedSink()
    await events.drained(sink)
    assert seqs(sink) == [7, 8, 9, 10]
    assert (events.balance().expired, events.balance().delivered) == (6, 4)
    (told,) = caplog.records
    assert (told.fields["after_seq"], told.fields["count"]) == (0, 6)  # type: ignore[attr-defined]


@pytest.mark.parametrize("limit", ["age", "bytes"])
async def test_a_backlog_beyond_its_limits_expires(events: Events, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setattr(event_feed, "BATCH_REVISIONS_MAX", 2)
    for number in range(1, 9):
        events.receive(falco(number))
        events.clock.time_ns += 4 * SECOND
    one = DeliveryPolicy(backlog_age_s_max=10) if limit == "age" else DeliveryPolicy(backlog_bytes_max=500)
    sink = ScriptedSink(script=[TransientError("away")])
    await events.drained(sink, one)
    assert seqs(sink) == list(range(9 - len(seqs(sink)), 9)), "the newest are left"
    assert 0 < len(seqs(sink)) < 6
    assert events.balance().expired == 8 - len(seqs(sink))


async def test_a_log_that_cannot_be_read_is_read_later(
    events: Events, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    events.receive(falco(1))
    delivery = events.delivery(ScriptedSink())
    reader = events.feeds[0]._reader
    fails = [TransientError("locked"), PermanentError("damaged")]
    read = reader.read

    def failing(after_seq: int, *, items_max: int, bytes_max: int) -> object:
        if fails:
            raise fails.pop()
        return read(after_seq, items_max=items_max, bytes_max=bytes_max)

    monkeypatch.setattr(reader, "read", failing)
    running = events.run(delivery)
    sink = delivery.sink
    assert isinstance(sink, ScriptedSink)
    await events.until(lambda: seqs(sink) == [1])
    assert [record.fields["error"] for record in caplog.records] == ["damaged", "locked"]  # type: ignore[attr-defined]
    assert not running.done()


# --- dead deliveries of events ----------------------------------------------------------------------------------------
async def test_a_refused_event_goes_again_or_is_gone(events: Events) -> None:
    events.receive(falco(1, output="x" * 100_000), source="edge")
    events.receive(falco(2))
    refused = ScriptedSink(script=[lambda count: [PermanentError("no")] * count])
    await events.drained(refused)
    letters = [letter for _, letter in events.core.dead_deliveries()]
    assert [(letter.position, letter.log, letter.revision.source) for letter in letters] == [
        (1, "events", "edge"),
        (2, "events", "falco"),
    ]
    assert letters[0].revision.document == falco(1, output="x" * 100_000)[: 64 * 1024]
    assert (letters[0].revision.cluster, letters[0].revision.opened_ns) == ("edge-1", events.clock.time_ns)
    await events.queue()
    sink = ScriptedSink(script=[lambda _: [None, PermanentError("never")]])
    await events.drained(sink)
    assert seqs(sink) == [1]
    assert [letter.reason for _, letter in events.core.dead_deliveries()] == ["never"]
    events.clock.time_ns += 20 * SECOND
    events.receive(falco(3))
    segment_paths(events.data.intake)[0].unlink()
    await events.queue()
    await events.drained(ScriptedSink())
    assert [letter.reason for _, letter in events.core.dead_deliveries()] == [
        "record 2 is not in the intake log any more: its retention is over"
    ]
    assert (events.balance().delivered, events.balance().dead_lettered) == (2, 1)
