"""The pipeline under crashes: intake, detection with checkpoints, and delivery, as the agent composes them.

Clients push, retry and give up; a file is read with positions; sinks are slow, fail, refuse and see alerts again, and
their filters change with each start. The power goes at any moment, several times. In the end every acknowledged record
has its alert in the store, once; each sink has what its filters let pass, newest last, refused things included.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import apsw
import orjson
import pytest

from collector.decoders import DECODERS
from vedette.journal.protocol import DetectCount
from vedette.journal.sqlite import (
    DataFolder,
    SqliteCoreLog,
    SqliteCoreReader,
    SqliteEventReader,
    SqliteIntakeLog,
    SqliteIntakeReader,
)
from vedette.pipeline import alert_feed, checkpointer, core_thread, detect, event_feed, intake
from vedette.pipeline.control_record import OP_SETTINGS, OP_START, OP_STOP, ControlRecord
from vedette.pipeline.core_thread import CoreThread
from vedette.pipeline.deliver import DeliverRole
from vedette.pipeline.delivery import Delivery, DeliveryPolicy
from vedette.pipeline.detect import DetectRole
from vedette.pipeline.detector import Detector, records_of
from vedette.pipeline.intake import IntakeRole
from vedette.pipeline.routing import Filter, Routes, Selection
from vedette.pipeline.rulesets import hash_of
from vedette.pipeline.stretch import Feed
from vedette.pipeline.tail import Tail
from vedette.runtime.backoff import Backoff
from vedette.runtime.check import Check
from vedette.runtime.parcel import Parcel, Receipt
from vedette.runtime.sink import ForwardedEvent, Outcome
from vedette.schema.alert import AlertRevision
from vedette.schema.errors import PermanentError, TransientError, VedetteError
from vedette.schema.level import Level
from vedette.schema.record import CONTROL_SOURCE, Position, Run
from vedette.schema.settings import DetectionSettings, RollUpSettings, decode_settings, encode_settings
from vedette.testing.faults import INJECTED, Fault, FaultDisk, Loss, Operation

pytestmark = [
    pytest.mark.simulation,
    pytest.mark.timeout(120),
    pytest.mark.filterwarnings(f"ignore:[\\s\\S]*{INJECTED}:pytest.PytestUnraisableExceptionWarning"),
]

NOW = 1_700_000_000_000_000_000
STEP_NS = 700_000_000
SETTINGS = encode_settings(DetectionSettings(cluster="sim", rollup=RollUpSettings(window_ns=1 << 60)))
BROKEN = b"{"
FILTERS = [
    Filter(),
    Filter(Level.CRITICAL),
    Filter(only=Selection(sources=("push", "once"))),
    Filter(exclude=Selection(rules=("falco:*burst", "falco:*7"))),
]
EVENT_FILTERS = [Filter(), Filter(only=Selection(sources=("push", "file"))), Filter(exclude=Selection(formats=("*",)))]
ENOUGH_S = 30.0


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses that people notice are wasted on a test."""
    monkeypatch.setattr(intake, "RETRY_AFTER_S", 0.002)
    monkeypatch.setattr(intake, "TICK_NS", 2_000_000)
    monkeypatch.setattr(detect, "TICK_NS", 2_000_000)
    monkeypatch.setattr(core_thread, "RETRY_S", 0.002)
    monkeypatch.setattr(alert_feed, "IDLE_S", 0.005)
    monkeypatch.setattr(event_feed, "IDLE_S", 0.005)
    monkeypatch.setattr(event_feed, "READ_RETRY_S", 0.002)
    monkeypatch.setattr(checkpointer, "SLICE_KEYS", 3)
    monkeypatch.setattr(DataFolder, "take_ballast", lambda self: True)


class StepClock:
    """Time goes on with each group."""

    def __init__(self, world: "World") -> None:
        self.world = world

    def now_ns(self) -> int:
        self.world.now_ns += STEP_NS
        return self.world.now_ns


