"""The journal under crashes and failing disks: what was acknowledged is there once, and everything adds up.

A `World` is what lies outside and outlives a crash: clients that send again, files, a sink. A `Life` is one run of a
process on the journal's real classes, over a disk that can lose power at any moment. The laws are checked on what a
restart finds, and again when the restarted process has finished all the work.
"""

import contextlib
import shutil
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import ParamSpec, TypeVar

import apsw
import msgspec
import pytest

from vedette.journal.protocol import CheckpointInfo, Chunk, DeliveryCommit, DetectCommit, DetectCount, IntakeCount
from vedette.journal.sqlite import Retention, SqliteCoreLog, SqliteIntakeLog, SqliteIntakeReader
from vedette.journal.sqlite.connection import open_reader
from vedette.journal.sqlite.segment import chunk_counts
from vedette.runtime.parcel import Parcel
from vedette.schema.alert import AlertRevision
from vedette.schema.errors import PermanentError, TransientError
from vedette.schema.operator import KeyedState
from vedette.schema.record import CONTROL_SOURCE, Position, Run
from vedette.testing.faults import INJECTED, Fault, FaultDisk, Loss, Operation

pytestmark = [
    pytest.mark.simulation,
    pytest.mark.timeout(180),
    pytest.mark.filterwarnings(f"ignore:[\\s\\S]*{INJECTED}:pytest.PytestUnraisableExceptionWarning"),
]

P = ParamSpec("P")
T = TypeVar("T")

NOW = 1_700_000_000_000_000_000
RETENTION = Retention(segment_bytes_max=6_000)
RETIRING = Retention(segment_bytes_max=6_000, keep_bytes=0)
FILES = ("/a", "/b")


class ViolationError(AssertionError):
    """A law was broken."""


class PowerLossError(Exception):
    """The process is gone."""


class Tally(msgspec.Struct):
    """What the simulated operator remembers of a source."""

    count: int


@dataclass
class World:
    """What outlives a crash."""

    to_push: int
    """Records of a client that sends each until it is acknowledged, and sometimes once more."""
    lines: int
    """Lines of each file."""
    acked: set[bytes] = field(default_factory=set[bytes])
    in_flight: set[bytes] = field(default_factory=set[bytes])
    """Records that were sent and not yet acknowledged: after a restart they come first."""
    answered: int = 0
    """Records of a client that sends once, whatever the answer."""
    sink: dict[str, int] = field(default_factory=dict[str, int])
    """How often each alert was delivered."""

    def wanted(self) -> set[bytes]:
        """What must have been stored in the end, beside what the one-shot client was told is safe."""
        lines = {b"%s %d" % (name.encode(), number) for name in FILES for number in range(self.lines)}
        return lines | {b"push %d" % number for number in range(self.to_push)}


def source_of(item: bytes) -> str:
    return {b"p": "push", b"/": "files", b"o": "once"}[item[:1]]


