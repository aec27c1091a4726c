"""HTTP to one Alertmanager: a request, and what its answer means for the alerts in it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple

import httpx

from vedette.schema.errors import PermanentError, TransientError
from vedette.schema.limits import MIB, RETRY_ADVICE_S_MAX
from vedette.schema.text import safe_text

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

ANSWER_BYTES_MAX: Final = MIB
"""Bytes read of an answer; a status holds the whole configuration of the Alertmanager."""
EXCERPT_CHARS_MAX: Final = 300
SETUP_RETRY_S: Final = 30.0
"""What a person has to mend is tried no more often."""
_SETUP: Final = {
    401: "mend username and password, or the token",
    403: "mend what the account may do there",
    404: "mend `url`: it needs the path of --web.route-prefix, and an Alertmanager of 0.16 or newer",
    405: "mend `url`: it takes no POST",
    407: "a proxy stands between; Vedette logs in to none",
}
"""They say that the way is wrong, not the alert: it must not be lost to a wrong password."""
_LATER: Final = frozenset({408, 425, 429})


class Answer(NamedTuple):
    """What a server answered: the beginning of its body is enough."""

    status: int
    body: bytes
    retry_after: str
    location: str


class Client:
    """Asks one Alertmanager, on a connection of its own each time.

    A batch of alerts is one request; and a request that is cancelled at a bad moment would keep its place in a pool of
    connections for ever. Redirects are not followed, and proxies of the environment are not used: where alerts go, and
    passwords with them, stands in the configuration alone.
    """

    def __init__(self, url: str, tls: ssl.SSLContext, timeout_s: float) -> None:
        """Prepare to ask, with at most `timeout_s` for a whole answer."""
        self.url = url
        self._tls = tls
        self._timeout_s = timeout_s

    async def post(self, alerts: bytes, fields: Mapping[str, str]) -> None:
        """Hand over alerts, a JSON array. A repeat changes nothing.

        Raises:
            PermanentError: one of them at least will never be taken; the others may have been. TransientError: later.
        """
        answer = await self._ask("POST", "/api/v2/alerts", alerts, {**fields, "Content-Type": "application/json"})
        self._judge(answer)

    async def status(self, fields: Mapping[str, str]) -> bytes:
        """Return what it says about itself (`GET /api/v2/status`).

        Raises:
            PermanentError, TransientError: it does not.
        """
        answer = await self._ask("GET", "/api/v2/status", b"", fields)
        self._judge(answer)
        return answer.body

    async def _ask(self, method: str, path: str, body: bytes, fields: Mapping[str, str]) -> Answer:
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "vedette", **fields}
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                httpx.AsyncClient(verify=self._tls, trust_env=False, timeout=self._timeout_s) as connection,
                connection.stream(method, self.url + path, content=body, headers=headers) as response,
            ):
                said = response.headers
                content = await _beginning(response)
                return Answer(response.status_code, content, said.get("Retry-After", ""), said.get("Location", ""))
        except TimeoutError as error:
            raise TransientError(f"{self.url} did not answer within {self._timeout_s:g} s") from error
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise TransientError(f"{self.url} can't be spoken to: {_reason(error)}") from error

    def _judge(self, answer: Answer) -> None:
        status = answer.status
        if 200 <= status < 300:  # noqa: PLR2004 - the class of successes
            return
        said = f"{self.url} answered {status} ({_excerpt(answer.body)})"
        if status in _SETUP:
            raise TransientError(f"{said}: {_SETUP[status]}", retry_after_s=SETUP_RETRY_S)
        if 300 <= status < 400:  # noqa: PLR2004 - the class of redirections
            target = safe_text(answer.location, EXCERPT_CHARS_MAX)
            message = f"{said} to {target!r}: redirects are not followed; set `url` to the final address"
            raise TransientError(message, retry_after_s=SETUP_RETRY_S)
        if 400 <= status < 500 and status not in _LATER:  # noqa: PLR2004 - the class of the client's errors
            raise PermanentError(f"{said}: it will not take this alert")
        raise TransientError(said, retry_after_s=_retry_after_s(answer.retry_after))


async def _beginning(response: httpx.Response) -> bytes:
    """Read the body up to the bound; of what breaks off, what came."""
    content = bytearray()
    try:
        async for piece in response.aiter_raw():
            content += piece
            if len(content) > ANSWER_BYTES_MAX:
                break
    except (httpx.HTTPError, httpx.StreamError):
        pass
    return bytes(content[:ANSWER_BYTES_MAX])


def _excerpt(body: bytes) -> str:
    return safe_text(body[: 4 * EXCERPT_CHARS_MAX].decode("utf-8", "replace").strip(), EXCERPT_CHARS_MAX)


def _retry_after_s(value: str) -> float:
    """Read Retry-After in its form with seconds (RFC 9110 §10.2.3); 1 if there is none that can be read."""
    return min(float(value[:18]), RETRY_ADVICE_S_MAX) if value.isascii() and value.isdigit() else 1.0


def _reason(error: Exception) -> str:
    """Say what went wrong at the bottom; httpx's own words are often empty."""
    cause: BaseException = error
    while (deeper := cause.__cause__ or cause.__context__) is not None:
        cause = deeper
    reason = safe_text(str(error) or str(cause) or type(error).__name__, EXCERPT_CHARS_MAX)
    return f"{reason}. Set ca_file to the CA that signed its certificate" if "CERTIFICATE" in reason else reason