@dataclass
class World:
    """What outlives a crash: what clients have to send and were told, the file, and the sink's content."""

    random: Random
    pushed: list[bytes]
    lines: list[bytes]
    once: list[bytes]
    acked: set[bytes] = field(default_factory=set[bytes])
    tried: int = 0
    """How many of `once` were sent; nobody sends them again."""
    sinks: dict[str, dict[str, tuple[int, bytes]]] = field(
        default_factory=lambda: {name: {} for name in ("store", "routed")}
    )
    events: dict[int, bytes] = field(default_factory=dict[int, bytes])
    mended: bool = False
    """Whether sinks take now what they refused before."""
    now_ns: int = NOW


def item(rule: str, number: int) -> bytes:
    """A Falco alert: its rule makes the alert, the same host and container roll up."""
    fields = {"proc.cmdline": f"run {number}"}
    alert = {
        "rule": rule,
        "priority": "Warning",
        "output": f"{rule} {number}",
        "hostname": "n",
        "output_fields": fields,
    }
    return orjson.dumps({**alert, "time": "2023-11-14T22:13:20.000000000Z", "source": "syscall"})


def world_of(seed: int) -> World:
    """Three sources: each item an alert of its own or one more of a burst; the file has broken lines, too."""
    random = Random(seed)
    alike = ["push burst", "file burst"]
    return World(
        random,
        [item(random.choice([alike[0], f"push {number}"]), number) for number in range(40)],
        [
            BROKEN if number % 9 == 8 else item(random.choice([alike[1], f"file {number}"]), number)
            for number in range(40)
        ],
        [item(f"once {number}", number) for number in range(30)],
    )


class MemorySink:
    """Keeps the newest revision of each alert, like the store; fails now and then. Not the store refuses some."""

    def __init__(self, name: str, world: World, disk: FaultDisk) -> None:
        self.name, self._world, self._disk = name, world, disk

    async def start(self) -> None:
        self._fail(0.2)

    async def deliver(self, revisions: Sequence[AlertRevision]) -> Sequence[Outcome]:
        await asyncio.sleep(0)
        self._fail(0.1)
        outcomes: list[Outcome] = []
        for revision in revisions:
            if self.name != "store" and revision.alert_id[0] in "0123" and not self._world.mended:
                outcomes.append(PermanentError("no such mapping"))
                continue
            kept = self._world.sinks[self.name]
            if revision.version >= kept.get(revision.alert_id, (0, b""))[0]:
                kept[revision.alert_id] = (revision.version, revision.document)
            outcomes.append(self._answer())
        return outcomes

    async def deliver_events(self, events: Sequence[ForwardedEvent]) -> Sequence[Outcome]:
        await asyncio.sleep(0)
        self._fail(0.1)
        outcomes: list[Outcome] = []
        for event, cluster, _ in events:
            if event.record.seq % 7 == 0 and not self._world.mended:
                outcomes.append(PermanentError("too long"))
                continue
            assert cluster == "sim"
            self._world.events[event.record.seq] = event.record.payload
            outcomes.append(self._answer())
        return outcomes

    def _answer(self) -> Outcome:
        return TransientError("answer lost") if self._world.random.random() < 0.1 else None

    async def stop(self) -> None:
        pass

    async def probe(self) -> Sequence[Check]:
        return []

    def _fail(self, chance: float) -> None:
        if self._disk.off or self._world.random.random() < chance:
            raise TransientError("the sink is away", retry_after_s=0.001)


