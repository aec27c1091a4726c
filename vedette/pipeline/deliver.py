"""The deliver role: all deliveries of the agent, each in a task of its own. A dead sink holds up nobody but itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from vedette.pipeline.delivery_events import SinkNotStopped
from vedette.schema.errors import VedetteError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vedette.pipeline.delivery import Delivery

SINK_STOP_S = 5.0
"""How long sinks may take to let go at a stop, all together."""


class DeliverRole:
    """Runs deliveries."""

    def __init__(self, deliveries: Sequence[Delivery], committed: asyncio.Event) -> None:
        """Run `deliveries`; those of alerts are woken by `committed`."""
        self.deliveries = deliveries
        self._committed = committed

    async def run(self) -> None:
        """Deliver until cancelled, or drained."""
        bell = asyncio.create_task(self._ring(), name="deliver bell")
        try:
            async with asyncio.TaskGroup() as tasks:
                for delivery in self.deliveries:
                    tasks.create_task(delivery.run(), name=f"deliver {delivery.sink.name}")
        finally:
            bell.cancel()

    async def _ring(self) -> None:
        while True:
            await self._committed.wait()
            self._committed.clear()
            for delivery in self.deliveries:
                if delivery.log == "alerts":
                    delivery.wake()

    def drain(self) -> None:
        """Let `run` return when every delivery has delivered its log."""
        for delivery in self.deliveries:
            delivery.drain()

    def deliver_again(self) -> None:
        """Let the dead deliveries that were queued be delivered."""
        for delivery in self.deliveries:
            delivery.deliver_again()

    async def stop(self) -> None:
        """Release all sinks, whether they were ever started or not. One that hangs or fails holds up no other."""
        stops = {asyncio.create_task(delivery.stop()): delivery.sink.name for delivery in self.deliveries}
        if not stops:
            return
        done, hanging = await asyncio.wait(stops, timeout=SINK_STOP_S)
        for task in hanging:
            task.cancel()
            SinkNotStopped(stops[task], f"it took more than {SINK_STOP_S:g} s").emit()
        for task in done:
            try:
                task.result()
            except VedetteError as error:
                SinkNotStopped(stops[task], str(error)).emit()
