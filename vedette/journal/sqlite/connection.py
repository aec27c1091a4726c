"""How every SQLite file of the journal is opened, and what its failures mean.

Writers use WAL with `synchronous=FULL`: a transaction that returned is on disk. Other processes open read-only and
never checkpoint the WAL. A `Storage` says how, so that tests can put a fault-injecting VFS under the whole journal.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

import apsw

from vedette.schema.errors import PermanentError, TransientError

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

BUSY_TIMEOUT_MS = 10_000
"""Two writers of one file (detect and deliver as processes) wait for each other this long."""

_WORLD = (
    apsw.FullError,
    apsw.IOError,
    apsw.ReadOnlyError,
    apsw.CantOpenError,
    apsw.BusyError,
    apsw.ProtocolError,  # what the lock of a WAL says on a disk that fails
    apsw.NoMemError,
)
_DAMAGED = (apsw.CorruptError, apsw.NotADBError)


class Storage(NamedTuple):
    """How SQLite files are opened. `synchronous` is weakened only by the test that shows why it must not be."""

    vfs: str | None = None
    synchronous: str = "FULL"


def open_writer(path: Path, storage: Storage) -> apsw.Connection:
    """Open (or create) a file for writing.

    Raises:
        TransientError: the file can't be opened or created now.
    """
    with translated(path):
        connection = apsw.Connection(str(path), vfs=storage.vfs)
        connection.set_busy_timeout(BUSY_TIMEOUT_MS)
        if connection.execute("PRAGMA journal_mode=WAL").get != "wal":
            # No error, but the old mode: where a commit is the deletion of a journal, which FULL does not make durable.
            connection.close()
            raise apsw.CantOpenError("it can't be switched to WAL now")
        connection.execute(f"PRAGMA synchronous={storage.synchronous}")
        connection.execute("PRAGMA temp_store=MEMORY")
        return connection


def open_reader(path: Path, storage: Storage | None = None) -> apsw.Connection:
    """Open a file read-only, beside its writer.

    Raises:
        TransientError: it can't be opened now (a segment may have been retired).
    """
    with translated(path):
        vfs = storage.vfs if storage else None
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY, vfs=vfs)
        connection.set_busy_timeout(BUSY_TIMEOUT_MS)
        return connection


@contextlib.contextmanager
def translated(path: Path) -> Generator[None]:
    """Turn SQLite's complaints about the world into our errors; bugs (constraint, misuse) pass through.

    Raises:
        TransientError: full disk, read-only or failing file system, locked file: better later.
        PermanentError: the file is damaged.
    """
    try:
        yield
    except _WORLD as error:
        detail = str(error) or type(error).__name__
        message = f"cannot use {path.name}: {detail}. Check free space and permissions of {path.parent}"
        raise TransientError(message) from error
    except _DAMAGED as error:
        message = (
            f"{path} is damaged ({error}). Stop Vedette, keep a copy, and restore the data folder or remove the file"
        )
        raise PermanentError(message) from error


@contextlib.contextmanager
def transaction(connection: apsw.Connection, path: Path) -> Generator[None]:
    """Run statements as one durable transaction; whatever fails inside, the file is as before.

    Raises:
        TransientError, PermanentError: as `translated`.
    """
    with translated(path):
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(apsw.Error):  # a full disk may have rolled back already
                connection.execute("ROLLBACK")
            raise
