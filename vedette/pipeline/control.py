"""The control socket: how the command line (and later the console) talks to the running agent.

A Unix socket in the data folder, readable by its owner alone. One JSON object a line each way: `{"op": "status"}` →
`{"ok": true, …}` or `{"ok": false, "error": …}`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from typing import TYPE_CHECKING, Any

from vedette.schema.errors import TransientError, VedetteError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Mapping
    from pathlib import Path

REQUEST_BYTES_MAX = 64 * 1024
ANSWER_S_MAX = 60.0
"""How long a client waits: a rule set compiles in seconds."""
_PATH_BYTES_MAX = 107
"""sockaddr_un; longer paths go through /proc/self/fd."""

Answer = dict[str, Any]


class ControlServer:
    """Serves operations by name."""

    def __init__(self, path: Path, operations: Mapping[str, Callable[[Mapping[str, Any]], Awaitable[Answer]]]) -> None:
        """Serve `operations` on a socket at `path`."""
        self._path = path
        self._operations = operations
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Bind; a socket that a dead process left is replaced (the data folder's lock says that it is dead)."""
        self._path.unlink(missing_ok=True)
        with _reachable(self._path) as path:
            listener = socket.socket(socket.AF_UNIX)
            mask = os.umask(0o177)
            try:
                listener.bind(path)
            finally:
                os.umask(mask)
        self._server = await asyncio.start_unix_server(self._serve, sock=listener, limit=REQUEST_BYTES_MAX)

    async def stop(self) -> None:
        """Close and remove the socket; idempotent. One that can't be removed is replaced at the next start."""
        if self._server is not None:
            self._server.close()
            self._server = None
            with contextlib.suppress(OSError):
                self._path.unlink()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ValueError):  # ValueError: a line longer than the limit
            while line := await reader.readline():
                answer = await self._answer(line)
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        writer.close()

    async def _answer(self, line: bytes) -> Answer:
        try:
            request = json.loads(line)
            operation = self._operations[request["op"]]
        except (ValueError, KeyError, TypeError):
            return {"ok": False, "error": f"not a request; `op` is one of {', '.join(self._operations)}"}
        try:
            return {"ok": True, **await operation(request)}
        except VedetteError as error:
            return {"ok": False, "code": error.code, "error": str(error)}


def request(path: Path, message: Mapping[str, Any]) -> Answer:
    """Ask the running agent; blocks.

    Raises:
        TransientError: no agent is running there, or it does not answer.
    """
    try:
        with socket.socket(socket.AF_UNIX) as client, _reachable(path) as short:
            client.settimeout(ANSWER_S_MAX)
            client.connect(short)
            client.sendall(json.dumps(dict(message)).encode() + b"\n")
            with client.makefile("rb") as answers:
                line = answers.readline()
        answer: Answer = json.loads(line)
    except (OSError, ValueError) as error:
        message_text = f"no Vedette answers at {path} ({error}). Is `vedette run` running on this data folder?"
        raise TransientError(message_text) from error
    return answer


@contextlib.contextmanager
def _reachable(path: Path) -> Generator[str]:
    """Yield a name of the socket that fits into a socket address."""
    if len(os.fsencode(path)) <= _PATH_BYTES_MAX:
        yield str(path)
        return
    fd = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}/{path.name}"
    finally:
        os.close(fd)
