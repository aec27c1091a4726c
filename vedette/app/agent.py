"""The running agent: all roles in one process over one data folder, from start to a clean stop.

Order of a start: lock, restore and replay, rules and settings into the log, roles, sources last. Order of a stop: the
reverse; what was acknowledged is detected and checkpointed before the process ends, delivery gets a bounded time.
A role that fails unexpectedly ends the process loudly; the journal makes the restart safe.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib.metadata
import logging
import os
import signal
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import msgspec
from prometheus_client import Counter

from collector.decoders import DECODERS
from vedette.app.metrics.families import Live
from vedette.app.metrics.server import MetricsServer
from vedette.app.open_files import allow_open_files, open_files_needed
from vedette.app.profiles.service import ProfileService
from vedette.app.rule_set import changes_between, read_rule_set
from vedette.app.verdicts import Roles, Verdicts
from vedette.app.wiring import build_deliveries, build_sources
from vedette.journal.sqlite import (
    DataFolder,
    SqliteCoreLog,
    SqliteEventReader,
    SqliteIntakeLog,
    SqliteIntakeReader,
)
from vedette.pipeline import control_record
from vedette.pipeline.control import ControlServer
from vedette.pipeline.control_record import ControlRecord
from vedette.pipeline.core_thread import CoreThread
from vedette.pipeline.deliver import DeliverRole
from vedette.pipeline.detect import DetectRole
from vedette.pipeline.detector import Detector
from vedette.pipeline.intake import IntakeRole
from vedette.pipeline.replay import Replay, ReplayRequest
from vedette.pipeline.rulesets import hash_of
from vedette.pipeline.tail import Tail
from vedette.runtime.clock import SystemClock
from vedette.runtime.telemetry import OperationalEvent
from vedette.schema.errors import ConfigError, TransientError, VedetteError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from vedette.app.config import Config
    from vedette.app.rule_set import RuleSet
    from vedette.runtime.source import Source
    from vedette.schema.event import Decoder

T = TypeVar("T")

DISK_STOP_S = 5.0
"""How long a stop waits for a disk that can't be written, for intake and then for detection; after that it is as if the
process had been killed. With what ports and deliveries may take it stays within the 30 s that Kubernetes grants."""
DETECT_STOP_S = 30.0
"""How long detection may go on after a stop, to catch up with intake; what it doesn't manage, the next start does."""
DELIVERY_STOP_S = 10.0
"""How long deliveries may go on after a stop; what they don't manage waits in the journal."""


@dataclass(frozen=True, slots=True)
class AgentStarted(OperationalEvent):
    """The agent takes records in."""

    component = "app.agent"
    message = "Vedette is running"
    version: str
    data_dir: str
    urls: list[str]
    rules: int


@dataclass(frozen=True, slots=True)
class AgentStopped(OperationalEvent):
    """The agent ended cleanly."""

    component = "app.agent"
    message = "Vedette stopped; everything acknowledged is detected and saved"
    seq: int


@dataclass(frozen=True, slots=True)
class RulesReloaded(OperationalEvent):
    """Another rule set entered the log."""

    component = "app.agent"
    message = "rules reloaded"
    metric: ClassVar[Counter] = Counter("vedette_rule_reloads_total", "Rule sets put in force while running.")
    rules: int
    changed: bool
    changes: dict[str, Any]
    """As `rule_set.Changes` has them."""


@dataclass(frozen=True, slots=True)
class RulesRefused(OperationalEvent):
    """A reload failed; the rules in force stay."""

    component = "app.agent"
    message = "rules not reloaded; those in force stay"
    level = logging.ERROR
    metric: ClassVar[Counter] = Counter("vedette_rule_reload_failures_total", "Rule sets refused while running.")
    error: str


