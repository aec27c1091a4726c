"""The order of an examination. What hangs is given up, what breaks unexpectedly is a problem of its own."""

from __future__ import annotations

import asyncio
import importlib.metadata
from typing import TYPE_CHECKING, Final, NamedTuple

from collector.sources.http.probe import failed
from vedette.app.doctor.folder import check_agent, check_folder, is_running
from vedette.app.doctor.journal import check_journal
from vedette.app.doctor.parts import (
    check_metrics,
    check_names,
    check_open_files,
    check_rules,
    check_sink,
    check_source,
)
from vedette.app.doctor.threads import in_thread
from vedette.journal.sqlite import DataFolder
from vedette.runtime.check import Check
from vedette.schema.errors import VedetteError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from vedette.app.config import Config

VERSION: Final = importlib.metadata.version("vedette")
PROBE_S: Final = 20.0
"""How long the checks of one component may take."""


class Finding(NamedTuple):
    """One check of one component, which is named as its key in the configuration is."""

    component: str
    check: Check


async def examine(config: Config) -> list[Finding]:
    """Try everything that a configuration names: components at the same time, findings sorted by component."""
    folder = DataFolder(config.data_dir)
    running = await in_thread(is_running, folder)
    probes: list[Awaitable[list[Finding]]] = [
        _guarded("configuration", in_thread(check_names, config)),
        _guarded("data_dir", in_thread(check_folder, folder, config, running=running)),
        _guarded("agent", in_thread(check_agent, folder, VERSION, running=running)),
        _guarded("system", in_thread(check_open_files, config)),
        _guarded("rules", in_thread(check_rules, config)),
        _guarded("metrics", check_metrics(config.metrics, running=running)),
    ]
    for name, source in config.sources.items():
        probes.append(_guarded(f"sources.{name}", check_source(name, source, folder, running=running)))
    for name, sink in config.sinks.items():
        probes.append(_guarded(f"sinks.{name}", check_sink(name, sink, folder)))
    probes.append(_journal(folder, running=running))
    found = [finding for findings in await asyncio.gather(*probes) for finding in findings]
    order = list(dict.fromkeys(finding.component for finding in found))
    return sorted(found, key=lambda finding: order.index(finding.component))


async def _journal(folder: DataFolder, *, running: bool) -> list[Finding]:
    found: list[Finding] = []

    async def look() -> Sequence[Check]:
        found.extend(Finding(*pair) for pair in await in_thread(check_journal, folder, running=running))
        return ()

    return await _guarded("journal", look()) + found


async def _guarded(component: str, probe: Awaitable[Sequence[Check]]) -> list[Finding]:
    what = "try it"
    try:
        async with asyncio.timeout(PROBE_S):
            checks = await probe
    except TimeoutError:
        checks = [Check(what, f"it took more than {PROBE_S:.0f} s", "see whether what it names hangs")]
    except VedetteError as error:
        checks = [failed(what, error)]
    except Exception as error:  # noqa: BLE001 - a supervisor: one part that breaks must not hide the others
        problem = f"the check itself failed: {type(error).__name__}: {error}"
        checks = [Check(what, problem, "this is a bug in Vedette; please report it")]
    return [Finding(component, check) for check in checks]
