"""Disks that are full, or that the kernel made read-only: nothing is acknowledged that is not stored, the agent says
what is wrong, and all recovers without help.

The disks are real file systems in a mount namespace of their own, which takes root. Nobody else sees them.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from vedette.app.agent import DELIVERY_STOP_S, DISK_STOP_S
from vedette.journal.sqlite import DataFolder

from .agent import AUDIT_RULE, Agent, Clients, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .agent import Outcome

pytestmark = [pytest.mark.simulation, pytest.mark.timeout(120)]

DISK_MIB = 128
PATIENCE_S = 1.0
STOP_S_MAX = 10 + 2 * DISK_STOP_S + DELIVERY_STOP_S + 5
"""What a stop may take: ports, then the disk twice, then deliveries; and a machine with other work."""
REFUSING = "the journal can't be written; nothing is acknowledged until it can"
RECOVERED = "the journal can be written again"
STOPPED = "Vedette stopped; everything acknowledged is detected and saved"

MOUNT = {
    "tmpfs": 'mount -t tmpfs -o size={size}m tmpfs "$1"',
    "ext4": 'truncate -s {size}M "$1.image" && mkfs.ext4 -q -O ^has_journal "$1.image"'
    ' && mount -o loop,errors=remount-ro "$1.image" "$1"',
}


class Disk:
    """A small disk, known to its own mount namespace alone; that lives as long as the shell which made it."""

    def __init__(self, mount: Path, kind: str) -> None:
        self.mount = mount
        self.image = f"{mount}.image"
        mount.mkdir()
        script = MOUNT[kind].format(size=DISK_MIB) + " && echo mounted && exec cat"
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", mount],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self._holder.stdout is not None
        if (said := self._holder.stdout.readline().strip()) != "mounted":
            self.close()
            pytest.fail(f"these tests mount a {kind} with `unshare --mount`, which takes root (CAP_SYS_ADMIN): {said}")

    @property
    def prefix(self) -> list[str]:
        """What makes a command see the disk."""
        return ["nsenter", "--mount", "--target", str(self._holder.pid), "--"]

    @property
    def inside(self) -> Path:
        """The disk as seen from outside; Python follows this link, SQLite would resolve it."""
        return type(self.mount)(f"/proc/{self._holder.pid}/root{self.mount}")

    def do(self, *command: object) -> None:
        subprocess.run([*self.prefix, *map(str, command)], check=True)

    def fill(self) -> None:
        """Let somebody else take what is left, to the last page."""
        with contextlib.suppress(OSError), (self.inside / "filler").open("ab", buffering=0) as file:
            while True:
                file.write(bytes(64 * 1024))
        with contextlib.suppress(OSError), (self.inside / "filler").open("ab", buffering=0) as file:
            while True:
                file.write(bytes(1024))

    def empty(self) -> None:
        (self.inside / "filler").unlink()

    def fail(self) -> None:
        """Have ext4 notice an error: it goes read-only at once, whoever writes (remounting waits for them to end)."""
        device = subprocess.check_output([*self.prefix, "losetup", "-j", self.image], text=True).partition(":")[0]
        type(self.mount)(f"/sys/fs/ext4/{device.rpartition('/')[2]}/trigger_fs_error").write_text("1")

    def replace(self) -> None:
        """Mount it anew, as after a repair."""
        self.do("umount", self.mount)
        self.do("mount", "-o", "loop", self.image, self.mount)

    def close(self) -> None:
        self._holder.communicate()


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[Disk]:
    disk = Disk(tmp_path / "disk", "tmpfs")
    yield disk
    disk.close()


@pytest.fixture
def ext4(tmp_path: Path) -> Iterator[Disk]:
    disk = Disk(tmp_path / "disk", "ext4")
    yield disk
    disk.close()


def agent_on(disk: Disk, folder: Path) -> Agent:
    agent = Agent(folder, prefix=disk.prefix, rules=AUDIT_RULE, data_dir=str(disk.mount / "data"))
    agent.settings["sources"]["falco"]["http"]["patience_s"] = PATIENCE_S
    agent.configure()
    return agent


def inspect(agent: Agent, disk: Disk, folder: Path) -> None:
    """Copy what an agent left behind to where this process can read it."""
    shutil.copytree(disk.inside / "data", folder / "copy", ignore=shutil.ignore_patterns("control.sock", "ballast"))
    agent.data = DataFolder(folder / "copy")


async def ask(agent: Agent, *command: str) -> Outcome:
    return await asyncio.to_thread(agent.run, *command, "--format", "json")


async def fails(agent: Agent) -> bool:
    status = await ask(agent, "status")
    assert status.status in (0, 1), status
    return status.status == 1 and bool(status.lines[0]["intake_failure"])


def messages(agent: Agent) -> Counter[str]:
    return Counter(line["message"] for line in agent.logged())


def assert_refused_as_documented(clients: Clients) -> None:
    refusals = {(kind, reply.status) for kind, reply in clients.refusals}
    assert refusals == {("audit", 429), ("falco", 503)}
    assert all(int(reply.fields["retry-after"]) >= 1 for _, reply in clients.refusals)


async def both_refused(clients: Clients) -> None:
    await until(lambda: {kind for kind, _ in clients.refusals} == {"audit", "falco"})


async def test_a_disk_that_fills_up_under_load(tmpfs: Disk, tmp_path: Path) -> None:
    agent = agent_on(tmpfs, tmp_path)
    clients = Clients(agent)
    await agent.start()

    async with clients.sending(falco=4):
        await until(lambda: clients.audit_ids and clients.falco_alerts)
        tmpfs.fill()
        await both_refused(clients)
        assert await fails(agent)
        held = clients.acknowledged
        tmpfs.empty()
        await until(lambda: clients.acknowledged > held + 100)
        assert not await fails(agent)

    assert agent.end() == 0
    inspect(agent, tmpfs, tmp_path)
    clients.assert_all_detected_once(agent)
    assert_refused_as_documented(clients)
    assert messages(agent)[REFUSING] == messages(agent)[RECOVERED] == 1
    assert messages(agent)[""] == 0, "no traceback"


async def test_a_stop_on_a_full_disk(tmpfs: Disk, tmp_path: Path) -> None:
    """The reserve lets detection finish, so the stop is a clean one."""
    agent = agent_on(tmpfs, tmp_path)
    clients = Clients(agent)
    await agent.start()

    async with clients.sending(falco=4):
        await until(lambda: clients.audit_ids and clients.falco_alerts)
        tmpfs.fill()
        await both_refused(clients)
        assert await asyncio.to_thread(agent.end, STOP_S_MAX) == 0
        tmpfs.empty()
        await agent.start()

    assert agent.end() == 0
    inspect(agent, tmpfs, tmp_path)
    clients.assert_all_detected_once(agent)


async def test_a_disk_that_fails_under_load(ext4: Disk, tmp_path: Path) -> None:
    agent = agent_on(ext4, tmp_path)
    clients = Clients(agent)
    await agent.start()

    async with clients.sending(falco=4):
        await until(lambda: clients.audit_ids and clients.falco_alerts)
        ext4.fail()
        await both_refused(clients)
        assert await fails(agent)
        assert_refused_as_documented(clients)
        assert await asyncio.to_thread(agent.end, STOP_S_MAX) == 3
        assert "Nothing that was acknowledged is lost" in agent.logged()[-1]["text"]
        assert messages(agent)[REFUSING] == 1
        assert messages(agent)[STOPPED] == 0, "it was not a clean stop"
        ext4.replace()
        await agent.start()

    assert agent.end() == 0
    inspect(agent, ext4, tmp_path)
    clients.assert_all_detected_once(agent)


@pytest.mark.parametrize(
    ("how", "used", "status", "remedy"),
    [
        pytest.param("full", False, 2, "No space left on device. Name a writable one", id="full"),
        pytest.param("full", True, 3, "Check free space", id="full-of-ours"),
        pytest.param("read-only", False, 2, "Read-only file system. Name a writable one", id="read-only"),
        pytest.param("read-only", True, 2, "Read-only file system. Make it writable", id="read-only-ours"),
    ],
)
async def test_a_start_where_nothing_can_be_written(
    how: str, used: bool, status: int, remedy: str, tmpfs: Disk, tmp_path: Path
) -> None:
    agent = agent_on(tmpfs, tmp_path)
    if used:
        await agent.start()
        assert agent.end() == 0
        (tmpfs.inside / "data" / "ballast").unlink()
    if how == "full":
        tmpfs.fill()
    else:
        tmpfs.do("mount", "-o", "remount,ro", tmpfs.mount)
    begun = len(agent.logged()) if used else 0

    process = agent.spawn()

    assert await asyncio.to_thread(process.wait, STOP_S_MAX) == status, agent.tail()
    said = agent.logged()[begun:]
    assert remedy in said[-1]["text"]
    assert str(tmpfs.mount / "data") in said[-1]["text"]
    assert [line for line in said if "Traceback" in line.get("text", "")] == []


async def test_a_start_on_a_full_disk_with_a_reserve(tmpfs: Disk, tmp_path: Path) -> None:
    """It answers, refuses, and goes on without help when there is room."""
    agent = agent_on(tmpfs, tmp_path)
    clients = Clients(agent)
    await agent.start()
    assert agent.end() == 0
    tmpfs.fill()

    await agent.start()
    async with clients.sending(falco=4):
        await both_refused(clients)
        assert await fails(agent)
        tmpfs.empty()
        await until(lambda: clients.audit_ids and clients.falco_alerts)

    assert agent.end() == 0
    inspect(agent, tmpfs, tmp_path)
    clients.assert_all_detected_once(agent)
    assert_refused_as_documented(clients)