class Life:
    """One run of a process: intake, detection, delivery and checkpoints, step by step as chance has it."""

    def __init__(self, folder: Path, disk: FaultDisk, world: World, random: Random, retention: Retention) -> None:
        self.folder, self.disk, self.world, self.random = folder, disk, world, random
        self.storage, self.retention = disk.storage(SYNCHRONOUS), retention
        self.intake = self.insist(SqliteIntakeLog, folder / "intake", self.storage, retention)
        self.core = self.insist(SqliteCoreLog, folder / "core.db", self.storage)
        self.reader = SqliteIntakeReader(folder / "intake", self.storage)
        self.now = NOW
        self.state = KeyedState(Tally)
        self.draining: CheckpointInfo | None = None
        self.position = self.insist(self.core.open_delivery, "store", from_start=True).position
        self.replay()

    def insist(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        for _ in range(50):
            try:
                return function(*args, **kwargs)
            except TransientError:
                if self.disk.off:
                    raise PowerLossError from None
        pytest.fail("no fault lasts so long")

    def replay(self) -> None:
        cursor, info = self.core.cursor(), self.core.checkpoint()
        self.state.restore(self.core.checkpoint_rows("tally"))
        for chunk in self.insist(lambda: list(self.reader.scan(info.seq))):
            if chunk.seq > cursor.seq:
                break
            if chunk.seq > info.seq:
                self.tally(chunk)
        self.seq, self.checkpoint_seq = cursor.seq, info.seq

    def tally(self, chunk: Chunk) -> None:
        for source, count in Counter(run.source for run in chunk.runs for _ in range(run.count)).items():
            known = self.state.get(source)
            if known is None:
                self.state.put(source, Tally(count))
            else:
                self.state.touch(source)
                known.count += count

    # --- steps --------------------------------------------------------------------------------------------------------
    def step(self) -> None:
        actions: list[Callable[[], object]] = [
            self.append,
            self.append,
            self.append,
            self.detect,
            self.detect,
            self.deliver,
            self.checkpoint,
        ]
        action = self.random.choice([*actions, self.retire, self.control])
        try:
            action()
        except TransientError:
            if self.disk.off:
                raise PowerLossError from None

    def resend(self) -> None:
        while again := sorted(self.world.in_flight - self.world.acked):
            self.insist(self.send, [self.parcel("push", again, hashed=True)])

    def finish(self) -> None:
        """All the work there is, without further steps of chance."""
        while self.missing():
            self.insist(self.append, 1.0, 1_000)
        while self.insist(self.detect):
            pass
        while self.insist(self.deliver):
            pass
        while not self.insist(self.checkpoint):
            pass

    def missing(self) -> bool:
        positions = self.insist(self.intake.positions).get("files", {})
        read = all(int(positions.get(name, "0")) == self.world.lines for name in FILES)
        pushed = all(b"push %d" % number in self.world.acked for number in range(self.world.to_push))
        return not (read and pushed)

    def append(self, eagerness: float = 0.6, count_max: int = 5) -> None:
        parcels: list[Parcel] = []
        unacked = [n for n in range(self.world.to_push) if b"push %d" % n not in self.world.acked]
        chosen = set(unacked[: self.random.randint(1, count_max)])
        if self.retention.keep_bytes:
            chosen.add(self.random.randrange(self.world.to_push))
        if self.random.random() < eagerness:
            parcels.append(self.parcel("push", [b"push %d" % number for number in sorted(chosen)], hashed=True))
        if self.random.random() < eagerness / 2:
            parcels.append(self.parcel("once", [b"once %d" % self.world.answered]))
            self.world.answered += 1
        positions = self.intake.positions().get("files", {})
        for name in FILES:
            start = int(positions.get(name, "0"))
            lines = range(start, min(start + self.random.randint(1, count_max), self.world.lines))
            if lines and self.random.random() < eagerness:
                items = [b"%s %d" % (name.encode(), number) for number in lines]
                parcels.append(self.parcel("files", items, position=Position(name, str(lines.stop))))
        self.send(parcels)

    def send(self, parcels: list[Parcel]) -> None:
        self.now += self.random.randrange(1_000_000)
        self.world.in_flight.update(item for parcel in parcels if parcel.source == "push" for item in parcel.items)
        receipts = self.intake.append(parcels, now_ns=self.now, refused={"once": 1} if not parcels else None).receipts
        for parcel, receipt in zip(parcels, receipts, strict=True):
            assert sum(receipt) == len(parcel.items)
            self.world.acked.update(parcel.items)

    def parcel(
        self, source: str, items: list[bytes], *, hashed: bool = False, position: Position | None = None
    ) -> Parcel:
        return Parcel(source, [Run(source, "f", len(items), hashed=hashed)], items, lambda _: None, 0, position)

    def control(self) -> None:
        self.intake.append_control(b"{}", now_ns=self.now, blobs={"rules": self.random.randbytes(20)})

    def detect(self) -> bool:
        chunks = self.reader.read(self.seq, items_max=self.random.randint(1, 30))
        if not chunks:
            return False
        commit = DetectCommit(chunks[-1].last_seq, chunks[-1].arrival_ns, b"", [], [], {}, {})
        for chunk in chunks:
            if chunk.seq != self.seq + 1:
                raise ViolationError(f"records are missing between {self.seq} and {chunk.seq}")
            self.tally(chunk)
            self.seq = chunk.last_seq
            for run in chunk.runs:
                if run.source != CONTROL_SOURCE:
                    commit.counts.setdefault(run.source, DetectCount()).processed += run.count
            commit.alerts += [
                alert_of(seq, item) for seq, item in enumerate(chunk.items, chunk.seq) if item[:1] != b"{"
            ]
        self.insist(self.core.commit_detect, commit)
        return True

    def deliver(self) -> bool:
        logged = self.core.alerts(self.position, limit=self.random.randint(1, 20))
        if not logged or self.disk.off:
            return False
        for entry in logged:
            self.world.sink[entry.revision.alert_id] = self.world.sink.get(entry.revision.alert_id, 0) + 1
        self.insist(self.core.commit_delivery, DeliveryCommit("store", logged[-1].position, delivered=len(logged)))
        self.position = logged[-1].position
        return True

    def checkpoint(self) -> bool:
        """A slice of the checkpoint under way, or the next one; whether one was completed."""
        if self.draining is None:
            self.insist(self.core.begin_checkpoint)
            self.state.freeze()
            self.draining = CheckpointInfo(self.seq, b"", {"tally": 1})
        rows = self.state.drain(1)
        if rows:
            self.insist(self.core.stage_checkpoint, "tally", rows)
            return False
        self.insist(self.core.finish_checkpoint, self.draining)
        self.checkpoint_seq, self.draining = self.draining.seq, None
        return True

    def retire(self) -> None:
        self.intake.retire(keep_after_seq=self.checkpoint_seq, now_ns=self.now)

    # --- the laws -----------------------------------------------------------------------------------------------------
    def check(self) -> None:
        """What must hold whenever the journal is opened, and at the end."""
        logged = self.core.alerts(0, limit=100_000)
        detected = Counter(entry.revision.document for entry in logged)
        stored, last = Counter[bytes](), None
        for chunk in self.reader.scan():
            gap = last is not None and chunk.seq != last + 1 and last >= self.checkpoint_seq
            law(not gap, f"records are missing before {chunk.seq}")  # what was retired may reappear in part
            last = chunk.last_seq
            for seq, item in enumerate(chunk.items, chunk.seq):
                if seq > self.seq and item[:1] != b"{":
                    stored[item] += 1
        present = detected + stored
        law(not (lost := self.world.acked - set(present)), f"acknowledged and lost: {sorted(lost)[:5]}")
        law(not (doubled := [item for item, count in present.items() if count > 1]), f"doubled: {doubled[:5]}")
        law(self.seq <= self.reader.last_seq(), "detection's cursor ran ahead of the log")
        law(self.position <= self.core.last_alert_position(), "the delivery's cursor ran ahead of the alerts")
        unsent = [
            e.revision.alert_id
            for e in logged
            if e.position <= self.position and e.revision.alert_id not in self.world.sink
        ]
        law(not unsent, f"settled but not delivered: {unsent[:5]}")
        self.check_positions(present)
        self.check_ledger(stored, detected)

    def check_positions(self, present: Counter[bytes]) -> None:
        positions = self.intake.positions().get("files", {})
        for name in FILES:
            lines = {item for item in present if item.startswith(name.encode())}
            read = {b"%s %d" % (name.encode(), number) for number in range(int(positions.get(name, "0")))}
            law(lines == read, f"the position in {name} is {positions.get(name)}, but {len(lines)} lines are stored")

    def check_ledger(self, stored: Counter[bytes], detected: Counter[bytes]) -> None:
        counts, recomputed = self.intake.counts(), dict[str, IntakeCount]()
        for path, end in self.reader.segments():
            connection = open_reader(path, self.storage)
            for added in chunk_counts(connection, before_seq=end):
                for source, count in added.items():
                    total = recomputed.setdefault(source, IntakeCount())
                    total.received += count.received
                    total.duplicate += count.duplicate
                    total.refused += count.refused
            connection.close()
        if self.retention.keep_bytes:  # else some of the chunks are gone
            law(counts == recomputed, f"counters {counts}, but the chunks say {recomputed}")
        waiting, processed = Counter(map(source_of, stored)), Counter(map(source_of, detected))
        ledger = {source: count.processed for source, count in self.core.detect_counts().items()}
        law(ledger == dict(processed), f"processed {ledger}, but alerts say {processed}")
        tallied = {source: value.count for source in self.state if (value := self.state.get(source)) is not None}
        tallied.pop(CONTROL_SOURCE, None)
        law(tallied == dict(processed), f"checkpoint and replay make {tallied}, but alerts say {processed}")
        for source, count in counts.items():
            balance = count.duplicate + processed[source] + waiting[source]
            law(count.received == balance, f"{source}: received {count.received}, but {balance} are accounted for")

    def check_finished(self) -> None:
        self.check()
        missing = self.world.wanted() - {entry.revision.document for entry in self.core.alerts(0, limit=100_000)}
        law(not missing, f"never detected: {sorted(missing)[:5]}")
        alerts = {entry.revision.alert_id for entry in self.core.alerts(0, limit=100_000)}
        law(alerts == set(self.world.sink), "the sink holds other alerts than the log")
        count = self.core.delivery_counts()["store"]
        law(count.routed == count.delivered == len(alerts), f"routed {count.routed}, delivered {count.delivered}")

    def close(self) -> None:
        for part in (self.reader, self.intake, self.core):
            with contextlib.suppress(apsw.Error):
                part.close()


SYNCHRONOUS = "FULL"


def law(holds: bool, broken: str) -> None:
    if not holds:
        raise ViolationError(broken)


def alert_of(seq: int, item: bytes) -> AlertRevision:
    return AlertRevision(f"{seq}:{item.decode()}", 1, 1, seq, "high", source_of(item), item)


def reopened(folder: Path, world: World, random: Random, retention: Retention, disk: FaultDisk) -> Life:
    try:
        return Life(folder, disk, world, random, retention)
    except PermanentError as error:
        raise ViolationError(f"damaged: {error}") from error


def live_on(folder: Path, world: World, random: Random, retention: Retention) -> None:
    """Restart on what a crash left, check, do all the work, check again."""
    life = reopened(folder, world, random, retention, FaultDisk())
    life.check()
    life.resend()
    life.finish()
    life.check_finished()
    life.close()


def chance_faults(random: Random) -> list[Fault]:
    errors = [apsw.FullError, apsw.IOError, apsw.IOError, apsw.ReadOnlyError]
    return [
        Fault(
            random.choice(list(Operation)),
            random.choice(errors),
            after=random.randrange(150),
            times=random.choice([1, 1, 2, 4]),
            torn=random.random() < 0.5,
        )
        for _ in range(random.randrange(4))
    ]


def look_everywhere(
    scratch: Path,
    seed: int,
    losses: list[Loss],
    retention: Retention,
    *,
    steps: int,
    stride: int = 1,
    faulty: bool = False,
) -> int:
    """One life; before each of its operations on the disk, what a crash would leave there is restarted and checked."""
    random, world = Random(seed), World(to_push=40, lines=25)
    disk, looked, folder, broken = FaultDisk(), 0, scratch / "life", list[ViolationError]()
    (folder / "intake").mkdir(parents=True)
    life = Life(folder, disk, world, random, retention)

    def look() -> None:
        nonlocal looked
        if disk.events % stride == 0:
            copy = scratch / "crash"
            chance = Random(seed * 100_003 + disk.events)
            disk.image(folder, copy, chance.choice(losses), chance)
            try:
                live_on(copy, deepcopy(world), chance, retention)
            except ViolationError as violation:  # SQLite, which called us, has no use for it
                broken.append(violation)
                disk.power_off()
            shutil.rmtree(copy)
            looked += 1

    disk.before_event = look
    for fault in chance_faults(random) if faulty else ():
        disk.inject(fault)
    with contextlib.closing(life), contextlib.suppress(PowerLossError):
        for _ in range(steps):
            life.step()
        disk.heal()
        life.finish()
        life.check_finished()
    if broken:
        raise broken[0]
    return looked


@pytest.mark.parametrize("retention", [RETENTION, RETIRING], ids=["keeping", "retiring"])
@pytest.mark.parametrize("loss", Loss)
def test_a_crash_before_every_single_operation(scratch: Path, loss: Loss, retention: Retention) -> None:
    assert look_everywhere(scratch, 1, [loss], retention, steps=40) > 200


@pytest.mark.parametrize("seed", range(6))
def test_a_crash_anywhere_while_the_disk_also_fails(scratch: Path, seed: int) -> None:
    looked = look_everywhere(
        scratch, seed, list(Loss), [RETENTION, RETIRING][seed % 2], steps=80, stride=3, faulty=True
    )
    assert looked > 100


@pytest.mark.parametrize("seed", range(60))
def test_crash_after_crash(scratch: Path, seed: int) -> None:
    """Several lives, each ended by a power loss at a random moment, on disks that fail now and then."""
    random, world = Random(seed), World(to_push=40, lines=25)
    retention, folder = random.choice([RETENTION, RETIRING]), scratch / "0"
    (folder / "intake").mkdir(parents=True)
    for number in range(1, 8):
        disk, at = FaultDisk(), random.randrange(300)
        disk.before_event = partial(power_off_at, disk, at)
        for fault in chance_faults(random):
            disk.inject(fault)
        with contextlib.suppress(PowerLossError):
            life = reopened(folder, world, random, retention, disk)
            with contextlib.closing(life):
                life.check()
                life.resend()
                while True:
                    life.step()
        folder, crashed = scratch / str(number), folder
        disk.image(crashed, folder, random.choice(list(Loss)), random)
        (folder / "intake").mkdir(exist_ok=True, parents=True)
    live_on(folder, world, random, retention)


def power_off_at(disk: FaultDisk, at: int) -> None:
    if disk.events >= at:
        disk.power_off()


@pytest.mark.parametrize("synchronous", ["NORMAL", "OFF"])
@pytest.mark.parametrize("loss", [Loss.DROPPED, Loss.SCATTERED])
def test_the_simulation_sees_that_weaker_syncs_lose_records(
    scratch: Path, monkeypatch: pytest.MonkeyPatch, synchronous: str, loss: Loss
) -> None:
    monkeypatch.setattr(f"{__name__}.SYNCHRONOUS", synchronous)
    with pytest.raises(ViolationError, match="acknowledged and lost"):
        look_everywhere(scratch, 1, [loss], RETENTION, steps=40)