class Process:
    """One run of the agent's roles over a data folder."""

    def __init__(self, folder: Path, disk: FaultDisk, world: World, synchronous: str) -> None:
        self.world, self.disk = world, disk
        self.folder, storage, clock = DataFolder(folder), disk.storage(synchronous), StepClock(world)
        self.log = SqliteIntakeLog(self.folder.intake, storage)
        self.reader = SqliteIntakeReader(self.folder.intake, storage)
        self.core = CoreThread(SqliteCoreLog(self.folder.core, storage), self.folder)
        tail = Tail(world.random.choice([0, 1 << 20]))
        self.detector = Detector(DECODERS, self.reader.blob)
        self.detect = DetectRole(self.reader, self.core, tail, self.detector, checkpoint_interval_s=0.0)
        self.intake = IntakeRole(self.log, self.folder, tail, clock, keep_after_seq=lambda: 0)
        self.event_reader = SqliteEventReader(self.folder.intake, storage)
        self.events = event_feed.EventFeed(
            MemorySink("events", world, disk),
            world.random.choice(EVENT_FILTERS),
            self.core,
            self.event_reader,
            decoders=DECODERS,
            settings=decode_settings(SETTINGS),
        )
        feeds: list[Feed[Any]] = [
            alert_feed.AlertFeed(MemorySink("store", world, disk), Filter(), self.core),
            alert_feed.AlertFeed(MemorySink("routed", world, disk), world.random.choice(FILTERS), self.core),
            self.events,
        ]
        deliveries = [Delivery(feed, DeliveryPolicy(), self.core, clock) for feed in feeds]
        for delivery in deliveries:
            delivery._backoff, delivery._queue_backoff = Backoff(0.001, 0.004), Backoff(0.001, 0.004)
        self.deliver = DeliverRole(deliveries, self.detect.committed)

    async def run(self) -> None:
        """Do all the work there is, and stop cleanly."""
        await self.detect.start()
        intake = asyncio.create_task(self.intake.run())
        detection = asyncio.create_task(self.detect.run())
        delivery = asyncio.create_task(self.deliver.run())
        try:
            await self._work()
            self.intake.stop()
            await intake
            self.detect.stop(await asyncio.to_thread(self.reader.last_seq))
            await detection
            self.deliver.drain()
            await delivery
        finally:
            for task in (intake, detection, delivery):
                task.cancel()
            await asyncio.gather(intake, detection, delivery, return_exceptions=True)
            self.close()

    async def _work(self) -> None:
        await self.intake.control(ControlRecord(OP_START), patient=True)
        settings = ControlRecord(OP_SETTINGS, hash=hash_of(SETTINGS))
        await self.intake.control(settings, {"settings": SETTINGS}, patient=True)
        await self._replay()
        async with asyncio.TaskGroup() as sources:
            for client in range(3):
                sources.create_task(self._push(self.world.pushed[client::3]))
            sources.create_task(self._read())
            sources.create_task(self._send_once())
        last_seq = await asyncio.to_thread(self._last_seq)
        while self.detect.seq < last_seq or self._pending():  # time goes on with every tick: the last revisions leave
            await self._tick()
        while self.world.mended and await self._replay():
            await self._tick()
        await self.intake.control(ControlRecord(OP_STOP), patient=True)

    async def _replay(self) -> int:
        """Queue all dead deliveries; return how many."""
        core = self.core.core
        keys = [key for key, _ in await self.core.insist(core.dead_deliveries, limit=10_000)]
        await self.core.insist(core.queue_deliveries, keys)
        self.deliver.deliver_again()
        return len(keys)

    async def _tick(self) -> None:
        await asyncio.sleep(0.001)

    def _pending(self) -> bool:
        states = [self.detector.rollup.state.get(key) for key in self.detector.rollup.state]
        return any(state is not None and state.pending for state in states)

    def _last_seq(self) -> int:
        """By a reader of its own: the log belongs to intake's thread, the other reader to detection."""
        with contextlib.closing(SqliteIntakeReader(self.folder.intake, self.reader._storage)) as reader:
            return reader.last_seq()

    async def _push(self, items: Sequence[bytes]) -> None:
        for start in range(0, len(items), 3):
            wanted = list(items[start : start + 3])
            while not self.world.acked.issuperset(wanted) or self.world.random.random() < 0.2:
                if isinstance(await self._offer("push", wanted, hashed=True), Receipt):
                    self.world.acked.update(wanted)

    async def _read(self) -> None:
        lines = self.world.lines
        while (start := int(self.intake.positions("file").get("/f", "0"))) < len(lines):
            stop = min(len(lines), start + self.world.random.randint(1, 7))
            run = Run("file", "falco", stop - start, origin="/f", record=start + 1)
            parcel = Parcel("file", [run], lines[start:stop], lambda _: None, 100, Position("/f", str(stop)))
            await self.intake.put(parcel)
            self.world.acked.update(line for line in lines[start:stop] if line != BROKEN)

    async def _send_once(self) -> None:
        while self.world.tried < len(self.world.once):
            one = self.world.once[self.world.tried]
            self.world.tried += 1
            if isinstance(await self._offer("once", [one], patience_s=self.world.random.choice([0.0, 0.05])), Receipt):
                self.world.acked.add(one)

    async def _offer(
        self, source: str, items: list[bytes], *, hashed: bool = False, patience_s: float = 0.0
    ) -> Receipt | TransientError:
        done: asyncio.Future[Receipt | TransientError] = asyncio.get_running_loop().create_future()
        runs = [Run(source, "falco", len(items), hashed=hashed)]
        self.intake.offer(Parcel(source, runs, items, done.set_result, sum(map(len, items)), None, patience_s))
        outcome = await done
        await asyncio.sleep(0.001 if isinstance(outcome, TransientError) else 0)
        return outcome

    def close(self) -> None:
        self.intake._thread.shutdown()
        self.core._thread.shutdown()
        self.events._thread.shutdown()
        for part in (self.reader, self.event_reader, self.log, self.core.core):
            with contextlib.suppress(apsw.Error, VedetteError):
                part.close()


