"""A server as a process of its own: started, stopped, killed, paused, and gone when the tests are, however they end."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Self

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

POLL_S: Final = 0.05
START_S_MAX: Final = 120.0
STOP_S_MAX: Final = 30.0
UNPRIVILEGED: Final = "nobody"
"""Who runs the servers when the tests are root: OpenSearch refuses to be root, the others need not be."""

PORTS: Final = range(20_000, 32_000)
"""Below those that Linux gives to outgoing connections: a client must not take a stopped server's port."""

ENVIRONMENT: Final = MappingProxyType({"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"})

REAPER: Final = """
import os, shutil, signal, sys
groups = set()
for line in sys.stdin:
    (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
for group in groups:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass
shutil.rmtree(sys.argv[1], ignore_errors=True)
"""
"""Ends what is left when its standard input does, which happens however the tests end."""


class ServerError(Exception):
    """A server did not do what was asked of it. The message ends with the last lines that it wrote."""


class Host:
    """Folders for the servers of a test run. However it ends, the servers end with it and the folders go; logs stay."""

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self.root = Path(tempfile.mkdtemp(prefix="vedette-servers-"))
        self.root.chmod(0o755)  # UNPRIVILEGED must reach what is below, which pytest's own folders do not allow
        self.user = pwd.getpwnam(UNPRIVILEGED) if os.getuid() == 0 else None
        reaper = [sys.executable, "-c", REAPER, str(self.root)]
        self.reaper = subprocess.Popen(reaper, stdin=subprocess.PIPE, start_new_session=True)

    def folder(self, name: str) -> Path:
        """A new folder for a server's data, which it may write to."""
        path = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.root))
        path.chmod(0o755)
        self.hand_over(path)
        return path

    def hand_over(self, path: Path) -> None:
        """Give a file or a whole folder to the user who runs the servers."""
        if self.user is not None:
            for item in (path, *path.rglob("*")):
                os.chown(item, self.user.pw_uid, self.user.pw_gid, follow_symlinks=False)

    def spawn(
        self, command: list[str], folder: Path, log: Path, environment: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        """Start a process group of its own; the reaper is told."""
        with log.open("ab") as out:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env={**ENVIRONMENT, "HOME": str(folder), "TMPDIR": str(folder), **environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=self.user and self.user.pw_uid,
                group=self.user and self.user.pw_gid,
                extra_groups=self.user and [],
            )
        self._tell(f"+{process.pid}")
        return process

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """Kill what is left of its process group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self._tell(f"-{process.pid}")

    def _tell(self, line: str) -> None:
        assert self.reaper.stdin is not None
        self.reaper.stdin.write(f"{line}\n".encode())
        self.reaper.stdin.flush()

    def close(self) -> None:
        self.reaper.communicate()


class Server(ABC):
    """One server, always on the same port and data. Its calls block: in an event loop, use `asyncio.to_thread`."""

    def __init__(self, host: Host, name: str) -> None:
        self.host = host
        self.name = name
        self.folder = host.folder(name)
        self.log = host.logs / f"{self.folder.name}.log"
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """What to run."""

    @abstractmethod
    def ready(self) -> bool:
        """Whether it answers as it should; may raise httpx.TransportError while it does not."""

    @abstractmethod
    def close(self) -> None:
        """Close the handle's own client."""

    def environment(self) -> dict[str, str]:
        return {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()  # its data go as well, so there is nothing to finish
        self.close()

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Return when it is ready. Raises ServerError if it ends or is not ready in time."""
        assert not self.alive, f"{self.name} runs already"
        self.process = self.host.spawn(self.command(), self.folder, self.log, self.environment())
        try:
            self._wait(self._answers, "was not ready", START_S_MAX)
        except BaseException:
            self.kill()
            raise

    def _wait(self, condition: Callable[[], bool], complaint: str, limit_s: float) -> None:
        deadline = time.monotonic() + limit_s
        while not condition():
            if time.monotonic() > deadline:
                raise ServerError(f"{self.name} {complaint} within {limit_s:.0f} s{self.tail()}")
            time.sleep(POLL_S)

    def _answers(self) -> bool:
        assert self.process is not None
        if (status := self.process.poll()) is not None:
            raise ServerError(f"{self.name} ended with status {status} at its start{self.tail()}")
        try:
            return self.ready()
        except httpx.TransportError:
            return False

    def stop(self) -> int:
        """Ask it to end (SIGTERM) and return its exit status. Raises ServerError if it does not."""
        process = self._running()
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            raise ServerError(f"{self.name} did not end within {STOP_S_MAX:.0f} s{self.tail()}") from None
        finally:
            self.kill()

    def kill(self) -> None:
        """SIGKILL to the whole process group, as when a machine dies. What ended already may have left something."""
        if self.process is not None:
            self.host.end(self.process)
            self._wait(self._refuses, "kept its port open", STOP_S_MAX)

    def _refuses(self) -> bool:
        """Whether its workers are gone too: they are nobody's children here, so none of us can wait for them."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) != 0

    def pause(self) -> None:
        """SIGSTOP: connections are accepted by the kernel, and nothing answers."""
        os.killpg(self._running().pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.killpg(self._running().pid, signal.SIGCONT)

    def ensure(self) -> None:
        """Run, whatever the test before did to it. What a paused Request Tracker was asked for is done by then."""
        if self.alive:
            self.resume()
            self._wait(self._answers, "does not answer", START_S_MAX)
        else:
            self.start()

    def tail(self) -> str:
        return f"\n--- {self.log}\n{self.log.read_text(errors='replace')[-3000:]}"

    def _running(self) -> subprocess.Popen[bytes]:
        assert self.process is not None, f"{self.name} was not started"
        assert self.process.poll() is None, f"{self.name} does not run"
        return self.process


def link(source: str | Path, target: str | Path) -> None:
    """Bring a file out of the cache, which UNPRIVILEGED may not be allowed into; by a copy to another file system."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy(source, target)


def free_port() -> int:
    while True:
        port = secrets.choice(PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
