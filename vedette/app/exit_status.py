"""Exit statuses of the command line; docs/cli.md lists them for people."""

from __future__ import annotations

from enum import IntEnum

from vedette.schema.errors import ConfigError, PermanentError, RuleError, TransientError


class ExitStatus(IntEnum):
    """What a command tells the program that called it."""

    OK = 0
    FOUND = 1
    """A check found something, or a part of the work could not be done."""
    USAGE = 2
    """The call, the configuration or a rule is wrong; nothing was done."""
    UNREACHABLE = 3
    """The data folder or the agent can't be reached now, or can't be used; trying again may help."""
    BUG = 70
    """A mistake in Vedette (EX_SOFTWARE of sysexits.h)."""
    INTERRUPTED = 130
    """Ctrl-C (128 + SIGINT)."""
    PIPE_CLOSED = 141
    """The reader of the output went away (128 + SIGPIPE)."""


EXPECTED = (ConfigError, RuleError, TransientError, PermanentError)
"""Errors that are no bugs, wherever a command meets them."""


def status_of(error: BaseException) -> ExitStatus:
    """Return the exit status for an expected error."""
    return ExitStatus.USAGE if isinstance(error, ConfigError | RuleError) else ExitStatus.UNREACHABLE
