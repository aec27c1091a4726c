"""Runs what blocks beside the event loop, in threads that may be left behind: a hanging disk can not be interrupted."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what a function returns, or raise what it raises; cancelled, it is left to itself.

    `asyncio.to_thread` would make the process wait for it at its end.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        try:
            result = function(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - whoever waits gets it
            _tell(loop, _fail, done, error)
        else:
            _tell(loop, _finish, done, result)

    threading.Thread(target=run, name=f"doctor-{getattr(function, '__name__', '')}", daemon=True).start()
    return await done


def _tell(loop: asyncio.AbstractEventLoop, tell: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
        loop.call_soon_threadsafe(lambda: tell(*args, **kwargs))


def _finish(done: asyncio.Future[T], result: T) -> None:
    if not done.done():
        done.set_result(result)


def _fail(done: asyncio.Future[T], error: Exception) -> None:
    if not done.done():
        done.set_exception(error)
