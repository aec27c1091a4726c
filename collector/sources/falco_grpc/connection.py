"""One connection to Falco's gRPC server: how it is made, what goes over it, and why it ended.

Whether Falco is still there is asked with calls of its `version` service, not with HTTP/2 pings: a gRPC server that has
nothing to send takes more than two pings in five minutes for abuse and hangs up (gRPC's `doc/keepalive.md`), and a
Falco without alerts has nothing to send.
"""

from __future__ import annotations

import asyncio
import contextlib
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import grpc
import grpc.aio

from collector.sources.falco_grpc.outputs_pb2 import DESCRIPTOR, request
from collector.sources.falco_grpc.settings import UNIX, FalcoGrpcSettings
from vedette.runtime.credential_files import client_tls_context
from vedette.schema.errors import ConfigError, TransientError
from vedette.schema.limits import KIB, MIB
from vedette.schema.text import safe_text

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

MESSAGE_BYTES_MAX: Final = 4 * MIB
"""One response; also what gRPC's clients take by default. Falco's are below 64 KiB."""
WINDOW_BYTES: Final = 64 * KIB
"""What Falco may send before it is read: gRPC would guess larger windows, and all of it is lost in a crash."""
VERSION: Final = "/falco.version.service/version"
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.http2.lookahead_bytes", WINDOW_BYTES),
    ("grpc.http2.bdp_probe", 0),
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),
    # A new channel connects anew, whatever others to the same address have met.
    ("grpc.use_local_subchannel_pool", 1),
)


class Reason(StrEnum):
    """Why there is no connection: a metric's label."""

    UNREACHABLE = "unreachable"
    SILENT = "silent"
    TLS = "tls"
    NO_SERVICE = "no_service"
    TOO_LARGE = "too_large"
    ENDED = "ended"
    FILES = "files"


REMEDIES: Final = {
    Reason.UNREACHABLE: "look whether Falco runs, is 0.43 or older, has `grpc.enabled: true` and listens there",
    Reason.SILENT: "look at Falco and the network between; it accepts the connection and does not answer",
    Reason.TLS: "look at ca_file, client_cert_file, client_key_file and server_name, and at root_certs in falco.yaml",
    Reason.NO_SERVICE: "name the address of a Falco that is 0.43 or older; from newer ones take alerts over HTTP",
    Reason.TOO_LARGE: "look for the rule whose output grows so long; its alert is counted as refused",
    Reason.ENDED: "look at Falco's log if this goes on; it is normal when Falco restarts",
    Reason.FILES: "correct the settings or the files",
}


class LostError(TransientError):
    """There is no connection, or no more; the text is safe to show."""

    def __init__(self, reason: Reason, detail: str) -> None:
        """Keep the reason, and with it the remedy."""
        super().__init__(detail)
        self.reason = reason
        self.remedy = REMEDIES[reason]


class Connection:
    """What can be asked of Falco over one channel."""

    def __init__(self, channel: grpc.aio.Channel, timeout_s: float) -> None:
        """Use `channel`; an answer may take `timeout_s` seconds."""
        self._channel = channel
        self._timeout_s = timeout_s
        self._enough = False

    def enough(self) -> None:
        """Ask for no more alerts; those that Falco is sending still come."""
        self._enough = True

    async def ask(self) -> None:
        """Return when Falco has answered.

        Raises:
            LostError: it has not.
        """
        version: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(VERSION)
        with _told():
            await version(b"", timeout=self._timeout_s)

    async def subscribe(self, poll_interval_s: float) -> AsyncGenerator[bytes]:
        """Yield responses as they come, until Falco ends the call.

        Raises:
            LostError: it broke.
        """
        sub: grpc.aio.StreamStreamMultiCallable[request, bytes] = self._channel.stream_stream(
            _path("sub"), request_serializer=request.SerializeToString
        )
        call = sub(self._asking(poll_interval_s))
        try:
            with _told():
                async for response in call:
                    yield response
        finally:
            call.cancel()

    async def drain(self, poll_interval_s: float) -> AsyncGenerator[bytes]:
        """Yield what waits in Falco, again and again until `enough`.

        Raises:
            LostError: a call broke.
        """
        get: grpc.aio.UnaryStreamMultiCallable[request, bytes] = self._channel.unary_stream(
            _path("get"), request_serializer=request.SerializeToString
        )
        while not self._enough:
            call = get(request())
            try:
                with _told():
                    async for response in call:
                        yield response
            finally:
                call.cancel()
            await asyncio.sleep(poll_interval_s)

    async def _asking(self, interval_s: float) -> AsyncGenerator[request]:
        while not self._enough:
            yield request()
            await asyncio.sleep(interval_s)
        await asyncio.Event().wait()  # to end it would be to hang up


