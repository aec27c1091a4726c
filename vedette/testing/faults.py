"""A disk that fails on demand: an apsw VFS that knows what a power loss would leave behind.

SQLite runs on real files, through the operating system's own VFS. Beside them, a `FaultDisk` keeps what is durable of
each file and every write, truncation, creation and deletion since. So at any moment it can write a copy of a folder as
it could be found after a power loss (`image`), it can fail chosen writes and syncs (`inject`), and it counts syncs.

    disk = FaultDisk()
    log = SqliteIntakeLog(folder, disk.storage())
    …
    disk.image(folder, copy, Loss.SCATTERED, Random(7))

What it assumes of real disks, all of it pessimistic: 512-byte sectors are written whole or not at all, in any order;
a new file's name, and a deletion, is durable only once its directory was synced; after a failed sync the operating
system forgets what it could not write (a later sync succeeds without it), as Linux does.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final

import apsw

from vedette.journal.sqlite import Storage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random

SECTOR_BYTES: Final = 512
INJECTED: Final = "injected by FaultDisk"
"""The message of every error that the disk raises. SQLite passes over some of them (a checkpoint may fail, what it
would copy stays in the WAL); apsw hands those to `sys.unraisablehook`, and tests filter the warnings by this text."""
_NEW_JOURNAL: Final = apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_SUPER_JOURNAL
"""Files whose first sync makes SQLite sync the directory as well (os_unix.c, UNIXFILE_DIRSYNC)."""
_NOT_COPIED: Final = ("-shm", ".sock", "/lock", "/ballast", "/probe")

_serial = count(1)


class Loss(Enum):
    """What a crash does to that which was not synced."""

    KEPT = "kept"
    """The process died, the machine lives on: nothing is lost."""
    DROPPED = "dropped"
    """All of it is lost."""
    TORN = "torn"
    """Of each file some of the changes arrived, in order, the last of them torn."""
    SCATTERED = "scattered"
    """Any sectors arrived, in any order."""


class Operation(Enum):
    """What can be made to fail."""

    WRITE = "write"
    SYNC = "sync"


@dataclass
class Fault:
    """Let `after` operations succeed, then fail `times` of them with `error`, after half a write was done if `torn`."""

    operation: Operation
    error: type[apsw.Error]
    after: int = 0
    times: int = 1
    torn: bool = False

    def strikes(self) -> bool:
        """Count an operation; whether it is one to fail."""
        if self.after > 0:
            self.after -= 1
            return False
        self.times -= 1
        return self.times >= 0


@dataclass
class _Change:
    """A write (`data` at `offset`) or a truncation (`data` is None) that is not durable."""

    offset: int
    data: bytes | None
    forgotten: bool = False
    """A sync failed since: the operating system won't write it any more."""

    def sectors(self) -> Iterator[_Change]:
        if self.data is None:
            yield self
            return
        start, end = self.offset, self.offset + len(self.data)
        while start < end:
            stop = min(end, (start // SECTOR_BYTES + 1) * SECTOR_BYTES)
            yield _Change(start, self.data[start - self.offset : stop - self.offset])
            start = stop

    def apply(self, content: bytearray) -> None:
        if self.data is None:
            del content[self.offset :]
            content.extend(bytes(self.offset - len(content)))
            return
        content.extend(bytes(max(0, self.offset - len(content))))
        content[self.offset : self.offset + len(self.data)] = self.data


@dataclass
class _Inode:
    """A file apart from its name: what is in it, what is durable of that, and what happened since."""

    current: bytearray
    durable: bytearray
    changes: list[_Change] = field(default_factory=list[_Change])
    named: bool = False
    """Whether its name is durable."""

    def change(self, change: _Change) -> None:
        change.apply(self.current)
        self.changes.append(change)

    def sync(self) -> None:
        for change in self.changes:
            if not change.forgotten:
                change.apply(self.durable)
        self.changes.clear()

    def after(self, loss: Loss, random: Random) -> bytes:
        if loss is Loss.KEPT:
            return bytes(self.current)
        content = bytearray(self.durable)
        if loss is Loss.DROPPED:
            arrived = []
        else:
            sectors = [sector for change in self.changes for sector in change.sectors()]
            if loss is Loss.TORN:
                arrived = sectors[: random.randint(0, len(sectors))]
            else:
                share = random.choice((0.1, 0.5, 0.9))
                arrived = [sector for sector in sectors if random.random() < share]
        for change in arrived:
            change.apply(content)
        return bytes(content)


class FaultDisk(apsw.VFS):
    """A VFS under a unique name. Keep it for as long as connections use it."""

    def __init__(self) -> None:
        """Register the VFS."""
        self.name = f"faults{next(_serial)}"
        super().__init__(self.name, "")
        self.lock = threading.RLock()
        self.events = 0
        """Operations so far that changed anything, or synced."""
        self.syncs: Counter[str] = Counter()
        """Successful syncs by file name."""
        self.before_event: Callable[[], None] = _nothing
        """Called before each such operation, while nothing else can happen on the disk."""
        self.off = False
        self._faults: list[Fault] = []
        self._files: dict[str, _Inode] = {}
        self._deleted: list[tuple[str, _Inode]] = []

    def storage(self, synchronous: str = "FULL") -> Storage:
        """What the journal is opened with."""
        return Storage(self.name, synchronous)

    # --- faults -------------------------------------------------------------------------------------------------------
    def inject(self, fault: Fault) -> None:
        """Add a fault."""
        with self.lock:
            self._faults.append(fault)

    def heal(self) -> None:
        """Take all faults back."""
        with self.lock:
            self._faults.clear()

    def power_off(self) -> None:
        """From now on nothing reaches the disk; `image` shows this moment."""
        with self.lock:
            self._note_removals()
            self.off = True

    # --- after the crash ----------------------------------------------------------------------------------------------
    def image(self, folder: Path, copy: Path, loss: Loss, random: Random) -> None:
        """Write a copy of `folder` as it could be found after a crash now."""
        with self.lock:
            if not self.off:
                self._note_removals()
            for path in sorted(folder.rglob("*")):
                if path.is_file() and str(path) not in self._files and not str(path).endswith(_NOT_COPIED):
                    target = copy / path.relative_to(folder)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, target)
            for name, inode in [*self._deleted, *self._files.items()]:
                content = self._found(name, inode, loss, random)
                if content is not None:
                    target = copy / Path(name).relative_to(folder)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(content)

    def _found(self, name: str, inode: _Inode, loss: Loss, random: Random) -> bytes | None:
        """The content of a file after a crash; None if its name is not found."""
        deleted = self._files.get(name) is not inode
        certain = loss in {Loss.KEPT, Loss.DROPPED}
        if deleted and (loss is Loss.KEPT or (not certain and random.random() < 0.5)):  # noqa: PLR2004
            return None
        if not inode.named and loss is not Loss.KEPT:
            fate = 0 if certain else random.randrange(3)
            if fate < 2:  # noqa: PLR2004 - missing, empty, or there after all
                return b"" if fate else None
        return inode.after(loss, random)

    # --- what SQLite calls --------------------------------------------------------------------------------------------
    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        """Open a file, and begin to watch it."""
        if name is None:
            return apsw.VFSFile("", name, flags)
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        with self.lock:
            self._note_removal(path)
            inode = self._files.get(path)
            if inode is None:
                there = Path(path).exists()
                if not there and flags[0] & apsw.SQLITE_OPEN_CREATE:
                    self.event()
                content = Path(path).read_bytes() if there else b""
                inode = _Inode(bytearray(content), bytearray(content), named=there)
            file = _FaultFile(self, name, flags, inode, new_journal=not inode.named and bool(flags[0] & _NEW_JOURNAL))
            self._files[path] = inode
            return file

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        """Delete a file; the deletion is durable only if the directory is synced with it."""
        with self.lock:
            self.event()
            super().xDelete(filename, syncdir)
            self._note_removal(filename)
            if syncdir:
                self.sync_folder(filename)

    # --- bookkeeping --------------------------------------------------------------------------------------------------
    def event(self, operation: Operation | None = None) -> Fault | None:
        """Count an operation and return the fault that strikes it. Raises apsw.IOError if the power is off."""
        if self.off:
            raise apsw.IOError(INJECTED)
        self.before_event()
        if self.off:
            raise apsw.IOError(INJECTED)
        self.events += 1
        for fault in self._faults:
            if fault.operation is operation and fault.strikes():
                return fault
        return None

    def sync_folder(self, path: str) -> None:
        """Make the names in the folder of `path` durable."""
        self._note_removals()
        folder = os.path.dirname(path)  # noqa: PTH120 - called often
        self._deleted = [entry for entry in self._deleted if os.path.dirname(entry[0]) != folder]  # noqa: PTH120
        for name, inode in self._files.items():
            if os.path.dirname(name) == folder:  # noqa: PTH120
                inode.named = True

    def _note_removals(self) -> None:
        """Notice files that were deleted behind SQLite's back."""
        for name in list(self._files):
            self._note_removal(name)

    def _note_removal(self, name: str) -> None:
        if name in self._files and not os.path.exists(name):  # noqa: PTH110 - called often
            self._deleted.append((name, self._files.pop(name)))


class _FaultFile(apsw.VFSFile):
    def __init__(
        self, disk: FaultDisk, name: str | apsw.URIFilename, flags: list[int], inode: _Inode, *, new_journal: bool
    ) -> None:
        super().__init__("", name, flags)
        self._disk = disk
        self._inode = inode
        self._path = name.filename() if isinstance(name, apsw.URIFilename) else name
        self._new_journal = new_journal

    def xLock(self, level: int) -> None:  # noqa: N802
        """A reader that closes last asks for a lock that a read-only file can't have; SQLite takes no for an answer."""
        try:
            super().xLock(level)
        except apsw.IOError as error:
            raise apsw.BusyError(str(error)) from None

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        with self._disk.lock:
            fault = self._disk.event(Operation.WRITE)
            written = bytes(data)
            if fault is not None:
                written = written[: len(written) // 2] if fault.torn else b""
            if written:
                super().xWrite(written, offset)
                self._inode.change(_Change(offset, written))
            if fault is not None:
                raise fault.error(INJECTED)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        with self._disk.lock:
            self._disk.event()
            super().xTruncate(newsize)
            self._inode.change(_Change(newsize, None))

    def xSync(self, flags: int) -> None:  # noqa: ARG002, N802
        """Not passed on: real syncs would only cost time."""
        with self._disk.lock:
            fault = self._disk.event(Operation.SYNC)
            if fault is not None:
                for change in self._inode.changes:
                    change.forgotten = True
                raise fault.error(INJECTED)
            self._inode.sync()
            self._disk.syncs[os.path.basename(self._path)] += 1  # noqa: PTH119 - called often
            if self._new_journal:
                self._disk.sync_folder(self._path)
                self._new_journal = False


def _nothing() -> None:
    pass
