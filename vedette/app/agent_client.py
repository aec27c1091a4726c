"""Talks to the running agent for the commands, and turns its refusals back into errors."""

from __future__ import annotations

import fcntl
import os
import time
from typing import TYPE_CHECKING, Any, Final

from vedette.app.folder_access import find_folder
from vedette.pipeline.control import request
from vedette.schema.errors import ConfigError, PermanentError, TransientError

if TYPE_CHECKING:
    from pathlib import Path

    from vedette.journal.sqlite import DataFolder

_POLL_S: Final = 0.05


def ask(config: Path | None, data_dir: Path | None, operation: str) -> dict[str, Any]:
    """Ask the agent on a data folder for an operation and return its answer.

    Raises:
        ConfigError: there is no such folder, or the agent says that the configuration or a rule is wrong.
        TransientError: no agent answers, or it can't do it now. PermanentError: it can't do it at all.
    """
    return ask_in(find_folder(config, data_dir), operation)


def ask_in(folder: DataFolder, operation: str, **arguments: Any) -> dict[str, Any]:
    """Ask the agent on a data folder that was found already; see `ask`."""
    answer = dict(request(folder.control_socket, {"op": operation, **arguments}))
    if answer.pop("ok", False):
        return answer
    message = str(answer.get("error", "the agent refused without a reason"))
    match answer.get("code"):
        case "config" | "rule":
            raise ConfigError(message)
        case "transient":
            raise TransientError(message)
        case _:
            raise PermanentError(message)


def wait_until_stopped(folder: DataFolder, timeout_s: float) -> bool:
    """Wait until no agent holds the lock of a data folder; False if one still does after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while _is_locked(folder.path / "lock"):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_S)
    return True


def _is_locked(path: Path) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