# --- the laws ---------------------------------------------------------------------------------------------------------
def check(folder: Path, world: World) -> None:
    """What must hold after every crash."""
    disk = FaultDisk()  # opened as a restart would, but for real syncs
    log, core = SqliteIntakeReader(folder / "intake"), SqliteCoreLog(folder / "core.db", disk.storage())
    cursor, stored, waiting = core.cursor(), Counter[bytes](), Counter[str]()
    for chunk in log.scan():
        sources = [run.source for run in chunk.runs for _ in range(run.count)]
        for seq, source, payload in zip(range(chunk.seq, chunk.last_seq + 1), sources, chunk.items, strict=True):
            if source != CONTROL_SOURCE:
                stored[payload] += payload != BROKEN
                waiting[source] += seq > cursor.seq
    assert not world.acked - set(stored), "acknowledged and lost"
    assert not [payload for payload, count in stored.items() if count > 1], "stored twice"
    assert cursor.seq <= log.last_seq()
    assert cursor.generation == 1, "replay made what had been committed"
    detected = core.detect_counts()
    for source, count in log.counts().items():
        done = detected.get(source, DetectCount())
        settled = count.duplicate + done.processed + done.filtered + done.dead_lettered
        assert count.received == settled + waiting[source], f"the ledger of {source}"
    ends = {"alerts": core.last_alert_position(), "events": log.last_seq()}
    for name, sent in core.delivery_counts(last_seq=log.last_seq()).items():
        left = ends[sent.log] - sent.position
        assert left >= 0
        assert sent.routed == sent.delivered + sent.superseded + sent.dead_lettered + left, f"the ledger of {name}"
        letters = [letter for _, letter in core.dead_deliveries(limit=10_000) if letter.delivery == name]
        assert len(letters) == sent.dead_lettered
    log.close()
    core.close()


def check_finished(folder: Path, world: World) -> None:
    """What must hold when all the work is done."""
    check(folder, world)
    log, core = SqliteIntakeReader(folder / "intake"), SqliteCoreReader(folder / "core.db")
    stored = Counter(payload for chunk in log.scan() for payload in chunk.items)
    assert stored.keys() >= set(world.pushed) | set(world.lines)
    assert core.cursor().seq == log.last_seq() == core.checkpoint().seq
    rules = Counter[str]({orjson.loads(payload)["rule"]: 0 for payload in stored if b'"rule"' in payload})
    for payload, count in stored.items():
        if b'"rule"' in payload:
            rules[orjson.loads(payload)["rule"]] += count
    alerts = [orjson.loads(document) for _, document in world.sinks["store"].values()]
    assert Counter({alert["finding_info"]["title"]: alert["count"] for alert in alerts}) == rules
    assert len(alerts) == len(rules), "an alert for each rule, and no more"
    logged: dict[str, tuple[int, bytes]] = {}
    for entry in core.alerts(0, limit=1_000_000):
        logged[entry.revision.alert_id] = (entry.revision.version, entry.revision.document)
    assert logged == world.sinks["store"]
    check_routed(core, world)
    check_events(log, core, world)
    broken = sum(line == BROKEN for line in world.lines)
    assert len(core.dead_letters(limit=1_000)) == core.detect_counts()["file"].dead_lettered == broken
    log.close()
    core.close()


