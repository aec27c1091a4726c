"""`vedette run --sample-day`: an agent with its defaults, the day played into it, and a word on where to look."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sinks.store import AlertFilter
from vedette.app.agent import run_agent
from vedette.app.config import default_data_dir
from vedette.app.config_file import load_config
from vedette.app.sample_day.day import CLUSTER
from vedette.app.sample_day.player import Player
from vedette.app.store_access import open_store
from vedette.app.terminal import count_text, say
from vedette.schema.errors import VedetteError

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from vedette.app.config import Config

TELLING_RULE: Final = "Container Reaches For The Node"
"""The alert to begin with: the turn of the story, and its explanation shows what a rule saw."""
STORE_WAIT_S: Final = 15.0
"""How long the telling alert may take to the store; then people are sent to the list alone."""
_POLL_S: Final = 0.1
_ANY_PORT: Final = "127.0.0.1:0"
_FORMATS: Final = {"kube_audit": "audit event", "falco": "Falco alert", "vpc_flow": "flow record"}


def sample_config(data_dir: Path | None, *, free_ports: bool) -> Config:
    """Return the defaults with the sample day's cluster label and, if wanted, whatever ports are free.

    The starter pack alone keeps the story short.
    """
    defaults = load_config(None, data_dir=data_dir)
    rules = defaults.rules.model_copy(update={"packs": ["starter"]})
    config = defaults.model_copy(update={"cluster": CLUSTER, "rules": rules})
    if not free_ports:
        return config
    sources = {
        name: entry.model_copy(update={entry.kind: entry.settings.model_copy(update={"listen": _ANY_PORT})})
        for name, entry in config.sources.items()
    }
    metrics = config.metrics.model_copy(update={"listen": _ANY_PORT})
    return config.model_copy(update={"sources": sources, "metrics": metrics})


async def run_sample_day(config: Config, announce: Callable[[list[str]], None]) -> None:
    """Run an agent until it is told to stop, and play the day into it as soon as it is ready.

    A day that can't be played is reported, and does not end the agent. Raises what `run_agent` raises.
    """
    playing: list[asyncio.Task[None]] = []

    def on_ready(urls: list[str]) -> None:
        announce(urls)
        playing.append(asyncio.create_task(_play(urls, config.data_dir), name="sample day"))

    try:
        await run_agent(config, on_ready=on_ready)
    finally:
        for task in playing:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def _play(urls: list[str], data_dir: Path) -> None:
    say(f"Playing a sample day: an hour a second. Its alerts have the cluster `{CLUSTER}`.")
    try:
        day = await Player(urls).play()
    except VedetteError as error:
        say(f"The sample day could not be played to its end: {error}")
        return
    _tell(day.counts, data_dir, await _telling_alert(data_dir))


def _tell(counts: Counter[str], data_dir: Path, alert_id: str | None) -> None:
    kinds = ", ".join(count_text(counts[name], noun) for name, noun in _FORMATS.items())
    options = "" if data_dir == default_data_dir().absolute() else f" --data-dir {shlex.quote(str(data_dir))}"
    commands = ["alerts list", f"alerts show {alert_id[:12]}" if alert_id else "", "ledger"]
    say(f"\nThe sample day is played: {count_text(counts.total(), 'record')} ({kinds}). In another terminal:")
    say("")
    for command in filter(None, commands):
        say(f"  {_program()} {command}{options}")
    say("\nWhat there is to find stands in docs/sample-day.md. Vedette keeps running; Ctrl-C stops it.")


async def _telling_alert(data_dir: Path) -> str | None:
    """Wait for the alert that people should begin with, and return its id; None if it does not come."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(STORE_WAIT_S):
            while (alert_id := await asyncio.to_thread(_find_alert, data_dir)) is None:  # noqa: ASYNC110 - in a database
                await asyncio.sleep(_POLL_S)
            return alert_id
    return None


def _find_alert(data_dir: Path) -> str | None:
    """Return the id of the latest telling alert; None if there is none, or no store, yet."""
    wanted = AlertFilter(rule=TELLING_RULE, cluster=CLUSTER)
    with contextlib.suppress(VedetteError), contextlib.closing(open_store(None, data_dir, None)) as store:
        return next((row.alert_id for row in store.list(wanted, limit=1)), None)
    return None


def _program() -> str:
    """Return how this program is called from here: by its name, where the shell finds it, or by its path."""
    called = Path(sys.argv[0])
    if called.name != "vedette":
        return "vedette"
    found = shutil.which("vedette")
    return "vedette" if found and Path(found).samefile(called) else shlex.quote(str(called))
