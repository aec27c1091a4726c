"""One node, asked over aiohttp in bounded time and space: what opensearch-py's own connection does not promise.

That one reads answers whole whatever their size, logs every request, follows redirects (with the password), turns a
server's `Warning` headers into Python warnings, and compresses at gzip's slowest level on the event loop.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import ssl
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import aiohttp
from opensearchpy import AsyncConnection, ConnectionError, ConnectionTimeout, SSLError  # noqa: A004 - its own tree

from vedette.schema.limits import KIB, MIB
from vedette.schema.text import safe_text

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection, Mapping

ANSWER_BYTES_MAX: Final = 16 * MIB
"""Bytes of one answer. A bulk of 500 documents is answered in 30 KB, and in some 500 KB if each was refused."""
_CONNECTIONS_MAX: Final = 2
"""Open connections to a node: delivery asks one thing at a time, and a broken one may still be closing."""
_PIECE_BYTES: Final = 256 * KIB


class Answer(NamedTuple):
    """What a server said, whatever the status."""

    status: int
    body: bytes
    retry_after: str
    """The header `Retry-After`, "" if there is none."""


class BoundedConnection(AsyncConnection):
    """Implements the connection of opensearch-py's transport; every status is an answer, none an exception.

    Raises opensearch-py's ConnectionError, ConnectionTimeout and SSLError with a text that is safe to show.
    """

    def __init__(
        self, *, http_auth: tuple[str, str] | None, ssl_context: ssl.SSLContext | None, timeout: float, **kwargs: Any
    ) -> None:
        """Take what the client was made with; connect when first asked."""
        kwargs.pop("loop", None)
        super().__init__(**kwargs)
        self.headers.pop("accept-encoding", None)  # answers are small, and a packed one may unpack to anything
        self._timeout_s = timeout
        if http_auth:
            self.headers["authorization"] = "Basic " + base64.b64encode(":".join(http_auth).encode()).decode()
        self._ssl_context = ssl_context
        self._session: aiohttp.ClientSession | None = None

    async def perform_request(
        self,
        method: str,
        url: str,
        params: Mapping[str, Any] | None = None,
        body: bytes | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - opensearch-py's signature
        ignore: Collection[int] = (),  # noqa: ARG002 - no status is an exception here
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Mapping[str, str], Answer]:
        """Ask, and read the whole answer, within the time-out."""
        sent: dict[str, str] = {**self.headers, **(headers or {})}
        try:
            async with asyncio.timeout(timeout or self._timeout_s):
                answer = await self._ask(method, self.host + self.url_prefix + url, params, body, sent)
        except TimeoutError as error:
            text = f"{self.host} did not answer within {timeout or self._timeout_s:g} s"
            raise ConnectionTimeout("TIMEOUT", text, error) from error
        except (aiohttp.ClientSSLError, ssl.SSLError) as error:
            raise SSLError("N/A", _tls_problem(self.host, error), error) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            text = f"{self.host} can't be reached ({_reason(error)})"
            raise ConnectionError("N/A", text, error) from error
        return answer.status, {}, answer

    async def close(self) -> None:
        """Close what is open; may be called again."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _ask(
        self, method: str, url: str, params: Mapping[str, Any] | None, body: bytes | None, headers: dict[str, str]
    ) -> Answer:
        if body and self.http_compress:
            body = await asyncio.to_thread(gzip.compress, body, compresslevel=1, mtime=0)
            headers["content-encoding"] = "gzip"
        if body:
            headers["content-length"] = str(len(body))
        pieces = _pieces(body) if body else None
        request = self._open_session().request(
            method, url, params=_texts(params), data=pieces, headers=headers, allow_redirects=False
        )
        async with request as response:
            found = bytearray()
            async for piece in response.content.iter_any():
                found += piece
                if len(found) > ANSWER_BYTES_MAX:
                    response.close()
                    raise ValueError(f"it answers with more than {ANSWER_BYTES_MAX} bytes")
            return Answer(response.status, bytes(found), response.headers.get("retry-after", ""))

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=_CONNECTIONS_MAX, ssl=self._ssl_context or True),
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("accept", "accept-encoding"),
                timeout=aiohttp.ClientTimeout(total=None),
                trust_env=False,
            )
        return self._session


async def _pieces(body: bytes) -> AsyncGenerator[memoryview]:
    """Cut a body without copying it; given whole, aiohttp would write it in one go (and warns), or copy it."""
    view = memoryview(body)
    for at in range(0, len(view), _PIECE_BYTES):
        yield view[at : at + _PIECE_BYTES]


def _texts(params: Mapping[str, Any] | None) -> dict[str, str] | None:
    """Say parameters as opensearch-py leaves them: escaped to bytes or text."""
    if not params:
        return None
    return {key: value.decode() if isinstance(value, bytes) else str(value) for key, value in params.items()}


def _tls_problem(host: str, error: Exception) -> str:
    cause = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    if isinstance(cause, ssl.SSLCertVerificationError):
        reason = safe_text(cause.verify_message)
        return f"the certificate of {host} is not trusted ({reason}). Name the CA that signed it as ca_file"
    return f"no TLS with {host} ({_reason(error)}). Look at the protocol (http or https), port and client certificate"


def _reason(error: Exception) -> str:
    cause = getattr(error, "os_error", None) or error
    return safe_text(getattr(cause, "strerror", None) or str(cause) or type(cause).__name__, 300)
