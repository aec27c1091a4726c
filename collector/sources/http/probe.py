"""What `vedette doctor` tries of an HTTP port: files, certificate, and whether the address is to be had or answers."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from collector.sources.http.tls import Certificates
from collector.sources.http.token import is_token
from vedette.runtime.check import Check
from vedette.schema.errors import ConfigError
from vedette.schema.text import safe_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from collector.sources.http.settings import HttpSettings, TlsSettings

ANSWER_S: Final = 5.0
"""How long a port may take to answer."""
EXPIRY_S: Final = 30 * 24 * 3600
"""A certificate that is valid for less than this is reported: time to renew it."""
BANNER_CHARS_MAX: Final = 80
"""Characters of what a stranger on the port says that are shown."""
_EXPIRED, _NOT_YET_VALID = 10, 9
"""X509_V_ERR_CERT_HAS_EXPIRED and X509_V_ERR_CERT_NOT_YET_VALID of OpenSSL."""
_ROUNDS_MAX: Final = 10
"""Turns of a handshake; it takes three."""
_REASONS: Final = {
    errno.EADDRINUSE: ("another program listens there", "stop the other program, or choose another port"),
    errno.EADDRNOTAVAIL: ("this machine has no such address", "name an address of this machine, or none for all"),
    errno.EACCES: ("Vedette's user may not open it", "choose a port from 1024 on, or grant CAP_NET_BIND_SERVICE"),
}


async def probe(name: str, settings: HttpSettings, *, running: bool) -> list[Check]:
    """Try the port of a source; `running`: an agent should be listening there."""
    where = f"sources.{name}.http"
    checks: list[Check] = []
    if settings.bearer_token_file is not None:
        checks.append(check_token_file(where, settings.bearer_token_file))
    tls = settings.tls
    if tls is not None:
        checks += check_certificate(tls, lambda: Certificates(name, tls))
    checks.append(await check_port(settings.listen, settings.address, tls, running=running))
    return checks


def failed(what: str, error: Exception) -> Check:
    """Report an error whose message ends, as ours do, with a sentence that is the remedy."""
    problem, _, remedy = str(error).rpartition(". ")
    if not problem:
        return Check(what, remedy, "mend what the message names")
    return Check(what, problem, remedy[:1].lower() + remedy[1:])


# --- files ------------------------------------------------------------------------------------------------------------
def check_token_file(where: str, path: str) -> Check:
    """Read the file of a bearer token."""
    what = f"read {path}"
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 - a path as the operator wrote it
            token = file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        return Check(what, f"it can't be read: {reason}", f"mend the file, or {where}.bearer_token_file")
    if not is_token(token):
        return Check(what, "it holds no usable token", "put one line of visible ASCII characters into it")
    return Check(what)


def check_certificate(tls: TlsSettings, load: Callable[[], object]) -> list[Check]:
    """Load the files as the port does, and look at the certificate's dates."""
    what = f"use the certificate {tls.cert_file} with its key"
    try:
        load()
    except ConfigError as error:
        return [failed(what, error)]
    return [Check(what), _check_dates(tls)]


def _check_dates(tls: TlsSettings) -> Check:
    what = f"how long {tls.cert_file} is valid"
    remedy = "renew the certificate; the running agent takes over changed files by itself"
    try:
        left_s = _valid_until_s(tls) - time.time()
    except ssl.SSLCertVerificationError as error:
        if error.verify_code == _EXPIRED:
            return Check(what, "it has expired", remedy)
        if error.verify_code == _NOT_YET_VALID:
            return Check(what, "it is not valid yet", "look at the clock of this machine, or renew the certificate")
        return Check(what, f"clients will refuse it: {error.verify_message}", "use a certificate made for TLS servers")
    except ssl.SSLError as error:
        return Check(what, f"no handshake succeeds with it: {error.reason}", "use a certificate made for TLS servers")
    days = int(left_s // 86_400)
    return Check(what, f"it expires in {days} days", remedy) if left_s < EXPIRY_S else Check(f"{what}: {days} days")


def _valid_until_s(tls: TlsSettings) -> float:
    """Shake hands in memory with a client that trusts this certificate alone: the library then tells its dates."""
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(tls.cert_file, tls.key_file, password="")
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.check_hostname = False
    client_context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client_context.load_verify_locations(tls.cert_file)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_context.wrap_bio(there, back, server_side=True)
    client = client_context.wrap_bio(back, there)
    for _ in range(_ROUNDS_MAX):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            found = client.getpeercert()
            if found:
                return ssl.cert_time_to_seconds(str(found["notAfter"]))
    raise ssl.SSLError("the handshake does not end")


# --- the address ------------------------------------------------------------------------------------------------------
async def check_port(listen: str, address: tuple[str | None, int], tls: TlsSettings | None, *, running: bool) -> Check:
    """Bind the address, or ask the agent that should be listening there whether it is healthy."""
    if not running:
        return await asyncio.to_thread(_check_bind, listen, address)
    if address[1] == 0:
        return Check(f"listen on {listen}: `vedette status` tells which port it is")
    return await _check_answer(listen, address, tls)


def _check_bind(listen: str, address: tuple[str | None, int]) -> Check:
    what = f"listen on {listen}"
    try:
        found = socket.getaddrinfo(*address, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, place in found:
            _bind(family, kind, protocol, place)
    except socket.gaierror as error:
        return Check(what, f"the name can't be resolved: {error.strerror}", "name an IP address of this machine")
    except OSError as error:
        problem, remedy = _REASONS.get(error.errno or 0, (error.strerror or str(error), "choose another address"))
        return Check(what, problem, remedy)
    return Check(what)


def _bind(family: int, kind: int, protocol: int, place: tuple[object, ...]) -> None:
    """Bind without listening: nobody gets in."""
    with socket.socket(family, kind, protocol) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            trial.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        trial.bind(place)


async def _check_answer(listen: str, address: tuple[str | None, int], tls: TlsSettings | None) -> Check:
    what = f"reach the agent at {listen}"
    restart = "restart the agent if the configuration changed since it started; else look at its log"
    try:
        async with asyncio.timeout(ANSWER_S):
            answer = await _ask(address, tls)
    except TimeoutError:
        return Check(what, f"no answer in {ANSWER_S:.0f} s", restart)
    except ssl.SSLError as error:
        return Check(what, f"no TLS there: {safe_text(error.reason or str(error), BANNER_CHARS_MAX)}", restart)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        return Check(what, f"no connection: {reason}", restart)
    if answer is None or answer.startswith(f"HTTP/1.1 {HTTPStatus.OK.value} ".encode()):
        return Check(what)
    said = safe_text(answer.partition(b"\r\n")[0].decode("utf-8", "backslashreplace"), BANNER_CHARS_MAX)
    return Check(what, f"something else answers there: {said or 'nothing'}", f"stop that program; then {restart}")


async def _ask(address: tuple[str | None, int], tls: TlsSettings | None) -> bytes | None:
    """Return the beginning of the answer; None where only certified clients are answered, and it can be connected."""
    host, port = address
    host = {None: "localhost", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - a look-up
    asks = tls is None or tls.client_ca_file is None
    context = None
    if tls is not None and asks:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(host, port, ssl=context)
    try:
        if not asks:
            return None
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return await reader.read(4096)
    finally:
        writer.transport.abort()
