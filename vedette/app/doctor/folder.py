"""What the doctor looks at first: the data folder, its disk, and the agent that may be running on it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from collector.sources.http.probe import failed
from vedette.app.agent_client import ask_in, wait_until_stopped
from vedette.app.metrics.reading import free_bytes, size_of
from vedette.journal.sqlite import DataFolder
from vedette.runtime.check import Check
from vedette.schema.errors import ConfigError, VedetteError
from vedette.schema.limits import BALLAST_BYTES

if TYPE_CHECKING:
    from pathlib import Path

    from vedette.app.config import Config

_MAKE: Final = "make it, let Vedette's user write it, or name another `data_dir`"


def is_running(folder: DataFolder) -> bool:
    """Whether an agent holds the folder; one that can't be looked into (`check_folder` says why) counts as free."""
    try:
        return not wait_until_stopped(folder, 0)
    except OSError:
        return False


def check_agent(folder: DataFolder, version: str, *, running: bool) -> list[Check]:
    """Ask the agent on the folder how it is; blocking. `version` is the one that is installed."""
    if not running:
        return [Check("none is running on this folder")]
    try:
        status = ask_in(folder, "status")
    except VedetteError as error:
        return [failed("ask the agent that is running", error)]
    return _check_status(status, version)


def _check_status(status: dict[str, Any], version: str) -> list[Check]:
    theirs = str(status.get("version"))
    what = f"ask the agent that is running: version {theirs}, process {status.get('pid')}"
    checks = [Check(what)]
    if theirs != version:
        checks.append(Check("the agent's version", f"it runs {theirs}, installed is {version}", "restart the agent"))
    if failure := status.get("intake_failure"):
        remedy = "mend what it names; the agent goes on by itself, and senders send again"
        checks.append(Check("the agent takes records in", f"it refuses them: {failure}", remedy))
    return checks


def check_folder(folder: DataFolder, config: Config, *, running: bool) -> list[Check]:
    """Look at the folder and at its disk; blocking. Leaves no trace."""
    checks = [_check_place(folder, running=running)]
    if checks[0].ok and folder.path.exists():
        checks += _check_format(folder)
    checks.append(_check_room(folder, config.journal.keep_bytes))
    return checks


def _check_place(folder: DataFolder, *, running: bool) -> Check:
    path = folder.path
    what = f"write {path}" if path.exists() else f"make {path}"
    if path.exists() and not path.is_dir():
        return Check(what, "it is no folder", "name another `data_dir`, or move the file away")
    nearest = _nearest(path)
    if _is_read_only(nearest):
        return Check(what, "its file system is mounted read-only", "mount it writable, and look why it is not")
    if not os.access(nearest, os.W_OK | os.X_OK):
        return Check(what, f"Vedette's user may not write {nearest}", _MAKE)
    if path.exists() and not running:
        try:
            folder.ensure_writable()
        except VedetteError as error:
            return failed(what, error)
    return Check(what)


def _check_format(folder: DataFolder) -> list[Check]:
    what = "read the folder's format"
    if not (folder.path / "VERSION").exists() and not folder.core.exists():
        return []
    try:
        return [Check(f"{what}: {folder.check()}")]
    except ConfigError as error:
        return [failed(what, error)]


def _check_room(folder: DataFolder, keep_bytes: int) -> Check:
    free = free_bytes(_nearest(folder.path))
    needed = max(0, keep_bytes - size_of(folder.intake)) + BALLAST_BYTES
    what = f"room on the disk: {_bytes_text(free)} free"
    if free >= needed:
        return Check(what)
    remedy = "give the folder more room, or lower `journal.keep_bytes`: a full disk makes Vedette refuse records"
    return Check(what, f"the journal may still grow by {_bytes_text(needed)}", remedy)


def _nearest(path: Path) -> Path:
    """The path itself, or the deepest folder above it that is there."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _is_read_only(path: Path) -> bool:
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def _bytes_text(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:  # noqa: PLR2004 - the step between the units
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.0f} TiB"
