"""The sink: which alerts go into a request, until when they hold, and what becomes of those that are refused."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
import orjson

from sinks.alertmanager.alerts import READER, PostableAlert, ended_ns, firing_until_ns, is_judged, postable
from sinks.alertmanager.client import Client
from sinks.alertmanager.settings import read_authorization, tls_context
from vedette.runtime.check import Check
from vedette.schema.alert import Activity
from vedette.schema.errors import ConfigError, PermanentError, TransientError
from vedette.schema.limits import SECOND_NS
from vedette.schema.text import safe_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sinks.alertmanager.alerts import Document
    from sinks.alertmanager.settings import AlertmanagerSettings
    from vedette.runtime.sink import Outcome
    from vedette.runtime.sink_context import SinkContext
    from vedette.schema.alert import AlertRevision

BATCH_ALERTS_MAX: Final = 64
"""Alerts of one request: some 100 KB, or about 1 MB with their documents, which the bounds of proxies let through."""
REMEMBERED_MAX: Final = 50_000
"""Alerts of which it is remembered when they were first sent: as many as can be open (`limits.OPEN_ALERTS_MAX`)."""
PROBE_S_MAX: Final = 10.0


class _Sent(NamedTuple):
    """By which severity an alert was last known, and since when, ns since the epoch."""

    level: str
    since_ns: int


class AlertmanagerSink:
    """Implements `vedette.runtime.sink.Sink`.

    What it remembers spares an alert that was sent before its time of grace, and nothing more: after a restart one that
    is about to end holds `hold_s` longer than it must.
    """

    def __init__(self, name: str, settings: AlertmanagerSettings, context: SinkContext) -> None:
        """Take the settings; files are read by `start`."""
        self.name = name
        self._settings = settings
        self._folder = context.data_dir
        self._clock = context.clock
        self._client: Client | None = None
        self._sent: dict[str, _Sent] = {}

    async def start(self) -> None:
        """Read the files; the server is spoken to when there is something to say.

        Raises:
            ConfigError: a file can't be used.
        """
        if self._client is None:
            self._authorization()
            self._client = self._new_client(self._settings.timeout_s)

    async def deliver(self, revisions: Sequence[AlertRevision]) -> Sequence[Outcome]:
        """Post the newest revision of each alert; those that it replaces are delivered with it.

        Raises:
            TransientError: a secret can't be read now.
        """
        assert self._client is not None, "started"
        newest: dict[str, AlertRevision] = {}
        for revision in revisions:
            known = newest.get(revision.alert_id)
            if known is None or known.version <= revision.version:
                newest.pop(revision.alert_id, None)
                newest[revision.alert_id] = revision
        try:
            fields = self._authorization()
        except ConfigError as error:  # it could be read at the start
            raise TransientError(str(error)) from error
        outcomes = await self._post_all(self._client, fields, list(newest.values()))
        return [outcomes[revision.alert_id] for revision in revisions]

    async def stop(self) -> None:
        """Nothing is open between requests."""
        self._client = None

    async def probe(self) -> Sequence[Check]:
        """Read the files, and ask the Alertmanager about itself; no alert is sent."""
        try:
            fields, client = self._authorization(), self._new_client(min(self._settings.timeout_s, PROBE_S_MAX))
        except ConfigError as error:
            return [Check("read the files of the Alertmanager", str(error), "mend the key or the file that it names")]
        what = f"ask the Alertmanager at {client.url} for its status"
        try:
            status = await client.status(fields)
        except (PermanentError, TransientError) as error:
            return [Check(what, str(error), "mend `url`, the login or ca_file, or start what should listen there")]
        version = _version(status)
        if not version:
            return [Check(what, "what answers is no Alertmanager", "mend `url`: a proxy or login page may stand there")]
        return [Check(f"{what} (version {version})")]

    # --- inside -------------------------------------------------------------------------------------------------------
    def _authorization(self) -> dict[str, str]:
        return read_authorization(self.name, self._settings, self._folder)

    def _new_client(self, timeout_s: float) -> Client:
        tls = tls_context(self.name, self._settings, self._folder)
        return Client(self._settings.url, tls, timeout_s)

    async def _post_all(
        self, client: Client, fields: dict[str, str], revisions: list[AlertRevision]
    ) -> dict[str, Outcome]:
        """Post in batches until the server can't take one for now; then the rest waits with it."""
        outcomes: dict[str, Outcome] = {}
        waiting = deque(
            revisions[first : first + BATCH_ALERTS_MAX] for first in range(0, len(revisions), BATCH_ALERTS_MAX)
        )
        while waiting:
            batch = waiting.popleft()
            try:
                await self._post(client, fields, batch)
            except TransientError as error:
                rest = [*batch, *(revision for later in waiting for revision in later)]
                return outcomes | dict.fromkeys((revision.alert_id for revision in rest), error)
            except PermanentError as error:
                if len(batch) > 1:  # in halves, so that one alert that is refused costs only itself
                    middle = len(batch) // 2
                    waiting.extendleft((batch[middle:], batch[:middle]))
                else:
                    outcomes[batch[0].alert_id] = error
            else:
                outcomes |= dict.fromkeys((revision.alert_id for revision in batch), None)
        return outcomes

    async def _post(self, client: Client, fields: dict[str, str], batch: list[AlertRevision]) -> None:
        now_ns = self._clock.now_ns()
        alerts: list[PostableAlert] = []
        documents = [READER.decode(revision.document) for revision in batch]
        for revision, document in zip(batch, documents, strict=True):
            alerts += postable(revision, document, self._settings, self._ends_ns(document, now_ns))
        await client.post(orjson.dumps(alerts), fields)
        for document in documents:
            self._remember(document, now_ns)

    def _ends_ns(self, document: Document, now_ns: int) -> int:
        """Until when an alert holds; a judged one ends at once, one that closes if it was sent long enough ago."""
        if is_judged(document):
            return ended_ns(document)
        hold_ns = int(self._settings.hold_s * SECOND_NS)
        until_ns = firing_until_ns(document, self._since_ns(document, now_ns), hold_ns)
        closed = document.activity_id is Activity.CLOSE
        return ended_ns(document) if closed and until_ns <= now_ns else until_ns

    def _since_ns(self, document: Document, now_ns: int) -> int:
        sent = self._sent.get(document.unmapped.alert_id)
        return sent.since_ns if sent is not None and sent.level == document.unmapped.rule.level else now_ns

    def _remember(self, document: Document, now_ns: int) -> None:
        alert_id = document.unmapped.alert_id
        self._sent[alert_id] = _Sent(document.unmapped.rule.level.value, self._since_ns(document, now_ns))
        while len(self._sent) > REMEMBERED_MAX:
            del self._sent[next(iter(self._sent))]


class _VersionInfo(msgspec.Struct):
    version: str


class _Status(msgspec.Struct, rename="camel"):
    version_info: _VersionInfo


def _version(status: bytes) -> str:
    """Read the version from a status; "" if it is none."""
    try:
        return safe_text(msgspec.json.decode(status, type=_Status).version_info.version, 50)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
