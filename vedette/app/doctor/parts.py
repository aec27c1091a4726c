"""What the doctor tries of each part of the configuration: rules, sources, sinks, the metrics port, system limits."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final, cast

from collector.decoders import DECODERS
from collector.sources.falco_grpc.probe import probe as probe_falco_grpc
from collector.sources.files.probe import probe as probe_files
from collector.sources.http.probe import check_certificate, check_port, check_token_file, failed
from collector.sources.http.probe import probe as probe_http
from collector.sources.kafka.probe import probe as probe_kafka
from detectors.engine import Engine
from detectors.loading import load_rules
from sinks import SINKS, SinkContext
from vedette.app.doctor.threads import in_thread
from vedette.app.metrics.tls import Certificate
from vedette.app.open_files import allow_open_files, open_files_needed
from vedette.app.wiring import build_sinks, build_sources, read_rules
from vedette.journal.sqlite import SqliteIntakeReader
from vedette.runtime.check import Check
from vedette.schema.errors import VedetteError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from vedette.app.config import Config, Sink, Source
    from vedette.app.metrics.settings import MetricsSettings
    from vedette.journal.sqlite import DataFolder
    from vedette.runtime.parcel import Intake

RULE_PROBLEMS_MAX: Final = 20
"""Rules that can't be used and are named."""


# --- rules and the configuration as a whole ---------------------------------------------------------------------------
def check_rules(config: Config) -> list[Check]:
    """Compile all rules; blocking."""
    what = "read the rules"
    try:
        loaded = load_rules(read_rules(config.rules), falco=config.rules.falco.options())
    except VedetteError as error:
        return [failed(what, error)]
    if loaded.errors:
        remedy = "mend the rule, or leave it out; `vedette config check` names them all"
        return [Check("compile a rule", str(error), remedy) for error in loaded.errors[:RULE_PROBLEMS_MAX]]
    dead = len(Engine(loaded.rules, DECODERS).dead)
    beside = f", {dead} of which can never match (`vedette config check` names them)" if dead else ""
    return [Check(f"compile the rules: {len(loaded.infos)}{beside}")]


def check_names(config: Config) -> list[Check]:
    """Make all sources and sinks without opening anything."""
    what = "put sources and sinks together"
    try:
        build_sources(config, cast("Intake", None), DECODERS)
        build_sinks(config, lambda _: SinkContext(config.data_dir))
    except VedetteError as error:
        return [failed(what, error)]
    return [Check(what)]


def check_open_files(config: Config) -> list[Check]:
    """Compare the connections and files that may be open with what the system allows."""
    needed = open_files_needed(config)
    highest = allow_open_files(needed)
    what = f"open {needed} files and connections at a time"
    if highest >= needed:
        return [Check(what)]
    remedy = (
        "raise the hard limit (`LimitNOFILE=` of the unit, `ulimit -Hn`), or lower `connections_max` of the sources"
    )
    return [Check(what, f"the system allows {highest}", remedy)]


# --- sources ----------------------------------------------------------------------------------------------------------
async def _http(name: str, settings: Any, _: DataFolder, running: bool) -> Sequence[Check]:
    return await probe_http(name, settings, running=running)


async def _files(name: str, settings: Any, folder: DataFolder, _: bool) -> Sequence[Check]:
    def look() -> list[Check]:
        with contextlib.closing(SqliteIntakeReader(folder.intake)) as intake:
            return probe_files(name, settings, intake.positions().get(name, {}))

    return await in_thread(look)


async def _falco_grpc(name: str, settings: Any, _folder: DataFolder, _running: bool) -> Sequence[Check]:
    return await probe_falco_grpc(name, settings)


async def _kafka(name: str, settings: Any, _folder: DataFolder, _running: bool) -> Sequence[Check]:
    return await probe_kafka(name, settings)


async def _stdin(_name: str, _settings: Any, _folder: DataFolder, _running: bool) -> Sequence[Check]:
    return [Check("standard input: read by the agent, nothing to try")]


SOURCE_PROBES: Final[dict[str, Callable[[str, Any, DataFolder, bool], Awaitable[Sequence[Check]]]]] = {
    "http": _http,
    "files": _files,
    "falco_grpc": _falco_grpc,
    "kafka": _kafka,
    "stdin": _stdin,
}
"""What is tried of each kind of source: `(name, settings, folder, an agent is running)`."""


async def check_source(name: str, entry: Source, folder: DataFolder, *, running: bool) -> Sequence[Check]:
    """Try one source."""
    return await SOURCE_PROBES[entry.kind](name, entry.settings, folder, running)


# --- sinks and metrics ------------------------------------------------------------------------------------------------
async def check_sink(name: str, entry: Sink, folder: DataFolder) -> Sequence[Check]:
    """Try one destination with a sink of its own, as its kind knows how."""
    sink = SINKS[entry.kind][1](name, entry.settings, SinkContext(folder.path))
    try:
        return await sink.probe()
    finally:
        await sink.stop()


async def check_metrics(settings: MetricsSettings, *, running: bool) -> Sequence[Check]:
    """Try the metrics port."""
    if settings.address is None:
        return [Check("switched off")]
    checks: list[Check] = []
    if settings.bearer_token_file is not None:
        checks.append(check_token_file("metrics", settings.bearer_token_file))
    tls = settings.tls
    if tls is not None:
        checks += check_certificate(tls, lambda: Certificate(tls))
    return [*checks, await check_port(settings.listen, settings.address, tls, running=running)]
