"""OpenSearch as a sink: alerts by id and version, events by id, each in the index of its day.

Templates are looked at before an index gets its first document, and again after every failure: a server that came back
empty must not index by guess.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from sinks.opensearch import bulk
from sinks.opensearch.bulk import OPERATOR_RETRY_S
from sinks.opensearch.client import NOT_FOUND, OK, Client
from sinks.opensearch.documents import EventDocuments, event_id
from sinks.opensearch.probe import probe
from sinks.opensearch.templates import Body, Standing, standing, template
from vedette.schema.errors import ConfigError, PermanentError, TransientError
from vedette.schema.limits import SECOND_NS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sinks.opensearch.bulk import Line
    from sinks.opensearch.connection import Answer
    from sinks.opensearch.settings import OpenSearchSettings
    from vedette.runtime.check import Check
    from vedette.runtime.sink import ForwardedEvent, Outcome
    from vedette.runtime.sink_context import SinkContext
    from vedette.schema.alert import AlertRevision

_DAY_S: Final = 24 * 3600
_DAY_NS: Final = _DAY_S * SECOND_NS
_INDICES_KEPT: Final = 64
"""Names of indices that are remembered: some days of late events; more are looked at again."""
_TOO_LARGE: Final = 413


class OpenSearchSink:
    """Implements `vedette.runtime.sink.EventSink`."""

    def __init__(self, name: str, settings: OpenSearchSettings, context: SinkContext) -> None:
        """Take the settings; `start` reads the files that they name, and connects."""
        self.name = name
        self._settings = settings
        self._context = context
        self._client: Client | None = None
        self._connected_once = False
        self._documents = EventDocuments(settings.original_bytes_max)
        self._looked: set[str] = set()
        """Indices whose template was looked at."""

    async def start(self) -> None:
        """Install the templates.

        Raises:
            ConfigError: a file of the settings can't be used. TransientError: the server can't be asked, or refuses.
        """
        for log in ("alerts", "events"):
            await self._install(log)

    async def deliver(self, revisions: Sequence[AlertRevision]) -> Sequence[Outcome]:
        """Write each alert under its id; the server keeps the greatest version.

        Raises:
            TransientError: the server can't be asked, or refuses everything.
        """
        return await self._write("alerts", [self._alert_line(revision) for revision in revisions])

    async def deliver_events(self, events: Sequence[ForwardedEvent]) -> Sequence[Outcome]:
        """Write each event once, under its sequence number and content id.

        Raises:
            TransientError: the server can't be asked, or refuses everything.
        """
        return await self.deliver_prepared([self.prepare_event(forwarded) for forwarded in events])

    def prepare_event(self, forwarded: ForwardedEvent) -> Line:
        """Make an event ready for `deliver_prepared`."""
        index = _index(self._settings.index_prefix, "events", forwarded.event.record.arrival_ns // _DAY_NS)
        return bulk.line("create", index, event_id(forwarded), self._documents.encode(forwarded))

    async def deliver_prepared(self, events: Sequence[Line]) -> Sequence[Outcome]:
        """Do as `deliver_events` with what `prepare_event` made.

        Raises:
            TransientError: as there.
        """
        return await self._write("events", events)

    async def stop(self) -> None:
        """Close the connections."""
        client = self._client
        if client is not None:
            await client.close()
            self._client = None

    async def probe(self) -> Sequence[Check]:
        """Try the server as far as that leaves no trace."""
        return await probe(self.name, self._settings, self._context)

    # --- writing ------------------------------------------------------------------------------------------------------
    def _alert_line(self, revision: AlertRevision) -> Line:
        index = _index(self._settings.index_prefix, "alerts", revision.opened_ns // _DAY_NS)
        version = f',"version":{revision.version},"version_type":"external"'
        return bulk.line("index", index, revision.alert_id, revision.document, version)

    async def _write(self, log: str, lines: Sequence[Line]) -> list[Outcome]:
        """Send lines in requests; once a request failed as a whole, the rest waits with it."""
        await self._look(log, {entry.index_name for entry in lines})
        outcomes: list[Outcome] = []
        for request in bulk.requests(lines, self._settings.bulk_bytes_max):
            try:
                outcomes += await self._send(request)
            except TransientError as error:
                self._looked.clear()
                if not outcomes:
                    raise
                return outcomes + [error] * (len(lines) - len(outcomes))
        return outcomes

    async def _send(self, lines: Sequence[Line]) -> list[Outcome]:
        """Send one request, in halves if it is too large for the server or what stands before it."""
        client = await self._connected()
        answer = await client.bulk(b"".join([entry.content for entry in lines]))
        if answer.status == OK:
            return bulk.outcomes(lines, answer.body)
        if answer.status != _TOO_LARGE:
            raise client.refused(answer, "a bulk request")
        if len(lines) == 1:
            size = len(lines[0].content)
            text = (
                f"the server takes no request of {size} bytes. Raise its http.max_content_length, or its proxy's limit"
            )
            return [PermanentError(text)]
        half = len(lines) // 2
        return [*await self._send(lines[:half]), *await self._send(lines[half:])]

    async def _look(self, log: str, indices: set[str]) -> None:
        """Look at a log's template before indices are written to that were not written to before."""
        if indices <= self._looked:
            return
        await self._install(log)
        if len(self._looked) > _INDICES_KEPT:
            self._looked.clear()
        self._looked |= indices

    async def _install(self, log: str) -> None:
        """Install or update a template, unless there is this one or a newer one.

        Raises:
            TransientError: it can't be.
        """
        client = await self._connected()
        if not self._settings.manage_template:
            return
        name = f"{self._settings.index_prefix}-{log}"
        wanted = template(log, self._settings)
        found = await client.template(name)
        if found.status == OK:
            state = self._standing(name, found, wanted)
            if state in {Standing.SAME, Standing.NEWER}:
                return
        elif found.status != NOT_FOUND:
            raise client.refused(found, f"a look at the index template {name}")
        answer = await client.put_template(name, wanted)
        if answer.status != OK:
            raise client.refused(answer, f"installing the index template {name}", _FOREIGN_REMEDY)

    def _standing(self, name: str, found: Answer, wanted: Body) -> Standing:
        """Say whose a template is.

        Raises:
            TransientError: not ours, or none at all.
        """
        try:
            state = standing(found.body, wanted)
        except ValueError as error:
            message = (
                f"the server's answer about the index template {name} is none. Look at what stands at that address"
            )
            raise TransientError(message) from error
        if state is Standing.FOREIGN:
            message = f"the index template {name} is not Vedette's"
            raise TransientError(f"{message}. {_FOREIGN_REMEDY}", retry_after_s=OPERATOR_RETRY_S)
        return state

    async def _connected(self) -> Client:
        """Return the client; a new one where password or certificates may have been corrected.

        Raises:
            ConfigError: a file can't be used, and never could. TransientError: it can't be used any more.
        """
        if self._client is not None and self._client.stale:
            await self.stop()
        if self._client is None:
            folder, clock = self._context.data_dir, self._context.clock
            try:
                self._client = await asyncio.to_thread(Client, self.name, self._settings, folder, clock)
            except ConfigError as error:
                if not self._connected_once:
                    raise
                raise TransientError(str(error), retry_after_s=OPERATOR_RETRY_S) from error
            self._connected_once = True
        return self._client


@lru_cache(maxsize=_INDICES_KEPT)
def _index(prefix: str, log: str, day: int) -> str:
    """Name the index of a day, given in days since the epoch."""
    return f"{prefix}-{log}-{datetime.fromtimestamp(day * _DAY_S, UTC):%Y.%m.%d}"


_FOREIGN_REMEDY: Final = "Choose another index_prefix, remove the other template, or set manage_template: false"