class Agent:
    """One agent from configuration to stop; `run` does it all."""

    def __init__(
        self, config: Config, decoders: Mapping[str, Decoder], reread: Callable[[], Config] | None = None
    ) -> None:
        """Take the configuration; nothing is opened before `run`. `reread` reads it again for a reload."""
        self._config = config
        self._reread = reread or (lambda: config)
        self._reloads = asyncio.Lock()
        self._decoders = decoders
        self._folder = DataFolder(config.data_dir)
        self._stop = asyncio.Event()
        self._version = importlib.metadata.version("vedette")

    async def run(self, on_ready: Callable[[list[str]], None] | None = None) -> None:
        """Run until SIGINT, SIGTERM, the control operation `stop`, or the end of all sources.

        Raises:
            ConfigError: what the configuration names can't be had; nothing was started.
            RuleError: a rule can't be used; nothing was started.
            TransientError: the data folder can't be written; nothing was started, or the stop was not a clean one.
        """
        allow_open_files(open_files_needed(self._config))
        self._folder.create()
        self._folder.lock()
        try:
            await self._open()
            _settle_garbage_collector()
            await self._run_roles(on_ready)
        finally:
            self._folder.unlock()

    # --- start --------------------------------------------------------------------------------------------------------
    async def _open(self) -> None:
        config, folder = self._config, self._folder
        self._rule_set = await asyncio.to_thread(self._read_rule_set, config)
        self._log = self._open_with_ballast(partial(SqliteIntakeLog, folder.intake, None, config.journal.retention()))
        self._reader = SqliteIntakeReader(folder.intake)
        core = self._open_with_ballast(partial(SqliteCoreLog, folder.core, None, config.journal.keep_core_bytes))
        core.keep_deliveries({name: entry.log for name, entry in config.sinks.items()})
        self._core = CoreThread(core, folder)
        self._tail = Tail()
        self._detector = Detector(self._decoders, self._reader.blob, self._folder.rule_cache)
        self._adopt(self._rule_set)
        self._detect = DetectRole(
            self._reader,
            self._core,
            self._tail,
            self._detector,
            checkpoint_interval_s=config.journal.checkpoint_interval_s,
        )
        resets = await self._detect.start()
        self._intake = IntakeRole(
            self._log, folder, self._tail, SystemClock(), keep_after_seq=lambda: self._detect.checkpoint_seq
        )
        deliveries = build_deliveries(config, folder, self._core, SystemClock(), self._decoders)
        self._deliver = DeliverRole(deliveries, self._detect.committed)
        reader = SqliteEventReader(folder.intake)
        self._replay = Replay(self._core, reader, self._intake, self._deliver, SystemClock())
        roles = Roles(self._intake, self._detect, self._detector.rollup, self._core, self._reader)
        self._verdicts = Verdicts(config, roles)
        self._profiles = ProfileService(
            folder.path, self._detector.observing.watch.profiles, (self._intake, self._detect, self._reader)
        )
        self._sources = build_sources(config, self._intake, self._decoders)
        self._first_controls = [
            *(
                ControlRecord(control_record.OP_OPERATOR_RESET, operator=reset.operator, detail=f"{reset.found}")
                for reset in resets
            ),
            ControlRecord(control_record.OP_START, version=self._version),
        ]
        self._metrics = MetricsServer(config.metrics, folder, self._live)

    def _open_with_ballast(self, opened: Callable[[], T]) -> T:
        """Open a log, on a disk that is full with the help of the ballast."""
        try:
            return opened()
        except TransientError:
            if not self._folder.drop_ballast():
                raise
            return opened()

    async def _run_roles(self, on_ready: Callable[[list[str]], None] | None) -> None:
        control = ControlServer(
            self._folder.control_socket,
            {
                "status": self._status,
                "reload": self._reload,
                "stop": self._stop_asked,
                "replay": self._replay_asked,
                "unheard": self._unheard,
                "verdict": self._verdicts.take,
                "profiles": self._profiles.ask,
                "profile": self._profiles.decide,
            },
        )
        async with asyncio.TaskGroup() as roles:
            intake = roles.create_task(self._intake.run(), name="intake")
            detect = roles.create_task(self._detect.run(), name="detect")
            deliver = roles.create_task(self._deliver.run(), name="deliver")
            try:
                await self._put_in_force()
                await control.start()
                await self._metrics.start()
                started = await self._start_sources()
                self._announce(on_ready)
                await self._wait(started)
            finally:
                await self._shut_down(control, intake, detect, deliver)
        await self._replay.close()
        await self._core.close()
        self._reader.close()
        self._log.close()
        if not self._all_detected:
            message = (
                f"stopped before everything was detected and saved in {self._folder.path}: it can't be written, or"
                " detection is far behind. Nothing that was acknowledged is lost; the next start goes on with it"
            )
            raise TransientError(message)
        AgentStopped(self._detect.seq).emit()

    async def _put_in_force(self) -> None:
        for record in self._first_controls:
            await self._intake.control(record)
        await self._use_rule_set(self._rule_set)

    async def _use_rule_set(self, found: RuleSet) -> None:
        """Let the log say, in one record, which rules and settings hold from here on."""
        self._adopt(found)
        record = ControlRecord(control_record.OP_RULES, hash=hash_of(found.rules), settings=hash_of(found.settings))
        await self._intake.control(record, {"rules": found.rules, "settings": found.settings})
        self._rule_set = found

    def _adopt(self, found: RuleSet) -> None:
        self._detector.adopt(hash_of(found.rules), found.engine, found.watching)

    def _read_rule_set(self, config: Config) -> RuleSet:
        settings = self._config.detection_settings()
        return read_rule_set(config.rules, settings, self._decoders, self._folder.rule_cache)

    async def _start_sources(self) -> list[Source]:
        for source in self._sources:
            await source.start()
        return list(self._sources)

    def _announce(self, on_ready: Callable[[list[str]], None] | None) -> None:
        urls = [url for source in self._sources for url in source.urls()]
        AgentStarted(self._version, str(self._folder.path), urls, len(self._rule_set.engine.infos)).emit()
        if on_ready is not None:
            on_ready(urls)

    # --- life ---------------------------------------------------------------------------------------------------------
    async def _wait(self, sources: Sequence[Source]) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload_soon)
        ends = asyncio.gather(*(source.wait() for source in sources))
        stop = asyncio.ensure_future(self._stop.wait())
        try:
            done, _ = await asyncio.wait((ends, stop), return_when=asyncio.FIRST_COMPLETED)
            if ends in done:
                ends.result()
        finally:
            for future in (ends, stop):
                future.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await future
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                loop.remove_signal_handler(number)

    def _reload_soon(self) -> None:
        self._reloading = asyncio.ensure_future(self._reload_on_signal())

    async def _reload_on_signal(self) -> None:
        with contextlib.suppress(VedetteError):
            await self._reload({})

    async def _shut_down(
        self,
        control: ControlServer,
        intake: asyncio.Task[None],
        detect: asyncio.Task[None],
        deliver: asyncio.Task[None],
    ) -> None:
        self._metrics.drain()
        for source in self._sources:
            await source.stop()
        written = await self._write_stop()
        self._intake.stop()
        await intake
        self._detect.stop(await asyncio.to_thread(self._reader.last_seq))
        self._all_detected = await _finish(detect, DETECT_STOP_S if written else DISK_STOP_S)
        self._deliver.drain()
        await _finish(deliver, DELIVERY_STOP_S)
        await self._deliver.stop()
        await self._metrics.stop()
        await control.stop()

    async def _write_stop(self) -> bool:
        """Let the log say that this is a clean stop; False if it can't be written."""
        try:
            async with asyncio.timeout(DISK_STOP_S):
                await self._intake.control(ControlRecord(control_record.OP_STOP), patient=True)
        except (TransientError, TimeoutError):
            return False
        return True

    # --- control operations -------------------------------------------------------------------------------------------
    async def _status(self, _: Mapping[str, Any]) -> dict[str, Any]:
        failure = self._intake.failure
        return {
            "version": self._version,
            "pid": os.getpid(),
            "data_dir": str(self._folder.path),
            "urls": [url for source in self._sources for url in source.urls()],
            "rules": len(self._rule_set.engine.infos),
            "detected_seq": self._detect.seq,
            "checkpoint_seq": self._detect.checkpoint_seq,
            "open_alerts": len(self._detector.rollup.state),
            "sinks_failing": [f"{each.sink.name}: {each.failure}" for each in self._deliver.deliveries if each.failure],
            "metrics": self._metrics.urls(),
            "intake_failure": str(failure) if failure else None,
        }

    def _live(self) -> Live:
        rules = self._detector.engine.infos
        return Live(
            self._version,
            self._config.sources,
            rules,
            rule_set=self._detector.control.in_force,
            open_alerts=len(self._detector.rollup.state),
            watermark_lags_ns=self._detector.correlator.watermarks.lags_ns(),
            intake_works=self._intake.failure is None,
            in_flight_bytes=self._intake.in_flight_bytes,
            sinks_failing={each.sink.name: each.failure is not None for each in self._deliver.deliveries},
        )

    async def _reload(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Read the configured rules again; take all of them or none. `dry_run` only tells."""
        dry_run = request.get("dry_run") is True
        async with self._reloads:
            try:
                found = await asyncio.to_thread(lambda: self._read_rule_set(self._reread()))
                changed = found[:2] != self._rule_set[:2]
                changes = msgspec.to_builtins(changes_between(self._rule_set.inventory, found.inventory))
                if changed and not dry_run:
                    await self._use_rule_set(found)
            except VedetteError as error:
                if not dry_run:
                    RulesRefused(str(error)).emit()
                raise
        count = len(found.engine.infos)
        if not dry_run:
            RulesReloaded(count, changed, changes).emit()
        return {"rules": count, "changed": changed, "changes": changes}

    async def _unheard(self, _: Mapping[str, Any]) -> dict[str, Any]:
        return self._detector.unheard.as_document()

    async def _replay_asked(self, request: Mapping[str, Any]) -> dict[str, Any]:
        try:
            asked = msgspec.convert(request, ReplayRequest)
        except msgspec.ValidationError as error:
            raise ConfigError(f"not a request to replay dead letters: {error}") from error
        return (await self._replay.replay(asked.records, asked.deliveries, again=asked.again))._asdict()

    async def _stop_asked(self, _: Mapping[str, Any]) -> dict[str, Any]:
        self._stop.set()
        return {}


def _settle_garbage_collector() -> None:
    """Leave what start-up made out of all collections, and collect after fewer rounds of short-lived documents.

    Events make no cycles; at Python's own threshold the collector took 5 % of detection's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


async def _finish(role: asyncio.Task[None], seconds: float) -> bool:
    """Let a role that was told to stop come to its end (True), or cancel it."""
    done, _ = await asyncio.wait((role,), timeout=seconds)
    role.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await role
    return bool(done)


async def run_agent(
    config: Config,
    *,
    on_ready: Callable[[list[str]], None] | None = None,
    reread: Callable[[], Config] | None = None,
) -> None:
    """Run an agent with all decoders until it is told to stop; see `Agent.run` for what it raises."""
    await Agent(config, DECODERS, reread).run(on_ready)
