"""A disk that is really full, and one that is really read-only: a small tmpfs in a mount namespace of its own.

The agent's process (full_disk_agent.py) runs there. Nothing is acknowledged that is not stored, the reason is said, the
core log goes on with the ballast, and all recovers without help when there is room again.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.simulation, pytest.mark.timeout(120)]

AGENT = Path(__file__).with_name("full_disk_agent.py")
DISK_MIB = 40
MOUNT = f'mount -t tmpfs -o size={DISK_MIB}m tmpfs "$1" && echo mounted && exec cat'


class Disk:
    """A small disk that only its own mount namespace knows, for as long as `cat` lives there."""

    def __init__(self, mount: Path) -> None:
        self.mount = mount
        self._holder = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", MOUNT, "sh", mount],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self._holder.stdout is not None
        if (said := self._holder.stdout.readline().strip()) != "mounted":
            self._holder.communicate()
            pytest.fail(f"these tests mount a tmpfs with `unshare -m`, which takes root (CAP_SYS_ADMIN): {said}")

    @property
    def inside(self) -> Path:
        """The disk, as seen from outside."""
        return Path(f"/proc/{self._holder.pid}/root{self.mount}")

    def command(self, *arguments: str | Path) -> list[str | Path]:
        return ["nsenter", "-m", "-t", str(self._holder.pid), *arguments]

    def remount(self, how: str) -> None:
        subprocess.run(self.command("mount", "-o", f"remount,{how}", self.mount), check=True)

    def hog(self, leave: int) -> Path:
        """Let somebody else fill the disk."""
        status, filler = os.statvfs(self.inside), self.inside / "filler"
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, status.f_bavail * status.f_frsize - leave)
        return filler

    def hog_all(self) -> Path:
        """Fill it to the last page."""
        filler = self.inside / "rest"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
        assert os.statvfs(self.inside).f_bavail == 0
        return filler

    def close(self) -> None:
        self._holder.communicate()


class Machine:
    """The agent's process on such a disk."""

    def __init__(self, disk: Disk, log: Path) -> None:
        self.log = log
        with log.open("wb") as errors:
            self.process = subprocess.Popen(
                disk.command(sys.executable, "-W", "error", AGENT, disk.mount / "data"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def ask(self, command: str, argument: str = "") -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{command} {argument}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"the agent died: {self.log.read_text()}"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def messages(self) -> list[str]:
        return [json.loads(line)["message"] for line in self.log.read_text().splitlines()]

    def refused(self, reason: str) -> None:
        """It did not start, and said why."""
        self.process.communicate()
        assert self.process.returncode == 1
        assert reason in self.log.read_text()
        assert "/data" in self.log.read_text()
        assert "Traceback" not in self.log.read_text()

    def stop(self) -> None:
        self.process.communicate()
        assert self.process.returncode == 0, self.log.read_text()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    mount = tmp_path / "disk"
    mount.mkdir()
    disk = Disk(mount)
    yield disk
    disk.close()


def push_until(machine: Machine, prefix: str, acknowledged: bool, tries: int = 400) -> tuple[list[str], dict[str, Any]]:
    """Push until one is (not) acknowledged; return the names of those acknowledged, and the last answer."""
    done: list[str] = []
    for number in range(tries):
        answer = machine.ask("push", f"{prefix}{number}")
        if answer["acknowledged"]:
            done.append(f"{prefix}{number}")
        if answer["acknowledged"] == acknowledged:
            return done, answer
    pytest.fail(f"all {tries} were {'refused' if acknowledged else 'acknowledged'}")


def test_a_full_disk(disk: Disk, tmp_path: Path) -> None:
    machine = Machine(disk, tmp_path / "log")
    first, _ = push_until(machine, "first", acknowledged=True)
    assert machine.ask("detect") == {"committed": True}
    filler = disk.hog(leave=1_000_000)
    more, refusal = push_until(machine, "more", acknowledged=False)
    assert refusal["room"] == 0
    assert "full" in refusal["error"]
    assert "free" in refusal["error"]
    assert "the journal can't be written; nothing is acknowledged until it can" in machine.messages()
    assert machine.ask("stored") == {"stored": first + more, "counts": {"push": len(first + more)}, "alerts": 1}

    rest, ballast = disk.hog_all(), disk.inside / "data" / "ballast"
    assert ballast.exists()
    assert all(machine.ask("detect") == {"committed": True} for _ in range(300)), "detection has the ballast"
    assert not ballast.exists()
    assert machine.ask("push", "still")["acknowledged"] is False, "what the ballast gave is not for intake"

    filler.unlink()
    rest.unlink()
    assert machine.ask("recover") == {"room": True}
    after, _ = push_until(machine, "after", acknowledged=True)
    assert ballast.exists()
    assert "the journal can be written again" in machine.messages()
    assert machine.ask("detect") == {"committed": True}
    expected = first + more + after
    assert machine.ask("stored") == {"stored": expected, "counts": {"push": len(expected)}, "alerts": 302}
    machine.stop()


def test_a_restart_on_a_full_disk(disk: Disk, tmp_path: Path) -> None:
    machine = Machine(disk, tmp_path / "log")
    first, _ = push_until(machine, "first", acknowledged=True)
    machine.stop()
    fillers = disk.hog(leave=100_000), disk.hog_all()
    machine = Machine(disk, tmp_path / "log")
    machine.refused("free space")
    for filler in fillers:
        filler.unlink()
    machine = Machine(disk, tmp_path / "log")
    after, _ = push_until(machine, "after", acknowledged=True)
    assert machine.ask("stored")["stored"] == first + after
    machine.stop()


def test_a_read_only_disk(disk: Disk, tmp_path: Path) -> None:
    """The kernel makes no disk read-only while files on it are open for writing: this is a restart on one."""
    machine = Machine(disk, tmp_path / "log")
    first, _ = push_until(machine, "first", acknowledged=True)
    machine.stop()
    disk.remount("ro")
    machine = Machine(disk, tmp_path / "log")
    machine.refused("Read-only file system")
    disk.remount("rw")
    machine = Machine(disk, tmp_path / "log")
    after, _ = push_until(machine, "after", acknowledged=True)
    assert machine.ask("stored") == {"stored": first + after, "counts": {"push": len(first + after)}, "alerts": 0}
    machine.stop()