@contextlib.asynccontextmanager
async def connect(place: str, settings: FalcoGrpcSettings) -> AsyncGenerator[Connection]:
    """Connect with the certificates that are there now, and hear whether Falco answers.

    `place` has the keys of the files: `sources.falco.falco_grpc`.

    Raises:
        LostError: it does not. ConfigError: a file can't be used.
    """
    credentials = await asyncio.to_thread(read_credentials, place, settings)
    async with _channel(settings, credentials) as channel:
        connection = Connection(channel, settings.timeout_s)
        try:
            await connection.ask()
        except LostError as error:
            if credentials is None or "Socket closed" not in str(error):
                raise
            # By TLS 1.3 a server that does not like a client's certificate says so after the client has its own way.
            detail = f"Falco has hung up, as it does on a client certificate that it does not take ({error})"
            raise LostError(Reason.TLS, detail) from error
        yield connection


def read_credentials(place: str, settings: FalcoGrpcSettings) -> grpc.ChannelCredentials | None:
    """Read the certificates; None if the address needs none. Blocking.

    Raises:
        ConfigError: a file can't be used; names its key.
    """
    ca, certificate, key = settings.ca_file, settings.client_cert_file, settings.client_key_file
    if ca is None or certificate is None or key is None:
        return None
    client_tls_context(place, Path(), ca, certificate, key)  # says what is wrong with them: gRPC would not
    try:
        return grpc.ssl_channel_credentials(ca.read_bytes(), key.read_bytes(), certificate.read_bytes())
    except OSError as error:
        raise ConfigError(f"{place}: cannot read {error.filename} ({error.strerror}). Is it being replaced?") from error


def _channel(settings: FalcoGrpcSettings, credentials: grpc.ChannelCredentials | None) -> grpc.aio.Channel:
    if credentials is None:
        target = "unix:" + quote(settings.address.removeprefix(UNIX))
        return grpc.aio.insecure_channel(target, options=_OPTIONS)
    name = (("grpc.ssl_target_name_override", settings.server_name),) if settings.server_name else ()
    return grpc.aio.secure_channel(f"dns:///{settings.address}", credentials, options=_OPTIONS + name)


def _path(method: str) -> str:
    service = DESCRIPTOR.services_by_name["service"]
    return f"/{service.full_name}/{service.methods_by_name[method].name}"


# --- why it ended -----------------------------------------------------------------------------------------------------
@contextlib.contextmanager
def _told() -> Generator[None]:
    """Say in our words why a call failed."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise _lost(error.code(), error.details() or "") from error


def _lost(code: grpc.StatusCode, details: str) -> LostError:
    text = safe_text(f"{code.name}: {details}")
    lowered = details.lower()
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return LostError(Reason.NO_SERVICE, f"the server does not know Falco's services ({text})")
    if code is grpc.StatusCode.CANCELLED:
        return LostError(Reason.ENDED, f"the server has cancelled the call ({text})")
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return LostError(Reason.SILENT, "no answer in time")
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in lowered:
        return LostError(Reason.TOO_LARGE, f"a response has more than {MESSAGE_BYTES_MAX} bytes; the stream broke")
    if any(word in lowered for word in ("handshake", "certificate", "verification", "ssl")):
        return LostError(Reason.TLS, text)
    return LostError(Reason.UNREACHABLE, text)
