"""The command line. Each command stands in `vedette.app.commands`, and is imported when it is called.

`main` is where every command ends: expected errors become one message and an exit status, all others are bugs and
are shown whole.
"""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from typing import TYPE_CHECKING, Final, cast

from cyclopts import App, CycloptsError

from vedette.app.exit_status import EXPECTED, ExitStatus, status_of
from vedette.app.terminal import say
from vedette.schema.limits import RECURSION_LIMIT

if TYPE_CHECKING:
    from collections.abc import Sequence

_HELP: Final = """Vedette watches Kubernetes clusters and cloud accounts: it takes the events of Falco, the Kubernetes \
API server and other sensors, matches them against rules, and rolls the findings up into alerts.

`vedette scan FILE` looks through files at hand, `vedette run` watches continuously."""

_EPILOGUE: Final = """Exit status of all commands: 0 done; 1 a check found something, or some of the work could \
not be done; 2 the call, the configuration or a rule is wrong; \
3 the data folder or the agent can't be reached; 70 a bug in Vedette.

`vedette COMMAND --help` shows what a command is for, with examples."""


COMMANDS: Final = {
    "run": ("run", "Watch continuously: take records in, detect, deliver alerts."),
    "scan": ("scan", "Look through files for what the rules detect."),
    "alerts": ("alerts", "List and show alerts in the embedded store."),
    "rules": ("rules", "List the rules that detection uses."),
    "profiles": ("profiles", "List, show, lock and carry what was learned of entities' behaviour."),
    "exceptions": ("exceptions", "List exceptions of rules with what they did, add them, end them."),
    "ledger": ("ledger", "Account for every record and every alert."),
    "dead-letters": ("dead_letters", "List and show records that could not be used."),
    "status": ("status", "Ask the running agent how it is."),
    "doctor": ("doctor", "Try everything that the configuration names, and say what is wrong."),
    "reload": ("reload", "Make the running agent read its rules again."),
    "stop": ("stop", "Stop the running agent cleanly."),
    "config": ("config", "Check, show and describe the configuration."),
    "version": ("version", "Show the versions of Vedette and of what it runs on."),
}
"""Module below `vedette.app.commands` (its `app`) and purpose of each command."""


def _version() -> str:
    from vedette.app.commands.version import version_text  # noqa: PLC0415 - keeps the start fast

    return version_text()


def build_app() -> App:
    """Put the commands together without importing them."""
    app = App(
        name="vedette",
        help=_HELP,
        help_epilogue=_EPILOGUE,
        help_format="plaintext",
        version=_version,
        result_action="return_value",
        exit_on_error=False,
        print_error=False,
        suppress_keyboard_interrupt=False,
    )
    for number, (name, (module, purpose)) in enumerate(COMMANDS.items()):
        app.command(f"vedette.app.commands.{module}:app", name=name, help=purpose, sort_key=number)
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    sys.setrecursionlimit(max(sys.getrecursionlimit(), RECURSION_LIMIT))
    try:
        result = build_app()(given)
        sys.stdout.flush()
    except CycloptsError as error:
        return _usage(error, given)
    except KeyboardInterrupt:
        return ExitStatus.INTERRUPTED
    except BrokenPipeError:
        # The interpreter flushes standard output once more when it ends; that must find an open door.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitStatus.PIPE_CLOSED
    except Exception as error:  # noqa: BLE001 - the last supervisor
        return _failed(error)
    return int(result or 0)


def _failed(error: Exception) -> ExitStatus:
    """Say what ended the command. Roles run in task groups, which wrap what ended them."""
    while isinstance(error, ExceptionGroup):
        inner = list(cast("ExceptionGroup[Exception]", error).exceptions)
        if len(inner) > 1:
            break
        error = inner[0]
    if isinstance(error, EXPECTED):
        say(f"vedette: {error}")
        return status_of(error)
    say("".join(traceback.format_exc()))
    say("vedette: this is a bug; please report it with the lines above")
    return ExitStatus.BUG


def _usage(error: CycloptsError, given: Sequence[str]) -> ExitStatus:
    command = " ".join(word for word in given[:2] if word.replace("-", "").isalpha() and not word.startswith("-"))
    say(f"vedette: {error}")
    say(f"Try `vedette {command} --help`." if command else "Try `vedette --help`.")
    return ExitStatus.USAGE
