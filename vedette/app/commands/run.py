"""`vedette run`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from vedette.app.terminal import ConfigFile, DataDir, Flag, say

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

app = App(
    name="run",
    help_epilogue="""Examples:
  vedette run                              defaults: Falco on 127.0.0.1:2801, audit webhook on 127.0.0.1:9765
  vedette run --config /etc/vedette.yaml   as the file says; see `vedette config schema`
  vedette run --data-dir ./try-it-out      keep everything in a folder of its own
  vedette run --sample-day                 no cluster at hand: play a short story, docs/sample-day.md explains it

SIGHUP reads the rules again, SIGTERM and Ctrl-C stop cleanly: everything acknowledged is detected and saved.

Exit status: 0 stopped cleanly; 2 the configuration or a rule is wrong, nothing was started; 3 the data folder can't
be written; 70 a bug. After a crash start it again: nothing that was acknowledged is lost.""",
)


@app.default
def run(
    *,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    sample_day: Annotated[
        Flag, Parameter(help="Use the defaults and play a sample day into them: about 10 s, then the agent goes on.")
    ] = False,
    free_ports: Annotated[
        Flag, Parameter(help="With --sample-day: listen on any free ports instead of 2801 and 9765.")
    ] = False,
) -> int:
    """Watch continuously: take records in, detect, deliver alerts.

    Runs in the foreground until it is stopped. The log goes to standard error, as one JSON object a line.
    """
    _check(config, sample_day=sample_day, free_ports=free_ports)
    # Everything heavy is imported when the command runs, not when its help is shown.
    import uvloop  # noqa: PLC0415

    uvloop.run(_sample_day(data_dir, free_ports=free_ports) if sample_day else _agent(config, data_dir))
    return 0


def _check(config: Path | None, *, sample_day: bool, free_ports: bool) -> None:
    from vedette.schema.errors import ConfigError  # noqa: PLC0415

    if sample_day and config is not None:
        message = f"--sample-day uses the defaults, not the configuration {config}; leave out one of the two"
        raise ConfigError(f"{message} (VEDETTE_CONFIG counts as --config)")
    if free_ports and not sample_day:
        raise ConfigError("--free-ports goes with --sample-day; in a configuration, `listen: 127.0.0.1:0` does it")


def _agent(config: Path | None, data_dir: Path | None) -> Coroutine[None, None, None]:
    from vedette.app.agent import run_agent  # noqa: PLC0415
    from vedette.app.config_file import load_config  # noqa: PLC0415
    from vedette.runtime.telemetry import configure_logging  # noqa: PLC0415

    loaded = load_config(config, data_dir=data_dir)
    configure_logging(loaded.log.level)
    return run_agent(loaded, on_ready=_announce, reread=lambda: load_config(config, data_dir=data_dir))


def _sample_day(data_dir: Path | None, *, free_ports: bool) -> Coroutine[None, None, None]:
    from vedette.app.sample_day.run import run_sample_day, sample_config  # noqa: PLC0415
    from vedette.runtime.telemetry import configure_logging  # noqa: PLC0415

    loaded = sample_config(data_dir, free_ports=free_ports)
    configure_logging(loaded.log.level)
    return run_sample_day(loaded, _announce)


def _announce(urls: list[str]) -> None:
    """Tell a person at a terminal where to send records; programs read the log."""
    if sys.stderr.isatty():
        say("Vedette is running. " + (f"It takes records at {', '.join(urls)}" if urls else "It reads its sources."))
