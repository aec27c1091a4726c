"""The data folder: where the journal's files lie, who may write, and which version wrote them.

VERSION        stamp of the folder's format; a newer one is refused
lock           held by the one writer for as long as it lives
ballast        disk space to give up when the disk is full
intake/*.db    segments of the intake log, named by their first sequence number
core.db        alerts, dead letters, ledger, cursors, checkpoints
store.db       the embedded store (a sink; see `sinks.store`)
control.sock   the running agent's control socket
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from typing import TYPE_CHECKING, Final

from vedette.schema.errors import ConfigError, TransientError
from vedette.schema.limits import BALLAST_BYTES

if TYPE_CHECKING:
    from pathlib import Path

FORMAT_VERSION: Final = 2
"""Raised with every change that an older program could not read."""


class DataFolder:
    """Paths and the lock of one data folder. Making one touches nothing; `create` and `lock` do."""

    def __init__(self, path: Path) -> None:
        """Name the folder."""
        self.path = path.absolute()
        self._lock_fd = -1

    @property
    def intake(self) -> Path:
        """Folder of the intake segments."""
        return self.path / "intake"

    @property
    def core(self) -> Path:
        """The core log."""
        return self.path / "core.db"

    @property
    def store(self) -> Path:
        """The embedded alert store."""
        return self.path / "store.db"

    @property
    def rule_cache(self) -> Path:
        """Where compiled rules are kept; made when there are some, and its loss costs time alone."""
        return self.path / "cache" / "rules"

    @property
    def control_socket(self) -> Path:
        """The running agent's control socket."""
        return self.path / "control.sock"

    def check(self) -> int:
        """Make sure that this is a data folder which this version can read; return its format.

        Raises:
            ConfigError: it is not there, or a newer version wrote it.
        """
        stamp = self.path / "VERSION"
        try:
            written = json.loads(stamp.read_text())
            version = int(written["format"])
        except FileNotFoundError:
            message = f"{self.path} is not a Vedette data folder (no VERSION file). Name the right one with --data-dir"
            raise ConfigError(message) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            message = f"{stamp} can't be read ({error}). Restore it from a backup, or name another data folder"
            raise ConfigError(message) from error
        if version > FORMAT_VERSION:
            message = (
                f"{self.path} was written by a newer Vedette (format {version}, this one reads up to {FORMAT_VERSION})."
                " Install that version or a later one; nothing was changed"
            )
            raise ConfigError(message)
        return version

    def create(self) -> None:
        """Make the folder if it is not there, and check its version.

        Raises:
            ConfigError: it can't be made, or a newer version wrote it.
        """
        try:
            if not (self.path / "VERSION").exists():
                self._begin()
            self.check()
            if not self.intake.exists():
                self.intake.mkdir(mode=0o700)
                _sync(self.path)
        except OSError as error:
            message = (
                f"the data folder {self.path} can't be made: {error.strerror}. Name a writable one with --data-dir"
            )
            raise ConfigError(message) from error

    def _begin(self) -> None:
        if self.core.exists():
            message = f"{self.path} holds a journal without a VERSION file. Restore the file from a backup"
            raise ConfigError(message)
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._stamp()

    def _stamp(self) -> None:
        """Write VERSION before anything else, and sync it: an empty one beside a good journal would keep it shut."""
        fresh = self.path / "VERSION.new"
        fresh.write_text(json.dumps({"format": FORMAT_VERSION}) + "\n")
        _sync(fresh)
        fresh.replace(self.path / "VERSION")
        _sync(self.path)
        _sync(self.path.parent)

    def lock(self) -> None:
        """Become the one writer until the process ends or `unlock` is called.

        A folder of an older format is stamped with ours, before its files are brought up to it: from now on an older
        program refuses it.

        Raises:
            ConfigError: another process is the writer, or the folder can't be written.
        """
        try:
            fd = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            message = f"{self.path} can't be locked: {error.strerror}. Make it writable, or name another --data-dir"
            raise ConfigError(message) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            message = f"another Vedette is running on {self.path}. Stop it, or give this one its own --data-dir"
            raise ConfigError(message) from None
        self._lock_fd = fd
        if (self.path / "VERSION").exists() and self.check() < FORMAT_VERSION:
            self._stamp()

    def unlock(self) -> None:
        """Give up being the writer; idempotent."""
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1

    # --- ballast -------------------------------------------------------------------------------------------------
    @property
    def _ballast(self) -> Path:
        return self.path / "ballast"

    def take_ballast(self) -> bool:
        """Set the reserve aside; False if there is no room for it now."""
        with contextlib.suppress(OSError):
            if self._ballast.stat().st_size >= BALLAST_BYTES:  # a crash may have cut it short
                return True
        try:
            fd = os.open(self._ballast, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(fd, 0, BALLAST_BYTES)
            finally:
                os.close(fd)
        except OSError:
            self.drop_ballast()
            return False
        return True

    def drop_ballast(self) -> bool:
        """Give the reserve up, so that the core log can still commit; False if it was gone already."""
        with contextlib.suppress(OSError):
            self._ballast.unlink()
            return True
        return False

    def ensure_writable(self) -> None:
        """Try the folder with a small write.

        Raises:
            TransientError: it is read-only or full.
        """
        probe = self.path / "probe"
        try:
            probe.write_bytes(b"vedette")
            probe.unlink()
        except OSError as error:
            message = f"{self.path} can't be written: {error.strerror}. Free space or remount it writable"
            raise TransientError(message) from error


def _sync(path: Path) -> None:
    """Make a file's content, or the names in a folder, durable."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
