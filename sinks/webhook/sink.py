"""The sink: what goes into a request, and what becomes of a batch when one request fails."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from sinks.webhook.credentials import Credentials, read_credentials, read_url
from sinks.webhook.endpoint import Endpoint, tls_context
from vedette.runtime.check import Check
from vedette.schema.errors import ConfigError, PermanentError, TransientError
from vedette.schema.limits import SECOND_NS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sinks.webhook.settings import WebhookSettings
    from vedette.runtime.sink import ForwardedEvent, Outcome
    from vedette.runtime.sink_context import SinkContext
    from vedette.schema.alert import AlertRevision


class _Message(NamedTuple):
    """One alert or event on its way: `uid` is the same whenever it comes again."""

    uid: str
    body: bytes


class WebhookSink:
    """Implements `vedette.runtime.sink.EventSink`. Requests go out one after another, so that order is kept."""

    def __init__(self, name: str, settings: WebhookSettings, context: SinkContext) -> None:
        """Take the settings; files are read by `start`."""
        self.name = name
        self._settings = settings
        self._folder = context.data_dir
        self._clock = context.clock
        self._endpoint: Endpoint | None = None

    async def start(self) -> None:
        """Read the files; the server is spoken to when there is something to say.

        Raises:
            ConfigError: a file can't be used.
        """
        if self._endpoint is None:
            self._credentials()
            self._endpoint = self._new_endpoint()

    async def deliver(self, revisions: Sequence[AlertRevision]) -> Sequence[Outcome]:
        """Post each revision's document.

        Raises:
            TransientError: none could be delivered now.
        """
        return await self._deliver([_alert(revision) for revision in revisions])

    async def deliver_events(self, events: Sequence[ForwardedEvent]) -> Sequence[Outcome]:
        """Post each record with where it came from.

        Raises:
            TransientError: none could be delivered now.
        """
        return await self._deliver([_event(event) for event in events])

    async def stop(self) -> None:
        """Close the connection."""
        if self._endpoint is not None:
            await self._endpoint.close()
            self._endpoint = None

    async def probe(self) -> Sequence[Check]:
        """Read the files and connect; no alert is sent."""
        try:
            self._credentials()
            endpoint = self._new_endpoint()
        except ConfigError as error:
            return [Check("read the files of the webhook", str(error), "mend the key or the file that it names")]
        try:
            return [await endpoint.probe()]
        finally:
            await endpoint.close()

    # --- inside -------------------------------------------------------------------------------------------------------
    def _credentials(self) -> Credentials:
        return read_credentials(self.name, self._settings, self._folder)

    def _new_endpoint(self) -> Endpoint:
        ca_file = self._settings.ca_file
        tls = tls_context(f"sinks.{self.name}.webhook", self._folder / ca_file if ca_file else None)
        url = read_url(self.name, self._settings, self._folder)
        return Endpoint(url, tls, self._settings.timeout_s, self._clock)

    async def _deliver(self, messages: Sequence[_Message]) -> Sequence[Outcome]:
        """Post all of them, until the server can't take one for now: then the rest waits with it."""
        assert self._endpoint is not None, "started"
        try:
            credentials = self._credentials()
        except ConfigError as error:  # it could be read at the start
            raise TransientError(str(error)) from error
        outcomes: list[Outcome] = []
        size = self._settings.batch
        waiting = deque(messages[first : first + size] for first in range(0, len(messages), size))
        while waiting:
            batch = waiting.popleft()
            outcome = await self._post(self._endpoint, credentials, batch)
            if isinstance(outcome, TransientError):
                return outcomes + [outcome] * (len(messages) - len(outcomes))
            if isinstance(outcome, PermanentError) and len(batch) > 1:
                # In halves, so that one alert that is refused costs only itself.
                middle = len(batch) // 2
                waiting.extendleft((batch[middle:], batch[:middle]))
            else:
                outcomes += [outcome] * len(batch)
        return outcomes

    async def _post(self, endpoint: Endpoint, credentials: Credentials, batch: Sequence[_Message]) -> Outcome:
        single = self._settings.batch == 1
        body = batch[0].body if single else b"[" + b",".join(message.body for message in batch) + b"]"
        fields = {**credentials.fields, **credentials.signature(body, self._clock.now_ns() // SECOND_NS)}
        if single:
            fields["Idempotency-Key"] = batch[0].uid
        return await endpoint.post(body, fields)


def _alert(revision: AlertRevision) -> _Message:
    """The document as it is; its `metadata.uid` is the key."""
    return _Message(f"{revision.alert_id}-{revision.generation}-{revision.revision}", revision.document)


def _event(forwarded: ForwardedEvent) -> _Message:
    document = forwarded.document()
    uid: str = document["uid"]
    return _Message(uid, msgspec.json.encode(document))
