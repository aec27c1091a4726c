"""The sink: what becomes a message, in which pieces messages go out, and what is said when they can't."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from typing import TYPE_CHECKING, Final

import msgspec

from sinks.syslog.cef import cef
from sinks.syslog.connection import Connection
from sinks.syslog.message import Envelope, framed
from sinks.syslog.ocsf import event_json, ocsf
from sinks.syslog.settings import FACILITIES, tls_context
from vedette.runtime.check import Check
from vedette.schema.errors import ConfigError, TransientError
from vedette.schema.level import Level
from vedette.schema.limits import KIB
from vedette.schema.text import safe_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sinks.syslog.settings import SyslogSettings
    from vedette.runtime.sink import ForwardedEvent, Outcome
    from vedette.runtime.sink_context import SinkContext
    from vedette.schema.alert import AlertRevision

PIECE_BYTES: Final = 64 * KIB
"""Handed over at a time, but for a longer message: each piece has its own time-out, so that a slow line gets on."""
SETUP_RETRY_S: Final = 30.0
"""What a person has to mend is tried no more often."""
PROBE_S_MAX: Final = 10.0


class _Unmapped(msgspec.Struct):
    alert_id: str
    version: int
    time_ns: int
    cluster: str


class _Metadata(msgspec.Struct):
    uid: str


class _Document(msgspec.Struct):
    metadata: _Metadata
    unmapped: _Unmapped


_READER: Final = msgspec.json.Decoder(_Document)


class SyslogSink:
    """Implements `vedette.runtime.sink.EventSink`. Messages go out one after another, over one connection."""

    def __init__(self, name: str, settings: SyslogSettings, context: SinkContext) -> None:
        """Take the settings; files are read by `start`."""
        self.name = name
        self._settings = settings
        self._folder = context.data_dir
        self._tls: ssl.SSLContext | None = None
        self._connection: Connection | None = None
        hostname = settings.hostname or safe_text(socket.gethostname(), 255).replace(" ", "-") or "-"
        facility = FACILITIES[settings.facility]
        self._envelope = Envelope(facility, hostname, settings.app_name, settings.enterprise_id)

    async def start(self) -> None:
        """Read the files; the receiver is called when there is something to say.

        Raises:
            ConfigError: a file can't be used.
        """
        self._tls = tls_context(self.name, self._settings, self._folder)

    async def deliver(self, revisions: Sequence[AlertRevision]) -> Sequence[Outcome]:
        """Send a message for each revision."""
        return await self._send([self._alert(revision) for revision in revisions])

    async def deliver_events(self, events: Sequence[ForwardedEvent]) -> Sequence[Outcome]:
        """Send a message for each record."""
        return await self._send([self._event(event) for event in events])

    async def stop(self) -> None:
        """Take leave of the receiver."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def probe(self) -> Sequence[Check]:
        """Read the files and connect; no message is sent."""
        try:
            tls = tls_context(self.name, self._settings, self._folder)
        except ConfigError as error:
            return [Check("read the certificates for syslog", str(error), "mend the key or the file that it names")]
        what = f"connect to {self._where} {'with TLS' if tls else 'without TLS'} (no message was sent)"
        try:
            async with asyncio.timeout(min(self._settings.timeout_s, PROBE_S_MAX)):
                connection = await Connection.open(self._settings.host, self._settings.port, tls)
                await connection.close()
        except (OSError, UnicodeError) as error:  # TimeoutError is an OSError
            problem, remedy = _said(error)
            return [Check(what, problem, remedy)]
        return [Check(what)]

    # --- messages -----------------------------------------------------------------------------------------------------
    def _alert(self, revision: AlertRevision) -> bytes:
        found = _READER.decode(revision.document)
        values = {
            "uid": found.metadata.uid,
            "alert": found.unmapped.alert_id,
            "version": str(found.unmapped.version),
            "level": revision.level,
            "rule": revision.rule_id,
            "source": revision.source,
            "cluster": found.unmapped.cluster,
        }
        head = self._envelope.head("alert", Level(revision.level), found.unmapped.time_ns, values)
        room = self._settings.message_bytes_max - len(head)
        if self._settings.format == "cef":
            return framed(head, cef(revision.document, revision.source, room))
        return framed(head, ocsf(revision.document, room))

    def _event(self, forwarded: ForwardedEvent) -> bytes:
        record = forwarded.event.record
        values = {
            "uid": f"{record.seq}-{forwarded.event.uid}",
            "source": record.run.source,
            "format": record.run.format,
            "cluster": forwarded.cluster,
        }
        head = self._envelope.head("event", Level.INFORMATIONAL, record.arrival_ns, values)
        return framed(head, event_json(forwarded, self._settings.message_bytes_max - len(head)))

    # --- sending ------------------------------------------------------------------------------------------------------
    @property
    def _where(self) -> str:
        return f"{self._settings.host} port {self._settings.port}"

    async def _send(self, messages: Sequence[bytes]) -> Sequence[Outcome]:
        """Send piece by piece; if one does not get there, it waits, and all that follow it."""
        outcomes: list[Outcome] = []
        while len(outcomes) < len(messages):
            count = _fitting(messages, len(outcomes))
            piece = b"".join(messages[len(outcomes) : len(outcomes) + count])
            try:
                await self._hand_over(piece)
            except TransientError as error:
                return outcomes + [error] * (len(messages) - len(outcomes))
            outcomes += [None] * count
        return outcomes

    async def _hand_over(self, piece: bytes) -> None:
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                if self._connection is not None:
                    self._drop_if_gone(self._connection)
                if self._connection is None:
                    self._connection = await Connection.open(self._settings.host, self._settings.port, self._tls)
                await self._connection.send(piece)
        except (OSError, UnicodeError) as error:  # TimeoutError is an OSError
            self._abort()
            problem, remedy = _said(error)
            pause_s = SETUP_RETRY_S if isinstance(error, ssl.SSLError | UnicodeError) else 1.0
            message = f"syslog to {self._where}: {problem}. {remedy}"
            raise TransientError(message, retry_after_s=pause_s) from error
        except BaseException:
            self._abort()  # a message may have gone out in part
            raise

    def _drop_if_gone(self, connection: Connection) -> None:
        """Receivers end connections that were idle: that is no failure, if it is noticed in time."""
        try:
            connection.hear()
        except OSError:
            connection.abort()
            self._connection = None

    def _abort(self) -> None:
        if self._connection is not None:
            self._connection.abort()
            self._connection = None


def _fitting(messages: Sequence[bytes], first: int) -> int:
    """Count the messages from `first` on that fit a piece; at least one."""
    size = count = 0
    for message in messages[first:]:
        size += len(message)
        if count and size > PIECE_BYTES:
            break
        count += 1
    return count


def _said(error: OSError | UnicodeError) -> tuple[str, str]:
    """What went wrong, safe to show, and what to do about it."""
    if isinstance(error, TimeoutError) and not error.errno:
        return "it took too long", "Look whether the receiver reads, and whether a firewall stands between"
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = safe_text(error.verify_message, 200)
        return f"the certificate is not trusted ({reason})", "Name the CA in `ca_file`, and the host as it does"
    if isinstance(error, ssl.SSLError):
        reason = safe_text(error.reason or str(error), 200)
        return f"no TLS ({reason})", "Mend `port`, `tls`, or the client certificate, which the receiver may not trust"
    if isinstance(error, socket.gaierror | UnicodeError):
        return f"the name is not known ({safe_text(str(error), 200)})", "Mend `host`"
    reason = os.strerror(error.errno) if error.errno else safe_text(str(error), 200)
    return reason, "Start what should listen there, or mend `host` and `port`"
