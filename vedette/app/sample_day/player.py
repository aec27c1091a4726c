"""Plays the sample day: an hour a second, each record through the port and in the batches of its real sender.

Audit events go as the API server's webhook sends them (an EventList), Falco alerts one a request, flow records as lines
below their header.
"""

from __future__ import annotations

import asyncio
import time
import urllib.parse
from typing import TYPE_CHECKING, Final

from vedette.app.sample_day.client import Client
from vedette.app.sample_day.day import Record, SampleDay, read_day, slices
from vedette.schema.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

PLAY_S: Final = 10.0
"""How long a play takes, if the agent takes records as they come."""
SLICES: Final = 40
"""Parts that a play is sent in: one each quarter of a second, with what happened in a quarter of an hour."""
_ANY_FORMAT: Final = "<format>"
_AUDIT_PATH: Final = "/k8s-audit"
_LIST: Final = b'{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[%s]}\n'


class Player:
    """Sends one day to the ports of one agent."""

    def __init__(self, urls: Sequence[str]) -> None:
        """Take the URLs that the agent announced.

        Raises:
            ConfigError: none of them takes one of the formats.
        """
        self._audit = Client(_url(urls, _AUDIT_PATH), "application/json")
        self._falco = Client(_url(urls, "/"), "application/json")
        self._flows = Client(_url(urls, f"/intake/{_ANY_FORMAT}").replace(_ANY_FORMAT, "vpc_flow"), "text/plain")

    async def play(self, *, play_s: float = PLAY_S) -> SampleDay:
        """Send the whole day, moved so that it ends when the play does, and return what was sent.

        Raises:
            TransientError: the agent can't take it now. PermanentError: it never will.
        """
        loop = asyncio.get_running_loop()
        start_s = loop.time()
        day = await asyncio.to_thread(_day_ending_at, int(time.time() + play_s))
        try:
            for number, part in enumerate(slices(day.records, SLICES)):
                await asyncio.sleep(max(0.0, start_s + play_s * number / SLICES - loop.time()))
                await self._send(part, day.flow_header)
        finally:
            for client in (self._audit, self._falco, self._flows):
                client.close()
        return day

    async def _send(self, part: Sequence[Record], flow_header: bytes) -> None:
        for alert in _payloads(part, "falco"):
            await self._falco.post(alert)
        if events := _payloads(part, "kube_audit"):
            await self._audit.post(_LIST % b",".join(events))
        if flows := _payloads(part, "vpc_flow"):
            await self._flows.post(b"\n".join([flow_header, *flows, b""]))


def _day_ending_at(end_s: int) -> SampleDay:
    return read_day().ending_at(end_s)


def _payloads(part: Sequence[Record], wanted: str) -> list[bytes]:
    return [record.payload for record in part if record.format == wanted]


def _url(urls: Sequence[str], path: str) -> str:
    for url in urls:
        if urllib.parse.urlsplit(url).path == path:
            return url
    raise ConfigError(f"the sample day needs an HTTP source with the path {path}, as the defaults have it")
