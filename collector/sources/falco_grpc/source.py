"""The `falco_grpc` source: takes alerts from Falco's gRPC output and hands them to intake.

Falco forgets what it has sent: there is neither a position nor an acknowledgement. So little is read ahead of the
journal, and while the journal takes nothing, nothing is read: gRPC's flow control holds Falco back, whose queue keeps
the rest. A Falco that can't be reached is tried again for ever. Never ends by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from collector.sources.falco_grpc.connection import LostError, Reason, connect, read_credentials
from collector.sources.falco_grpc.events import CONNECTED, AlertsLost, FalcoConnected, FalcoLost
from collector.sources.falco_grpc.hold import Hold
from collector.sources.falco_grpc.responses import to_record
from vedette.runtime.backoff import Backoff
from vedette.runtime.parcel import Intake, Parcel, Receipt
from vedette.runtime.source import decoder_of
from vedette.schema.errors import ConfigError, TransientError
from vedette.schema.record import Run
from vedette.schema.text import safe_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from collector.sources.falco_grpc.connection import Connection
    from collector.sources.falco_grpc.settings import FalcoGrpcSettings
    from vedette.schema.event import Decoder

STOP_S: Final = 5.0
"""How long a stop waits for what was read to be stored."""
LAST_S: Final = 1.0
"""How long a stop goes on reading what Falco is sending, at most, and `QUIET_S` how long nothing must have come."""
QUIET_S: Final = 0.1
RETRY_S_MAX: Final = 10.0


class FalcoGrpcSource:
    """Implements `vedette.runtime.source.Source` for Falco's gRPC output."""

    def __init__(self, name: str, settings: FalcoGrpcSettings, intake: Intake, decoders: Mapping[str, Decoder]) -> None:
        """Make the source.

        Raises:
            ConfigError: the decoder of Falco's alerts is missing.
        """
        self.name = name
        self._settings = settings
        self._intake = intake
        self._format = decoder_of(name, "falco", decoders).name
        self._place = f"sources.{name}.falco_grpc"
        self._backoff = Backoff(longest_s=RETRY_S_MAX)
        self._hold = Hold()
        self._connection: Connection | None = None
        self._stopping = False
        self._taken = 0
        self._stored = 0
        self._reading: asyncio.Task[None] | None = None
        self._storing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read the files that the settings name, and begin to take alerts, as soon as Falco can be reached.

        Raises:
            ConfigError: a file can't be used.
        """
        await asyncio.to_thread(read_credentials, self._place, self._settings)
        CONNECTED.labels(self.name).set(0)
        self._reading = asyncio.create_task(self._read(), name=f"falco_grpc:{self.name}")
        self._storing = asyncio.create_task(self._store(), name=f"falco_grpc:{self.name}:store")

    async def wait(self) -> None:
        """Return after `stop`."""
        if self._reading is None or self._storing is None:
            return
        done, _ = await asyncio.wait({self._reading, self._storing}, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            if not task.cancelled():
                task.result()

    async def stop(self) -> None:
        """Ask for no more, and store what Falco has sent; in bounded time."""
        reading, storing = self._reading, self._storing
        if reading is None or storing is None or storing.done():
            return
        await self._read_the_last()
        reading.cancel()
        await asyncio.wait({reading})
        self._hold.close()
        await asyncio.wait({storing}, timeout=STOP_S)
        storing.cancel()
        await asyncio.wait({storing})
        if self._hold.held:
            self._intake.refused(self.name, self._hold.waiting)  # what intake has got already may yet be stored
            AlertsLost(self.name, self._hold.held).emit()

    def urls(self) -> list[str]:
        """Nobody connects to it."""
        return []

    # --- reading ------------------------------------------------------------------------------------------------------
    async def _read(self) -> None:
        while True:
            lost = await self._read_once()
            if self._stopping:
                return
            if lost.reason is Reason.TOO_LARGE:
                self._intake.refused(self.name, 1)
            retry_s = self._backoff.next_s()
            FalcoLost(self.name, lost.reason, str(lost), lost.remedy, retry_s).emit()
            await asyncio.sleep(retry_s)

    async def _read_once(self) -> LostError:
        """Read on one connection, and say why it is no more."""
        try:
            async with connect(self._place, self._settings) as connection:
                FalcoConnected(self.name, self._settings.address).emit()
                CONNECTED.labels(self.name).set(1)
                self._connection = connection
                await self._read_from(connection)
        except LostError as error:
            return error
        except ConfigError as error:
            return LostError(Reason.FILES, safe_text(str(error)))
        finally:
            self._connection = None
            CONNECTED.labels(self.name).set(0)
        return LostError(Reason.ENDED, "Falco has ended the stream")

    async def _read_from(self, connection: Connection) -> None:
        """Read until Falco ends it, and ask from time to time whether it is still there.

        Raises:
            LostError: it is not.
        """
        taking = asyncio.create_task(self._take(connection))
        try:
            while not (await asyncio.wait({taking}, timeout=self._settings.timeout_s))[0]:
                await connection.ask()
                self._backoff.reset()
            taking.result()
        finally:
            taking.cancel()
            await asyncio.gather(taking, return_exceptions=True)

    async def _take(self, connection: Connection) -> None:
        read = connection.subscribe if self._settings.method == "sub" else connection.drain
        async with contextlib.aclosing(read(self._settings.poll_interval_s)) as responses:
            async for response in responses:
                await self._hold.add(to_record(response))
                self._taken += 1
                self._backoff.reset()

    async def _read_the_last(self) -> None:
        """Let what Falco is sending come to its end, as far as there is room and time."""
        self._stopping = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_S):
                seen = -1
                while self._connection is not None and seen != self._taken:
                    self._connection.enough()
                    seen = self._taken
                    await asyncio.sleep(QUIET_S)

    # --- storing ------------------------------------------------------------------------------------------------------
    async def _store(self) -> None:
        while items := await self._hold.take():
            run = Run(self.name, self._format, len(items), "", self._settings.address, self._stored + 1)
            await self._intake.put(Parcel(self.name, [run], items, _settled, sum(map(len, items))))
            self._stored += len(items)
            self._hold.stored()


def _settled(_: Receipt | TransientError) -> None:
    """`put` says the same to whoever waits for it."""
