"""`vedette stop`."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from vedette.app.exit_status import ExitStatus
from vedette.app.terminal import ConfigFile, DataDir, say

app = App(
    name="stop",
    help_epilogue="""Example:
  vedette stop --timeout-s 120

Exit status: 0 the agent has stopped; 1 it is still stopping after --timeout-s; 3 no agent answers.""",
)


@app.default
def stop(
    *,
    timeout_s: Annotated[float, Parameter(help="Seconds to wait until it has stopped.")] = 60.0,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> int:
    """Stop the running agent cleanly, and wait until it has stopped.

    What was acknowledged is detected and saved first; alerts that a destination does not take wait for the next start.
    """
    from vedette.app.agent_client import ask_in, wait_until_stopped  # noqa: PLC0415 - keeps the start fast
    from vedette.app.folder_access import find_folder  # noqa: PLC0415

    folder = find_folder(config, data_dir)
    ask_in(folder, "stop")
    if wait_until_stopped(folder, timeout_s):
        say("stopped")
        return ExitStatus.OK
    say(f"still stopping after {timeout_s:g} s")
    return ExitStatus.FOUND