def check_routed(core: SqliteCoreReader, world: World) -> None:
    """Of each alert all revisions passed, or none; and what passed arrived, newest last."""
    routes = Routes(core.delivery_filters("routed"))
    wanted: dict[str, tuple[int, bytes]] = {}
    fates: dict[str, set[bool]] = {}
    for entry in core.alerts(0, limit=1_000_000):
        revision = entry.revision
        fates.setdefault(revision.alert_id, set()).add(routes.want(revision))
        if routes.want(revision):
            wanted[revision.alert_id] = (revision.version, revision.document)
    assert all(len(fate) == 1 for fate in fates.values())
    assert world.sinks["routed"] == wanted
    assert core.dead_deliveries() == []


def check_events(log: SqliteIntakeReader, core: SqliteCoreReader, world: World) -> None:
    """The records that the filters of their time let pass arrived, as they are."""
    routes, sent = Routes(core.delivery_filters("events")), core.delivery_counts(last_seq=log.last_seq())["events"]
    start = log.last_seq() - sent.routed - sent.suppressed
    wanted = {
        record.seq: record.payload
        for chunk in log.scan(start)
        for record in records_of(chunk)
        if record.seq > start
        and record.run.source != CONTROL_SOURCE
        and record.payload != BROKEN
        and routes.at(record.arrival_ns).wants_event(record.run.source, "sim", record.run.format)
    }
    assert world.events == wanted
    assert sent.delivered == len(wanted)


async def live(process: Process, disk: FaultDisk, at: int | None) -> bool:
    """Run until all is done, or the power goes; whether all was done."""
    dark, loop = asyncio.Event(), asyncio.get_running_loop()

    def before_event() -> None:
        if at is not None and disk.events >= at and not disk.off:
            disk.power_off()
            loop.call_soon_threadsafe(dark.set)

    disk.before_event = before_event
    work, night = asyncio.create_task(process.run()), asyncio.create_task(dark.wait())
    async with asyncio.timeout(ENOUGH_S):
        await asyncio.wait([work, night], return_when=asyncio.FIRST_COMPLETED)
        if not disk.off:
            await work
    work.cancel()
    night.cancel()
    await asyncio.gather(work, night, return_exceptions=True)
    return not disk.off


def next_life(
    folder: Path, world: World, at: int | None, *, synchronous: str = "FULL", faulty: bool = False
) -> FaultDisk:
    disk, random = FaultDisk(), world.random
    for _ in range(random.randrange(4) if faulty else 0):
        operation, error = random.choice(list(Operation)), random.choice([apsw.FullError, apsw.IOError])
        disk.inject(Fault(operation, error, after=50 + random.randrange(250), times=random.choice([1, 3])))
    asyncio.run(live(Process(folder, disk, world, synchronous), disk, at))
    return disk


@pytest.mark.parametrize("faulty", [False, True], ids=["sound", "faulty"])
@pytest.mark.parametrize("seed", range(12))
def test_crash_after_crash(scratch: Path, seed: int, faulty: bool) -> None:
    world, folder, crashes = world_of(seed), scratch / "0", 0
    (folder / "intake").mkdir(parents=True)
    for number in range(1, 7):
        disk = next_life(folder, world, 60 + world.random.randrange(300), faulty=faulty)
        folder, crashed = scratch / str(number), folder
        disk.image(crashed, folder, world.random.choice(list(Loss)), world.random)
        crashes += disk.off
        check(folder, world)
    assert crashes
    world.mended = True
    next_life(folder, world, None)
    check_finished(folder, world)


@pytest.mark.parametrize("synchronous", ["NORMAL", "OFF"])
def test_the_simulation_sees_that_weaker_syncs_lose_records(scratch: Path, synchronous: str) -> None:
    world, folder = world_of(1), scratch / "0"
    (folder / "intake").mkdir(parents=True)
    disk = next_life(folder, world, 150, synchronous=synchronous)
    disk.image(folder, scratch / "1", Loss.DROPPED, world.random)
    with pytest.raises(AssertionError, match="acknowledged and lost"):
        check(scratch / "1", world)
