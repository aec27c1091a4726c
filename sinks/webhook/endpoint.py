"""One HTTP endpoint: posts a body, and reads no more of the answer than it must."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import httpx

from sinks.webhook.answer import EXCERPT_CHARS_MAX, Answer, judge
from vedette.runtime.check import Check
from vedette.schema.errors import ConfigError, TransientError
from vedette.schema.limits import KIB
from vedette.schema.text import safe_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from vedette.runtime.clock import Clock
    from vedette.runtime.sink import Outcome

ANSWER_BYTES_MAX: Final = 64 * KIB
"""Read of an answer so that its connection can be used again; a longer one costs the connection."""
EXCERPT_BYTES: Final = 1024
FIELDS: Final = {"Content-Type": "application/json", "Accept-Encoding": "identity", "User-Agent": "vedette"}


class Endpoint:
    """Keeps one connection.

    Redirects are not followed, and proxies of the environment are not used: where alerts go, and secrets with them,
    stands in the configuration alone.
    """

    def __init__(self, url: str, tls: ssl.SSLContext, timeout_s: float, clock: Clock) -> None:
        """Open nothing yet."""
        self._url = url
        self.origin = origin(url)
        self._tls = tls
        self._timeout_s = timeout_s
        self._clock = clock
        self._client = self._new_client()

    def _new_client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            verify=self._tls,
            trust_env=False,
            follow_redirects=False,
            timeout=self._timeout_s,
            headers=FIELDS,
            limits=httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=30),
        )

    async def post(self, body: bytes, fields: Mapping[str, str]) -> Outcome:
        """Post, and say what became of it. A 2xx counts from its head on, whatever its body is."""
        answer: Answer | None = None
        problem = ""
        finished = False
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._client.stream("POST", self._url, content=body, headers=dict(fields)) as response,
            ):
                answer = _head(response)
                answer = answer._replace(excerpt=await _excerpt(response))
            finished = True
        except TimeoutError:
            problem = f"{self.origin} did not answer within {self._timeout_s:g} s"
        except (httpx.HTTPError, httpx.StreamError) as error:
            problem = f"{self.origin} can't be spoken to: {_reason(error)}"
        finally:
            if not finished:
                await self._renew()
        if answer is None:
            return TransientError(problem)
        return judge(answer, self.origin, self._clock.now_ns())

    async def _renew(self) -> None:
        """Begin with a new client: a request cancelled at a bad moment holds its connection in the pool for ever."""
        old, self._client = self._client, self._new_client()
        await old.aclose()

    async def probe(self) -> Check:
        """Connect, by TLS if the URL says so, and send nothing."""
        parts = urlsplit(self._url)
        what = f"connect to {self.origin} (no request was sent: path and credentials show with the first alert)"
        tls = self._tls if parts.scheme == "https" else None
        try:
            async with asyncio.timeout(min(self._timeout_s, 10.0)):
                port = parts.port or (443 if tls else 80)
                _, writer = await asyncio.open_connection(parts.hostname, port, ssl=tls)
        except TimeoutError:
            return Check(what, "no connection in time", "look whether a firewall or network policy stands between")
        except ssl.SSLCertVerificationError as error:
            remedy = "name the CA that signed the server's certificate in `ca_file`, and the host in `url` as it does"
            return Check(what, f"the certificate is not trusted: {safe_text(error.verify_message)}", remedy)
        except ssl.SSLError as error:
            return Check(what, f"no TLS there: {safe_text(error.reason or str(error))}", "mend scheme or port of `url`")
        except (OSError, UnicodeError) as error:
            return Check(what, _connect_reason(error), "mend `url`, or start what should listen there")
        writer.transport.abort()
        return Check(what)

    async def close(self) -> None:
        """Close the connection; idempotent."""
        await self._client.aclose()


def origin(url: str) -> str:
    """Scheme, host and port: what may be shown of a URL."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def tls_context(place: str, ca_file: Path | None) -> ssl.SSLContext:
    """Trust the CAs of `ca_file`, or those of the system.

    Raises:
        ConfigError: the file can't be read, or holds no certificate.
    """
    try:
        return ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except OSError as error:  # ssl.SSLError is one
        reason = "it holds no CA certificates" if isinstance(error, ssl.SSLError) else error.strerror
        message = f"{place}.ca_file: cannot use {ca_file} ({reason}). Name a PEM file that Vedette's user may read"
        raise ConfigError(message) from error


def _head(response: httpx.Response) -> Answer:
    fields = response.headers
    status, reason = response.status_code, response.reason_phrase
    return Answer(status, reason, fields.get("Retry-After", ""), fields.get("Location", ""), b"")


async def _excerpt(response: httpx.Response) -> bytes:
    """Read the body up to the bound and return its beginning; of what breaks off, what came."""
    content = bytearray()
    try:
        async for piece in response.aiter_raw():
            content += piece
            if len(content) > ANSWER_BYTES_MAX:
                break
    except (httpx.HTTPError, httpx.StreamError, TimeoutError):
        pass
    return bytes(content[:EXCERPT_BYTES])


def _connect_reason(error: OSError | UnicodeError) -> str:
    """Say it as the system does; asyncio's own words for a refused connection are its address again."""
    if isinstance(error, OSError) and error.errno and not isinstance(error, socket.gaierror):
        return os.strerror(error.errno)
    return safe_text(getattr(error, "strerror", None) or str(error), EXCERPT_CHARS_MAX)


def _reason(error: Exception) -> str:
    """Say what went wrong at the bottom; httpx's own words are often empty."""
    cause: BaseException = error
    while (deeper := cause.__cause__ or cause.__context__) is not None:
        cause = deeper
    return safe_text(str(error) or str(cause) or type(error).__name__, EXCERPT_CHARS_MAX)
