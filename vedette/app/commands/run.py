"""`vedette run`."""

from __future__ import annotations

import sys

from cyclopts import App

from vedette.app.terminal import ConfigFile, DataDir, say

app = App(
    name="run",
    help_epilogue="""Examples:
  vedette run                              defaults: Falco on 127.0.0.1:2801, audit webhook on 127.0.0.1:9765
  vedette run --config /etc/vedette.yaml   as the file says; see `vedette config schema`
  vedette run --data-dir ./try-it-out      keep everything in a folder of its own

SIGHUP reads the rules again, SIGTERM and Ctrl-C stop cleanly: everything acknowledged is detected and saved.

Exit status: 0 stopped cleanly; 2 the configuration or a rule is wrong, nothing was started; 3 the data folder can't
be written; 70 a bug. After a crash start it again: nothing that was acknowledged is lost.""",
)


@app.default
def run(*, config: ConfigFile = None, data_dir: DataDir = None) -> int:
    """Watch continuously: take records in, detect, deliver alerts.

    Runs in the foreground until it is stopped. The log goes to standard error, as one JSON object a line.
    """
    # Everything heavy is imported when the command runs, not when its help is shown.
    import uvloop  # noqa: PLC0415

    from vedette.app.agent import run_agent  # noqa: PLC0415
    from vedette.app.config_file import load_config  # noqa: PLC0415
    from vedette.runtime.telemetry import configure_logging  # noqa: PLC0415

    loaded = load_config(config, data_dir=data_dir)
    configure_logging(loaded.log.level)
    uvloop.run(run_agent(loaded, on_ready=_announce))
    return 0


def _announce(urls: list[str]) -> None:
    """Tell a person at a terminal where to send records; programs read the log."""
    if sys.stderr.isatty():
        say("Vedette is running. " + (f"It takes records at {', '.join(urls)}" if urls else "It reads its sources."))
